"""Reads the records of a source: one reader for each format, and what happens to a bad row."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..errors import InvalidInput, SourceError
from ..values.records import Origin, Record
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
    empty = True
    with source.opened() as stream:
        for row in _READERS[source.format](source, lines(stream, source.name)):
            empty = False
            if isinstance(row, Record):
                yield row
            elif on_bad is None:
                raise row
            else:
                on_bad(row)
    if empty:
        raise SourceError(source.name, 1, "holds no sentences", "Check that this is the right file, or leave it out.")


def _by_line(parse: Callable[[str, Source, Origin], Record]) -> Reader:
    """The reader of a format with one row a line; blank lines are separators."""

    def reader(source: Source, lines: Iterator[Line]) -> Iterator[Record | SourceError]:
        name = source.name
        for number, raw in lines:
            if not raw.strip():  # ASCII whitespace only: a line of U+3000, for example, is kept
                continue
            row: Record | SourceError
            try:
                row = parse(without_end(decoded(raw)), source, (name, number))
            except InvalidInput as error:
                row = SourceError(name, number, error.message, error.advice)
            yield row

    return reader


def _txt(line: str, source: Source, origin: Origin) -> Record:
    return Record(checked_text(line), origin=origin)


_READERS: dict[Format, Reader] = {
    Format.TXT: _by_line(_txt),
    Format.JSONL: _by_line(jsonl.record),
    Format.CSV: delimited.rows,
    Format.TSV: delimited.rows,
}
