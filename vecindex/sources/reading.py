"""Reads the records of a source: one reader for each format, and what happens to a bad row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import IO

from ..errors import InvalidInput, SourceError
from ..values.records import Record
from ..values.texts import checked_text
from .lines import Line, decoded, lines, without_end
from .origin import Format, Source
from .readers import delimited, jsonl

# A reader yields a bad row as a value: an exception would end the generator, and the rows after it would be lost.
Reader = Callable[[Source, Iterator[Line]], Iterator["Record | SourceError"]]


def read(source: Source, on_bad: Callable[[SourceError], None] | None = None) -> Iterator[Record]:
    """Yields every record of ``source``, in order, with the file and the line in which it ends as its ``origin``.

    A bad row raises SourceError; with ``on_bad`` the error is passed to it instead, and reading goes on. An unreadable
    source (UTF-16, a header without a text column) and an empty one always raise.
    """
    delimited.learn(source)
    last = 0

    def watched(stream: IO[bytes]) -> Iterator[Line]:
        nonlocal last
        for line in lines(stream, source.name):
            last = line[0]
            yield line

    empty = True
    with source.opened() as stream:
        for row in _READERS[source.format](source, watched(stream)):
            empty = False
            if isinstance(row, Record):
                yield Record(row.text, row.key, row.metadata, origin=(source.name, last))
            elif on_bad is None:
                raise row
            else:
                on_bad(row)
    if empty:
        raise SourceError(source.name, 1, "holds no sentences", "Check that this is the right file, or leave it out.")


def _by_line(parse: Callable[[str, Source], Record]) -> Reader:
    """The reader of a format with one row a line; blank lines are separators."""

    def reader(source: Source, lines: Iterator[Line]) -> Iterator[Record | SourceError]:
        for number, raw in lines:
            if not raw.strip():  # ASCII whitespace only: a line of U+3000, for example, is kept
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
