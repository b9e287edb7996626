"""How do bytes become durable: writing, publishing and locking files, with their errors mapped."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from ..errors import IndexLocked, StorageError

LOCK_FILE = "writer.lock"
TEMPORARY_PREFIX = ".creating-"
_POLL_SECONDS = 0.01


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Maps what the operating system refuses to `StorageError`."""
    try:
        yield
    except OSError as error:
        raise StorageError(str(error.filename or path), error.strerror or str(error)) from error


def write_at(path: Path, offset: int, data: memoryview) -> None:
    """Writes ``data`` at ``offset``, cuts the file behind it and makes it durable; makes the file if need be."""
    with storage_errors(path):
        # A first writer that was killed may have left the file without its name being durable.
        name_may_be_lost = offset == 0 or not path.exists()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(descriptor, data[written:], offset + written)
            os.ftruncate(descriptor, offset + len(data))
            os.fsync(descriptor)
        except OSError:
            with contextlib.suppress(OSError):  # a full disk gets back what did not fit
                os.ftruncate(descriptor, offset)
            raise
        finally:
            os.close(descriptor)
        if name_may_be_lost:
            sync(path.parent)


def folder_bytes(folder: Path) -> int:
    """The bytes of the files in a folder, while files may come and go in it."""
    total = 0
    with storage_errors(folder), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                total += entry.stat().st_size
    return total


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Makes a file that appears at ``path`` whole or not at all, its folders too; yields a temporary one to fill.

    If another process makes ``path`` meanwhile, that one stays and this one is thrown away.
    """
    with storage_errors(path):
        is_new = not path.parent.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}")
        try:
            yield temporary
            sync(temporary)
            try:
                os.link(temporary, path)  # unlike a rename, this never replaces a file
            except FileExistsError:
                pass
            except OSError:  # a file system without links
                if not path.exists():
                    temporary.rename(path)
            sync(path.parent)
            sync(path.parent.parent)
        finally:
            for left in path.parent.glob(f"{temporary.name}*"):
                left.unlink(missing_ok=True)
            if is_new and not path.exists():
                with contextlib.suppress(OSError):  # somebody else's files are in it by now
                    path.parent.rmdir()


def sync(path: Path) -> None:
    """Makes a file's content durable, or the names in a folder: what was created, renamed or removed there."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class WriterLock:
    """The one writer's lock: held by the operating system, so that a crash releases it.

    The file holds the holder's process id and host for the error message of those who wait in vain.
    """

    def __init__(self, folder: Path, timeout: float) -> None:
        """``timeout`` is how many seconds to wait for another writer."""
        self._path = folder / LOCK_FILE
        self._timeout = timeout
        self._descriptor = -1

    def __enter__(self) -> None:
        with storage_errors(self._path):
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                self._wait()
                os.ftruncate(self._descriptor, 0)
                os.pwrite(self._descriptor, f"{os.getpid()}\n{socket.gethostname()}\n".encode(), 0)
            except BaseException:
                os.close(self._descriptor)
                raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            with contextlib.suppress(OSError):  # it is only a note
                os.ftruncate(self._descriptor, 0)
        finally:
            os.close(self._descriptor)

    def _wait(self) -> None:
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise IndexLocked(str(self._path.parent), *self._holder(), self._timeout) from None
                time.sleep(_POLL_SECONDS)

    def _holder(self) -> tuple[int | None, str | None]:
        lines = os.pread(self._descriptor, 1024, 0).decode(errors="replace").splitlines()
        if len(lines) == 2 and lines[0].isdigit():
            return int(lines[0]), lines[1]
        return None, None  # it has the lock and has not written yet
