"""Reads a text file with one sentence a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from ...errors import InvalidInput, SourceError
from ...values.records import Origin, Record
from ...values.texts import checked_text
from ..lines import decoded, lines, without_end
from ..origin import Source
from .rejects import written_line


def read(source: Source, stream: IO[bytes]) -> Iterator[Record | SourceError]:
    """A record for every line that is not blank, with its characters in the file as its ``span``."""
    start = 0
    for number, raw in lines(stream, source.name):
        origin = Origin(source.name, number)
        try:
            line = decoded(raw)
        except InvalidInput as error:
            start += len(raw.decode("utf-8", "replace"))
            yield origin.error(error.message, error.advice, written_line(raw))
            continue
        if raw.strip():  # ASCII whitespace only: a line of U+3000, for example, is kept
            text = without_end(line)
            try:
                yield Record(checked_text(text), origin=origin, span=(start, start + len(text)))
            except InvalidInput as error:
                yield origin.error(error.message, error.advice, text)
        start += len(line)
