"""Which path does somebody mean: ``~`` is their home, also where no shell stood between to say so."""

from __future__ import annotations

import os

from ..errors import InvalidInput


def expanded(path: str | os.PathLike[str]) -> str:
    """The path, with a leading ``~`` or ``~NAME`` as the home of its user.

    A name that no user has stays as it is, as in a shell. Raises InvalidInput where ``~`` itself is nowhere, which must
    not become a folder of that name.
    """
    given = os.fspath(path)
    found = os.path.expanduser(given)
    if found == given and (given == "~" or given.startswith("~" + os.sep)):
        raise InvalidInput(f"{given!r} lies in a home directory, and this user has none", "Set HOME, or write it out.")
    return found
