"""Reads a text file with one sentence a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from ...errors import SourceError
from ...values.records import Origin, Record
from ...values.texts import checked_text
from ..documents import EmptyText
from ..origin import Source
from .by_line import rows


def read(source: Source, stream: IO[bytes]) -> Iterator[Record | EmptyText | SourceError]:
    """A record for every line that is not blank."""
    return rows(source, stream, _record)


def _record(line: str, origin: Origin) -> Record:
    return Record(checked_text(line), origin=origin)
