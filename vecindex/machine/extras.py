"""Maps the failed import of an optional package to the error that says what to install."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ..errors import MissingExtra
from .lacks import lack


@contextlib.contextmanager
def extra_errors(extra: str, needed_for: str) -> Iterator[None]:
    """Maps ImportError to `MissingExtra`, unless the system refused what the import needs, such as memory."""
    try:
        yield
    except ImportError as error:
        if lack(error):
            raise
        raise MissingExtra(extra, needed_for) from error
