"""Reads, writes and removes the files of an index, and maps the operating system's errors to ours.

Every file inside an index is opened here or in `system_calls`, which says why.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ...errors import CorruptIndex, OutOfMemory, StorageError
from .refusals import refused
from .system_calls import Irregular, disk, regular, within

DATABASE_FILE = "vecindex.db"
TEMPORARY_PREFIX = ".creating-"
TEMPORARY = re.compile(re.escape(TEMPORARY_PREFIX) + "[0-9a-f]{16}(-journal|-wal|-shm)?")
"""The names of unfinished files, and of SQLite's files beside them."""
_OTHER_NAMES = "it has other names (hard links), and writing to it would change them too"
_SEPARATE = "Copy the folder of the index (cp -R) and use the copy, or remove the other links."
_LEVELS = 16
"""How deep a folder may be nested to be removed; what is made here is not half as deep."""


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Maps an OSError to `StorageError` or `OutOfMemory`, or `CorruptIndex` if there is no regular file or folder."""
    try:
        yield
    except Irregular as error:
        raise CorruptIndex(error.filename, str(error.strerror)) from None
    except OSError as error:
        if error.errno == errno.ENOMEM:
            raise OutOfMemory(f"{error.filename or path} was used") from error
        raise refused(path, error) from error


# --- reading


def is_file(path: Path) -> bool:
    """Whether there is a regular file at ``path``; also False if that cannot be found out."""
    return _is(path, stat.S_ISREG)


def is_folder(path: Path) -> bool:
    """Whether there is a folder, not a link, at ``path``; also False if that cannot be found out."""
    return _is(path, stat.S_ISDIR)


def _is(path: Path, kind: Callable[[int], bool]) -> bool:
    try:
        return kind(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False


def check_folder(path: Path) -> bool:
    """Whether there is a folder at ``path``; raises CorruptIndex if there is something else, such as a link."""
    with storage_errors(path):
        try:
            with within(path):
                return True
        except FileNotFoundError:
            return False


def names(folder: Path) -> list[str]:
    """The names in a folder, sorted; raises StorageError, or CorruptIndex if it is not a folder."""
    with storage_errors(folder), within(folder) as opened:
        descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=opened)
        try:
            return sorted(os.listdir(descriptor))
        finally:
            os.close(descriptor)


def beginning(path: Path, size: int) -> bytes:
    """Up to ``size`` bytes of a file; raises OSError."""
    descriptor = regular(path, os.O_RDONLY)
    try:
        return os.pread(descriptor, size, 0)
    finally:
        os.close(descriptor)


def mapped(path: Path, size: int = 0, at_most: int | None = None) -> mmap.mmap:
    """The first ``size`` bytes of a file, or all of it, mapped for reading.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is empty, holds fewer bytes, or holds more than ``at_most``.
    """
    descriptor = regular(path, os.O_RDONLY)
    try:
        found = os.fstat(descriptor).st_size
        if found < size:
            raise ValueError(f"it holds {found} bytes")
        if at_most is not None and found > at_most:
            raise ValueError(f"it holds {found} bytes, more than the {at_most} that are plausible")
        return mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
    finally:
        os.close(descriptor)


def check_database(path: Path) -> bool:
    """Whether there is a database at ``path``; checks it and the files beside it before SQLite opens them by name.

    A journal can name another file, which SQLite then removes. An index has a log and never a journal.

    Raises:
        CorruptIndex: one of these files is not a regular file, or there is a journal.
        StorageError: they cannot be examined, or a file that SQLite writes to has other names (hard links).
    """
    if not path.parent.is_dir():
        return False
    found: dict[str, os.stat_result] = {}
    with storage_errors(path), within(path.parent) as folder:
        for suffix in ("", "-journal", "-wal", "-shm"):
            beside = path.with_name(path.name + suffix)
            try:
                found[suffix] = os.lstat(beside.name, dir_fd=folder)
            except FileNotFoundError:
                continue
            if not stat.S_ISREG(found[suffix].st_mode):
                raise Irregular(beside, found[suffix].st_mode)
            if suffix == "-journal":
                raise CorruptIndex(str(beside), "an index has no such file, and SQLite would follow its instructions")
            if suffix and found[suffix].st_nlink > 1:  # readers write to these, too
                raise StorageError(str(beside), _OTHER_NAMES, _SEPARATE)
    if "-wal" in found and found["-wal"].st_size and "" in found and found[""].st_nlink > 1:
        raise StorageError(str(path), _OTHER_NAMES, _SEPARATE)  # closing moves the log into it
    return "" in found


def folder_bytes(folder: Path) -> int:
    """The bytes of all files in a folder and its subfolders, while files may come and go."""
    total, waiting = 0, [folder]
    while waiting:
        inside = waiting.pop()
        try:
            with os.scandir(inside) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(Path(entry.path))
                        else:
                            total += entry.stat(follow_symlinks=False).st_size
        except OSError as error:
            if inside == folder:  # a subfolder may have gone
                raise refused(folder, error) from error
    return total


# --- writing


def create(path: Path, like: Path | None = None, exactly: bool = True) -> int:
    """A descriptor to write to the file at ``path``, which is created if needed; raises OSError.

    A new file gets the mode of ``like``, or of the database beside it, less the umask. ``exactly``, for files of the
    index itself, ignores the umask, and root also gives the file to the owner of ``like``.
    """
    found = _stat(like or path.with_name(DATABASE_FILE))
    if found is None or os.path.lexists(path):
        return disk().open(path)
    descriptor = disk().open(path, stat.S_IMODE(found.st_mode) & 0o777)
    if exactly:
        _keep(descriptor, found)
    return descriptor


def make_folder(path: Path, like: Path, exactly: bool = True) -> None:
    """Makes a folder with the mode of the folder ``like``; see `create`. Raises OSError."""
    found = _stat(like)
    if found is None or os.path.lexists(path):
        disk().make_folder(path)
        return
    disk().make_folder(path, stat.S_IMODE(found.st_mode) & 0o777)
    if exactly:
        with within(path.parent) as parent:
            descriptor = os.open(path.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            _keep(descriptor, found)
        finally:
            os.close(descriptor)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None


def _keep(descriptor: int, found: os.stat_result) -> None:
    now = os.fstat(descriptor)
    with contextlib.suppress(OSError):  # a file system without owners or modes
        if os.geteuid() == 0 and (now.st_uid, now.st_gid) != (found.st_uid, found.st_gid):
            os.fchown(descriptor, found.st_uid, found.st_gid)
        if (now.st_mode ^ found.st_mode) & 0o777:
            os.fchmod(descriptor, stat.S_IMODE(found.st_mode) & 0o777)


def has_other_names(path: Path) -> bool:
    """Whether the file at ``path`` has several names (hard links), so that writing to it would change them all."""
    found = _stat(path)
    return found is not None and found.st_nlink > 1


def check_single(path: Path) -> None:
    """Raises StorageError if a file that is to be written has other names."""
    if has_other_names(path):
        raise StorageError(str(path), _OTHER_NAMES, _SEPARATE)


def write_at(path: Path, offset: int, data: memoryview) -> None:
    """Writes ``data`` at ``offset``, cuts the file behind it and makes it durable; creates the file if needed."""
    with storage_errors(path):
        # A killed first writer may have left the file before its name was durable.
        name_may_be_lost = offset == 0 or not path.exists()
        descriptor = create(path)
        try:
            _write_all(descriptor, data, offset)
            disk().cut(descriptor, offset + len(data))
            disk().sync(path)
        except OSError:
            with contextlib.suppress(OSError):  # free what did fit on a full disk
                disk().cut(descriptor, offset)
            raise
        finally:
            os.close(descriptor)
        if name_may_be_lost:
            disk().sync(path.parent)


def publish(path: Path, pieces: Iterable[memoryview], like: Path | None = None) -> None:
    """Writes a file that replaces ``path`` whole and durable, or not at all; ``like`` is as in `create`."""
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}")
    with storage_errors(path):
        try:
            descriptor = create(temporary, like)
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


@contextlib.contextmanager
def new_file(path: Path, like: Path | None = None) -> Iterator[Path]:
    """Makes a file that appears at ``path`` whole or not at all, and its folders; yields a temporary file to fill.

    If another process makes ``path`` meanwhile, that one stays and this one is discarded. With ``like``, the file and
    its folder get the modes of that file and its folder.
    """
    with storage_errors(path):
        is_new = not path.parent.exists()
        missing = [folder for folder in path.parents if not folder.exists()]
        if like is None:
            disk().make_folder(path.parent)
        else:
            make_folder(path.parent, like.parent)
        temporary = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}")
        try:
            if like is not None:
                os.close(create(temporary, like))
            yield temporary
            disk().sync(temporary)
            try:
                disk().link(temporary, path)  # unlike a rename, this never replaces a file
            except FileExistsError:
                pass
            except OSError:  # a file system without links
                if not os.path.lexists(path):
                    disk().rename(temporary, path)
            disk().sync(path.parent)
            for folder in missing or [path.parent]:
                disk().sync(folder.parent)
        finally:
            for left in path.parent.glob(f"{temporary.name}*"):
                with contextlib.suppress(FileNotFoundError):
                    disk().remove(left)
            if is_new and not path.exists():
                with contextlib.suppress(OSError):  # another process has put files into it
                    disk().remove_folder(path.parent)


def _write_all(descriptor: int, data: memoryview, offset: int) -> None:
    written = 0
    while written < len(data):
        written += disk().write(descriptor, data[written:], offset + written)


# --- removing


def remove_files(paths: Iterable[Path]) -> None:
    """Removes files that nobody needs; the next writer tries again if one cannot be removed."""
    for path in paths:
        with contextlib.suppress(OSError):
            disk().remove(path)


def is_ours(path: Path) -> bool:
    """Whether ``path`` is a real folder of this process's user; for root also of the owner of the folder above it."""
    with contextlib.suppress(OSError), within(path.parent) as parent:
        return _is_ours(os.lstat(path.name, dir_fd=parent), os.fstat(parent))
    return False


def _is_ours(found: os.stat_result, parent: os.stat_result) -> bool:
    user = os.geteuid()
    owners = {user, parent.st_uid} if user == 0 else {user}
    return stat.S_ISDIR(found.st_mode) and found.st_uid in owners and found.st_dev == parent.st_dev


def remove_tree(path: Path, last: str | None = None) -> None:
    """Removes a folder and everything in it, as far as the file system allows, with the file ``last`` as the last.

    A link is removed and not followed. A folder of another user or on another file system is left.
    """
    with contextlib.suppress(OSError), within(path.parent) as parent:
        _remove(path, parent, last, _LEVELS)


def _remove(path: Path, parent: int, last: str | None, levels: int) -> None:
    if not stat.S_ISDIR(os.lstat(path.name, dir_fd=parent).st_mode):
        disk().remove(path, parent)
        return
    # Everything is named relative to this descriptor, so that what is removed is what was examined.
    descriptor = os.open(path.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        if levels == 0 or not _is_ours(os.fstat(descriptor), os.fstat(parent)):
            return
        for name in sorted(os.listdir(descriptor), key=lambda name: (name == last, name)):
            _remove(path / name, descriptor, last, levels - 1)
    finally:
        os.close(descriptor)
    disk().remove_folder(path, parent)
