"""Reads JSON lines: one object a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

from ...errors import Advice, InvalidInput, Row, SourceError
from ...values.records import Origin, Record
from ..documents import EmptyText
from ..fields import kind
from ..origin import Source
from ..strict_json import parsed
from .by_line import rows
from .columns import Objects
from .rejects import without_rejection

SHAPE = '{"text": "...", "key": "...", "metadata": {...}}'
_ADVICE = Advice(
    f"Every line must be one object like {SHAPE}.",
    typed=f"Every line must be one object like {SHAPE}; --skip-bad skips bad rows.",
)
_ARRAY_ADVICE = "Write one object per line; a JSON array is not JSONL, but a .json file may be one."


def read(source: Source, stream: IO[bytes]) -> Iterator[Record | EmptyText | SourceError]:
    """A record for every line that is not blank; raises SourceError if no object has a field that was named."""
    objects = Objects(source.options)

    def record(line: str, origin: Origin) -> Record | EmptyText:
        found = _object(line)
        fields = without_rejection(found)
        if not fields and found:
            return EmptyText(origin)  # of what was left out, only the reason is known
        return objects.record(fields, origin)

    yield from rows(source, stream, record, _fields)
    objects.check(source.name)


def _fields(line: str) -> Row:
    """The members of a line that is refused; the line itself if it is not an object."""
    try:
        return _object(line)
    except InvalidInput:
        return line


def _object(line: str) -> dict[str, Any]:
    if line.startswith("\ufeff"):
        raise InvalidInput(
            "the line begins with a byte order mark (U+FEFF), probably because files were joined",
            "Remove it, for example: sed 's/^\\xEF\\xBB\\xBF//' FILE > NEW",
        )
    advice = _ARRAY_ADVICE if line.lstrip().startswith("[") else _ADVICE
    value = parsed(line, advice)
    if not isinstance(value, dict):
        raise InvalidInput(f'expected an object like {{"text": "..."}}, not {kind(value)}', advice)
    return value
