"""Reads the records of txt, jsonl, csv and tsv files, a row at a time.

::

    with source("notes.jsonl", key_column="id") as notes:
        for record in read(notes):
            ...
"""

from __future__ import annotations

from .formats import Format
from .origin import Source, source
from .reading import read

__all__ = ["Format", "Source", "read", "source"]
