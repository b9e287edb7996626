"""Reads formats with one row a line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import IO

from ...errors import InvalidInput, Row, SourceError
from ...values.records import Origin, Record
from ..documents import EmptyText
from ..lines import decoded, lines, without_end
from ..origin import Source
from .rejects import written_line


def rows(
    source: Source,
    stream: IO[bytes],
    parse: Callable[[str, Origin], Record | EmptyText],
    fields: Callable[[str], Row] | None = None,
) -> Iterator[Record | EmptyText | SourceError]:
    """What ``parse`` makes of every line that is not blank; its InvalidInput becomes an error with the line.

    ``fields`` finds those of a line that is refused, as far as it can.
    """
    name = source.name
    for number, raw in lines(stream, name):
        if not raw.strip():  # ASCII whitespace only: a line of U+3000, for example, is kept
            continue
        origin = Origin(name, number)
        try:
            yield parse(without_end(decoded(raw)), origin)
        except InvalidInput as error:
            line = written_line(raw)
            row = line if line is None or fields is None else fields(line)
            yield origin.error(error.message, error.advice, row)
