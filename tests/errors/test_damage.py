"""Damaged files of an index raise CorruptIndex, and failing system calls leave it usable."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import vecindex
from vecindex.errors import CorruptIndex, IncompatibleFormat

from ..support.helpers import opened, sql
from ..support.toy import DIMENSION


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "i"
    with opened(path) as index:
        index.add(["one", "two"], keys=["a", "b"])
    return path


def search(index: vecindex.Index) -> object:
    return index.search("one")


DAMAGE: dict[str, tuple[str, Callable[[vecindex.Index], object]]] = {
    "metadata, on search": ("update records set metadata = '{oops'", search),
    "metadata, on get": ("update records set metadata = '{oops'", lambda i: i.get("a")),
    "metadata, in a filter": ("update records set metadata = '{oops'", lambda i: i.search("one", where={"m": 1})),
    "text that is not UTF-8": ("update records set text = cast(x'ff' as text)", search),
    "space that is not JSON": ("update manifest set space = '{oops'", search),
    "space of other settings": ("update manifest set space = '{\"other\": 1}'", search),
    "no space, but rows": ("update manifest set space = null", lambda i: i.verify()),
    "a table of other columns": ("alter table manifest rename column rows to count", search),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_inside_the_database_is_a_corrupt_index(folder: Path, what: str) -> None:
    statement, act = DAMAGE[what]
    sql(folder, statement)
    with pytest.raises(CorruptIndex) as caught, opened(folder) as index:
        act(index)
    assert caught.value.path == str(folder / "vecindex.db")


@pytest.mark.parametrize("what", ["text that is not UTF-8", "a missing record and another's vector"])
def test_verify_lists_every_fault_and_raises_none(folder: Path, what: str) -> None:
    statement, _ = DAMAGE.get(what, ("delete from records where key = 'b'", search))
    sql(folder, statement)
    with (folder / "vectors-1.f32").open("r+b") as file:
        file.write(b"\xff" * 4)
    with opened(folder) as index:
        assert {Path(fault.path).name for fault in index.verify().faults} == {"vecindex.db", "vectors-1.f32"}


def test_verify_of_a_huge_number_does_not_warn(folder: Path) -> None:
    with (folder / "vectors-1.f32").open("r+b") as file:
        file.write(b"\xff\xff\x7f\x7f")
    with opened(folder) as index:
        assert len(index.verify().faults) == 1


def test_a_later_format_may_have_other_tables(folder: Path) -> None:
    sql(folder, "update manifest set format = 7")
    sql(folder, "drop table dead")
    with pytest.raises(IncompatibleFormat):
        opened(folder)


def test_a_lock_file_that_cannot_be_emptied_is_released(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[[int, int], None] = os.ftruncate
    calls: list[int] = []

    def failing(descriptor: int, length: int) -> None:
        calls.append(length)
        if len(calls) == 2:  # the first empties it for the new holder's note
            raise OSError(5, "Input/output error")
        real(descriptor, length)

    with opened(folder) as index:
        with monkeypatch.context() as patched:
            patched.setattr(os, "ftruncate", failing)
            index.delete(["a"])
        assert index.delete(["b"]) == 1


def test_a_vector_file_that_cannot_be_removed_is_removed_by_the_next_compaction(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str, dir_fd: int | None = None) -> None:
        raise PermissionError(1, "Operation not permitted", path)

    with opened(folder) as index:
        index.delete(["a"])
        with monkeypatch.context() as patched:
            patched.setattr(os, "unlink", refuse)
            index.compact()
        assert sorted(p.name for p in folder.glob("*.f32")) == ["vectors-1.f32", "vectors-2.f32"]
        assert (len(index), index.verify().ok) == (1, True)
        index.compact()
    assert [p.name for p in folder.glob("*.f32")] == ["vectors-2.f32"]


def test_garbage_in_the_vectors_raises_and_never_gives_a_wrong_answer(folder: Path) -> None:
    (folder / "vectors-1.f32").write_bytes(b"\xff" * (8 * DIMENSION))
    with opened(folder) as index:
        assert [fault.path for fault in index.verify().faults] == [str(folder / "vectors-1.f32")] * 2
        for ask in (lambda: index.search("one"), lambda: index.get("a"), lambda: index.similar("b")):
            with pytest.raises(CorruptIndex, match="not what was written") as caught:
                ask()
            assert caught.value.path == str(folder / "vectors-1.f32")
