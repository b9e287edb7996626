"""A backup is one moment of an index, whole and checked, or it does not exist."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecindex
from vecindex.errors import CorruptIndex, InvalidInput, StorageError, VecindexError
from vecindex.store.backup import BackupReport
from vecindex.store.disk.lock import WriterLock
from vecindex.store.disk.system_calls import Disk, replaced

from ..support.children import child, output
from ..support.faults import Full
from ..support.helpers import SMALL_STATE, names, opened, small_index, sql, state_of
from ..support.vector_files import ROW_BYTES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return small_index(tmp_path / "i")


def with_codes(path: Path) -> Path:
    """An index large enough for codes: 20,000 records of 64 dimensions."""
    vectors = np.random.default_rng(0).normal(size=(20_000, 64)).astype(np.float32)
    with vecindex.open(path) as index:
        index.add((f"text {n}" for n in range(20_000)), vectors=vectors, space="random")
        assert index.info().codes is not None
    return path


# --- what is copied


def test_backup_is_an_index_with_the_same_contents(folder: Path, tmp_path: Path) -> None:
    with opened(folder) as index:
        index.add(["x " * 40], keys=["long"])
        report = index.backup(tmp_path / "b")
        expected = state_of(index), index.search("one two", k=9), index.info()
        vectors = [np.array(index.get(key).vector).tolist() for key in expected[0]]
    assert report == BackupReport(4, 6, sum(p.stat().st_size for p in (tmp_path / "b").iterdir()))
    assert names(tmp_path / "b") == {".gitignore", "vecindex.db", "vectors-1.f32"}
    assert (tmp_path / "b" / "vectors-1.f32").read_bytes() == (folder / "vectors-1.f32").read_bytes()
    with opened(tmp_path / "b") as copy:
        assert copy.verify() == vecindex.VerifyReport(4, 6, ())
        assert list(state_of(copy)) == ["a", "d", "c", "long"]
        info = copy.info()
        assert (state_of(copy), copy.search("one two", k=9)) == expected[:2]
        assert (info.generation, info.created, info.truncated) == (4, expected[2].created, 1)
        assert [np.array(copy.get(key).vector).tolist() for key in expected[0]] == vectors
        copy.add(["new"])
        copy.compact()
        assert copy.verify() == vecindex.VerifyReport(5, 5, ())
    with opened(folder) as index:
        assert len(index) == 4


def test_empty_index_can_be_backed_up(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        report = index.backup(tmp_path / "b")
    assert (report.records, report.rows) == (0, 0)
    with opened(tmp_path / "b") as copy:
        assert copy.add(["one"]).added == 1


def test_readonly_index_can_be_backed_up(folder: Path, tmp_path: Path) -> None:
    with opened(folder, readonly=True) as index:
        index.backup(tmp_path / "b")
    with opened(tmp_path / "b") as copy:
        assert state_of(copy) == SMALL_STATE


def test_codes_are_copied_and_used(tmp_path: Path) -> None:
    with vecindex.open(with_codes(tmp_path / "i")) as index:
        index.backup(tmp_path / "b")
        assert names(tmp_path / "b") == {n for n in names(tmp_path / "i") if n[-4:] not in ("-wal", "-shm", "lock")}
        with vecindex.open(tmp_path / "b", create=False) as copy:
            assert copy.info().codes == index.info().codes
            query = index.get(index.search(np.ones(64), k=1)[0].key).vector
            assert copy.search(query, k=20) == index.search(query, k=20)


@pytest.mark.parametrize("harm", ["removed", "damaged"])
def test_missing_or_damaged_codes_are_left_out_of_a_backup(tmp_path: Path, harm: str) -> None:
    folder = with_codes(tmp_path / "i")
    codes = sorted(folder.glob("codes-*"))[0]
    codes.unlink() if harm == "removed" else codes.write_bytes(b"x" * codes.stat().st_size)
    with vecindex.open(folder) as index:
        index.backup(tmp_path / "b")
    kept = {name for name in names(tmp_path / "b") if not name.startswith("lexical-")}
    assert kept == {".gitignore", "vecindex.db", "vectors-1.f32"}
    with vecindex.open(tmp_path / "b") as copy:
        assert copy.info().codes is None
        assert copy.verify() == vecindex.VerifyReport(20_000, 20_000, ())


def test_backup_shows_the_moment_it_began(folder: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    with opened(folder) as index, opened(folder) as writer:

        def change(done: int, total: int) -> None:
            calls.append((done, total))
            writer.add([f"new {len(calls)} {n}" for n in range(100)])
            writer.delete(["a"] if len(calls) == 1 else [])
            writer.compact()

        index.backup(tmp_path / "b", progress=change)
        assert len(index) == 2 + 100 * len(calls)
    assert len(calls) >= 2
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert calls[-1][0] == calls[-1][1]
    with opened(tmp_path / "b") as copy:
        assert state_of(copy) == SMALL_STATE
        assert copy.verify() == vecindex.VerifyReport(3, 5, ())


def test_large_database_is_copied_in_steps_as_of_one_moment(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index, opened(tmp_path / "i") as writer:
        index.add([f"text {n}" for n in range(50)], metadata=[{"filler": "x" * 500_000}] * 50)
        steps = 0

        def change(done: int, total: int) -> None:
            nonlocal steps
            steps += 1
            writer.add(["other"], keys=[f"k{steps}"], metadata=[{"filler": "y" * 500_000}])

        index.backup(tmp_path / "b", progress=change)
        assert steps > 2
    with opened(tmp_path / "b") as copy:
        assert len(copy) == 50
        assert copy.verify().ok


# --- what is refused


def test_damaged_vector_is_named_and_leaves_no_backup(folder: Path, tmp_path: Path) -> None:
    with opened(folder) as index:
        index.search("one")  # what was found sound before is checked again
        with (folder / "vectors-1.f32").open("r+b") as file:
            file.seek(3 * ROW_BYTES)
            file.write(b"\x01")
        with pytest.raises(CorruptIndex) as caught:
            index.backup(tmp_path / "b")
    error = caught.value
    assert (error.path, error.reason) == (str(folder / "vectors-1.f32"), "its row 3 is not what was written")
    assert names(tmp_path) == {"i"}


def test_damaged_vector_of_a_deleted_record_does_not_prevent_a_backup(folder: Path, tmp_path: Path) -> None:
    with (folder / "vectors-1.f32").open("r+b") as file:
        file.seek(1 * ROW_BYTES)
        file.write(b"\x01")
    with opened(folder) as index:
        index.backup(tmp_path / "b")
    assert names(tmp_path) == {"b", "i"}


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("update records set text = 'won' where key = 'a'", "the record 'a' is not what was written"),
        ("delete from records where key = 'a'", "it does not hold the 3 records that it counts"),
    ],
)
def test_damaged_record_is_named_and_leaves_no_backup(
    folder: Path, tmp_path: Path, statement: str, reason: str
) -> None:
    sql(folder, statement)
    with opened(folder) as index, pytest.raises(CorruptIndex) as caught:
        index.backup(tmp_path / "b")
    assert (caught.value.path, caught.value.reason) == (str(folder / "vecindex.db"), reason)
    assert names(tmp_path) == {"i"}


def test_backup_never_replaces_anything(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note").write_text("mine")
    with opened(folder) as index:
        for name, message in {
            "file": "already exists",
            "full": "is a folder that is not empty",
            "i": "is inside the index",
            "i/b": "is inside the index",
        }.items():
            with pytest.raises(InvalidInput) as caught:
                index.backup(tmp_path / name)
            assert caught.value.message == f"{tmp_path / name} {message}"
        with pytest.raises(InvalidInput, match=f"there is no folder {tmp_path}/deep. Create it first: mkdir -p"):
            index.backup(tmp_path / "deep" / "b")
        with pytest.raises(InvalidInput, match="'' cannot be a path: it is empty"):
            index.backup("")
    assert names(tmp_path) == {"file", "full", "i"}
    assert (tmp_path / "file").read_text() == (tmp_path / "full" / "note").read_text() == "mine"


def test_backup_fills_an_empty_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with opened(folder) as index:
        index.backup(tmp_path / "b")
    assert "vecindex.db" in names(tmp_path / "b")
    assert names(tmp_path) == {"b", "i"}


def test_second_backup_to_one_path_is_refused(folder: Path, tmp_path: Path) -> None:
    with opened(folder) as index:

        def overtake(done: int, total: int) -> None:
            if not (tmp_path / "b").exists():
                index.backup(tmp_path / "b")

        with pytest.raises(InvalidInput, match="is a folder that is not empty"):
            index.backup(tmp_path / "b", progress=overtake)
    assert names(tmp_path) == {"b", "i"}
    with opened(tmp_path / "b") as copy:
        assert state_of(copy) == SMALL_STATE


def test_backup_to_a_full_disk_leaves_nothing_behind(folder: Path, tmp_path: Path) -> None:
    with opened(folder) as index, replaced(Full(200)):
        with pytest.raises(StorageError, match="No space left on device"):
            index.backup(tmp_path / "b")
        assert names(tmp_path) == {"i"}


def test_interrupted_backup_leaves_nothing_behind(folder: Path, tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with opened(folder) as index, pytest.raises(KeyboardInterrupt):
        index.backup(tmp_path / "b", progress=interrupt)
    assert names(tmp_path) == {"i"}


# --- kills

# For n = 1, 2, ... a forked copy of this process makes the same backup and kills itself right before its n-th step,
# until one gets through; what is there after each is printed.
KILLS = """
import json, os, signal, sys
from pathlib import Path
from vecindex.store.disk.system_calls import Disk, replaced
folder, dest = map(Path, sys.argv[1:])
vecindex.open

class Killing(Disk):
    nth = steps = 0

def killing(name):
    def call(self, *args, **options):
        self.steps += 1
        if self.steps == self.nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return getattr(Disk, name)(self, *args, **options)
    return call

for name in [name for name in vars(Disk) if not name.startswith("_")]:
    setattr(Killing, name, killing(name))
import vecindex.store.backup
for nth in range(1, 200):
    pid = os.fork()
    if pid == 0:
        with vecindex.open(folder, model=ToyEncoder()) as index:
            disk = Killing()
            disk.nth = nth
            with replaced(disk):
                index.backup(dest)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(json.dumps([status, sorted(p.name for p in dest.parent.iterdir())]))
    if status != -signal.SIGKILL or dest.exists():
        break
"""


def test_backup_killed_at_any_step_is_whole_or_missing_and_the_next_one_cleans_up(folder: Path, tmp_path: Path) -> None:
    lines = output(child(KILLS, folder, tmp_path / "b")).splitlines()
    attempts: list[tuple[int, list[str]]] = [json.loads(line) for line in lines]
    assert len(attempts) > 12
    for _, there in attempts[:-1]:
        left = [name for name in there if name.startswith(".creating-b-")]
        assert set(there) - {"i"} == set(left)
        assert len(left) <= 1  # the previous one was removed
    assert "b" in attempts[-1][1]
    with opened(tmp_path / "b") as copy:
        assert state_of(copy) == SMALL_STATE
        assert copy.verify().ok
    shutil.rmtree(tmp_path / "b")
    with opened(folder) as index:
        index.backup(tmp_path / "b")
    assert names(tmp_path) == {"b", "i"}


def test_unfinished_backup_of_another_process_is_left_alone(folder: Path, tmp_path: Path) -> None:
    busy, other = tmp_path / f".creating-b-{'0' * 16}", tmp_path / f".creating-b-c-{'0' * 16}"
    for path in (busy, other):
        path.mkdir()
        (path / "vecindex.db").write_text("half")
    with opened(folder) as index, WriterLock(busy, 0):
        index.backup(tmp_path / "b")
        assert names(busy) == {"vecindex.db", "writer.lock"}
    assert names(tmp_path) == {"b", "i", busy.name, other.name}


def test_every_error_of_a_backup_is_ours(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(Disk):
        def __init__(self, name: str) -> None:
            setattr(self, name, self.refuse)

        def refuse(self, *_: Any, **__: Any) -> Any:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with opened(folder) as index:
        for name in ("open", "write", "sync", "rename", "make_folder"):
            with replaced(Refusing(name)), pytest.raises(VecindexError, match="Permission denied"):
                index.backup(tmp_path / "b")
            assert names(tmp_path) == {"i"}
