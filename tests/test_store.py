"""Do bytes become durable and visible together or not at all, and is every kind of damage found and named?"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vecindex
from tests.toy import DIMENSION, ToyEncoder, toy_space
from vecindex import Index
from vecindex.errors import CorruptIndex, IncompatibleFormat, IndexNotFound, InvalidInput, StorageError, VecindexError
from vecindex.store import changes, files, vectors
from vecindex.store.catalog import Stored
from vecindex.store.changes import Incoming, reconcile

ROOT = Path(__file__).parents[1]
ROW_BYTES = 4 * DIMENSION
State = dict[str, tuple[str, Any]]


def opened(path: Path, **options: Any) -> Index:
    return vecindex.open(path, model=ToyEncoder(), lock_timeout=0, **options)


def state_of(index: Index) -> State:
    """Every record, in row order, read the way a search reads it."""
    with index._snapshots.borrow() as catalog, catalog.reading():
        return {r.key: (r.text, json.loads(r.metadata)) for r in catalog.records()}


def sql(folder: Path, statement: str) -> list[Any]:
    connection = sqlite3.connect(folder / "vecindex.db")
    try:
        with connection:
            return connection.execute(statement).fetchall()
    finally:
        connection.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An index of rows 0 to 4, where row 1 (b) was deleted and row 2 (c) replaced by row 4."""
    path = tmp_path / "notes.vecindex"
    with opened(path) as index:
        index.add(["one", "two", "three", "four"], keys=list("abcd"), metadata=[{"n": n} for n in range(4)])
        index.delete(["b"])
        index.add(["drei"], keys=["c"])
    return path


FOLDER_STATE: State = {"a": ("one", {"n": 0}), "d": ("four", {"n": 3}), "c": ("drei", {"n": 2})}

# --- what is on disk -------------------------------------------------------------------------------------------------


def test_row_r_lies_at_4_r_d_little_endian_and_every_row_is_a_records_or_dead(folder: Path) -> None:
    content = (folder / "vectors-1.f32").read_bytes()
    assert len(content) == 5 * ROW_BYTES
    texts = ["one", "two", "three", "four", "drei"]
    for row, vector in enumerate(ToyEncoder().encode(texts)):
        assert struct.unpack_from(f"<{DIMENSION}f", content, row * ROW_BYTES) == pytest.approx(
            vector.tolist(), abs=1e-6
        )
    assert sql(folder, "select row, key, text, metadata, truncated from records order by row") == [
        *((0, "a", "one", '{"n":0}', 0), (3, "d", "four", '{"n":3}', 0), (4, "c", "drei", '{"n":2}', 0))
    ]
    assert sql(folder, "select row from dead order by row") == [(1,), (2,)]
    assert sql(folder, "select format, generation, vectors, rows, dimension from manifest") == [(1, 3, 1, 5, 16)]
    assert sorted(p.name for p in folder.iterdir()) == ["vecindex.db", "vectors-1.f32", "writer.lock"]
    assert (folder / "writer.lock").read_bytes() == b""


def test_compaction_keeps_order_and_vectors_and_leaves_one_shorter_file(folder: Path) -> None:
    before = (folder / "vectors-1.f32").read_bytes()
    with opened(folder) as index:
        report = index.compact()
        assert (report.dropped_rows, state_of(index)) == (2, FOLDER_STATE)
        assert index.verify() == vecindex.VerifyReport(3, 3, ())
    assert [p.name for p in folder.glob("*.f32")] == ["vectors-2.f32"]
    kept = b"".join(before[row * ROW_BYTES : (row + 1) * ROW_BYTES] for row in (0, 3, 4))
    assert (folder / "vectors-2.f32").read_bytes() == kept
    assert sql(folder, "select row, key from records order by row") == [(0, "a"), (1, "d"), (2, "c")]


def test_bytes_beyond_the_committed_rows_are_ignored_and_overwritten(folder: Path) -> None:
    with (folder / "vectors-1.f32").open("ab") as file:
        file.write(b"\xff" * (3 * ROW_BYTES + 7))
    with opened(folder) as index:
        assert index.verify().ok
        assert len(index.search("one", k=10)) == 3
        index.add(["five"], keys=["e"])
        assert index.get("e").vector == pytest.approx(ToyEncoder().encode(["five"])[0], abs=1e-6)
        assert index.verify().ok
    assert (folder / "vectors-1.f32").stat().st_size == 6 * ROW_BYTES


# --- reconcile -------------------------------------------------------------------------------------------------------

ITEMS = st.lists(
    st.builds(
        Incoming,
        st.sampled_from("abc"),
        st.sampled_from(["x", "y"]),
        st.sampled_from([None, "{}", '{"m":1}', '{"m":true}', '{"a":1,"b":2}', '{"b":2,"a":1}']),
    ),
    max_size=8,
)


def one_by_one(state: State, items: list[Incoming]) -> tuple[State, int, int, int]:
    """The plain meaning of adding: for each item, compare with what is there, then write it."""
    counts = {"added": 0, "updated": 0, "unchanged": 0}
    for item in items:
        before = state.get(item.key)
        metadata = (before[1] if before else {}) if item.metadata is None else json.loads(item.metadata)
        # As JSON texts, since Python takes {"m": True} and {"m": 1} to be equal.
        same = before and json.dumps([item.text, metadata], sort_keys=True) == json.dumps([*before], sort_keys=True)
        counts["unchanged" if same else "updated" if before else "added"] += 1
        state = state | {item.key: (item.text, metadata)}
    return state, counts["added"], counts["updated"], counts["unchanged"]


@given(ITEMS, ITEMS)
def test_reconcile_leaves_what_adding_one_by_one_leaves(first: list[Incoming], second: list[Incoming]) -> None:
    before, *_ = one_by_one({}, first)
    stored = {
        key: Stored(row, key, text, json.dumps(metadata), False)
        for row, (key, (text, metadata)) in enumerate(before.items())
    }
    found = reconcile(second, stored)
    expected, *counts = one_by_one(before, second)
    assert [found.added, found.updated, found.unchanged] == counts
    after = dict(before)
    for item in found.written:
        assert item.key not in stored or item.text != stored[item.key].text
        after[item.key] = (item.text, json.loads(item.metadata or "{}"))
    keys = {record.row: key for key, record in stored.items()}
    for row, text in found.relabelled:
        after[keys[row]] = (before[keys[row]][0], json.loads(text))
    assert json.dumps(after, sort_keys=True) == json.dumps(expected, sort_keys=True)
    touched = [item.key for item in found.written] + [keys[row] for row, _ in found.relabelled]
    assert len(touched) == len(set(touched))


def test_json_texts_are_the_same_whatever_the_order_of_members_and_never_across_types() -> None:
    assert changes.same_json('{"a":1,"b":[2]}', '{"b":[2],"a":1}')
    assert not changes.same_json('{"a":1}', '{"a":true}')
    assert not changes.same_json('{"a":[1,2]}', '{"a":[2,1]}')


# --- damage ----------------------------------------------------------------------------------------------------------


def damage_vector(folder: Path) -> None:
    with (folder / "vectors-1.f32").open("r+b") as file:
        file.seek(3 * ROW_BYTES)
        file.write(b"\xff" * 4)


def damage_dead_vector(folder: Path) -> None:
    with (folder / "vectors-1.f32").open("r+b") as file:
        file.seek(1 * ROW_BYTES)
        file.write(b"\xff" * 4)


FAULTS: list[tuple[Callable[[Path], object], str, str]] = [
    (damage_vector, "vectors-1.f32", "the vector of 'd' (row 3) is not finite and of unit length"),
    (
        lambda f: os.truncate(f / "vectors-1.f32", 5 * ROW_BYTES - 1),
        *("vectors-1.f32", "it holds 319 bytes; 5 rows need 320"),
    ),
    (lambda f: (f / "vectors-1.f32").unlink(), "vectors-1.f32", "it is missing; 5 rows need it"),
    (
        lambda f: sql(f, "delete from records where key = 'a'"),
        *("vecindex.db", "2 records and 2 dead rows do not make up the 5 committed rows"),
    ),
    (
        lambda f: sql(f, "insert into dead values (0)"),
        *("vecindex.db", "3 records and 3 dead rows do not make up the 5 committed rows"),
    ),
    (
        lambda f: sql(f, "update records set metadata = '{oops' where key = 'd'"),
        *("vecindex.db", "the metadata of 'd' is not a JSON object"),
    ),
    (
        lambda f: sql(f, "update records set metadata = '[1]' where key = 'd'"),
        *("vecindex.db", "the metadata of 'd' is not a JSON object"),
    ),
    (
        lambda f: sql(f, "update manifest set fingerprint = 'other'"),
        *("vecindex.db", f"the fingerprint other is not that of its space, {toy_space().fingerprint}"),
    ),
]


@pytest.mark.parametrize(("damage", "name", "reason"), FAULTS)
def test_verify_names_the_damaged_file(folder: Path, damage: Callable[[Path], object], name: str, reason: str) -> None:
    with opened(folder) as index:
        assert index.verify() == vecindex.VerifyReport(3, 5, ())
    damage(folder)
    with opened(folder, readonly=True) as index:
        assert [(f.path, f.reason) for f in index.verify().faults] == [(str(folder / name), reason)]


def test_verify_ignores_the_vectors_of_dead_rows(folder: Path) -> None:
    damage_dead_vector(folder)
    with opened(folder) as index:
        assert index.verify().ok


def test_verify_finds_a_broken_page_of_the_database(tmp_path: Path) -> None:
    path = tmp_path / "i"
    with opened(path) as index:
        index.add([f"text number {n} {'x' * 300}" for n in range(100)])
    page = sql(path, "select rootpage from sqlite_master where name = 'records'")[0][0]
    with (path / "vecindex.db").open("r+b") as file:
        file.seek((page - 1) * 4096 + 8)
        file.write(b"\xff" * 64)
    with opened(path) as index:
        (fault,) = index.verify().faults
    assert fault.path == str(path / "vecindex.db")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is a SQLite database, but not one of vecindex"),
        (b"garbage" * 1000, "file is not a database"),
        (b"SQLite format 3\0" + b"\xff" * 5000, "file is not a database"),
    ],
)
@pytest.mark.parametrize("readonly", [False, True])
def test_opening_garbage_is_a_corrupt_index(folder: Path, content: bytes, reason: str, readonly: bool) -> None:
    (folder / "vecindex.db").write_bytes(content)
    with pytest.raises(CorruptIndex) as caught:
        opened(folder, readonly=readonly)
    assert (caught.value.path, caught.value.reason) == (str(folder / "vecindex.db"), reason)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_database_never_raises_anything_but_our_errors(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "i"
    with opened(path) as index:
        index.add(["one", "two"], keys=["a", "b"])
    content = bytearray((path / "vecindex.db").read_bytes())
    # Structure only: text that is no UTF-8 and JSON that does not parse have tests of their own.
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, 130))] = data.draw(st.integers(0, 255))
    (path / "vecindex.db").write_bytes(content[: data.draw(st.sampled_from([len(content), 100, 4096, 6000]))])
    with contextlib.suppress(VecindexError), opened(path) as index:
        index.search("one")
        index.verify()
    shutil.rmtree(path)


def test_another_format_is_named_with_ours(folder: Path) -> None:
    sql(folder, "update manifest set format = 2")
    with pytest.raises(IncompatibleFormat) as caught:
        opened(folder)
    assert (caught.value.path, caught.value.found, caught.value.supported) == (str(folder), 2, 1)


def test_an_empty_manifest_and_a_missing_database_are_corrupt(folder: Path) -> None:
    sql(folder, "delete from manifest")
    with pytest.raises(CorruptIndex, match="its manifest is empty"), opened(folder) as index:
        index.search("one")
    (folder / "vecindex.db").unlink()
    for options in ({}, {"create": False}, {"readonly": True}):
        with pytest.raises(CorruptIndex, match="it is missing, and the vectors beside it say nothing without it"):
            opened(folder, **options)


# --- where an index can be -------------------------------------------------------------------------------------------


def test_a_file_and_a_directory_of_other_things_are_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    with pytest.raises(InvalidInput, match=r"notes.txt is a file, not the directory of an index"):
        opened(file)
    with pytest.raises(InvalidInput, match="is a directory that holds other files"):
        opened(tmp_path)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("notes.txt", "mine")]


def test_an_index_is_made_in_an_empty_directory_and_below_missing_ones(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "a" / "b" / "c"):
        opened(path).close()
        assert [p.name for p in path.iterdir()] == ["vecindex.db"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "empty"]


def test_without_create_and_readonly_nothing_is_made(tmp_path: Path) -> None:
    for options in ({"create": False}, {"readonly": True}):
        with pytest.raises(IndexNotFound) as caught:
            opened(tmp_path / "none", **options)
        assert caught.value.path == str(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_readonly_refuses_changes_and_writes_nothing(folder: Path) -> None:
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with opened(folder, readonly=True) as index:
        for change in (lambda: index.add(["x"]), lambda: index.delete(["a"]), index.compact):
            with pytest.raises(InvalidInput, match="was opened readonly"):
                change()
        assert [hit.key for hit in index.search("four", k=1)] == ["d"]
        assert state_of(index) == FOLDER_STATE
    # SQLite leaves its empty log and the log's index behind a reader.
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.name in before} == before


UNPRIVILEGED = """
import os, sys
import vecindex
from tests.toy import ToyEncoder
opened, failed = vecindex.open, vecindex.VecindexError
with opened(sys.argv[1], model=ToyEncoder(), readonly=True) as index:
    index.search("warm"), index.verify()  # everything is imported now, while the modules can be read
for name in ("vecindex.db-wal", "vecindex.db-shm") if sys.argv[2] == "closed" and os.getuid() == 0 else ():
    os.remove(os.path.join(sys.argv[1], name))
if os.getuid() == 0:
    os.setgid(65534), os.setuid(65534)
with opened(sys.argv[1], readonly=True, model=ToyEncoder()) as index:
    print([hit.key for hit in index.search("four", k=1)], len(index), index.verify().ok)
try:
    opened(sys.argv[1], model=ToyEncoder()).add(["x"])
except failed as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize("closed", [True, False], ids=["no log beside it", "with a log beside it"])
def test_an_index_in_a_directory_that_cannot_be_written_can_be_read(closed: bool) -> None:
    public = Path(tempfile.mkdtemp())  # pytest's own are closed to other users
    public.chmod(0o755)
    folder = public / "i"
    with opened(folder) as index:
        index.add(["one", "two", "three", "four"], keys=list("abcd"))
    writer = None if closed else opened(folder)
    if writer is not None:
        writer.add(["five"], keys=["e"])
    folder.chmod(0o555)
    for file in folder.iterdir():
        file.chmod(0o444)
    try:
        done = subprocess.run(
            [sys.executable, "-c", UNPRIVILEGED, str(folder), "closed" if closed else "open"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )
    finally:
        folder.chmod(0o755)
        if writer is not None:
            writer.close()
        shutil.rmtree(public)
    assert done.stderr == ""
    assert done.stdout == f"['d'] {4 if closed else 5} True\nStorageError\n"


# --- the file system refuses -----------------------------------------------------------------------------------------


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
    "add": (lambda i: i.add(["five"], keys=["e"]), FOLDER_STATE | {"e": ("five", {})}),
    "update": (lambda i: i.add(["vier"], keys=["d"]), {k: FOLDER_STATE[k] for k in "ac"} | {"d": ("vier", {"n": 3})}),
    "compact": (lambda i: i.compact(), FOLDER_STATE),
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
        assert (refusing.calls >= nth, state_of(index), index.verify().ok) == (True, FOLDER_STATE, True)
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
