"""``vecindex add`` in processes of its own: Ctrl-C, SIGTERM, kills, and two at once."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import vecindex
from vecindex.errors import IndexLocked, IndexNotFound
from vecindex.index.adding.encode_ahead import RECORDS_A_READ
from vecindex.store.writer import Writer

from ..support.commands import run, write
from ..support.extent import slow

MANY = RECORDS_A_READ + 1000

pytestmark = pytest.mark.usefixtures("here", "encoder")


# A process started in the background of a shell ignores Ctrl-C, and so would its children.
START = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
SHELL = [sys.executable, "-c", f"{START}; from vecindex.cli import main; main(prog_name='vecindex')"]


@pytest.fixture
def many() -> str:
    """A file of several commits."""
    return write("many.txt", "".join(f"sentence {i}\n" for i in range(MANY)))


def interrupted_after_a_commit(number: int, path: str) -> tuple[int, str]:
    """Exit status and standard error of an ``add`` that is sent a signal after its first commit."""
    process = subprocess.Popen([*SHELL, "add", path], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while count() == 0:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=600)
    return process.returncode, err


def count() -> int:
    try:
        with vecindex.open(".vecindex", create=False) as index:
            return len(index)
    except IndexNotFound:
        return 0


def whole_commits_are_there(kept: int) -> None:
    assert 0 < kept < MANY
    assert run("verify") == (0, f"{kept:,} records, {kept:,} rows: sound\n", "")


def rest_is_added(kept: int, path: str) -> None:
    every = MANY
    expected = f"{every - kept} added, 0 updated, {kept} unchanged; .vecindex holds {every:,} records.\n"
    code, out, err = run("add", path)
    assert (code, out, err) == (0, "", expected)
    assert run("verify") == (0, f"{every:,} records, {every:,} rows: sound\n", "")


@pytest.mark.parametrize("again", [False, slow(True)])
def test_ctrl_c_keeps_whole_commits_and_running_again_adds_the_rest(many: str, again: bool) -> None:
    code, err = interrupted_after_a_commit(signal.SIGINT, many)
    kept = count()
    assert err == (f"Interrupted: {kept:,} records of this run committed to .vecindex; run it again to add the rest.\n")
    assert code == 130
    whole_commits_are_there(kept)
    if again:
        rest_is_added(kept, many)


def test_sigterm_tells_what_was_committed_as_ctrl_c_does(many: str) -> None:
    code, err = interrupted_after_a_commit(signal.SIGTERM, many)
    kept = count()
    assert err == f"Terminated: {kept:,} records of this run committed to .vecindex; run it again to add the rest.\n"
    assert code == 143
    whole_commits_are_there(kept)


@pytest.mark.parametrize("again", [False, slow(True)])
def test_a_kill_keeps_whole_commits_and_running_again_adds_the_rest(many: str, again: bool) -> None:
    assert interrupted_after_a_commit(signal.SIGKILL, many) == (-signal.SIGKILL, "")
    whole_commits_are_there(count())
    if again:
        rest_is_added(count(), many)


def test_two_adds_at_once_both_succeed() -> None:
    write("a.txt", "".join(f"sentence {i}\n" for i in range(300)))
    write("b.txt", "".join(f"sentence {i}\n" for i in range(200, 500)))
    processes = [
        subprocess.Popen([*SHELL, "add", path], stderr=subprocess.PIPE, text=True) for path in ("a.txt", "b.txt")
    ]
    errs = [process.communicate(timeout=600)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errs
    reports = [
        re.fullmatch(r"(\d+) added, 0 updated, (\d+) unchanged; \.vecindex holds \d+ records\.\n", e) for e in errs
    ]
    numbers = [tuple(map(int, report.groups())) for report in reports if report]
    assert [a + unchanged for a, unchanged in numbers] == [300, 300]
    assert sum(a for a, _ in numbers) == 500
    assert run("verify") == (0, "500 records, 500 rows: sound\n", "")


def test_what_was_committed_is_said_when_another_writer_holds_the_lock(
    many: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Writer.add

    def locked_after_the_first(self: Writer, *arguments: Any, **named: Any) -> Any:
        report = real(self, *arguments, **named)
        monkeypatch.setattr(Writer, "add", refuse)
        return report

    def refuse(self: Writer, *arguments: Any, **named: Any) -> Any:
        raise IndexLocked(".vecindex", 7, "there", 10.0)

    monkeypatch.setattr(Writer, "add", locked_after_the_first)
    status, out, err = run("add", many)
    assert (status, out) == (1, "")
    kept = count()
    assert 0 < kept < MANY
    assert err.splitlines()[:2] == [
        f"Stopped: {kept:,} records of this run committed to .vecindex; run it again to add the rest.",
        "Error: .vecindex is being written by process 7 on there; waited 10.0 s",
    ]
