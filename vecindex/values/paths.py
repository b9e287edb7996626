"""Expands ``~`` in paths, which a shell does not do for Python callers and quoted arguments."""

from __future__ import annotations

import os

from ..errors import InvalidInput


def expanded(path: str | os.PathLike[str]) -> str:
    """The path, with a leading ``~`` or ``~NAME`` replaced by that user's home directory.

    An unknown NAME is left unchanged, as in a shell. Raises InvalidInput if the current user has no home directory;
    otherwise a folder named "~" would be created.
    """
    given = os.fspath(path)
    found = os.path.expanduser(given)
    if found == given and (given == "~" or given.startswith("~" + os.sep)):
        raise InvalidInput(
            f"{given!r} is in a home directory, but this user has none", "Set HOME, or pass the full path."
        )
    return found
