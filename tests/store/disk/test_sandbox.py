"""The watch in `tests.support.sandbox` notices what it should."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ...support.sandbox import KINDS, Victim, plant, run, watched


def _connect(victim: Victim) -> None:
    with socket.socket() as opened:
        opened.setblocking(False)
        opened.connect_ex(("127.0.0.1", 9))


def _by_sqlite(victim: Victim) -> None:
    link = victim.root.with_name("link.db")
    link.symlink_to(victim.file)
    connection = sqlite3.connect(link)
    try:
        with pytest.raises(sqlite3.DatabaseError):
            connection.execute("select 1 from sqlite_master")
    finally:
        connection.close()


TOUCHES: dict[str, Callable[[Victim], object]] = {
    "read": lambda victim: victim.file.read_text(),
    "read by SQLite": _by_sqlite,
    "written": lambda victim: victim.file.write_text("x"),
    "removed": lambda victim: (victim.folder / "more.txt").unlink(),
    "made": lambda victim: victim.absent.touch(),
    "mode": lambda victim: victim.file.chmod(0o600),
    "renamed": lambda victim: victim.file.rename(victim.absent),
    "time": lambda victim: os.utime(victim.file, (1, 1)),
    "connected": _connect,
    "name asked for": lambda victim: socket.getaddrinfo("localhost", 80),
    "program": lambda victim: subprocess.run([sys.executable, "-c", ""], check=True),
    "slow": lambda victim: time.sleep(1),
}


@pytest.mark.parametrize("touch", TOUCHES)
def test_touching_the_victim_is_noticed(tmp_path: Path, touch: str) -> None:
    victim = Victim(tmp_path / "victim")
    with pytest.raises(AssertionError, match=r"^(opened or changed|done|not finished)"), watched(victim, seconds=0.5):
        TOUCHES[touch](victim)


def test_not_touching_the_victim_passes(tmp_path: Path) -> None:
    victim = Victim(tmp_path / "victim")
    with watched(victim):
        (tmp_path / "x").write_text("x")
        (tmp_path / "link").symlink_to(victim.file)
        (tmp_path / "link").unlink()
        assert run("--help").exit_code == 0
        assert run("info", "--index", str(tmp_path / "none")).exit_code == 1


@pytest.mark.parametrize("kind", KINDS)
def test_everything_can_be_planted_twice(tmp_path: Path, kind: str) -> None:
    victim = Victim(tmp_path / "victim")
    for _ in range(2):
        plant(tmp_path / "a" / "b", kind, victim)
        assert os.path.lexists(tmp_path / "a" / "b")
    assert victim.state() == victim.before
