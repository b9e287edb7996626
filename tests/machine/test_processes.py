"""A process that ends or forks while it writes loses nothing and leaves no lock behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from vecindex.errors import IndexLocked
from vecindex.machine.threads import in_thread
from vecindex.store.disk.lock import LOCK_FILE, WriterLock

from ..support.helpers import opened, small_index
from ..support.places import PROJECT

# The texts differ in length and are many, so that windows are tokenized ahead and batches encoded in several threads.
AT_THE_END = """
import atexit, sys, threading, time
import vecindex
from tests.support.toy import ToyEncoder
from vecindex.encoders.run import encoder

encoder.TEXTS_A_WINDOW = 100
class Two(ToyEncoder):
    workers = 2

index = vecindex.open(sys.argv[1], model=Two())
def add(name):
    report = index.add([f"{name} {n}" + " word" * (n % 20) for n in range(400)])
    print(name, report.added, len(index.search(f"{name} 7", k=3)), flush=True)

def late():
    threading.main_thread().join()
    time.sleep(0.05)
    add("thread")

atexit.register(add, "atexit")
threading.Thread(target=late).start()
"""


def test_add_works_in_a_thread_that_outlives_the_main_thread_and_at_exit(tmp_path: Path) -> None:
    command = [sys.executable, "-c", AT_THE_END, str(tmp_path / "i")]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=600)
    assert (done.stdout, done.stderr, done.returncode) == ("thread 400 3\natexit 400 3\n", "", 0)
    with opened(tmp_path / "i") as index:
        assert (len(index), index.verify().ok) == (800, True)


def test_work_is_done_at_once_and_only_once_if_no_thread_is_available(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        with monkeypatch.context() as patched:

            def refuse(self: threading.Thread) -> None:
                raise RuntimeError("can't start new thread")

            patched.setattr(threading.Thread, "start", refuse)
            assert in_thread(pool, lambda: done.append(threading.current_thread().name)).result() is None
            assert isinstance(in_thread(pool, int, "x").exception(), ValueError)
        # The pool has kept what it could not begin, and has a thread for it now.
        assert in_thread(pool, lambda: done.append("in a thread")).result() is None
    assert done == [threading.current_thread().name, "in a thread"]


@contextmanager
def forked() -> Iterator[int]:
    """A fork of this process that waits until it is killed."""
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_a_fork_of_a_writing_process_does_not_hold_the_lock(tmp_path: Path) -> None:
    folder = small_index(tmp_path / "i")
    with WriterLock(folder, 0):
        child = forked()
        child.__enter__()
    with opened(folder) as index:
        assert index.delete(["a"]) == 1
    child.__exit__(None, None, None)


def test_a_fork_holds_no_lock_after_its_parent_is_killed(tmp_path: Path) -> None:
    folder = small_index(tmp_path / "i")
    read, write = os.pipe()
    parent = os.fork()
    if parent == 0:
        lock = WriterLock(folder, 0)
        lock.__enter__()
        child = os.fork()
        if child == 0:
            signal.pause()
        os.write(write, str(child).encode())
        signal.pause()
    child = int(os.read(read, 20))
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    try:
        with WriterLock(folder, 1):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.close(read)
        os.close(write)


def test_a_fork_that_leaves_the_block_does_not_release_the_parents_lock(tmp_path: Path) -> None:
    folder = small_index(tmp_path / "i")
    lock = WriterLock(folder, 0)
    with lock:
        noted = (folder / LOCK_FILE).read_bytes()
        pid = os.fork()
        if pid == 0:
            lock.__exit__(None, None, None)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert (folder / LOCK_FILE).read_bytes() == noted
        with pytest.raises(IndexLocked), WriterLock(folder, 0):
            pass
