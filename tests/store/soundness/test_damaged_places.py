"""Damaged sources, documents and repeats are found and named; repair makes them again, and no record is lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from vecindex import Index
from vecindex.store.sql.documents import SOURCE, source_crc
from vecindex.store.stored import At, record_crc, repeat_crc
from vecindex.values.sources import SourceState

from ...support.crafted import loosened
from ...support.helpers import opened, sql, state_of
from ...support.sourced import SOURCES, read, sourced_index, states, where_from
from ...support.vector_files import overwrite


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sourced_index(tmp_path_factory.mktemp("sound") / "i")


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    return shutil.copytree(sound, tmp_path / "i")


def moved_to(row: int, at: At) -> Callable[[Path], object]:
    """Gives a record another place, with the right checksum."""

    def act(folder: Path) -> None:
        key, text, metadata, lost = sql(folder, f"select key, text, metadata, lost from records where row = {row}")[0]
        values = ", ".join(f'"{name}" = {"null" if value is None else value}' for name, value in at._asdict().items())
        sql(folder, f"update records set {values}, crc = {record_crc(key, text, metadata, lost, at)} where row = {row}")

    return act


def change(statement: str) -> Callable[[Path], object]:
    return lambda folder: sql(folder, statement)


def check_what_was_given_stays(index: Index) -> None:
    """Removes all sources."""
    with index._writer() as writer:
        writer.remove_sources([state.id for state in states(index).values()])
    assert {"b", "cut#1", "cut#2", "cut#3", "mine"} <= where_from(index).keys()
    assert index.verify().ok


FAULTS: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "a source": (
        change("update sources set location = 'others.txt' where id = 1"),
        ["the source 'others.txt' is not what was written"],
    ),
    "a source that is not UTF-8": (
        change("update sources set location = cast(x'ff' as text) where id = 1"),
        ["the source b'\\xff' is not what was written"],
    ),
    "no source": (
        change("delete from sources where id = 2"),
        [
            "the document 'notes.md' is from a source that does not exist",
            "the record 'notes.md#1' is of a document that has other keys",
            "the record 'notes.md#2' is of a document that has other keys",
        ],
    ),
    "a document": (
        change("update documents set title = 'x' where key = 'cut'"),
        ["the document 'cut' is not what was written"],
    ),
    "a document's key": (
        change("update documents set key = 'other' where key = 'notes.md'"),
        ["the document 'other' is not what was written"],
    ),
    "a document that is not UTF-8": (
        change("update documents set metadata = cast(x'ff' as text) where key = 'notes.md'"),
        ["the document 'notes.md' is not what was written"],
    ),
    "no document": (
        change("delete from documents where key = 'cut'"),
        [
            *(f"the record 'cut#{n}' is of a document that does not exist" for n in (1, 2, 3)),
            "1 entries of its list of repeated rows are not what was written",
        ],
    ),
    "no documents and no sources": (
        lambda folder: [sql(folder, f"delete from {table}") for table in ("documents", "sources", "repeats")],
        [],
    ),
    "another number": (
        moved_to(4, At(1, 1, 7, 10, 19, 4)),
        ["the record 'cut#2' is of a document that has other keys"],
    ),
    "other characters": (
        moved_to(4, At(1, 1, 1, 10, 12, 4)),
        ["the record 'cut#2' has 9 characters, but its place is 10 to 12"],
    ),
    "a whole text in a document": (
        moved_to(1, At(1, 1, 0, 0, 3, 4)),
        ["the record 'b' is of a document that has other keys"],
    ),
    "a repeat of nothing": (
        change(f"insert into repeats values ('gone', 1, null, {repeat_crc(('gone', 1, None))})"),
        ["1 entries of its list of repeated rows are not what was written"],
    ),
    "a repeat by nobody": (
        change(f"insert into repeats values ('b', 9, null, {repeat_crc(('b', 9, None))})"),
        ["1 entries of its list of repeated rows are not what was written"],
    ),
    "a repeat with another source": (
        change("update repeats set source = 2 where source = 3"),
        ["1 entries of its list of repeated rows are not what was written"],
    ),
}


@pytest.mark.parametrize("what", FAULTS)
def test_damage_is_named_and_mended_from_the_records(folder: Path, what: str) -> None:
    damage, reasons = FAULTS[what]
    with opened(folder) as index:
        assert index.verify().ok
        before, state = where_from(index), state_of(index)
        sources = {location: each.digest for location, each in states(index).items()}
    damage(folder)
    with opened(folder) as index:
        found = index.verify()
        if reasons:
            assert [fault.reason for fault in found.faults] == reasons
        assert {fault.repair for fault in found.faults} == {f"vecindex verify --repair --index {folder}"}
        report = index.repair()
        assert (report.ok, report.records) == (True, len(before))
        assert len(report.repaired) == len(found.faults)
        assert state_of(index) == state
        assert index.encoder.encoded == 0  # type: ignore[attr-defined]
    with opened(folder) as index:
        unread = [location for location, each in states(index).items() if each.digest is None]
        assert unread or len(states(index)) < len(sources)
        assert read(index, SOURCES).added == 0
        assert where_from(index) == before
        assert {location: each.digest for location, each in states(index).items()} == sources
        assert index.encoder.encoded == 0  # type: ignore[attr-defined]
        assert index.verify().ok
        check_what_was_given_stays(index)


@pytest.mark.parametrize("table", ["sources", "documents", "repeats", "sqlite_sequence"])
def test_damaged_pages_are_replaced_and_the_rest_comes_from_the_records(folder: Path, table: str) -> None:
    with opened(folder) as index:
        before, state = where_from(index), state_of(index)
    (page,) = sql(folder, f"select rootpage from sqlite_master where name = '{table}'")[0]
    overwrite(folder / "vecindex.db", (page - 1) * 4096, b"\xff" * 4096)
    with opened(folder) as index:
        assert not index.verify().ok
        assert index.repair().ok
        assert state_of(index) == state
        assert sql(folder, "pragma integrity_check") == [("ok",)]
        assert {each.digest for each in states(index).values()} <= {None}
        assert read(index, SOURCES).added == 0
        assert where_from(index) == before
        assert index.verify().ok
        check_what_was_given_stays(index)


def test_a_damaged_record_of_a_document_is_one_fault_and_can_be_deleted(folder: Path) -> None:
    sql(folder, "update records set position = 7 where key = 'cut#2'")
    with opened(folder) as index:
        (fault,) = index.verify().faults
        assert fault.repair == f"vecindex delete --index {folder} 'cut#2'"
        assert index.delete(["cut#2"]) == 1
        assert index.verify().ok
        assert read(index, SOURCES).added == 1


def test_a_text_in_parts_without_a_source_keeps_what_its_parts_share(tmp_path: Path) -> None:
    text = " ".join(f"w{n}" for n in range(80))
    with opened(tmp_path / "i") as index:
        index.add([text], keys=["a"], metadata=[{"n": 1}], on_long="split")
        before = where_from(index)
        sql(tmp_path / "i", "delete from documents")
        assert index.repair().ok
        assert where_from(index) == before
        assert index.add([text], keys=["a"], on_long="split").unchanged == len(before)
        assert {metadata["n"] for _, metadata in state_of(index).values()} == {1}


# --- nonsense with valid checksums


SOURCE_VALUES = [
    *(("location", value) for value in ("x'00'", "'a' || char(0) || 'b'")),
    *(("kind", value) for value in ("'folder'", "x'66'")),
    *(("unit", value) for value in ("'score'", "5", "x'00'")),
    *(("size", value) for value in ("'x'", "1.5")),
    ("stale", "'x'"),
    ("digest", "x'00'"),
]


@pytest.mark.parametrize(("column", "value"), SOURCE_VALUES)
def test_a_crafted_source_is_a_named_error_and_repaired(folder: Path, column: str, value: str) -> None:
    connection = loosened(folder)
    connection.execute(f"update sources set {column} = {value} where id = 1")
    row = connection.execute(f"{SOURCE} where id = 1").fetchone()
    state = SourceState(*row[:-1])
    if not any(isinstance(each, bytes) for each in row):
        connection.execute(f"update sources set crc = {source_crc(state)} where id = 1")
    connection.close()
    with opened(folder) as index:
        assert [fault.reason for fault in index.verify().faults] == [
            f"the source {state.location!r} is not what was written"
        ]
        records = len(index)
        assert index.repair().ok
        assert len(index) == records
