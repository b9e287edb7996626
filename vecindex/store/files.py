"""How do bytes become durable: writing and publishing files, with their errors mapped."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..errors import OutOfMemory, StorageError
from .disk import disk

TEMPORARY_PREFIX = ".creating-"


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Maps what the operating system refuses to `StorageError`, or to `OutOfMemory`."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOMEM:
            raise OutOfMemory(f"{error.filename or path} was used") from error
        raise StorageError(str(error.filename or path), error.strerror or str(error)) from error


def write_at(path: Path, offset: int, data: memoryview) -> None:
    """Writes ``data`` at ``offset``, cuts the file behind it and makes it durable; makes the file if need be."""
    with storage_errors(path):
        # A first writer that was killed may have left the file without its name being durable.
        name_may_be_lost = offset == 0 or not path.exists()
        descriptor = disk().open(path)
        try:
            _write_all(descriptor, data, offset)
            disk().cut(descriptor, offset + len(data))
            disk().sync(path)
        except OSError:
            with contextlib.suppress(OSError):  # a full disk gets back what did not fit
                disk().cut(descriptor, offset)
            raise
        finally:
            os.close(descriptor)
        if name_may_be_lost:
            disk().sync(path.parent)


def publish(path: Path, pieces: Iterable[memoryview]) -> None:
    """Writes a file that appears at ``path`` whole and durable, or not at all, in place of what was there."""
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}")
    with storage_errors(path):
        try:
            descriptor = disk().open(temporary)
            try:
                offset = 0
                for piece in pieces:
                    _write_all(descriptor, piece, offset)
                    offset += len(piece)
            finally:
                os.close(descriptor)
            disk().sync(temporary)
            disk().rename(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                disk().remove(temporary)
            raise
        disk().sync(path.parent)


def remove_files(paths: Iterable[Path]) -> None:
    """Removes files that nobody needs; one that stays is met again by the next writer."""
    for path in paths:
        with contextlib.suppress(OSError):
            disk().remove(path)


def folder_bytes(folder: Path) -> int:
    """The bytes of the files in a folder, and in those within, while files may come and go."""
    total = 0
    with storage_errors(folder), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                if entry.is_dir(follow_symlinks=False):
                    with contextlib.suppress(StorageError):  # it went
                        total += folder_bytes(Path(entry.path))
                else:
                    total += entry.stat().st_size
    return total


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Makes a file that appears at ``path`` whole or not at all, its folders too; yields a temporary one to fill.

    If another process makes ``path`` meanwhile, that one stays and this one is thrown away.
    """
    with storage_errors(path):
        is_new = not path.parent.exists()
        missing = [folder for folder in path.parents if not folder.exists()]
        disk().make_folder(path.parent)
        temporary = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}")
        try:
            yield temporary
            disk().sync(temporary)
            try:
                disk().link(temporary, path)  # unlike a rename, this never replaces a file
            except FileExistsError:
                pass
            except OSError:  # a file system without links
                if not path.exists():
                    disk().rename(temporary, path)
            disk().sync(path.parent)
            for folder in missing or [path.parent]:
                disk().sync(folder.parent)
        finally:
            for left in path.parent.glob(f"{temporary.name}*"):
                with contextlib.suppress(FileNotFoundError):
                    disk().remove(left)
            if is_new and not path.exists():
                with contextlib.suppress(OSError):  # somebody else's files are in it by now
                    disk().remove_folder(path.parent)


def _write_all(descriptor: int, data: memoryview, offset: int) -> None:
    written = 0
    while written < len(data):
        written += disk().write(descriptor, data[written:], offset + written)
