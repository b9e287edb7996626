"""Reading an SQLite database: the rows of one query, which can do nothing but read."""

from __future__ import annotations

import contextlib
import io
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import vecindex
from vecindex.encoders.run.encoder import Encoder
from vecindex.errors import SourceError
from vecindex.sources import Format, Source, read
from vecindex.sources.options import read_options
from vecindex.sources.rows import sqlite
from vecindex.values.records import Record

pytestmark = pytest.mark.usefixtures("here")


def made(script: str, name: str = "a.db") -> Path:
    with contextlib.closing(sqlite3.connect(name)) as database:
        database.executescript(script)
    return Path(name)


def of(sql: str | None, **options: Any) -> Source:
    return Source("a.db", Format.SQLITE, read_options(sql=sql, **options))


def refused(sql: str | None, **options: Any) -> SourceError:
    with pytest.raises(SourceError) as caught:
        list(read(of(sql, **options)))
    assert caught.value.path == "a.db"
    return caught.value


@pytest.fixture
def films(here: Path) -> None:
    made(
        "create table films (id integer primary key, title text, plot text, year integer, score real, poster blob);"
        "insert into films values (1, 'Jaws', 'A shark.', 1975, 8.1, null), (2, 'Alien', null, 1979, 8.5, x'ff');"
        "create view names as select title as text from films;"
    )


@pytest.mark.usefixtures("films")
class TestQueries:
    def test_each_row_is_a_record_with_its_place(self) -> None:
        found = list(read(of("select id as key, title as text, year, score, null as none from films order by id")))
        assert found == [
            Record("Jaws", "1", {"year": 1975, "score": 8.1, "none": None}),
            Record("Alien", "2", {"year": 1979, "score": 8.5, "none": None}),
        ]
        assert [str(record.origin) for record in found] == ["a.db, row 1", "a.db, row 2"]

    def test_columns_are_chosen_as_everywhere(self) -> None:
        options: dict[str, Any] = {"text_column": ["title", "plot"], "key_column": "id", "metadata_columns": ["year"]}
        assert list(read(of("select * from films", **options))) == [
            Record("Jaws\n\nA shark.", "1", {"year": 1975}),
            Record("Alien", "2", {"year": 1979}),
        ]
        assert refused("select * from films", text_column="tittle").reason == (
            "in the result of the query: no column 'tittle' (did you mean 'title'?); the columns are: "
            "'id', 'title', 'plot', 'year', 'score', 'poster'"
        )

    def test_the_only_column_is_the_text(self) -> None:
        assert list(read(of("select plot from films"))) == [Record("A shark.")]
        assert [record.text for record in read(of("select text from names"))] == ["Jaws", "Alien"]

    def test_bytes_make_a_row_bad(self) -> None:
        bad: list[SourceError] = []
        texts = [record.text for record in read(of("select title as text, poster from films"), bad.append)]
        assert texts == ["Jaws"]
        assert [(error.line, error.unit, error.reason) for error in bad] == [
            (2, "row", "the column 'poster' holds bytes, which JSON cannot hold")
        ]

    def test_without_a_query_the_tables_are_listed_with_an_example_that_works(self) -> None:
        error = refused(None)
        assert error.reason == "a database needs a query that selects the texts; its tables are: 'films', 'names'"
        assert error.command_advice == 'For example: --sql "select title as text from films"'
        assert len(list(read(of("select title as text from films")))) == 2

    @pytest.mark.parametrize(
        "sql",
        [
            "delete from films",
            "insert into films(id) values (9) returning title as text",
            "attach 'other.db' as other",
            "pragma user_version = 3",
            "create table t (x)",
            "drop table films",
            "vacuum into 'copy.db'",
            "select load_extension('x') as text",
            "begin immediate",
        ],
    )
    def test_a_query_can_only_read(self, sql: str) -> None:
        before = Path("a.db").read_bytes()
        assert refused(sql).reason == "the query does more than read tables"
        assert Path("a.db").read_bytes() == before
        assert [file.name for file in Path().iterdir()] == ["a.db"]

    @pytest.mark.parametrize(
        ("sql", "reason"),
        [
            ("select 1; select 2", "there is more than one query"),
            ("selec 1", 'the query cannot be run: near "selec": syntax error'),
            ("select text from nowhere", "the query cannot be run: no such table: nowhere"),
            ("", "the query selects nothing"),
            ("select title as text, id, id from films", "in the result of the query: several columns have the same"),
        ],
    )
    def test_a_query_that_cannot_be_run_is_refused(self, sql: str, reason: str) -> None:
        assert refused(sql).reason.startswith(reason)

    def test_a_database_that_is_no_file_of_its_own_is_copied(self) -> None:
        raw = Path("a.db").read_bytes()
        Path("a.db").write_text("a zip archive, for example")
        found = list(sqlite.read(of("select title from films"), io.BytesIO(raw)))
        assert found == [Record("Jaws"), Record("Alien")]

    def test_rows_that_only_the_log_holds_are_read(self) -> None:
        with contextlib.closing(sqlite3.connect("a.db")) as writer:
            writer.execute("pragma journal_mode = wal")
            writer.execute("insert into films (title) values ('Up')")
            writer.commit()
            assert [record.text for record in read(of("select title from films"))] == ["Jaws", "Alien", "Up"]


def test_text_that_is_not_utf_8_is_a_bad_row() -> None:
    made("create table t (x text); insert into t values (cast(x'41ff' as text)), ('b');")
    bad: list[SourceError] = []
    assert [record.text for record in read(of("select x from t"), bad.append)] == ["b"]
    assert "lone surrogate" in bad[0].reason


def test_what_is_no_database_is_refused() -> None:
    Path("a.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 4000)
    assert refused("select 1").reason.startswith("cannot be read: ")
    Path("a.db").write_text("text")
    assert refused("select 1").reason == "cannot be read: file is not a database"
    made("", "empty.db")
    with pytest.raises(SourceError, match="has no tables"):
        list(read(Source("empty.db", Format.SQLITE)))


def test_the_database_of_an_index_is_refused_with_a_way_to_export_it(encoder: Encoder) -> None:
    with vecindex.open("index", model=encoder) as index:
        index.add(["a"])
    with pytest.raises(SourceError, match="it is the database of a vecindex index") as caught:
        list(read(Source("index/vecindex.db", Format.SQLITE, read_options(sql="select text from records"))))
    assert "vecindex export" in caught.value.command_advice


TEXT = st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: bool(text.strip(" \t\n\r\v\f")))
VALUES = st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | TEXT


@given(st.lists(st.tuples(TEXT, VALUES), min_size=1, max_size=5))
def test_what_is_stored_is_read_the_same(rows: list[tuple[str, Any]]) -> None:
    Path("a.db").unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect("a.db")) as database:
        database.execute("create table t (text, value)")
        database.executemany("insert into t values (?, ?)", rows)
        database.commit()
    assert list(read(of("select * from t"))) == [Record(text, None, {"value": value}) for text, value in rows]
