"""Reads the rows and texts of files in many formats, one after another.

::

    with source("notes.jsonl", read_options(key_column="id")) as notes:
        for record in read(notes):
            ...
    for found in sources_in(["docs", "films.csv.gz"], exclude=["drafts/"]):
        for record in read(found):
            ...
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .formats import Format as Format
    from .options import read_options as read_options
    from .origin import Source as Source
    from .origin import source as source
    from .split.read import read as read
    from .walk import sources_in as sources_in

_HOMES = {
    **{"Format": "formats", "read_options": "options", "Source": "origin", "source": "origin"},
    **{"read": "split.read", "sources_in": "walk"},
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """Imports a name when it is first used, since a search needs none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    return value
