"""What does a writer that is killed leave behind: all of its change or nothing, at any step and any moment?"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

import vecindex
from tests.helpers import SMALL_STATE, State, opened, small_index, state_of
from tests.test_concurrency import child, output
from vecindex.records import derive_key

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
    "add": SMALL_STATE | {"e": ("five", {}), "f": ("six", {"n": 6})},
    "update": {"a": ("one", {"n": 0}), "c": ("drei", {"n": 7}), "d": ("vier", {"n": 3})},
    "delete": {"d": ("four", {"n": 3})},
    "compact": SMALL_STATE,
}


@pytest.mark.parametrize("act", AFTER)
def test_a_writer_killed_at_any_step_has_done_all_or_nothing(tmp_path: Path, act: str) -> None:
    base = small_index(tmp_path / "i")
    attempts = [json.loads(line) for line in output(child(KILLS, base, act)).splitlines()]
    assert len(attempts) > 8
    assert [killed for _, killed, _ in attempts] == [True] * (len(attempts) - 1) + [False]
    assert attempts[-1][2][-1] == "returned"
    for folder, _, steps in attempts:
        committed = "commit" in steps  # the step after COMMIT's was reached, or it was the last one that ran
        with opened(Path(folder)) as index:
            found = state_of(index)
            if committed and steps[-1] != "commit":
                assert found == AFTER[act], steps
            else:
                assert found in (SMALL_STATE, AFTER[act]), steps
                assert committed or found == SMALL_STATE, steps
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
        with opened(tmp_path / "i") as index:
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
