"""Reads JSON lines: one object a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

from ...errors import Advice, InvalidInput, SourceError
from ...values.keys import checked_key
from ...values.metadata import checked_metadata
from ...values.records import Origin, Record
from ..fields import OF_HITS, is_hit, kind, listed, metadata_in, sentence
from ..origin import Source
from ..strict_json import parsed
from .by_line import rows

_SHAPE = '{"text": "...", "key": "...", "metadata": {...}}'
_ADVICE = Advice(
    f"Every line must be one object like {_SHAPE}.",
    typed=f"Every line must be one object like {_SHAPE}; --skip-bad skips bad rows.",
)
_ARRAY_ADVICE = "Write one object per line; a JSON array is not JSONL."


def read(source: Source, stream: IO[bytes]) -> Iterator[Record | SourceError]:
    """A record for every line that is not blank."""
    return rows(source, stream, record)


def record(line: str, source: Source, origin: Origin) -> Record:
    """The record in ``line``: text, key, and all other fields as metadata. Raises InvalidInput."""
    fields = _object(line)
    names = list(fields)
    if is_hit(fields, fields.get("rank"), fields.get("score"), fields.get("metadata")):
        for name in OF_HITS:
            fields.pop(name, None)
    text, key = (
        _text(fields, names, next(iter(source.options.text_columns), None)),
        _key(fields, names, source.options.key_column),
    )
    return Record(text, key, _metadata(fields), origin=origin)


def _text(fields: dict[str, Any], names: list[str], column: str | None) -> str:
    name = "text" if column is None else column
    if name not in fields:
        raise InvalidInput(
            f"no field {name!r}; the fields are: {listed(names)}",
            Advice(
                "Name the field of the sentences with text_column=.",
                typed="Name the field of the sentences with --text-column.",
            ),
        )
    text = fields.pop(name)
    if not isinstance(text, str):
        raise InvalidInput(f"the field {name!r} must be a string, not {kind(text)}", _ADVICE)
    return sentence(text)


def _key(fields: dict[str, Any], names: list[str], column: str | None) -> str | None:
    name = "key" if column is None else column
    if column is not None and name not in fields:
        raise InvalidInput(
            f"no field {name!r}; the fields are: {listed(names)}",
            Advice(
                "Name the field of the keys with key_column=.", typed="Name the field of the keys with --key-column."
            ),
        )
    key = fields.pop(name, None)
    if key is None and column is None:
        return None
    if isinstance(key, int) and not isinstance(key, bool):
        key = str(key)
    if not isinstance(key, str):
        raise InvalidInput(f"the field {name!r} must be a string or an integer, not {kind(key)}", _ADVICE)
    return checked_key(key)


def _metadata(others: dict[str, Any]) -> dict[str, Any] | None:
    metadata = metadata_in(others)
    if metadata is not None:
        checked_metadata(metadata)
    return metadata


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
