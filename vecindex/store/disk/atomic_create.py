"""Makes a new file or folder appear at its path whole and durable, or not at all; never replaces what is there.

It is made in a folder ``.creating-NAME-<16 hex digits>`` beside its path, with a lock that a crash releases.

1. Killed while it is made: that folder stays and nothing is at NAME; the next attempt at NAME removes the folder.
2. Two processes make the same NAME: each has its own folder, and the second is refused.
3. Power lost afterwards: the content was synced before it got its name, and the name after that.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from ...errors import InvalidInput, VecindexError
from ...values.paths import expanded
from .files import TEMPORARY_PREFIX, create, is_ours, make_folder, names, remove_tree, storage_errors
from .lock import LOCK_FILE, WriterLock
from .system_calls import disk

_BUFFER = 2**20


@contextlib.contextmanager
def fresh_folder(path: Path, like: Path, exactly: bool = False) -> Iterator[Path]:
    """Makes a folder that appears at ``path`` once the block is done; yields a temporary one to fill with files.

    Its permissions are those of the folder ``like``; see `files.create`. Every file in it must be durable when the
    block ends; `written` makes such files. If the block raises, nothing is left.

    Raises:
        InvalidInput: there is something other than an empty folder at ``path``, or no folder to make it in.
        StorageError: the file system refuses it.
    """
    with _workshop(path) as folder:
        inside = folder / path.name
        make_folder(inside, like, exactly)
        yield inside
        disk().sync(inside)
        _refuse_taken(path)  # another process may have been faster
        disk().rename(inside, path)
        disk().sync(path.parent)


@contextlib.contextmanager
def fresh_file(path: Path) -> Iterator[Path]:
    """Like `fresh_folder`, for one file: yields the temporary path to write it to, durably."""
    with _workshop(path) as folder:
        inside = folder / path.name
        yield inside
        try:
            disk().link(inside, path)  # unlike a rename, this never replaces a file
        except FileExistsError:
            _refuse_taken(path)
        except OSError:  # a file system without links
            _refuse_taken(path)
            disk().rename(inside, path)
        disk().sync(path.parent)


@contextlib.contextmanager
def written(path: Path, like: Path, exactly: bool = False) -> Iterator[BinaryIO]:
    """A new file to write from first byte to last, durable when the block is done.

    Its permissions are those of the file ``like``; see `files.create`.
    """
    raw = _Raw(create(path, like, exactly))
    with io.BufferedWriter(raw, _BUFFER) as stream:
        yield cast(BinaryIO, stream)
    disk().sync(path)


def resolved(path: str | os.PathLike[str], what: str = "a path", advice: str = "Name a file or a directory.") -> Path:
    """The absolute path, so that a later change of the working directory has no effect; raises InvalidInput."""
    try:
        if not os.fspath(path):
            raise ValueError("it is empty")
        return Path(expanded(path)).resolve()
    except InvalidInput:
        raise  # a ValueError too
    except (OSError, ValueError, TypeError) as error:
        raise InvalidInput(f"{path!r} cannot be {what}: {error}", advice) from None


class _Raw(io.RawIOBase):
    """A file that is written by `disk`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._offset = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._offset

    def write(self, data: Any, /) -> int:
        done = disk().write(self._descriptor, memoryview(data).cast("B"), self._offset)
        self._offset += done
        return done

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


@contextlib.contextmanager
def _workshop(path: Path) -> Iterator[Path]:
    """A folder beside ``path`` for this process alone; it is removed at the end, with everything still in it."""
    with storage_errors(path):
        check_free(path)
        _remove_abandoned(path)
        folder = path.with_name(f"{TEMPORARY_PREFIX}{path.name}-{secrets.token_hex(8)}")
        disk().make_folder(folder, 0o700)
        try:
            with WriterLock(folder, 0):
                yield folder
        finally:
            remove_tree(folder, last=LOCK_FILE)


def check_free(path: Path) -> None:
    """Raises InvalidInput if nothing can be made at ``path``: there is something, or no folder to make it in."""
    _refuse_taken(path)
    if not path.parent.is_dir():
        raise InvalidInput(f"there is no folder {path.parent}", f"Create it first: mkdir -p {path.parent}")


def _refuse_taken(path: Path) -> None:
    if not os.path.lexists(path) or (path.is_dir() and not any(path.iterdir())):
        return
    what = "is a folder that is not empty" if path.is_dir() else "already exists"
    raise InvalidInput(f"{path} {what}", "Name a path that does not exist, or remove it first.")


def _remove_abandoned(path: Path) -> None:
    """Removes what killed processes left of their attempts to make ``path``."""
    made = re.compile(re.escape(f"{TEMPORARY_PREFIX}{path.name}-") + "[0-9a-f]{16}")
    for name in names(path.parent):
        folder = path.with_name(name)
        if made.fullmatch(name) and is_ours(folder):
            with contextlib.suppress(VecindexError), WriterLock(folder, 0):  # unless a process is at work in it
                remove_tree(folder, last=LOCK_FILE)
