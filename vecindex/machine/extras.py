"""Maps the failed import of a package to the error that says what to install."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ..errors import MissingExtra
from .lacks import lack


@contextlib.contextmanager
def extra_errors(needed_for: str, extra: str = "") -> Iterator[None]:
    """Maps ImportError to `MissingExtra`, unless the system refused what the import needs, such as memory.

    Without ``extra`` the package is one that vecindex itself requires.
    """
    try:
        yield
    except ImportError as error:
        if lack(error):
            raise
        raise MissingExtra(extra, needed_for if extra else f"{needed_for} ({error})") from error
