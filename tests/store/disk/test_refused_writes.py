"""A write that the file system refuses changes nothing and raises an error that says why."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from vecindex import Index, VecindexError
from vecindex.errors import StorageError
from vecindex.index.crash_test import Contents, contents
from vecindex.store import vectors
from vecindex.store.disk import files
from vecindex.store.disk.steps import Step, Watch
from vecindex.store.disk.system_calls import Disk, replaced
from vecindex.store.sql.reads import Catalog

from ...support.acts import (
    CHANGES,
    backup_of,
    examine,
    examine_backup,
    folder_of,
    one_thread,
    open_for,
    perform,
    prepare,
    stored,
    thresholds,
)
from ...support.extent import slow
from ...support.faults import Counting, Refusing, is_call, watched, why_unhookable
from ...support.helpers import opened, small_index
from ...support.places import PROJECT

CODES = (errno.ENOSPC, errno.EIO, errno.EACCES)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return small_index(tmp_path / "notes.vecindex")


@pytest.mark.parametrize(("for_good", "most"), [(False, 4), slow(False, None), (True, 2), slow(True, 5)])
@pytest.mark.parametrize("act", CHANGES)
def test_refused_call_is_our_error_and_the_index_stays_usable(
    tmp_path: Path, act: str, for_good: bool, most: int | None
) -> None:
    if reason := why_unhookable():
        pytest.skip(reason)
    seed = 4
    prepare(act, tmp_path / "r", seed)
    before = stored(act, tmp_path / "r")
    after, calls = _undisturbed(act, tmp_path / "r", seed)
    # Each of our own calls is refused once, and some of SQLite's, with alternating errors. A disk that stays full is
    # tried at fewer places.
    ours = [nth for nth, step in enumerate(calls, 1) if not step.by_sqlite]
    its = [nth for nth, step in enumerate(calls, 1) if step.by_sqlite]
    draw = Random(seed)
    chosen = draw.sample(ours + its, most) if most else ours + draw.sample(its, 10)
    for number, nth in enumerate(chosen):
        root = tmp_path / "copy"
        shutil.copytree(tmp_path / "r", root)
        refusing = Refusing(nth, errno.ENOSPC if for_good else CODES[number % 3], for_good)
        _attempt(act, root, seed, refusing, before, after)
        assert refusing.refused is not None
        shutil.rmtree(root)


def _undisturbed(act: str, root: Path, seed: int) -> tuple[Contents, list[Step]]:
    """What the index holds after the act, and the act's file calls."""
    found: list[Contents] = []
    copy = root.with_name("copy")
    shutil.copytree(root, copy)
    with watched(counting := Counting()):
        perform([act], folder_of(act, copy), copy, seed, lambda index: found.append(contents(index)))
    shutil.rmtree(copy)
    return found[0], [step for step in counting.steps if is_call(step)]


def _attempt(act: str, root: Path, seed: int, refusing: Refusing, before: Contents, after: Contents) -> None:
    folder = folder_of(act, root)
    index: Index | None = None
    failed: VecindexError | None = None
    with thresholds(act), watched(refusing):
        try:
            index = open_for(act, folder)
            CHANGES[act](index, Random(seed), root)
        except VecindexError as error:
            failed = error
        assert failed is None or isinstance(failed, StorageError), (str(refusing.refused), failed)
        if index is not None:
            found = contents(index)  # reading needs no space
            assert found == after or (failed and found == before), str(refusing.refused)
            if refusing.refused is None:
                index.close()  # never fails, since what it does can be done later
                index = None
        refusing.nth = None
        index = index or open_for(act, folder)
        assert index.verify().ok, str(refusing.refused)
        # A backup that failed after it got its name may exist.
        if failed and contents(index) == before and not backup_of(root, seed).exists():
            CHANGES[act](index, Random(seed), root)
        assert contents(index) == after
        index.close()
    assert examine(folder, before, after, True) is None
    if act == "backup":
        assert examine_backup(backup_of(root, seed), folder, before, True) is None


LIMITED = """
import resource, sys
import vecindex
from tests.support.toy import ToyEncoder
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
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=600)
    return done.stdout + done.stderr


def test_database_that_cannot_grow_is_a_storage_error_and_the_index_stays_usable(folder: Path) -> None:
    assert limited(folder, "add", 20_000) == "StorageError\n['a', 'c', 'd'] True 1\n"


def test_index_that_cannot_be_created_is_a_storage_error_and_leaves_nothing(tmp_path: Path) -> None:
    assert limited(tmp_path / "i", "create", 2000) == "StorageError\n"
    assert list(tmp_path.iterdir()) == []


def test_name_of_the_vector_file_is_durable_after_a_failed_first_add(tmp_path: Path) -> None:
    class Syncs(Watch):
        def __init__(self) -> None:
            self.synced: list[Path] = []

        def after(self, step: Step) -> None:
            if step.kind == "sync":
                self.synced.append(step.path)

    with opened(tmp_path / "i") as index:
        with watched(FailingSync(), sqlite=False), pytest.raises(StorageError):
            index.add(["one"])
        syncs = Syncs()
        with watched(syncs, sqlite=False):
            index.add(["one"])
    assert syncs.synced == [tmp_path / "i" / "vectors-1.f32", tmp_path / "i"]


class FailingSync(Watch):
    """A disk that accepts writes and raises when they are synced."""

    def __init__(self, code: int = errno.ENOSPC) -> None:
        self._code = code

    def before(self, step: Step) -> None:
        if step.kind == "sync":
            raise OSError(self._code, os.strerror(self._code))


def test_refused_write_names_the_file_and_the_reason(folder: Path) -> None:
    with opened(folder) as index, watched(FailingSync(), sqlite=False), pytest.raises(StorageError) as caught:
        index.add(["five"], keys=["e"])
    assert (caught.value.path, caught.value.reason) == (str(folder / "vectors-1.f32"), "No space left on device")


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "Free some space on the disk"),
        (errno.EDQUOT, "Free some space on the disk"),
        (errno.EROFS, "The file system is mounted read-only"),
        (errno.EMFILE, "Close files that you no longer need"),
        (errno.EACCES, "Check the permissions"),
        (errno.EIO, "Check the free disk space and the permissions"),
    ],
)
def test_advice_follows_the_reason_of_the_refusal(folder: Path, code: int, advice: str) -> None:
    with opened(folder) as index, watched(FailingSync(code), sqlite=False), pytest.raises(StorageError) as caught:
        index.add(["five"], keys=["e"])
    assert caught.value.reason == os.strerror(code)
    assert caught.value.advice.startswith(advice)
    assert caught.value.advice.endswith("; earlier commits are safe.")


@pytest.mark.parametrize("spare", range(7))
def test_too_many_open_files_is_reported_as_such(folder: Path, spare: int) -> None:
    with opened(folder) as index:
        assert index.encoder
        lowest = os.dup(0)
        os.close(lowest)
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + spare, before[1]))
        try:
            index.add(["five"], keys=["e"])
            failed = None
        except StorageError as error:
            failed = error
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        assert sorted(index.keys()) == ["a", "c", "d", *([] if failed else ["e"])]
        assert failed or spare > 2
        if failed:
            assert Path(failed.path).is_relative_to(folder)
            assert failed.reason.endswith("Too many open files")
            assert failed.command_advice.startswith("Raise the limit of open files (ulimit -n)")
        assert index.verify().ok


def test_checking_for_use_keeps_sqlites_locks(folder: Path) -> None:
    def locks() -> list[str]:
        number = os.stat(folder / "vecindex.db-shm").st_ino
        return [line.split(" ", 1)[1] for line in Path("/proc/locks").read_text().splitlines() if f":{number} " in line]

    with opened(folder) as index, closing(Catalog(folder)) as other, other.reading():
        before = locks()
        assert before
        assert len(index) == 3
        assert other._state().is_shared
        assert locks() == before


class Short(Disk):
    def write(self, descriptor: int, data: memoryview, offset: int) -> int:
        return super().write(descriptor, data[:3], offset)


def test_short_write_is_continued(tmp_path: Path) -> None:
    with replaced(Short()):
        files.write_at(tmp_path / "f", 2, memoryview(b"0123456789"))
        files.write_at(tmp_path / "f", 4, memoryview(b"abc"))
    assert (tmp_path / "f").read_bytes() == b"\0\0" + b"01abc"
    assert vectors.vector_file(tmp_path, 7) == tmp_path / "vectors-7.f32"


def test_write_that_does_not_fit_frees_its_space(folder: Path) -> None:
    before = (folder / "vectors-1.f32").stat().st_size
    with opened(folder) as index, watched(FailingSync(), sqlite=False), pytest.raises(StorageError):
        index.add([f"text {i}" for i in range(100)])
    assert (folder / "vectors-1.f32").stat().st_size == before
