"""The one door to the disk: every call that changes a file, and every connection to SQLite, goes through it.

Tests and ``vecindex selftest`` put a `Disk` of their own in its place: one that ends the process before a step, that
refuses a call, or that writes down what a power cut would leave.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Disk:
    """What the operating system offers, under the names of what is done with it. Raises OSError."""

    def open(self, path: Path) -> int:
        """A descriptor for reading and writing; makes the file if need be."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def write(self, descriptor: int, data: memoryview, offset: int) -> int:
        """Writes some of ``data`` at ``offset``; how many bytes."""
        return os.pwrite(descriptor, data, offset)

    def cut(self, descriptor: int, size: int) -> None:
        """Makes the file ``size`` bytes long."""
        os.ftruncate(descriptor, size)

    def sync(self, path: Path) -> None:
        """Makes a file's content durable, or the names in a folder."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def link(self, source: Path, path: Path) -> None:
        """A second name, which must be free."""
        os.link(source, path)

    def rename(self, source: Path, path: Path) -> None:
        """Another name, in place of what had it."""
        os.replace(source, path)

    def remove(self, path: Path) -> None:
        os.unlink(path)

    def make_folder(self, path: Path) -> None:
        """Makes a folder and those above it, where they are missing."""
        path.mkdir(parents=True, exist_ok=True)

    def remove_folder(self, path: Path) -> None:
        path.rmdir()

    def connect(self, database: str, **options: Any) -> sqlite3.Connection:
        """A connection to SQLite, which does the rest by itself."""
        connection: sqlite3.Connection = sqlite3.connect(database, **options)
        return connection


_current = Disk()


def disk() -> Disk:
    """The disk of this process."""
    return _current


@contextlib.contextmanager
def replaced(other: Disk) -> Iterator[None]:
    """``other`` in place of the disk, for the whole process; for tests and self-tests."""
    global _current
    before, _current = _current, other
    try:
        yield
    finally:
        _current = before
