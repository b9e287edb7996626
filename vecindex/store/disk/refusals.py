"""Maps what the operating system or SQLite refuses to `StorageError`, with advice that fits the reason."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from ...errors import Advice, StorageError
from .system_calls import within

_UNHARMED = "earlier commits are safe."
_DESCRIPTORS = Advice(
    f"Close files that you no longer need, or raise the limit of open files (resource.RLIMIT_NOFILE); {_UNHARMED}",
    typed=f"Raise the limit of open files (ulimit -n); {_UNHARMED}",
)
_READ_ONLY = (
    f"The file system is mounted read-only: mount it for writing, or use a copy of the index elsewhere; {_UNHARMED}"
)
_SPACE = f"Free some space on the disk, or raise the quota; {_UNHARMED}"
_PERMISSIONS = f"Check the permissions of the file and of the folders that hold it; {_UNHARMED}"
_ADVICE = {
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), _DESCRIPTORS),
    errno.EROFS: _READ_ONLY,
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), _SPACE),
    **dict.fromkeys((errno.EACCES, errno.EPERM), _PERMISSIONS),
    errno.ENAMETOOLONG: "Choose a shorter name.",
}
_SQLITE_ADVICE = {
    "database or disk is full": _SPACE,
    "attempt to write a readonly database": f"Check the permissions, and whether the disk is read-only; {_UNHARMED}",
}
_CANNOT_OPEN = "unable to open database file"
_FILES = 4  # that a connection opens: the database, its log, the shared memory and the folder


def refused(path: Path | str, error: OSError) -> StorageError:
    """The error for what the operating system refused at ``path``, or at the file that ``error`` names."""
    named = error.filename  # a name relative to an opened folder says too little
    found = named if isinstance(named, str) and os.path.isabs(named) else str(path)
    return StorageError(found, error.strerror or str(error), _ADVICE.get(error.errno or 0))


def refused_by_sqlite(path: Path, error: Exception, advice: str | None = None) -> StorageError:
    """The error for what SQLite refused on the database at ``path``, with ``advice`` if there is nothing better."""
    reason = str(error)
    if reason == _CANNOT_OPEN:  # it does not say why
        try:
            with contextlib.ExitStack() as opened:
                for _ in range(_FILES):  # the folder, since closing the file would end SQLite's locks on it
                    opened.enter_context(within(path.parent))
        except OSError as cause:
            return StorageError(str(path), f"{reason}: {cause.strerror}", _ADVICE.get(cause.errno or 0, advice))
    return StorageError(str(path), reason, _SQLITE_ADVICE.get(reason, advice))
