"""Does ``vecindex selftest --crash`` find what was lost, say so, and leave nothing behind?"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import vecindex
from vecindex.cli.commands.selftest import selftest as command
from vecindex.errors import StorageError
from vecindex.index import crash_test as selftest


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_nothing_is_lost_and_nothing_is_left_behind(tmp_path: Path) -> None:
    result = run("--crash", "--runs", "4", "--folder", tmp_path)
    assert (result.exit_code, result.stderr) == (0, "")
    words = result.stdout.split()
    assert words[:4] == ["4", "runs,", "each", "killed;"]
    assert words[5:] == ["acknowledged", "changes,", "0", "lost"]
    assert int(words[4]) > 10
    assert list(tmp_path.iterdir()) == []


def test_what_is_lost_is_named_and_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = selftest._check

    def checked(path: Path, before: dict[str, int], lines: list[Any]) -> tuple[str | None, int, dict[str, int]]:
        if lines:
            with vecindex.open(path) as index:  # something that was acknowledged goes behind everyone's back
                index.add(["x"], keys=["x"], vectors=[[1.0] * selftest.DIMENSION])
        return real(path, before, lines)

    monkeypatch.setattr(selftest, "_check", checked)
    result = run("--crash", "--runs", "1", "--folder", tmp_path)
    assert result.exit_code == 1
    assert result.stdout.endswith("1 lost\n")
    assert result.stderr.startswith("run 1: the")
    assert list(tmp_path.iterdir()) == []


def test_every_way_of_losing_something_is_noticed(tmp_path: Path) -> None:
    lines = [{"put": {"a": 0, "b": 0}}, "returned", {"put": {"a": 1}}, "returned", {"delete": ["b"]}]
    records = {"a": 1, "b": 0}
    with vecindex.open(tmp_path / "i") as index:
        selftest._make(index, {"put": {"a": 0, "b": 0}})
        assert selftest._check(tmp_path / "i", {}, lines) == ("the record a is not what was written", 2, records)
        selftest._make(index, {"put": {"a": 1}})
        assert selftest._check(tmp_path / "i", {}, lines) == (None, 2, records)
        selftest._make(index, {"delete": ["b"]})
        assert selftest._check(tmp_path / "i", {}, lines) == (None, 2, {"a": 1})  # killed after the commit
        assert selftest._check(tmp_path / "i", {}, lines[:-1]) == ("the record b is lost", 2, records)
    vectors = tmp_path / "i" / "vectors-1.f32"
    vectors.write_bytes(vectors.read_bytes()[:-1])
    fault, _, _ = selftest._check(tmp_path / "i", {}, lines)
    assert fault is not None
    assert "vectors-1.f32 is damaged" in fault


def test_a_folder_that_cannot_be_written_to_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"missing/.* cannot be used: No such file or directory"):
        next(selftest.crash(tmp_path / "missing", 1, 0))


def test_a_process_that_ends_by_itself_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/true")
    with pytest.raises(StorageError, match="ended by itself: exit status 0"):
        next(selftest.crash(tmp_path, 1, 0))
    assert list(tmp_path.iterdir()) == []


def test_what_to_test_must_be_said() -> None:
    result = run()
    assert (result.exit_code, "Say what to test: --crash." in result.stderr) == (2, True)


def test_interrupted_it_removes_what_it_made(tmp_path: Path) -> None:
    code = "from vecindex.cli.commands.selftest import selftest; selftest()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "--crash", "--runs", "1000", "--folder", str(tmp_path)], stderr=subprocess.DEVNULL
    ) as process:
        for _ in waiting(60):
            if list(tmp_path.glob(".vecindex-selftest-*/0/vecindex.db")):
                break
        process.send_signal(signal.SIGINT)
        assert process.wait(60) != 0
    assert list(tmp_path.iterdir()) == []


def waiting(seconds: float) -> Iterator[None]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(0.01)
    raise AssertionError("waited in vain")


def test_the_child_stops_when_nobody_listens(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "vecindex.index.crash_test"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b'{"path": "%s", "records": {}, "seed": 1, "step": 0}\n' % bytes(tmp_path / "i"))
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) == 0
