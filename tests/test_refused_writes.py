"""What does a write that the file system refuses change: nothing, and is it said to be the file system's doing?"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import ROOT, SMALL_STATE, State, opened, small_index, state_of
from vecindex import Index
from vecindex.errors import StorageError
from vecindex.store import files, vectors


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return small_index(tmp_path / "notes.vecindex")


class Refusing:
    """Stands for a function of ``os`` whose n-th call fails; counts the calls."""

    def __init__(self, name: str, code: int, nth: int) -> None:
        self.real = getattr(os, name)
        self.code, self.nth, self.calls = code, nth, 0

    def __call__(self, *args: Any, **options: Any) -> Any:
        self.calls += 1
        if self.calls == self.nth:
            raise OSError(self.code, os.strerror(self.code))
        return self.real(*args, **options)


CHANGES: dict[str, tuple[Callable[[Index], object], State]] = {
    "add": (lambda i: i.add(["five"], keys=["e"]), SMALL_STATE | {"e": ("five", {})}),
    "update": (lambda i: i.add(["vier"], keys=["d"]), {k: SMALL_STATE[k] for k in "ac"} | {"d": ("vier", {"n": 3})}),
    "compact": (lambda i: i.compact(), SMALL_STATE),
}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize(
    ("change", "name", "nth"),
    [
        *(("add", "pwrite", n) for n in (1, 2)),
        *(("update", "pwrite", n) for n in (1, 2)),
        *(("add", "fsync", 1), ("update", "fsync", 1), ("compact", "fsync", 1), ("compact", "fsync", 2)),
        *(("add", "ftruncate", 1), ("add", "ftruncate", 2), ("compact", "ftruncate", 1)),
    ],
)
def test_a_refused_write_is_a_storage_error_and_changes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, change: str, name: str, nth: int, code: int
) -> None:
    act, after = CHANGES[change]
    with opened(folder) as index:
        with monkeypatch.context() as patched:
            refusing = Refusing(name, code, nth)
            patched.setattr(os, name, refusing)
            with pytest.raises(StorageError) as caught:
                act(index)
        assert caught.value.reason == os.strerror(code)
        assert Path(caught.value.path).parent == folder
        assert (refusing.calls >= nth, state_of(index), index.verify().ok) == (True, SMALL_STATE, True)
        act(index)
        assert (state_of(index), index.verify().ok) == (after, True)


LIMITED = """
import resource, sys
import vecindex
from tests.toy import ToyEncoder
create, limit = sys.argv[2] == "create", int(sys.argv[3])
index = None if create else vecindex.open(sys.argv[1], model=ToyEncoder())
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))  # no file may grow beyond it
try:
    vecindex.open(sys.argv[1]) if index is None else index.add(["y" * 30_000], keys=["big"])
    print("done")
except Exception as error:
    print(type(error).__name__)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
if index is not None:
    print(sorted(hit.key for hit in index.search("one", k=9)), index.verify().ok, index.add(["y"], keys=["y"]).added)
"""


def limited(folder: Path, act: str, limit: int) -> str:
    command = [sys.executable, "-c", LIMITED, str(folder), act, str(limit)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def test_a_database_that_cannot_grow_is_a_storage_error_and_the_index_stays_usable(folder: Path) -> None:
    assert limited(folder, "add", 20_000) == "StorageError\n['a', 'c', 'd'] True 1\n"


def test_an_index_that_cannot_be_made_is_a_storage_error_and_leaves_nothing(tmp_path: Path) -> None:
    assert limited(tmp_path / "i", "create", 2000) == "StorageError\n"
    assert list(tmp_path.iterdir()) == []


def test_the_vector_files_name_is_durable_even_if_the_first_add_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    with opened(tmp_path / "i") as index:
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", Refusing("fsync", errno.EIO, 1))
            with pytest.raises(StorageError):
                index.add(["one"])
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", lambda fd: synced.append(Path(f"/proc/self/fd/{fd}").readlink()))
            index.add(["one"])
    assert synced == [tmp_path / "i" / "vectors-1.f32", tmp_path / "i"]


def test_a_write_that_the_system_cuts_short_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: real(fd, data[:3], offset))
    files.write_at(tmp_path / "f", 2, memoryview(b"0123456789"))
    files.write_at(tmp_path / "f", 4, memoryview(b"abc"))
    assert (tmp_path / "f").read_bytes() == b"\0\0" + b"01abc"
    assert vectors.vector_file(tmp_path, 7) == tmp_path / "vectors-7.f32"


def test_a_write_that_did_not_fit_gives_its_space_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (folder / "vectors-1.f32").stat().st_size
    with opened(folder) as index, monkeypatch.context() as patched:
        patched.setattr(os, "fsync", Refusing("fsync", errno.ENOSPC, 1))
        with pytest.raises(StorageError):
            index.add([f"text {i}" for i in range(100)])
    assert (folder / "vectors-1.f32").stat().st_size == before
