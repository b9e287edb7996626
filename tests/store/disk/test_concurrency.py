"""What other processes and threads see while a writer works or waits."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecindex import IndexLocked
from vecindex.filters.parse import parse
from vecindex.store.disk import connection
from vecindex.store.generation import Generation
from vecindex.store.snapshot import Snapshots
from vecindex.store.sql.reads import Catalog
from vecindex.store.vectors import vector_file
from vecindex.store.writer import Writer

from ...support.children import child, output
from ...support.generations import ENOUGH, KEYS, READING, WRITING, generations, prompt
from ...support.helpers import opened, snapshots, state_of

# --- waiting ---------------------------------------------------------------------------------------------------------

HOLDING = """
import sys, time
from pathlib import Path
from vecindex.store.disk.lock import WriterLock
with WriterLock(Path(sys.argv[1]), 0):
    print("held", flush=True)
    while not Path(sys.argv[2]).exists():
        time.sleep(0.01)
"""
"""Holds the lock until there is a file of the name that it is given."""


def test_second_writer_waits_for_the_first(tmp_path: Path) -> None:
    with opened(tmp_path / "i", lock_timeout=300) as index:
        process = child(HOLDING, tmp_path / "i", tmp_path / "enough")
        assert process.stdout is not None
        process.stdout.readline()
        with ThreadPoolExecutor(1) as pool:
            adding = pool.submit(index.add, ["one"])
            assert not wait([adding], 0.3).done
            assert len(index) == 0
            (tmp_path / "enough").touch()
            assert adding.result().added == 1
        output(process)


def test_lock_timeout_names_the_holder_and_reading_continues(tmp_path: Path) -> None:
    with opened(tmp_path / "i", lock_timeout=0.1) as index:
        index.add(["one", "two"], keys=["a", "b"])
        process = child(HOLDING, tmp_path / "i", tmp_path / "never")
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
            process.communicate(timeout=600)
        assert index.delete(["a"]) == 1


def test_unchanged_add_needs_no_lock(tmp_path: Path) -> None:
    with opened(tmp_path / "i", lock_timeout=0) as index:
        index.add(["one"])
        process = child(HOLDING, tmp_path / "i", tmp_path / "never")
        assert process.stdout is not None
        process.stdout.readline()
        assert index.add(["one"]).unchanged == 1
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=600)


# --- beside a writer -------------------------------------------------------------------------------------------------


def test_readers_see_only_whole_commits_of_a_writer(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.add([f"g0 k{k}" for k in range(KEYS)], keys=[f"k{k}" for k in range(KEYS)], metadata=[{"g": 0}] * KEYS)
        stop = tmp_path / "stop"
        processes = [child(WRITING, tmp_path / "i", stop), *(child(READING, tmp_path / "i", 2) for _ in range(2))]
        seen: list[int] = []
        try:
            while index.get("k0").text.startswith("g0 "):  # until the writer is at work
                assert processes[0].poll() is None
                time.sleep(0.01)
            threads = [
                threading.Thread(target=lambda: seen.append(generations(tmp_path / "i", 2, index))) for _ in range(2)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            read = [int(output(process)) for process in processes[1:]]
        finally:
            stop.touch()
        assert int(output(processes[0])) > 20
        assert len(seen) == 2  # a thread that saw anything else raised
        assert min(*seen, *read) >= ENOUGH
        assert index.verify().ok


def test_a_reader_that_waits_fails() -> None:
    with pytest.raises(AssertionError, match=r"a read took \d"):
        prompt(lambda: time.sleep(0.05), seconds=0.01)


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
    """SQLite waits for others for this many seconds instead of ten."""
    monkeypatch.setattr(connection, "BUSY_SECONDS", 0.5)
    return 0.5


def test_compaction_does_not_wait_for_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BUSY_SECONDS", 30)
    with opened(tmp_path / "i") as index, opened(tmp_path / "i") as other:
        index.add(["one", "two"], keys=["a", "b"])
        with snapshots(index).take():
            other.delete(["a"])
            started = time.monotonic()
            other.compact()
        assert time.monotonic() - started < 30


@pytest.mark.usefixtures("impatient")
def test_vector_file_removed_by_a_compaction_is_looked_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path / "i") as writer, opened(tmp_path / "i") as reader:
        writer.add(["one", "two", "three"], keys=list("abc"))
        real: Callable[..., Any] = Snapshots._see
        calls: list[int] = []

        def compact_first(self: Snapshots, connection: Any, manifest: Any) -> Any:
            calls.append(manifest.vectors)
            if len(calls) < 3:  # the manifest is read, but its vectors are not mapped yet
                with monkeypatch.context() as unpatched:
                    unpatched.setattr(Snapshots, "_see", real)
                    writer.add([f"one {len(calls)}"], keys=["a"])
                    writer.compact()
            return real(self, connection, manifest)

        with monkeypatch.context() as patched:
            patched.setattr(Snapshots, "_see", compact_first)
            with snapshots(reader).take() as snapshot:
                assert [r.text for r in snapshot.fetch(range(3))] == ["two", "three", "one 2"]
        assert calls == [1, 2, 3]
        assert not vector_file(tmp_path / "i", 2).exists()


@pytest.mark.usefixtures("impatient")
def test_verify_during_a_compaction_finds_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path / "i") as writer, opened(tmp_path / "i", readonly=True) as reader:
        writer.add(["one", "two"], keys=["a", "b"])
        real: Callable[..., Any] = Catalog.live_rows
        calls: list[int] = []

        def compact_first(self: Catalog) -> Any:
            calls.append(1)
            if len(calls) == 1:
                with monkeypatch.context() as unpatched:
                    unpatched.setattr(Catalog, "live_rows", real)
                    writer.delete(["a"])
                    writer.compact()
            return real(self)

        monkeypatch.setattr(Catalog, "live_rows", compact_first)
        assert reader.verify().faults == ()


@pytest.mark.usefixtures("impatient")
def test_search_keeps_its_generation_while_others_commit_and_compact(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index, opened(tmp_path / "i") as other:
        index.add(["one", "two"], keys=["a", "b"])
        with snapshots(index).take() as snapshot:
            before = snapshot.vectors.copy()
            other.delete(["a"])
            other.add(["drei"], keys=["c"])
            other.compact()
            assert snapshot.records == 2
            assert [r.text for r in snapshot.fetch([0, 1])] == ["one", "two"]
            assert snapshot.vectors.tolist() == before.tolist()
        assert index.search("drei", k=5)[0].key == "c"
        assert index.get("b").text == "two"


def test_text_that_another_writer_restored_is_encoded_after_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path / "i") as index, opened(tmp_path / "i") as other:
        index.add(["one"], keys=["a"])
        real: Callable[..., Any] = Writer.add
        tries: list[int] = []

        def overtaken(self: Writer, *arguments: Any, **named: Any) -> Any:
            tries.append(1)
            if len(tries) == 1:
                with monkeypatch.context() as unpatched:
                    unpatched.setattr(Writer, "add", real)
                    other.add(["two"], keys=["a"])  # now "one" is not stored any more, and was not encoded
            return real(self, *arguments, **named)

        monkeypatch.setattr(Writer, "add", overtaken)
        report = index.add(["one", "new"], keys=["a", "b"])
        assert (len(tries), report.added, report.updated) == (2, 1, 1)
        assert [(hit.key, hit.rank) for hit in index.search("one", k=1)] == [("a", 1)]
        assert index.verify().ok


def test_generations_that_share_filter_results_never_change_them_at_once(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.add(["one"], metadata=[{"n": 1}])
        with snapshots(index).borrow() as borrowed, borrowed.reading() as manifest:
            first = Generation.read(borrowed, manifest, None)
            second = Generation.read(borrowed, manifest, first)
    where, rows = parse("n = 1"), np.array([0])
    waiting = threading.Thread(target=second.allowed, args=(where, lambda: rows))
    with first._lock:
        waiting.start()
        waiting.join(0.1)
        assert waiting.is_alive()
    waiting.join()
    assert first.allowed(where, lambda: rows) is second.allowed(where, lambda: rows)
