"""What records are in this source: one reader for each format, and what becomes of a bad row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import IO

from ..errors import Advice, InvalidInput, SourceError
from ..values.records import Record, checked_text
from .lines import Line, decoded, lines, without_end
from .origin import Format, Source
from .readers import delimited, jsonl

# A bad row comes out of a reader as a value: an exception would end the generator, and with it the rows behind.
Reader = Callable[[Source, Iterator[Line]], Iterator["Record | SourceError"]]


def read(source: Source, on_bad: Callable[[SourceError], None] | None = None) -> Iterator[Record]:
    """Every record of ``source``, in order, read as it is asked for.

    A bad row raises SourceError; with ``on_bad`` it is handed there instead, and reading goes on. What makes the whole
    source unreadable (UTF-16, a header without a text column) is raised always, and so is a source that holds nothing.
    """
    for _, record in numbered(source, on_bad):
        yield record


def numbered(source: Source, on_bad: Callable[[SourceError], None] | None = None) -> Iterator[tuple[int, Record]]:
    """As `read`, with the line in which each record ends."""
    delimited.learn(source)
    empty = True
    with source.opened() as stream:
        for line, row in _rows(source, stream):
            empty = False
            if isinstance(row, Record):
                yield line, row
            elif on_bad is None:
                raise row
            else:
                on_bad(row)
    if empty:
        raise SourceError(source.name, 1, "holds no sentences", "Check that it is the file you meant, or leave it out.")


def _rows(source: Source, stream: IO[bytes]) -> Iterator[tuple[int, Record | SourceError]]:
    """Every row, and the line in which it ends."""
    last = 0

    def watched() -> Iterator[Line]:
        nonlocal last
        for number, raw in lines(stream, source.name):
            last = number
            yield number, raw

    for row in _READERS[source.format](source, watched()):
        if isinstance(row, Record) and row.metadata and (used := row.metadata.keys() & source.reserved.keys()):
            reason = f"its metadata uses the name {min(used)!r}, {source.reserved[min(used)]}"
            yield (
                last,
                SourceError(
                    source.name, last, reason, Advice("Rename it.", typed="Rename it; --skip-bad leaves bad rows out.")
                ),
            )
        else:
            yield last, row


def _by_line(parse: Callable[[str, Source], Record]) -> Reader:
    """The reader of a format where a row is a line; blank lines are separators."""

    def reader(source: Source, lines: Iterator[Line]) -> Iterator[Record | SourceError]:
        for number, raw in lines:
            if not raw.strip():  # of ASCII whitespace only: a line of, say, U+3000 is kept
                continue
            row: Record | SourceError
            try:
                row = parse(without_end(decoded(raw)), source)
            except InvalidInput as error:
                row = SourceError(source.name, number, error.message, error.advice)
            yield row

    return reader


def _txt(line: str, source: Source) -> Record:
    return Record(checked_text(line))


_READERS: dict[Format, Reader] = {
    Format.TXT: _by_line(_txt),
    Format.JSONL: _by_line(jsonl.record),
    Format.CSV: delimited.rows,
    Format.TSV: delimited.rows,
}
