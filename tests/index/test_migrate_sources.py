"""Sources, documents and where records are from stay through everything that replaces vectors or copies an index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vecindex import AddReport, Index

from ..support.helpers import opened, sql
from ..support.migrating import Other
from ..support.sourced import SOURCES, Content, Prose, Row, read, shared_rows, sourced_index, where_from
from ..support.toy import ToyEncoder

TABLES = ("sources", "documents", "repeats")


def tables(folder: Path) -> list[Any]:
    return [sql(folder, f"select * from {table}") for table in TABLES]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return sourced_index(tmp_path / "i")


def check_same(folder: Path, index: Index, before: Any) -> None:
    assert (where_from(index), tables(folder)) == before
    assert index.verify().ok
    assert read(index, SOURCES).unchanged == len(where_from(index)) - ("mine" in where_from(index)) + 1  # one is shared


def test_migrating_and_migrating_back_keeps_them(folder: Path) -> None:
    with opened(folder) as index:
        before = where_from(index), tables(folder)
        assert shared_rows(index) == {("shared", "more.txt")}
        index.migrate(Other())
        check_same(folder, index, before)
        index.migrate(ToyEncoder())
        check_same(folder, index, before)


def test_an_interrupted_migration_goes_on_with_what_was_read_meanwhile(folder: Path) -> None:
    class Stopped(Exception): ...

    def stop(done: int, total: int) -> None:
        raise Stopped

    changed = {**SOURCES, "notes.md": [Prose(("New first.", "Second sentence.", "First sentence."))]}
    with opened(folder) as index:
        with pytest.raises(Stopped):
            index.migrate(Other(), progress=stop)
        read(index, changed)
        read(index, {"late.txt": [Row("late"), Row("one")]})
        before = where_from(index), tables(folder)
        index.migrate(Other())
        assert (where_from(index), tables(folder)) == before
        with index._writer() as writer:
            writer.remove_sources([1])
        after = where_from(index), tables(folder)
        index.migrate(ToyEncoder())
        assert (where_from(index), tables(folder)) == after
        assert index.verify().ok


def test_what_is_read_during_a_migration_is_in_the_new_index(folder: Path) -> None:
    changed: dict[str, Content] = {"rows.txt": [Row("one"), Prose(("It ends.", "It rains.", "It pours."), "cut")]}

    with opened(folder) as index, opened(folder) as other:
        read_already: list[AddReport] = []

        def meanwhile(done: int, total: int) -> None:
            if not read_already:
                read_already.append(read(other, changed))

        index.migrate(Other(), progress=meanwhile)
        assert read_already
        texts = {key: text for key, (text, source, *_) in where_from(index).items() if source == "rows.txt"}
        assert sorted(texts.values()) == ["It ends.", "It pours.", "It rains.", "one"]
        assert texts["cut#1"] == "It ends."
        assert index.verify().ok


def test_compaction_and_new_vectors_keep_them(folder: Path) -> None:
    with opened(folder) as index:
        index.delete(["mine"])
        before = where_from(index), tables(folder)
        index.compact()
        check_same(folder, index, before)
        with (folder / "vectors-2.f32").open("r+b") as file:
            file.write(b"\xff" * 64)
        assert index.repair().ok
        check_same(folder, index, before)
        (folder / "vectors-2.f32").unlink()
        assert index.repair(encode=True).ok
        check_same(folder, index, before)


def test_a_backup_has_them(folder: Path, tmp_path: Path) -> None:
    with opened(folder) as index:
        before = where_from(index), tables(folder)
        index.backup(tmp_path / "b")
    with opened(tmp_path / "b") as copy:
        check_same(tmp_path / "b", copy, before)
