"""The values in a table's columns: which columns are numbers, booleans or lists, and what stays text to the letter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import vecindex
from vecindex.errors import InvalidInput
from vecindex.sources import read, read_options, source
from vecindex.values.records import Record

from ..support.commands import run
from ..support.helpers import opened
from ..support.places import SHARED
from ..support.source_files import records, refused

CASES = SHARED / "cases"
pytestmark = pytest.mark.usefixtures("here")


def values(*cells: str, name: str = "a.csv", column: str = "v", **options: Any) -> list[Any]:
    """What the cells of one column are read as; None where the record has no such member."""
    quoted = [f'x,"{cell}"' if "," in cell or '"' in cell else f"x,{cell}" for cell in cells]
    found = records(name, "\n".join([f"text,{column}", *quoted, ""]), **options)
    return [(record.metadata or {}).get(column) for record in found]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (("1", "", "-7", "0"), [1, None, -7, 0]),
        (("7", "500", "12.5", "3"), [7, 500, 12.5, 3]),
        (("9223372036854775807", "-9223372036854775808"), [2**63 - 1, -(2**63)]),
        (("0.1", "1e+16", "5.0"), [0.1, 1e16, 5.0]),
        (("true", "false", ""), [True, False, None]),
        (("TRUE", "False"), [True, False]),
        (('[""cats""]', '[""dogs"", ""cats""]', "[]", ""), [["cats"], ["dogs", "cats"], [], None]),
        (('{""a"": {""b"": [1, 2.5, null]}}', "{}"), [{"a": {"b": [1, 2.5, None]}}, {}]),
    ],
)
def test_a_column_that_holds_nothing_else_becomes(cells: tuple[str, ...], expected: list[Any]) -> None:
    found = values(*cells)
    assert found == expected
    assert [type(value) for value in found] == [type(value) for value in expected]


@pytest.mark.parametrize(
    "cell",
    [
        *("01234", "00", "+1", "-0", "1e5", "1E5", "1.10", "1.", ".5", " 1", "1 ", "1_000", "0x10", "\u0661", "\u00b2"),
        *("9223372036854775808", "12345678901234567890", "1e400", "0.1000000000000000055", "-0.10"),
        *("NaN", "nan", "inf", "-Infinity", "None", "null", "yes", "tRUE", " ", "[1.10]", "[01]", "[NaN]", "[1"),
        *("[12345678901234567890]", '{""a"": 1, ""a"": 2}', "[" * 100_000),
        *("[" * 100 + "]" * 100, '{""a\\u0000"": 1}', '[""\\ud800""]'),
    ],
)
def test_a_cell_that_would_not_come_back_keeps_its_whole_column_text(cell: str) -> None:
    as_read = cell.replace('""', '"')
    assert values(cell, "98765") == [as_read, "98765"]
    assert values("98765", cell) == ["98765", as_read]


def test_kinds_do_not_mix_in_a_column() -> None:
    assert values("1", "true") == ["1", "true"]
    assert values("[]", "{}") == ["[]", "{}"]
    assert values("", "", "") == [None, None, None]


def test_types_text_takes_every_cell_as_it_is_written() -> None:
    assert values("1", "", "true", types="text") == ["1", "", "true"]
    with pytest.raises(InvalidInput, match="types is 'int'"):
        read_options(types="int")  # type: ignore[arg-type]


def test_a_bad_row_says_nothing_of_its_columns() -> None:
    Path("a.csv").write_text("text,year\na,1990\nb,x,y\n")
    notes = source("a.csv")
    assert list(read(notes, lambda error: None)) == [Record("a", None, {"year": 1990})]


def test_text_and_key_stay_text() -> None:
    assert records("a.csv", "key,text,n\n1,2,3\n") == [Record("2", "1", {"n": 3})]


def test_a_tsv_has_types_too_behind_the_quotes_of_its_writer() -> None:
    assert records("a.tsv", 'text\tn\ttags\nx\t1\t"[""cats""]"\n') == [Record("x", None, {"n": 1, "tags": ["cats"]})]


def test_a_column_named_metadata_that_holds_objects_is_the_records_metadata() -> None:
    content = 'key,text,metadata,year\na,x,"{""lang"": ""en""}",1990\nb,y,,\n'
    assert records("a.csv", content) == [Record("x", "a", {"year": 1990, "lang": "en"}), Record("y", "b", {})]
    both = 'text,metadata,lang\nx,"{""lang"": ""en""}",th\n'
    assert refused("a.csv", both) == (2, "both beside and inside 'metadata': 'lang'")
    assert values("words", column="metadata") == ["words"]


@pytest.mark.parametrize("format_", ["csv", "jsonl"])
@pytest.mark.usefixtures("encoder")
def test_what_a_search_wrote_can_be_added_again_and_changes_nothing(format_: str, here: Path) -> None:
    given = [{"lang": "en", "n": 2, "x": 0.1, "tags": ["a"], "of": {"b": None}}, {}]
    with vecindex.open(".vecindex") as index:
        index.add(["a dog, or two", 'a "cat"'], keys=["d", "c"], metadata=given)
    Path(f"hits.{format_}").write_text(run("search", "a dog", "--format", format_)[1])
    assert run("add", f"hits.{format_}")[2].startswith("0 added, 0 updated, 2 unchanged")


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not here")
def test_the_case_of_a_typed_table(here: Path) -> None:
    with opened(here / "index") as index:
        index.add(read(source(CASES / "typed.csv", read_options(text_column="name"))))
        assert [index.get(hit.key).metadata for hit in index.search("An early report", k=1)] == [
            {"year": 1985, "score": 7, "zip": "01234", "active": True, "tags": ["cats"]}
        ]

        def found(where: str) -> set[str]:
            return {hit.text for hit in index.search("report", where=where)}

        early, later, newest, without = (
            *("An early report", "A later report", "The newest report", "A report without a year"),
        )
        assert found("year >= 1990") == {later, newest}
        assert found("score > 100") == {later}
        assert found("zip = '01234'") == {early}
        assert found("zip = '98765'") == {later}
        assert found("active = true") == {early, newest}
        assert found("not year exists") == found("year is null") == {without}
        assert found("tags contains 'cats'") == {early, later}
        assert found("zip like '0%'") == {early, newest}
