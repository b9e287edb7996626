"""An index is read where nobody can write, and an index that was replaced is noticed."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import vecindex
from vecindex import Index
from vecindex.cli import main
from vecindex.errors import StorageError
from vecindex.search.derived import upkeep

from ..support.helpers import SMALL_STATE, opened, small_index, snapshots, state_of
from ..support.mounts import on_a_small_disk, seen_read_only

FIVE = SMALL_STATE | {"e": ("five", {})}


def crashed(path: Path) -> Path:
    """A small index whose last writer added "five" and was killed: the commit is only in the log."""
    small_index(path)
    pid = os.fork()
    if pid == 0:
        index = opened(path)
        index.add(["five"], keys=["e"])
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert (path / "vecindex.db-wal").stat().st_size > 0
    return path


# --- where nobody can write


def check_reading(folder: Path, expected: dict[str, object]) -> None:
    for readonly in (True, False):
        with opened(folder, readonly=readonly) as index:
            assert state_of(index) == expected
            assert {hit.key for hit in index.search("one", k=9)} == set(expected)
            assert index.verify().ok
            assert index.info().records == len(expected)
    with opened(folder) as index, pytest.raises(StorageError, match="Read-only file system"):
        index.add(["six"])


@pytest.mark.parametrize("left", ["nothing", "a log", "a log and shared memory", "an empty log"])
def test_read_only_disk_shows_commits_that_a_crash_left_in_the_log(tmp_path: Path, left: str) -> None:
    folder = crashed(tmp_path / "i") if left.startswith("a log") else small_index(tmp_path / "i")
    if left == "a log":
        (folder / "vecindex.db-shm").unlink()
    if left == "an empty log":
        (folder / "vecindex.db-wal").write_bytes(b"")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    expected = FIVE if left.startswith("a log") else SMALL_STATE

    def act() -> None:
        check_reading(folder, dict(expected))
        found = CliRunner().invoke(main, ["get", "a", "--index", str(folder)])
        assert (found.exit_code, "one" in found.stdout) == (0, True), found.output

    seen_read_only(folder, act)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("left", ["nothing", "a log"])
def test_index_on_a_full_disk_is_readable_and_writable_once_there_is_room(tmp_path: Path, left: str) -> None:
    made = crashed(tmp_path / "i") if left == "a log" else small_index(tmp_path / "i")
    place = tmp_path / "disk"
    place.mkdir()

    def act() -> None:
        folder = place / "i"
        shutil.copytree(made, folder, ignore=shutil.ignore_patterns("*-shm"))
        rest = place / "rest"
        free = os.statvfs(place)
        rest.write_bytes(bytes(free.f_bavail * free.f_frsize))
        expected = FIVE if left == "a log" else SMALL_STATE
        with opened(folder) as index:
            assert state_of(index) == expected
            assert {hit.key for hit in index.search("one", k=9)} == set(expected)
            with pytest.raises(StorageError):
                index.add(["six " * 3000], keys=["f"])
            rest.unlink()
            index.add(["six"], keys=["f"])
            assert (index.search("six", k=1)[0].key, index.verify().ok) == ("f", True)
        with opened(folder) as index:
            assert state_of(index) == expected | {"f": ("six", {})}

    on_a_small_disk(place, 2**20, act)


def test_reader_without_shared_memory_sees_later_commits(tmp_path: Path) -> None:
    folder = small_index(tmp_path / "i")
    read, write = os.pipe()  # from the fork, which can only read, to the writer, and back
    back, forth = os.pipe()

    def act() -> None:
        with opened(folder, readonly=True) as index:
            assert state_of(index) == SMALL_STATE
            os.write(write, b"1")
            os.read(back, 1)
            assert state_of(index) == FIVE
            assert index.search("five", k=1)[0].key == "e"

    pid = os.fork()
    if pid == 0:
        os.close(write)
        if os.read(read, 1):
            with opened(folder) as index:
                index.add(["five"], keys=["e"])
        os.write(forth, b"1")
        os._exit(0)
    try:
        seen_read_only(folder, act)
    finally:
        os.close(write)
        os.waitpid(pid, 0)
        for descriptor in (read, back, forth):
            os.close(descriptor)


# --- replaced under an open handle


def rows(path: Path, name: str, count: int = 3) -> None:
    with vecindex.open(path) as index:
        texts = [f"{name} {n}" for n in range(count)]
        index.add(texts, keys=[f"k{n}" for n in range(count)], vectors=np.eye(count, 64), space="theirs")


READING: dict[str, Callable[[Index], object]] = {
    "search": lambda index: index.search(np.eye(1, 64)[0]),
    "similar": lambda index: index.similar("k1"),
    "get": lambda index: index.get("k1"),
    "len": len,
    "keys": lambda index: index.keys(),
    "info": lambda index: index.info(),
    "verify": lambda index: index.verify(),
    "backup": lambda index: index.backup(index.path.parent / "copy"),
    "export": lambda index: index.export(index.path.parent / "out.jsonl"),
}
WRITING: dict[str, Callable[[Index], object]] = {
    "add": lambda index: index.add(["new"], vectors=np.eye(1, 64)),
    "delete": lambda index: index.delete(["k1"]),
    "compact": lambda index: index.compact(),
    "repair": lambda index: index.repair(),
    "index_field": lambda index: index.index_field("n"),
}


@pytest.mark.parametrize("how", ["replaced", "removed"])
def test_every_call_says_that_the_index_was_replaced(tmp_path: Path, how: str) -> None:
    path = tmp_path / "i"
    rows(path, "old")
    with vecindex.open(path) as index, vecindex.open(path, readonly=True) as reader:
        assert [record.text for record in map(index.get, index.keys())] == ["old 0", "old 1", "old 2"]
        reader.similar("k1")
        path.rename(tmp_path / "aside")
        if how == "replaced":
            rows(path, "new")
        for name, act in (READING | WRITING).items():
            for handle in (index, reader) if name in READING else (index,):
                with pytest.raises(StorageError) as caught:
                    act(handle)
                assert caught.value.reason == "it was removed or replaced after it was opened", name
                assert caught.value.command_advice == "Open it again, or run the command again."
        assert sorted(p.name for p in tmp_path.iterdir()) == (["aside", "i"] if how == "replaced" else ["aside"])
        if how == "replaced":
            path.rename(tmp_path / "new")
        (tmp_path / "aside").rename(path)
        assert len(index) == len(reader) == 3  # it is the index that was opened again
    assert sorted(p.name for p in tmp_path.iterdir()) == (["i", "new"] if how == "replaced" else ["i"])


def test_second_connection_does_not_open_a_replaced_index(tmp_path: Path) -> None:
    path = tmp_path / "i"
    rows(path, "old")
    with vecindex.open(path) as index, snapshots(index).borrow():  # so that the next call needs another connection
        path.rename(tmp_path / "aside")
        rows(path, "new")
        with pytest.raises(StorageError, match="removed or replaced"):
            index.get("k1")
        path.rename(tmp_path / "new")
        (tmp_path / "aside").rename(path)
        assert index.get("k1").text == "old 1"


def test_search_gives_no_row_of_an_index_that_replaced_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "ROWS_FOR_CODES", 32)
    path = tmp_path / "i"
    rows(path, "old", 64)
    rows(tmp_path / "other", "new", 64)
    real = vecindex.store.generation.Generation.read.__func__

    def replaced_first(cls: type, catalog: object, manifest: object, before: object) -> object:
        path.rename(tmp_path / "aside")
        (tmp_path / "other").rename(path)
        monkeypatch.setattr(vecindex.store.generation.Generation, "read", classmethod(real))
        return real(cls, catalog, manifest, before)

    with vecindex.open(path) as index:
        monkeypatch.setattr(vecindex.store.generation.Generation, "read", classmethod(replaced_first))
        with pytest.raises(StorageError, match="removed or replaced"):
            index.similar("k1")
