"""What do other processes and threads see: of a writer that works, of one that waits, of one that is killed?"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vecindex
from tests.toy import ToyEncoder
from vecindex import Hit, Index, IndexLocked
from vecindex.records import derive_key
from vecindex.store import catalog
from vecindex.store.snapshot import Snapshots
from vecindex.store.vectors import vector_file
from vecindex.store.writer import Writer

ROOT = Path(__file__).parents[1]
State = dict[str, tuple[str, Any]]


def opened(path: Path, **options: Any) -> Index:
    return vecindex.open(path, model=ToyEncoder(), **options)


def child(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A real process; numpy's threads would only slow it down, and must not be there when it forks."""
    code = "import vecindex\nfrom tests.toy import ToyEncoder\n" + code
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE
    )


def output(process: subprocess.Popen[str]) -> str:
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return text


def state_of(index: Index) -> State:
    with index._snapshots.borrow() as catalog, catalog.reading():
        return {r.key: (r.text, json.loads(r.metadata)) for r in catalog.records()}


# --- killed ----------------------------------------------------------------------------------------------------------

BASE: State = {"a": ("one", {"n": 0}), "d": ("four", {"n": 3}), "c": ("drei", {"n": 2})}

# For n = 1, 2, ... a forked copy of this process does one change and kills itself right before its n-th step, until a
# copy gets through. A step is a call that changes a file or the database; half a write is one too. What each copy did
# last, and whether its change returned, is printed.
KILLS = """
import json, os, shutil, signal, sqlite3, sys
from pathlib import Path
path, act = sys.argv[1:]

def change(folder):
    if act == "create":
        vecindex.open(folder).close()
        return
    index = vecindex.open(folder, model=ToyEncoder())
    if act == "add":
        index.add(["five", "six"], keys=["e", "f"], metadata=[None, {"n": 6}])
    elif act == "update":
        index.add(["vier", "drei"], keys=["d", "c"], metadata=[None, {"n": 7}])
    elif act == "delete":
        index.delete(["a", "c"])
    elif act == "compact":
        index.compact()

def attempt(nth, folder, pipe):
    steps = 0
    def step(name):
        nonlocal steps
        steps += 1
        if steps == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        os.write(pipe, (name + chr(10)).encode())
    def stepping(function, name):
        def call(*args, **options):
            step(name)
            return function(*args, **options)
        return call
    def pwrite(descriptor, data, offset, real=os.pwrite):
        step("half a write")
        half = len(data) // 2
        real(descriptor, data[:half], offset)
        step("write")
        return half + real(descriptor, data[half:], offset + half)
    class Connection(sqlite3.Connection):
        def execute(self, sql, *args):
            if not sql.lstrip().startswith(("select", "begin", "rollback", "pragma table", "pragma sync")):
                step("commit" if sql == "commit" else "sql")
            return super().execute(sql, *args)
        def executemany(self, *args):
            step("sql")
            return super().executemany(*args)
        def commit(self):
            step("commit")
            super().commit()
    sqlite3.connect = (lambda real: lambda *a, **o: real(*a, factory=Connection, **o))(sqlite3.connect)
    os.pwrite = pwrite
    os.fsync = stepping(os.fsync, "fsync")
    os.ftruncate = stepping(os.ftruncate, "cut")
    os.unlink = stepping(os.unlink, "remove")
    os.rename = stepping(os.rename, "rename")
    os.open = stepping(os.open, "open")
    change(folder)
    step("returned")

import sqlite_utils
vecindex.open  # both imported once, before the forks
for nth in range(1, 200):
    folder = f"{path}-{nth}"
    if act != "create":
        shutil.copytree(path, folder)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        attempt(nth, folder, write)
        os._exit(0)
    os.close(write)
    steps = os.fdopen(read).read().split(chr(10))[:-1]
    killed = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    print(json.dumps([folder, killed, steps]))
    if not killed:
        break
"""
AFTER: dict[str, State] = {
    "add": BASE | {"e": ("five", {}), "f": ("six", {"n": 6})},
    "update": {"a": ("one", {"n": 0}), "c": ("drei", {"n": 7}), "d": ("vier", {"n": 3})},
    "delete": {"d": ("four", {"n": 3})},
    "compact": BASE,
}


@pytest.mark.parametrize("act", AFTER)
def test_a_writer_killed_at_any_step_has_done_all_or_nothing(tmp_path: Path, act: str) -> None:
    base = tmp_path / "i"
    with opened(base) as index:
        index.add(["one", "two", "three", "four"], keys=list("abcd"), metadata=[{"n": n} for n in range(4)])
        index.delete(["b"])
        index.add(["drei"], keys=["c"])
    attempts = [json.loads(line) for line in output(child(KILLS, base, act)).splitlines()]
    assert len(attempts) > 8
    assert [killed for _, killed, _ in attempts] == [True] * (len(attempts) - 1) + [False]
    assert attempts[-1][2][-1] == "returned"
    for folder, _, steps in attempts:
        committed = "commit" in steps  # the step after COMMIT's was reached, or it was the last one that ran
        with opened(Path(folder), lock_timeout=0) as index:
            found = state_of(index)
            if committed and steps[-1] != "commit":
                assert found == AFTER[act], steps
            else:
                assert found in (BASE, AFTER[act]), steps
                assert committed or found == BASE, steps
            assert index.verify().ok
            assert len(index.search("one", k=9)) == len(found)
            assert index.add(["seven"], keys=["g"]).added == 1
            assert state_of(index) == found | {"g": ("seven", {})}
            index.compact()
            assert index.verify() == vecindex.VerifyReport(len(found) + 1, len(found) + 1, ())
        shutil.rmtree(folder)


def test_a_creator_killed_at_any_step_leaves_no_half_index(tmp_path: Path) -> None:
    attempts = [json.loads(line) for line in output(child(KILLS, tmp_path / "i", "create")).splitlines()]
    assert len(attempts) > 5
    for folder, killed, steps in attempts:
        path = Path(folder)
        assert path.exists() or killed
        if path.exists():
            left = {p.name for p in path.iterdir() if not p.name.startswith(".creating-")}
            assert left <= {"vecindex.db"}, steps
        with opened(path) as index:
            assert index.verify() == vecindex.VerifyReport(0, 0, ())
            assert index.add(["one"]).added == 1
            index.compact()
        assert {p.name for p in path.iterdir()} == {"vecindex.db", "vectors-1.f32", "writer.lock"}
    assert {path.exists() for path in map(Path, (folder for folder, _, _ in attempts))} == {True}


def test_compacting_after_a_compaction_was_killed_removes_what_it_left(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.add(["one"])
        (tmp_path / "i" / "vectors-7.f32").write_bytes(b"left behind")
        index.compact()
    assert [p.name for p in (tmp_path / "i").glob("*.f32")] == ["vectors-1.f32"]


ADDING = """
import sys
index = vecindex.open(sys.argv[1], model=ToyEncoder())
for batch in range(int(sys.argv[2]), 1_000_000):
    index.add([f"text {batch} {n}" for n in range(5)], metadata=[{"batch": batch}] * 5)
    if batch % 4 == 3:
        index.delete([hit.key for hit in index.search("text", k=5, where={"batch": batch - 2})])
        index.compact()
    print(batch, flush=True)
"""


def test_what_was_acknowledged_survives_a_kill_at_any_moment(tmp_path: Path) -> None:
    moments = random.Random(7)
    expected: set[int] = set()
    start = 0
    for _ in range(5):
        process = child(ADDING, tmp_path / "i", start)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(moments.uniform(0.005, 0.1))
        os.kill(process.pid, signal.SIGKILL)
        text, _ = process.communicate(timeout=60)
        last = int(text.split()[-1]) if text else start
        with opened(tmp_path / "i", lock_timeout=0) as index:
            batches = [hit.metadata["batch"] for hit in index.search("text", k=100_000)]
            assert {batches.count(batch) for batch in batches} == {5}
            deleted = {batch - 2 for batch in range(3, last + 1, 4)}
            maybe = {last + 1, *({last - 1} if (last + 1) % 4 == 3 else ())}
            assert {*range(last + 1)} - deleted - maybe <= set(batches) <= {*range(last + 2)} - deleted
            expected |= set(batches)
            assert index.verify().ok
            start = last + 2 + (-(last + 2)) % 4
            for batch in range(last + 1, start):  # the next child begins with a whole round
                index.add([f"text {batch} {n}" for n in range(5)], metadata=[{"batch": batch}] * 5)
            for batch in {batch - 2 for batch in range(3, start, 4)} & {
                hit.metadata["batch"] for hit in index.search("text", k=100_000)
            }:
                index.delete([derive_key(f"text {batch} {n}") for n in range(5)])
    assert len(expected) > 5


# --- waiting ---------------------------------------------------------------------------------------------------------

HOLDING = """
import sys, time
from pathlib import Path
from vecindex.store.files import WriterLock
with WriterLock(Path(sys.argv[1]), 0):
    print("held", flush=True)
    sys.stdin.readline() if sys.argv[2] == "ask" else time.sleep(float(sys.argv[2]))
"""


def test_a_second_writer_waits_for_the_first(tmp_path: Path) -> None:
    with opened(tmp_path / "i", lock_timeout=20) as index:
        process = child(HOLDING, tmp_path / "i", 0.5)
        assert process.stdout is not None
        process.stdout.readline()
        started = time.monotonic()
        assert index.add(["one"]).added == 1
        assert time.monotonic() - started > 0.3
        output(process)


def test_a_writer_that_waited_in_vain_names_who_holds_the_index_and_reading_goes_on(tmp_path: Path) -> None:
    with opened(tmp_path / "i", lock_timeout=0.1) as index:
        index.add(["one", "two"], keys=["a", "b"])
        process = child(HOLDING, tmp_path / "i", 60)
        assert process.stdout is not None
        process.stdout.readline()
        try:
            for change in (lambda: index.add(["x"]), lambda: index.delete(["a"]), index.compact):
                with pytest.raises(IndexLocked) as caught:
                    change()
                error = caught.value
                assert (error.path, error.pid, error.host) == (str(tmp_path / "i"), process.pid, socket.gethostname())
                assert error.waited == 0.1
            assert [hit.key for hit in index.search("one", k=1)] == ["a"]
            assert (len(index), index.verify().ok) == (2, True)
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate(timeout=60)
        assert index.delete(["a"]) == 1


def test_an_unchanged_add_needs_no_lock(tmp_path: Path) -> None:
    with opened(tmp_path / "i", lock_timeout=0) as index:
        index.add(["one"])
        process = child(HOLDING, tmp_path / "i", 60)
        assert process.stdout is not None
        process.stdout.readline()
        assert index.add(["one"]).unchanged == 1
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)


# --- beside a writer -------------------------------------------------------------------------------------------------

KEYS = 20
# Every commit gives all records one new "g", in text and metadata, so that hits of two commits cannot hide.
WRITING = """
import sys, time
index = vecindex.open(sys.argv[1], model=ToyEncoder())
end = time.monotonic() + float(sys.argv[2])
g = 0
while time.monotonic() < end:
    g += 1
    index.add([f"g{g} k{k}" for k in range(20)], keys=[f"k{k}" for k in range(20)], metadata=[{"g": g}] * 20)
    if g % 3 == 0:
        index.compact()
print(g)
"""
READING = """
import sys, time
from tests.test_concurrency import generations
print(generations(sys.argv[1], float(sys.argv[2])))
"""


def check_one_generation(hits: list[Hit]) -> int:
    (generation,) = {hit.metadata["g"] for hit in hits}
    assert sorted((hit.key, hit.text) for hit in hits) == sorted((f"k{k}", f"g{generation} k{k}") for k in range(KEYS))
    return int(generation)


def generations(path: str | Path, seconds: float, index: Index | None = None) -> int:
    """Reads for so long; how many generations were seen, each of them whole."""
    seen = []
    index = index or opened(Path(path), readonly=True)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        first, second = index.search_many(["k1", "k2"], k=100)
        seen.append(check_one_generation(first))
        assert check_one_generation(second) == seen[-1]
        assert check_one_generation(index.search("k3", k=100, where={"g": {"$gte": seen[-1]}})) >= seen[-1]
        assert (len(index), index.get("k7").text[:1]) == (KEYS, "g")
        assert len(index.similar("k5", k=100)) == KEYS - 1
    assert seen == sorted(seen)
    return len(set(seen))


def test_readers_beside_a_writer_see_whole_commits_only(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.add([f"g0 k{k}" for k in range(KEYS)], keys=[f"k{k}" for k in range(KEYS)], metadata=[{"g": 0}] * KEYS)
        processes = [child(WRITING, tmp_path / "i", 3), *(child(READING, tmp_path / "i", 2) for _ in range(2))]
        seen: list[int] = []
        threads = [
            threading.Thread(target=lambda: seen.append(generations(tmp_path / "i", 2, index))) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        written, *read = (int(output(process)) for process in processes)
        assert written > 20
        assert len(seen) == 2  # a thread that met something else died of it
        assert min(*seen, *read) > 5
        assert index.verify().ok


COUNTING = """
import sys
index = vecindex.open(sys.argv[1], model=ToyEncoder(), lock_timeout=30)
mine = sys.argv[2]
for n in range(40):
    index.add([f"shared {mine} {n}", f"own {n}"], keys=["shared", f"{mine}-{n}"], metadata=[None, {"n": n}])
    index.add([f"shared {mine} {n}"], keys=["shared"], metadata=[{mine: n}])
    if n % 10 == 9:
        index.delete([f"{mine}-{n}"])
        index.compact()
"""


def test_two_writers_of_the_same_keys_lose_nothing(tmp_path: Path) -> None:
    opened(tmp_path / "i").close()
    for process in [child(COUNTING, tmp_path / "i", name) for name in ("left", "right")]:
        output(process)
    with opened(tmp_path / "i") as index:
        expected = {f"{name}-{n}" for name in ("left", "right") for n in range(40) if n % 10 != 9}
        assert set(state_of(index)) == expected | {"shared"}
        assert index.get("shared").text in ("shared left 39", "shared right 39")
        assert index.get("shared").metadata in ({"left": 39}, {"right": 39})
        assert index.verify().ok


CREATING = """
import sys, time
while time.time() < float(sys.argv[2]):
    pass
index = vecindex.open(sys.argv[1], model=ToyEncoder(), lock_timeout=30)
print(index.add([sys.argv[3]]).added)
"""


def test_two_creators_at_once_share_one_index(tmp_path: Path) -> None:
    start = time.time() + 1
    processes = [child(CREATING, tmp_path / "i", start, name) for name in ("left", "right", "third")]
    assert [output(process) for process in processes] == ["1\n"] * 3
    with opened(tmp_path / "i") as index:
        assert (len(index), index.verify().ok) == (3, True)
    assert [p.name for p in tmp_path.iterdir()] == ["i"]


# --- races that need a hand ------------------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> float:
    """SQLite waits this many seconds for others instead of ten."""
    monkeypatch.setattr(catalog, "_BUSY_SECONDS", 0.5)
    return 0.5


def test_a_compaction_does_not_wait_for_readers(tmp_path: Path, impatient: float) -> None:
    with opened(tmp_path / "i") as index, opened(tmp_path / "i") as other:
        index.add(["one", "two"], keys=["a", "b"])
        with index._snapshots.take():
            other.delete(["a"])
            started = time.monotonic()
            other.compact()
        assert time.monotonic() - started < impatient


@pytest.mark.usefixtures("impatient")
def test_a_vector_file_that_a_compaction_takes_away_is_looked_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path / "i") as writer, opened(tmp_path / "i") as reader:
        writer.add(["one", "two", "three"], keys=list("abc"))
        real: Callable[..., Any] = Snapshots._map
        calls: list[int] = []

        def compact_first(self: Snapshots, connection: Any, manifest: Any) -> Any:
            calls.append(manifest.vectors)
            if len(calls) < 3:  # the manifest is read, its vectors are not mapped yet
                with monkeypatch.context() as unpatched:
                    unpatched.setattr(Snapshots, "_map", real)
                    writer.add([f"one {len(calls)}"], keys=["a"])
                    writer.compact()
            return real(self, connection, manifest)

        with monkeypatch.context() as patched:
            patched.setattr(Snapshots, "_map", compact_first)
            with reader._snapshots.take() as snapshot:
                assert [r.text for r in snapshot.fetch(range(3))] == ["two", "three", "one 2"]
        assert calls == [1, 2, 3]
        assert not vector_file(tmp_path / "i", 2).exists()


@pytest.mark.usefixtures("impatient")
def test_verify_beside_a_compaction_finds_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path / "i") as writer, opened(tmp_path / "i", readonly=True) as reader:
        writer.add(["one", "two"], keys=["a", "b"])
        real: Callable[..., Any] = catalog.Catalog.live_rows
        calls: list[int] = []

        def compact_first(self: catalog.Catalog) -> Any:
            calls.append(1)
            if len(calls) == 1:
                with monkeypatch.context() as unpatched:
                    unpatched.setattr(catalog.Catalog, "live_rows", real)
                    writer.delete(["a"])
                    writer.compact()
            return real(self)

        monkeypatch.setattr(catalog.Catalog, "live_rows", compact_first)
        assert reader.verify().faults == ()


@pytest.mark.usefixtures("impatient")
def test_a_search_keeps_its_generation_while_others_commit_and_compact(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index, opened(tmp_path / "i") as other:
        index.add(["one", "two"], keys=["a", "b"])
        with index._snapshots.take() as snapshot:
            before = snapshot.vectors.copy()
            other.delete(["a"])
            other.add(["drei"], keys=["c"])
            other.compact()
            assert snapshot.records == 2
            assert [r.text for r in snapshot.fetch([0, 1])] == ["one", "two"]
            assert snapshot.vectors.tolist() == before.tolist()
        assert index.search("drei", k=5)[0].key == "c"
        assert index.get("b").text == "two"


def test_a_text_that_another_writer_brought_back_is_encoded_after_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path / "i") as index, opened(tmp_path / "i") as other:
        index.add(["one"], keys=["a"])
        real: Callable[..., Any] = Writer.add
        tries: list[int] = []

        def overtaken(self: Writer, *arguments: Any) -> Any:
            tries.append(1)
            if len(tries) == 1:
                with monkeypatch.context() as unpatched:
                    unpatched.setattr(Writer, "add", real)
                    other.add(["two"], keys=["a"])  # now "one" is no longer what is stored, and was not encoded
            return real(self, *arguments)

        monkeypatch.setattr(Writer, "add", overtaken)
        report = index.add(["one", "new"], keys=["a", "b"])
        assert (len(tries), report.added, report.updated) == (2, 1, 1)
        assert [(hit.key, hit.rank) for hit in index.search("one", k=1)] == [("a", 1)]
        assert index.verify().ok
