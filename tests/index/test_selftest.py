"""Does ``vecindex selftest`` find what was lost, say so, and leave nothing behind?"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vecindex
from vecindex.errors import StorageError
from vecindex.index import crash_test
from vecindex.index.crash_test import Finding, contents, examine, killed


def run(*arguments: str | Path, before: str = "") -> subprocess.CompletedProcess[str]:
    """Runs the command in a new process, which has no threads when it forks; ``before`` is code to run first."""
    code = f"{before}\nfrom vecindex.cli.commands.selftest import selftest; selftest()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False
    )


STEPS = "import random; random.SystemRandom = lambda: random.Random(10)"
"""Draws seconds and steps of the runs, so that they are the same each time: many steps, for many changes."""


@pytest.mark.parametrize("old", [[], ["--crash"]])
def test_nothing_is_lost_and_nothing_is_left_behind(tmp_path: Path, old: list[str]) -> None:
    result = run("--runs", "4", "--folder", tmp_path, *old, before=STEPS)
    assert (result.returncode, result.stderr) == (0, "")
    words = result.stdout.split()
    assert words[:4] == ["4", "runs,", "each", "killed;"]
    assert words[5:] == ["acknowledged", "changes,", "0", "lost"]
    assert int(words[4]) > 10
    assert list(tmp_path.iterdir()) == []


USING_FAISS = """
import contextlib
import os
from pathlib import Path
fork = os.fork
def counted():
    import numpy as np
    from vecindex.search.dense.load_faiss import load_faiss
    vectors = np.ones((4096, 64), np.float32)
    vectors @ vectors.T
    codes = load_faiss().IndexFlatIP(64)
    codes.add(vectors)
    codes.search(vectors, 1)  # as a check of the codes of a large index does
    print("threads:", len(list(Path("/proc/self/task").iterdir())), flush=True)
    return fork()
os.fork = counted
"""


def test_selftest_forks_without_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("OPENBLAS", "OMP"):
        monkeypatch.setenv(f"{library}_NUM_THREADS", "3")
    result = run("--runs", "2", "--folder", tmp_path, before=USING_FAISS)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines()[:2] == ["threads: 1"] * 2


LOSING = """
import vecindex
from vecindex.index import crash_test
real = crash_test.killed
def killed(path, work, seconds=None):
    found = real(path, work, 0.5)
    with vecindex.open(path) as index:  # behind everyone's back
        index.delete(index.keys())
        index.add(["x"], keys=["x"], vectors=[[1.0] * crash_test.DIMENSION])
    return found
crash_test.killed = killed
"""


def test_lost_record_is_named_and_fails(tmp_path: Path) -> None:
    result = run("--runs", "1", "--folder", tmp_path, before=LOSING)
    assert result.returncode == 1
    assert result.stdout.endswith("1 lost\n")
    assert result.stderr.startswith("run 1: the")
    assert list(tmp_path.iterdir()) == []


def test_every_kind_of_loss_is_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "i"

    def put(text: str, *keys: str) -> None:
        index.add([text] * len(keys), keys=keys, vectors=[[1.0] + [0.0] * 63] * len(keys), space="mine")

    def finding(before: str, after: str, acknowledged: bool) -> Finding | None:
        found, wrong = examine(folder, states[before], states[after], acknowledged)
        assert found == contents(index)
        return wrong

    states = {"empty": crash_test.Contents()}
    with vecindex.open(folder) as index:
        put("old", "a", "b")
        states["added"] = contents(index)
        put("new", "a")
        states["updated"] = contents(index)
        index.delete(["b"])
        states["deleted"] = contents(index)
        assert finding("updated", "deleted", True) is None
        assert finding("updated", "deleted", False) is None  # killed after the commit
        assert finding("empty", "updated", True) == Finding("lost", "the record b is lost")
        assert finding("added", "added", False) == Finding("lost", "the record a is not what was written")
        index.add(["old"], keys=["a"], vectors=[[1.0] + [0.0] * 63], space="mine")
        put("old", "b")
        assert finding("added", "updated", True) == Finding("lost", "the record a is not what was written")
        assert finding("empty", "deleted", False) == Finding(
            "torn", "there are 2 records; 0 before the last change, 1 after it"
        )
        index.delete(["a", "b"])
        assert finding("empty", "empty", True) is None
        put("new", "a")
        assert finding("deleted", "empty", True) == Finding("lost", "an acknowledged change is lost")
    vectors = folder / "vectors-1.f32"
    vectors.write_bytes(vectors.read_bytes()[:-1])
    _, wrong = examine(folder, states["deleted"], states["deleted"], True)
    assert wrong is not None
    assert "vectors-1.f32 is damaged" in wrong.what
    (folder / "vecindex.db").unlink()
    assert examine(folder, states["deleted"], {}, True) == ({}, Finding("lost", "there is no index any more"))


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"missing/.* cannot be used: No such file or directory"):
        next(crash_test.crash_test(tmp_path / "missing", 1, 0))


@pytest.mark.parametrize(
    ("work", "reason"),
    [(lambda say: 1 / 0, "ZeroDivisionError: division by zero"), (lambda say: os._exit(3), "exit status 3")],
)
def test_process_that_ends_by_itself_is_an_error(tmp_path: Path, work: Any, reason: str) -> None:
    with pytest.raises(StorageError, match=f"ended by itself: {reason}"):
        killed(tmp_path, work)


def test_process_that_does_not_end_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crash_test, "HANGS_SECONDS", 0.1)
    with pytest.raises(StorageError, match="did not end within 0 seconds"):
        killed(tmp_path, lambda say: time.sleep(60))


def test_interrupted_selftest_removes_its_files(tmp_path: Path) -> None:
    # A process started in the background of a shell ignores Ctrl-C, and so would its children.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from vecindex.cli.commands.selftest import selftest; selftest()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, "--runs", "1000", "--folder", str(tmp_path)], stderr=subprocess.DEVNULL
    ) as process:
        for _ in waiting(60):
            if list(tmp_path.glob(".vecindex-selftest-*/0/vecindex.db")):
                break
        process.send_signal(signal.SIGINT)
        assert process.wait(60) != 0
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_right_after_a_fork_is_not_lost(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from vecindex.index.crash_test import killed
signal.signal(signal.SIGINT, signal.default_int_handler)
os.register_at_fork(after_in_parent=lambda: os.kill(os.getpid(), signal.SIGINT))
try:
    killed(Path(sys.argv[1]), lambda say: say("done"))
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "interrupted\n", done.stderr


def test_ctrl_c_that_python_drops_ends_the_test_before_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dropping(folder: Path, work: object, seconds: float | None = None) -> tuple[list[Any], bool]:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        return [], False

    monkeypatch.setattr(crash_test, "killed", dropping)
    monkeypatch.setattr(crash_test, "examine", lambda *_, **__: ({}, None))
    handler = signal.getsignal(signal.SIGINT)
    reports = crash_test.crash_test(tmp_path, 9, seed=1)
    assert next(reports).runs == 1
    with pytest.raises(KeyboardInterrupt):
        next(reports)
    assert signal.getsignal(signal.SIGINT) is handler
    assert list(tmp_path.iterdir()) == []


def waiting(seconds: float) -> Iterator[None]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(0.01)
    raise AssertionError("waited in vain")


def test_writer_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from vecindex.index.crash_test import killed
def work(say):
    print("at work", flush=True)
    while True:
        say("still here")
killed(Path({str(tmp_path)!r}), work)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"at work\n"
        process.kill()
        process.communicate(timeout=600)  # the writer has the pipe too, so this waits until both are gone
