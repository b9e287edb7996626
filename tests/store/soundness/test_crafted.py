"""Tables with nonsense and valid checksums raise a CorruptIndex that names the file."""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from vecindex import Index
from vecindex.errors import CorruptIndex, RecordNotFound
from vecindex.search.derived import upkeep
from vecindex.store.stored import record_crc

from ...support.crafted import loosened, rewrite
from ...support.helpers import opened, small_index
from ...support.places import GOLDEN
from ...support.sandbox import quick_folder
from ...support.toy import ToyEncoder

NESTED = "[" * 100_000


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_index(tmp_path_factory.mktemp("sound") / "i")


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    with quick_folder(tmp_path) as folder:
        yield folder


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    return shutil.copytree(sound, tmp_path / "i")


READING: list[Callable[[Index], object]] = [
    lambda index: index.search("one"),
    lambda index: index.search("one", where="n = 1"),
    lambda index: index.similar("a"),
    lambda index: index.get("a"),
    lambda index: index.keys(),
    lambda index: index.info(),
    lambda index: index.export(index.path.with_name("out.jsonl")),
    lambda index: index.backup(index.path.with_name("backup")),
]
WRITING: dict[str, Callable[[Index], object]] = {
    "add": lambda index: index.add(["one", "three", "new"], keys=["a", "x", "c"]),
    "split": lambda index: index.add(["a long one " * 20], keys=["a"], on_long="split"),
    "delete": lambda index: index.delete(["a"]),
    "delete where": lambda index: index.delete(where="n = 0"),
    "compact": lambda index: index.compact(),
    "repair": lambda index: index.repair(),
}


def errors_of(folder: Path) -> list[CorruptIndex]:
    """The errors of every act, with changes on copies; other errors are raised, and verify must find something."""
    found: list[CorruptIndex] = []

    def tried(act: Callable[[Index], object], index: Index) -> None:
        try:
            act(index)
        except CorruptIndex as error:
            found.append(error)
        except RecordNotFound:
            pass  # there is none under its key

    try:
        with opened(folder, create=False) as index:
            for act in READING:
                tried(act, index)
            assert index.verify().faults != ()
    except CorruptIndex as error:
        found.append(error)
    for name, act in WRITING.items():
        copy = shutil.copytree(folder, folder.with_name(f"copy of {name}"))
        try:
            with opened(copy, create=False) as index:
                tried(act, index)
        except CorruptIndex as error:
            found.append(error)
        shutil.rmtree(copy)
    shutil.rmtree(folder.with_name("backup"), ignore_errors=True)
    folder.with_name("out.jsonl").unlink(missing_ok=True)
    return found


def _short(value: object) -> str:
    return str(value)[:30]


MANIFEST: list[tuple[str, Any]] = [
    *((name, value) for name in ("generation", "vectors", "rows", "dead") for value in (b"\0", "5", 1.5, None, -1)),
    ("rows", 2**63 - 1),
    *(("created", value) for value in (5, None, b"x", "yesterday evening", "")),
    *(("space", value) for value in (b"{}", 5, "", "null", "[]", '"x"', "{}", NESTED, '{"model": 1}')),
    *(("codes", value) for value in (b"{}", 5, "", "null", "[]", "{}", NESTED, {"rows": 1})),
    *(("lexical", value) for value in (b"{}", 5, "", "null", "[]", "{}", NESTED, {"settings": "{}"})),
    *(("background", value) for value in (b"{}", 5)),
    *(("tokens", value) for value in (b"{}", 5, "", "null", "[]", "{}", NESTED, {"settings": "{}"})),
    *(
        ("fields", value)
        for value in (b"[]", None, "", "null", '"n"', {"n": 1}, [1], ["a b"], ["n", "n"], [None], NESTED)
    ),
    *(("written_by", value) for value in (b"{}", 5, "", "null", "[]", {"a": 1}, {"a": None}, NESTED)),
]


@pytest.mark.parametrize(("column", "value"), MANIFEST, ids=_short)
def test_nonsense_in_the_manifest_is_a_named_error(folder: Path, column: str, value: Any) -> None:
    rewrite(folder, **{column: value})
    with pytest.raises(CorruptIndex) as caught:
        opened(folder)
    assert caught.value.path == str(folder / "vecindex.db")
    assert len(caught.value.reason) < 1500


def test_vectors_without_a_space_are_a_named_error(folder: Path) -> None:
    rewrite(folder, space=None)
    errors = errors_of(folder)
    assert len(errors) >= 6
    with opened(folder) as index:
        (fault,) = [each for each in index.verify().faults if "embedding space" in each.reason]
        assert "backup" in fault.repair


@pytest.mark.parametrize("rows", [6, 2**25, 2**40, 2**62])
def test_absurd_row_count_is_refused_at_once(folder: Path, rows: int) -> None:
    for dead in (2, rows - 3):
        rewrite(folder, rows=rows, dead=dead)
        assert len(errors_of(folder)) >= 8


@pytest.mark.parametrize(
    "change",
    [
        {"dimension": True},
        {"dimension": 2**40},
        {"model": ["x"]},
        {"normalize": 1},
        {"query_prompt": None},
        {"max_tokens": -1},
        {"truncation": "both"},
        {"x": 1},
    ],
)
def test_nonsense_in_the_space_is_a_named_error(folder: Path, change: dict[str, Any]) -> None:
    with opened(folder) as index:
        space = json.loads(index.encoder.space.to_json())
    rewrite(folder, space=space | change)
    with pytest.raises(CorruptIndex, match=r"vecindex\.db is damaged: its manifest"):
        opened(folder)


@pytest.mark.parametrize(
    "codes",
    [
        *(
            {"names": names, "digests": ["0" * 64]}
            for names in ("x", [1], ["../x"], ["codes-1-5-1-00000000-fast.faiss\n"], [])
        ),
        *({"digests": digests} for digests in ("0" * 64, [5], ["x"], [], ["0" * 64, "0" * 64])),
        *({"rows": rows} for rows in ("5", 6, 0, -1, 1.0, True)),
        *({"settings": settings} for settings in [5, None, [1]]),
    ],
    ids=str,
)
def test_nonsense_in_the_list_of_codes_is_a_named_error(folder: Path, codes: dict[str, Any]) -> None:
    sound = {"rows": 5, "settings": '{"bits": 1, "factor": 10}', "names": ["codes-1-5-1-00000000-fast.faiss"]}
    rewrite(folder, codes={**sound, "digests": ["0" * 64], **codes})
    with pytest.raises(CorruptIndex, match=r"vecindex\.db is damaged: its manifest"):
        opened(folder)


@pytest.mark.parametrize(
    "settings", ["", "[]", "{}", '{"bits": 3, "factor": 1}', '{"bits": "1", "factor": []}', NESTED]
)
def test_nonsense_in_settings_of_codes_is_a_fault_of_the_codes(folder: Path, settings: str) -> None:
    """Codes only propose: an index answers without them, and `repair` removes them."""
    codes = {"rows": 5, "settings": settings, "names": ["codes-1-5-1-00000000-fast.faiss"], "digests": ["0" * 64]}
    rewrite(folder, codes=codes)
    with opened(folder) as index:
        assert index.search("one")[0].key == "a"
        assert index.info().codes == "damaged, 5 rows"
        assert len(index.verify().faults) == 1
        index.add(["five"])
        index.compact()
        assert index.info().codes is None
        assert index.verify().ok


@pytest.mark.parametrize(
    "settings", ["", "[]", "{}", '{"language": "elvish", "fields": []}', '{"language": 1, "fields": "x"}', NESTED]
)
def test_nonsense_in_settings_of_words_is_as_if_none_were_chosen(folder: Path, settings: str) -> None:
    segment = {"first": 0, "stop": 5, "name": "lexical-1-0-5-00000000.bin", "digest": "0" * 64}
    rewrite(folder, lexical={"settings": settings, "fingerprint": "x", "segments": [segment]})
    with opened(folder) as index:
        assert [hit.key for hit in index.search("drei one", k=9, mode="lexical")] == ["a", "c"]
        index.add(["five"])
        index.compact()
        assert [hit.key for hit in index.search("drei one", k=9, mode="lexical")] == ["a", "c"]
        assert index.verify().ok


@pytest.mark.parametrize("settings", ["", "[]", "4 bits", NESTED])
def test_token_vectors_of_another_version_are_as_if_there_were_none(folder: Path, settings: str) -> None:
    segment = {"first": 0, "stop": 5, "name": "tokens-1-0-5-00000000.bin", "digest": "0" * 64}
    rewrite(folder, tokens={"settings": settings, "fingerprint": "x", "segments": [segment]})
    with opened(folder) as index:
        found = index.search("one", rerank="tokens", rerank_ms=math.inf)
        assert found[0].key == "a"
        assert all("tokens" in hit.scores for hit in found)
        index.add(["five"])
        assert index.index_tokens().rows == index.info().records + index.info().dead_rows
        index.compact()
        assert index.verify().ok


HUGE = {"records": 4, "mean": 0.1, "percentiles": [0, 100], "cosines": [0, 10**400]}


@pytest.mark.parametrize("background", ["", "null", "[]", HUGE, {**HUGE, "mean": 10**400}, NESTED], ids=_short)
def test_nonsense_in_the_background_is_as_if_there_were_none(
    folder: Path, background: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "RECORDS_FOR_BACKGROUND", 2)
    rewrite(folder, background=background)
    with opened(folder) as index:
        assert index.search("one")[0].key == "a"
        assert index.search("one", mode="hybrid")[0].key == "a"
        assert index.add(["five", "six"]).added == 2  # the background is looked at after the commit
        assert index.search("five")[0].text == "five"
        index.compact()
        assert index.verify().ok


def _sealed(what: str, connection: sqlite3.Connection) -> None:
    """Makes the checksums of records valid."""
    if "records" in what:
        for row, *covered in connection.execute("select rowid, key, text, metadata, lost from records").fetchall():
            connection.execute("update records set crc = ? where rowid = ?", (record_crc(*covered), row))


TABLES = [
    *(
        f"update sums set sums = {value}, crc = {crc}"
        for value, crc in (("'x'", 0), ("5", 5), ("null", 0), ("x'00'", 0xD202EF8D))
    ),
    *(f"update sums set block = {value}" for value in (-1, 1, 2**62)),
    "delete from sums",
    *(f"update dead set bits = {value}" for value in ("'x'", "5", "null", "x'00'", "zeroblob(1000000)")),
    *(f"update dead set block = {value}" for value in (-1, 1, 2**50)),
    *(f"update records set key = {value} where key = 'a'" for value in ("null", "x'ff'")),
    *(f"update records set text = {value} where key = 'a'" for value in ("null", "x'61'")),
    *(
        f"update records set metadata = {value} where key = 'a'"
        for value in ("5", "null", "''", "'[]'", "'x'", "'{\"a\": NaN}'")
    ),
    *(f"update records set lost = {value} where key = 'a'" for value in ("-1", "'x'", "1.5", "null", "9e999")),
    *(f"update records set row = {value} where key = 'a'" for value in (-1, 5, 2**62)),
    f"update records set metadata = '{{\"part_of\": {NESTED}' where key = 'a'",
]


@pytest.mark.parametrize("statement", TABLES, ids=lambda statement: statement[:70])
def test_nonsense_in_tables_is_a_named_error(folder: Path, statement: str) -> None:
    with closing(loosened(folder)) as connection:
        connection.execute(statement)
        _sealed(statement, connection)
    found = errors_of(folder)
    assert found != []
    assert {Path(error.path).name for error in found} <= {"vecindex.db", "vectors-1.f32"}


@pytest.mark.parametrize("value", ["'x'", "null", "-1", "1.5", "x'00'", "9223372036854775807"])
@pytest.mark.parametrize("column", ["digest", "row", "lost", "crc"])
def test_nonsense_in_the_cache_is_not_served(folder: Path, column: str, value: str) -> None:
    with closing(loosened(folder)) as connection:
        connection.execute("create table other as select * from cached")
        connection.execute(f"update other set {column} = {value}")
        connection.execute("drop table cached")
        connection.execute("alter table other rename to cached")
    with opened(folder) as index:
        index.add(["one"], keys=["z"])
        assert isinstance(index.encoder, ToyEncoder)
        assert index.encoder.encoded == 1
        assert not index.verify().ok
        assert index.repair().ok


def test_nonsense_in_the_note_of_the_lock_is_ignored(folder: Path) -> None:
    for text in ("committed \u00b2 x 00000000\n", "\u00b2\nhost\n\u00b2\n", "x" * 5000):
        (folder / "writer.lock").write_text(text)
        with opened(folder) as index:
            index.add(["five"])


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize(
    "statement",
    [
        *(
            f"update manifest set {name} = {value}"
            for name in ("rows", "vectors", "created", "space")
            for value in ("'x'", "-1", "x'00'", "null")
        ),
        *("update manifest set format = 'x'", "update manifest set format = 1.5", "drop table records"),
    ],
)
def test_nonsense_in_an_older_format_is_a_named_error(tmp_path: Path, number: int, statement: str) -> None:
    folder = shutil.copytree(GOLDEN / f"format-{number}", tmp_path / "i")
    with closing(loosened(folder)) as connection:
        connection.execute(statement)
    with pytest.raises(CorruptIndex):
        opened(folder, model=None)
