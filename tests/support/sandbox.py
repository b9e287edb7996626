"""Notices whether a call touches what it was not given: other files, the network, other programs.

``Victim`` is a tree of such files. Use it like this::

    def test_a_link_in_place_of_the_config_is_refused(tmp_path):
        victim = Victim(tmp_path / "victim")
        plant(model / "config.json", "link", victim)          # or one of `KINDS`
        with watched(victim, seconds=5):
            outcome = run("search", "one", "--index", str(index))   # a command, in this process
        assert outcome.exit_code == 1 and "config.json" in outcome.stderr

Leaving ``watched`` raises AssertionError if the victim's tree has changed (names, inodes, modes, times, contents), if a
file of it was opened, even for reading (inotify sees calls inside SQLite and FAISS too), if a socket was used or a
program started, or if the block took longer than ``seconds``, as when something waits for a FIFO. `run` raises it if a
command ends with an exception that is not ours. Reading through a hard link outside the tree is not noticed.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import faulthandler
import hashlib
import os
import signal
import socket
import struct
import sys
import tempfile
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from click.testing import CliRunner

from vecindex.cli import main

_ON_THE_NETWORK = ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo")
_PROGRAMS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn")
_CODE = ("pickle.find_class", "sqlite3.enable_load_extension", "sqlite3.load_extension", "ctypes.dlopen")
_IN_OPEN = 0x20
_IN_CHANGED = 0x2 | 0x4 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400  # content, mode, moved, made, removed
_IN_CLOEXEC, _IN_NONBLOCK, _IN_ISDIR = 0x80000, 0x800, 0x40000000
_HANGS = 60.0


@contextlib.contextmanager
def quick_folder(otherwise: Path) -> Iterator[Path]:
    """A folder in memory, if the system has a place for it, for tests that are not about durability."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield otherwise
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


class Victim:
    """Files that nobody may touch, in ``root``, which is created."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "folder" / "within").mkdir(parents=True)
        self.file = root / "notes.txt"
        self.folder = root / "folder"
        self.file.write_text("what somebody wrote\n" * 40)
        (root / "folder" / "more.txt").write_text("more of it\n")
        (root / "folder" / "within" / "deep.txt").write_text("and more\n")
        self.absent = root / "absent.txt"
        self.before = self.state()
        self.opens = _Opens(root)

    def state(self) -> dict[str, tuple[object, ...]]:
        """Everything that must not change, by path."""
        found: dict[str, tuple[object, ...]] = {}
        for path in [self.root, *sorted(self.root.rglob("*"))]:
            stat = path.lstat()
            content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
            what = (stat.st_dev, stat.st_ino, stat.st_mode, stat.st_uid, stat.st_gid, stat.st_mtime_ns, content)
            found[str(path.relative_to(self.root))] = what
        return found


# --- what may lie in place of a file


def _link(path: Path, victim: Victim) -> None:
    path.symlink_to(victim.file)


def _socket(path: Path, victim: Victim) -> None:
    before = Path.cwd()
    os.chdir(path.parent)  # a socket's name has at most 107 bytes
    try:
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as made:
            made.bind(path.name)
    finally:
        os.chdir(before)


KINDS: dict[str, Callable[[Path, Victim], object]] = {
    "link": _link,
    "link to a folder": lambda path, victim: path.symlink_to(victim.folder),
    "link to nothing": lambda path, victim: path.symlink_to(victim.absent),
    "relative link": lambda path, victim: path.symlink_to(os.path.relpath(victim.file, path.parent)),
    "hard link": lambda path, victim: path.hardlink_to(victim.file),
    "FIFO": lambda path, victim: os.mkfifo(path),
    "socket": _socket,
    "folder": lambda path, victim: path.mkdir(),
    "empty": lambda path, victim: path.write_bytes(b""),
    "noise": lambda path, victim: path.write_bytes(Random(1).randbytes(5000)),
    "huge": lambda path, victim: os.truncate(_made(path), 2**40),
}
"""Makes each kind at a path; the huge file takes no space."""


def plant(path: Path, kind: str, victim: Victim) -> None:
    """Makes one of `KINDS` in place of what is at ``path``; creates missing folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(path):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()
    KINDS[kind](path, victim)


def _made(path: Path) -> Path:
    path.write_bytes(b"")
    return path


# --- the watch


@contextlib.contextmanager
def watched(victim: Victim, seconds: float = 10.0) -> Iterator[None]:
    """See above; only in the main thread, and not nested."""
    seen = _listen()
    victim.opens.names()
    with _time_limit(seconds):
        try:
            yield
        finally:
            _heard.clear()
            found = victim.opens.names()
    assert found == [], f"opened or changed: {found}"
    assert seen == [], f"done: {seen}"
    now = victim.state()
    changed = [name for name in now.keys() | victim.before if now.get(name) != victim.before.get(name)]
    assert changed == [], f"changed: {sorted(changed)}"


_heard: list[list[str]] = []
_hooked = threading.Event()


def _listen() -> list[str]:
    """The forbidden events of this process from now on."""
    if not _hooked.is_set():
        sys.addaudithook(_hear)  # for good, since Python cannot remove it
        _hooked.set()
    _heard[:] = [[]]
    return _heard[0]


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if not _heard or not event.startswith(("socket.", "subprocess.", "os.", "pty.", "pickle.", "sqlite3.")):
        return
    if event.startswith(_ON_THE_NETWORK) or event.startswith(_PROGRAMS) or event in _CODE:
        if event.startswith("socket.") and len(arguments) > 1 and getattr(arguments[0], "family", 0) == socket.AF_UNIX:
            return  # within this machine, such as a pipe of asyncio
        _heard[0].append(f"{event} {arguments[1:]!r:.200}")


class _Opens:
    """The files of a tree that are opened or changed, as the kernel reports."""

    def __init__(self, root: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init1(_IN_CLOEXEC | _IN_NONBLOCK)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify is not available")
        weakref.finalize(self, os.close, self._descriptor)
        self._paths = {}
        for path in [root, *root.rglob("*")]:
            if path.is_dir() and not path.is_symlink():
                watch = libc.inotify_add_watch(self._descriptor, os.fsencode(path), _IN_OPEN | _IN_CHANGED)
                self._paths[watch] = path

    def names(self) -> list[str]:
        """What was opened or changed since the last call."""
        found, content = [], b""
        while True:
            try:
                content += os.read(self._descriptor, 65536)
            except OSError as error:
                if error.errno == errno.EAGAIN:
                    break
                raise
        at = 0
        while at < len(content):
            watch, mask, _, size = struct.unpack_from("iIII", content, at)
            name = content[at + 16 : at + 16 + size].rstrip(b"\0").decode()
            at += 16 + size
            if not (mask & _IN_OPEN and mask & _IN_ISDIR):
                found.append(f"{self._paths[watch] / name} ({mask:#x})")
        return found


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    def over(number: int, frame: object) -> None:
        raise AssertionError(f"not finished after {seconds} s:\n{''.join(traceback.format_stack(limit=6))}")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    faulthandler.dump_traceback_later(seconds + _HANGS, exit=True)  # if the signal's handler is never reached
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        faulthandler.cancel_dump_traceback_later()


# --- commands


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended."""

    exit_code: int
    stdout: str
    stderr: str


def run(*arguments: str, input: str | bytes | None = None) -> Outcome:
    """Runs a command in this process; raises AssertionError if it ends with an exception that is not ours."""
    result = CliRunner().invoke(main, arguments, input=input)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        told = "".join(traceback.format_exception(result.exception))
        raise AssertionError(f"vecindex {' '.join(arguments)}: {told}")
    assert result.exit_code in (0, 1, 2), result.output
    assert "Traceback" not in result.output, result.output
    return Outcome(result.exit_code, result.stdout, result.stderr)
