"""Maps the failed import of a package to the error that says what to install."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ..errors import MissingExtra
from .lacks import lack, said


@contextlib.contextmanager
def extra_errors(needed_for: str, extra: str = "") -> Iterator[None]:
    """Maps ImportError to `MissingExtra`, or to `said` if the system refused what the import needs, such as memory.

    Without ``extra`` the package is one that vecindex itself requires.
    """
    try:
        yield
    except ImportError as error:
        if reason := lack(error):
            raise said(error, f"the packages for {needed_for} were imported", reason) from error
        raise MissingExtra(extra, needed_for if extra else f"{needed_for} ({error})") from error
