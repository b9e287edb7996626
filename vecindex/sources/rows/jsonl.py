"""Reads JSON lines: one object a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

from ...errors import Advice, InvalidInput, SourceError
from ...values.records import Origin, Record
from ..documents import EmptyText
from ..fields import kind
from ..origin import Source
from ..strict_json import parsed
from .by_line import rows
from .columns import Objects

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
        return objects.record(_object(line), origin)

    yield from rows(source, stream, record)
    objects.check(source.name)


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
