"""Reads formats with one row a line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import IO

from ...errors import InvalidInput, SourceError
from ...values.records import Origin, Record
from ..documents import EmptyText
from ..lines import decoded, lines, without_end
from ..origin import Source


def rows(
    source: Source, stream: IO[bytes], parse: Callable[[str, Origin], Record | EmptyText]
) -> Iterator[Record | EmptyText | SourceError]:
    """What ``parse`` makes of every line that is not blank; its InvalidInput becomes an error with the line."""
    name = source.name
    for number, raw in lines(stream, name):
        if not raw.strip():  # ASCII whitespace only: a line of U+3000, for example, is kept
            continue
        origin = Origin(name, number)
        try:
            yield parse(without_end(decoded(raw)), origin)
        except InvalidInput as error:
            yield origin.error(error.message, error.advice)
