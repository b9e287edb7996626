"""Locks an index for its one writer; the operating system holds the lock, so a crash releases it.

The lock's file has a note of the last commit that a writer ended with and, while it is held, the holder and since when.

A fork inherits the descriptor and with it the lock, which stays held as long as either process has it open. So a lock
is released explicitly, not only closed, and a fork closes what it inherited at once: it holds nothing.

The library filelock would save one call of flock: the file must be opened by `system_calls`, holds the note, and names
the holder for `IndexLocked`. Nor would it make the store run on Windows, where files cannot be opened within a folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
import zlib
from pathlib import Path
from types import TracebackType

from ...errors import CorruptIndex, IndexLocked
from .files import beginning, check_single, create, storage_errors
from .system_calls import Irregular, disk

LOCK_FILE = "writer.lock"
MIGRATION_LOCK_FILE = "migrate.lock"
_POLL_SECONDS = 0.01
_MOST_BYTES = 1024


_held: set[WriterLock] = set()


class WriterLock:
    """Held inside a ``with`` by the process that entered it; a fork of that process does not hold it."""

    def __init__(self, folder: Path, timeout: float, name: str = LOCK_FILE) -> None:
        """``timeout`` is how many seconds to wait for another holder."""
        self._path = folder / name
        self._timeout = timeout
        self._descriptor = -1
        self._note = b""

    def __enter__(self) -> WriterLock:
        with storage_errors(self._path):
            self._descriptor = create(self._path)
            try:
                check_single(self._path)
                self._wait()
                self._note = _valid_note(os.pread(self._descriptor, _MOST_BYTES, 0))
                holder = f"{os.getpid()}\n{socket.gethostname()}\n{time.time():.0f}\n".encode()
                self._write(self._note + holder)
            except BaseException:
                os.close(self._descriptor)
                raise
        _held.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self not in _held:
            return  # a fork, which has released it
        _held.discard(self)
        try:
            with contextlib.suppress(OSError):
                self._write(self._note)
            with contextlib.suppress(OSError):
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        finally:
            os.close(self._descriptor)

    def note_commit(self, generation: int, created: str) -> None:
        """Notes the last commit, which must be durable, for `last_commit`."""
        self._note = _note(generation, created)

    def _write(self, content: bytes) -> None:
        # The length first: what others read in between is a note that was cut, or one without a holder.
        disk().cut(self._descriptor, len(content))
        if content:
            disk().write(self._descriptor, memoryview(content), 0)

    def _wait(self) -> None:
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    pid, host, age = self._holder()
                    doing = "migrated" if self._path.name == MIGRATION_LOCK_FILE else "written"
                    raise IndexLocked(str(self._path.parent), pid, host, self._timeout, age, doing) from None
                time.sleep(_POLL_SECONDS)

    def _holder(self) -> tuple[int | None, str | None, float | None]:
        """Process id, host, and for how many seconds it has held the lock."""
        content = os.pread(self._descriptor, _MOST_BYTES, 0)
        lines = content[len(_valid_note(content)) :].decode(errors="replace").splitlines()
        if len(lines) == 3 and _is_number(lines[0]) and _is_number(lines[2]):
            return int(lines[0]), lines[1], max(0.0, time.time() - int(lines[2]))
        return None, None, None  # it has not written them yet


def _release_in_a_fork() -> None:
    while _held:
        with contextlib.suppress(OSError):
            os.close(_held.pop()._descriptor)


os.register_at_fork(after_in_child=_release_in_a_fork)


def last_commit(folder: Path) -> tuple[int, str] | None:
    """The generation of the noted commit, and when the index was created; None if there is no valid note.

    If the database of that index is older, commits were lost: SQLite takes a damaged log to end at the damage.
    Raises CorruptIndex if the lock's file is not a regular file.
    """
    try:
        note = _valid_note(beginning(folder / LOCK_FILE, _MOST_BYTES))
    except Irregular as error:
        raise CorruptIndex(error.filename, str(error.strerror)) from None
    except OSError:
        return None
    if not note:
        return None
    _, generation, created, _ = note.decode().split()
    return int(generation), created


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _note(generation: int, created: str) -> bytes:
    said = f"committed {generation} {created}"
    return f"{said} {zlib.crc32(said.encode()):08x}\n".encode()


def _valid_note(content: bytes) -> bytes:
    """The note at the beginning of ``content``, or nothing if it is not whole."""
    words = content.partition(b"\n")[0].decode(errors="replace").split(" ")
    if len(words) != 4 or not _is_number(words[1]):
        return b""
    note = _note(int(words[1]), words[2])
    return note if content.startswith(note) else b""
