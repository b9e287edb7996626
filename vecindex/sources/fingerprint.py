"""Tells cheaply whether a file is still the one that was read: by its size and time, and by the digest of its bytes.

An SQLite database is its file and its log (``-wal``) together.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO

from .opening.chunks import CHUNK, Chunks
from .opening.files import unreadable

_CHUNK = 2**18
_SETTLED_NS = 2 * 10**9
"""The coarsest time stamps of file systems in use (FAT) are two seconds apart."""


@dataclass(frozen=True, slots=True)
class FileState:
    """A file's size in bytes, and when its content was last changed, in nanoseconds since 1970."""

    size: int
    mtime_ns: int

    def is_settled(self, at_ns: int) -> bool:
        """Whether a change after ``at_ns``, when this state was seen, is sure to give another state.

        A file that was changed just before it was seen may be changed again within the same tick of the clock and keep
        its size. Such a file's digest has to be compared next time, although its state is the same.
        """
        return self.mtime_ns + _SETTLED_NS <= at_ns


def state_of(path: str | os.PathLike[str]) -> FileState:
    """The state of the file at ``path``, through symbolic links, without opening it; raises SourceError."""
    try:
        found = os.stat(path)
    except OSError as error:
        raise unreadable(os.fspath(path), None, error) from error
    return as_state(path, found)


def as_state(path: str | os.PathLike[str], found: os.stat_result) -> FileState:
    """The state of the file at ``path``, given what the system says of it."""
    state = FileState(found.st_size, found.st_mtime_ns)
    try:
        log = os.stat(_log(path))
    except (OSError, ValueError):
        return state
    return FileState(state.size + log.st_size, max(state.mtime_ns, log.st_mtime_ns))


def _log(path: str | os.PathLike[str]) -> str:
    """The log of an SQLite database, which has what is committed and not yet in the file itself."""
    return f"{os.fspath(path)}-wal"


def digest_of(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of the file's bytes, in hexadecimal, in bounded memory; raises SourceError.

    To record a file's state with its digest, take the state first: if the file changes in between, it then differs
    from the recorded state and is read again.
    """
    log = _log(path)
    try:
        with ExitStack() as stack:
            files = [path, *([log] if os.path.exists(log) else [])]
            return digest_in([stack.enter_context(open(file, "rb", buffering=0)) for file in files])
    except OSError as error:
        raise unreadable(os.fspath(path), None, error) from error


def digest_in(streams: Iterable[IO[bytes]]) -> str:
    """The SHA-256 of all that these streams hold, in hexadecimal, in bounded memory."""
    digest = hashlib.sha256()
    for stream in streams:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


class Hashed(Chunks):
    """The bytes of ``raw``, hashed as they are read."""

    def __init__(self, raw: IO[bytes], name: str) -> None:
        super().__init__()
        self._raw = raw
        self._name = name
        self._hash = hashlib.sha256()

    def _more(self) -> bytes | None:
        made = self._raw.read(CHUNK)
        self._hash.update(made)
        return made or None

    def tell(self) -> int:
        return self._raw.tell()

    def digest(self) -> str:
        """The SHA-256 of all bytes, in hexadecimal; reads those that are left. Raises SourceError."""
        try:
            while self._more() is not None:
                pass
        except OSError as error:
            raise unreadable(self._name, None, error) from error
        return self._hash.hexdigest()
