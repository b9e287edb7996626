"""Makes every system call that changes a file, and every connection to SQLite, for the whole store.

Tests and ``vecindex selftest`` replace the `Disk`: by one that kills the process before a step, refuses a call, or
records what a power cut would leave.

An index may come from a stranger. So no call follows a symbolic link at the end of a path or in place of the folder
that holds it, and only regular files are opened: each call is made relative to an opened folder.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_SEARCH = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFREG: "a regular file",
}


class Irregular(OSError):
    """There is something at ``filename`` that an index never has there; ``strerror`` says what."""

    def __init__(self, path: Path, mode: int, wanted: str = "a regular file") -> None:
        super().__init__(None, f"it is {_KINDS.get(stat.S_IFMT(mode), 'a device')}, not {wanted}", str(path))


class Disk:
    """The system calls. They raise OSError. ``folder`` is a descriptor of the folder of ``path``, if it is open."""

    def open(self, path: Path, mode: int = 0o666) -> int:
        """A descriptor for reading and writing; creates the file if needed, with ``mode`` less the umask."""
        return regular(path, os.O_RDWR | os.O_CREAT, mode)

    def write(self, descriptor: int, data: memoryview, offset: int) -> int:
        """Writes some of ``data`` at ``offset``; returns how many bytes."""
        return os.pwrite(descriptor, data, offset)

    def cut(self, descriptor: int, size: int) -> None:
        """Makes the file ``size`` bytes long."""
        os.ftruncate(descriptor, size)

    def sync(self, path: Path) -> None:
        """Makes the content of a file durable, or the names in a folder."""
        with within(path.parent) as folder:
            descriptor = os.open(path.name or ".", os.O_RDONLY | _HARMLESS, dir_fd=folder)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def link(self, source: Path, path: Path) -> None:
        """Gives a file a second name, which must be free."""
        with within(source.parent) as before, within(path.parent) as after:
            os.link(source.name, path.name, src_dir_fd=before, dst_dir_fd=after, follow_symlinks=False)

    def rename(self, source: Path, path: Path) -> None:
        """Gives a file or folder another name, replacing the file that had it."""
        with within(source.parent) as before, within(path.parent) as after:
            os.replace(source.name, path.name, src_dir_fd=before, dst_dir_fd=after)

    def remove(self, path: Path, folder: int | None = None) -> None:
        """Removes a file, or a link, but never what the link leads to."""
        with within(path.parent, folder) as inside:
            os.unlink(path.name, dir_fd=inside)

    def make_folder(self, path: Path, mode: int = 0o777) -> None:
        """Makes a folder with ``mode`` less the umask, and missing ones above it."""
        path.mkdir(mode, parents=True, exist_ok=True)

    def remove_folder(self, path: Path, folder: int | None = None) -> None:
        """Removes an empty folder."""
        with within(path.parent, folder) as inside:
            os.rmdir(path.name, dir_fd=inside)

    def connect(self, database: str, **options: Any) -> sqlite3.Connection:
        """Connects to SQLite, which makes calls of its own."""
        connection: sqlite3.Connection = sqlite3.connect(database, **options)
        return connection


_HARMLESS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC  # no link, no waiting, no terminal of ours


@contextlib.contextmanager
def within(path: Path, opened: int | None = None) -> Iterator[int]:
    """A descriptor of the folder at ``path``, to name files in it relative to; ``opened`` if there is one already.

    Raises:
        Irregular: it is something else, such as a link to a folder.
        OSError: it is missing, or permission to search it is missing.
    """
    if opened is not None:
        yield opened
        return
    try:
        descriptor = os.open(path, _SEARCH)
    except OSError as error:
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISDIR(mode := os.lstat(path).st_mode):
                raise Irregular(path, mode, "a directory") from None
        raise error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def regular(path: Path, flags: int, mode: int = 0) -> int:
    """A descriptor of the regular file at ``path``, opened with ``flags``.

    Raises:
        Irregular: it is a link, a FIFO, or anything else but a regular file; it is not opened.
        OSError: as `os.open`.
    """
    with within(path.parent) as folder:
        with contextlib.suppress(FileNotFoundError):  # a device may do something when it is opened
            _refuse_irregular(path, os.lstat(path.name, dir_fd=folder))
        try:
            descriptor = os.open(path.name, flags | _HARMLESS, mode, dir_fd=folder)
        except OSError as error:
            error.filename = str(path)
            raise
    try:
        _refuse_irregular(path, os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _refuse_irregular(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise Irregular(path, found.st_mode)


_current = Disk()


def disk() -> Disk:
    """The disk of this process."""
    return _current


@contextlib.contextmanager
def replaced(other: Disk) -> Iterator[None]:
    """Replaces the disk by ``other`` for the whole process; for tests and the self-test."""
    global _current
    before, _current = _current, other
    try:
        yield
    finally:
        _current = before
