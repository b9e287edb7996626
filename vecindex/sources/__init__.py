"""Reads the rows and texts of files in many formats, one after another.

::

    with source("notes.jsonl", key_column="id") as notes:
        for record in read(notes):
            ...
    for found in sources_in(["docs", "films.csv.gz"], exclude=["drafts/"]):
        for record in read(found):
            ...
"""

from __future__ import annotations

from .formats import Format
from .origin import Source, source
from .reading import read
from .walk import sources_in

__all__ = ["Format", "Source", "read", "source", "sources_in"]
