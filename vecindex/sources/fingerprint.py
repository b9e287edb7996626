"""Tells cheaply whether a file is still the one that was read: by its size and time, and by the digest of its bytes."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

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
    return FileState(found.st_size, found.st_mtime_ns)


def digest_of(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of the file's bytes, in hexadecimal, in bounded memory; raises SourceError.

    To record a file's state with its digest, take the state first: if the file changes in between, it then differs
    from the recorded state and is read again.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb", buffering=0) as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise unreadable(os.fspath(path), None, error) from error
    return digest.hexdigest()
