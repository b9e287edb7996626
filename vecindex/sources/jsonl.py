"""What record is in this line of JSON.

Strict, since what Python's json lets through would be stored as something else or not at all: no NaN, no number beyond
a double's range, no name twice in an object, no lone surrogate.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from ..errors import InvalidInput
from ..records import Record, checked_key, checked_metadata
from .fields import listed, repeated, sentence
from .origin import Source

_SHAPE = '{"text": "...", "key": "...", "metadata": {...}}'
_ADVICE = f"Every line is one whole object like {_SHAPE}; --skip-bad leaves bad rows out."
_ARRAY_ADVICE = "Write one object a line; a JSON array is not JSONL."

_KINDS = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "null",
}


def record(line: str, source: Source) -> Record:
    """The record in ``line``: text, key, and all other fields as metadata. Raises InvalidInput."""
    fields = _object(line)
    names = list(fields)
    return Record(_text(fields, names, source.text_column), _key(fields, names, source.key_column), _metadata(fields))


def _text(fields: dict[str, Any], names: list[str], column: str | None) -> str:
    name = "text" if column is None else column
    if name not in fields:
        raise InvalidInput(
            f"no field {name!r}; the fields are: {listed(names)}", "Name the field of the sentences with --text-column."
        )
    text = fields.pop(name)
    if not isinstance(text, str):
        raise InvalidInput(f"the field {name!r} must be a string, not {_KINDS[type(text)]}", _ADVICE)
    return sentence(text)


def _key(fields: dict[str, Any], names: list[str], column: str | None) -> str | None:
    name = "key" if column is None else column
    if column is not None and name not in fields:
        raise InvalidInput(
            f"no field {name!r}; the fields are: {listed(names)}", "Name the field of the keys with --key-column."
        )
    key = fields.pop(name, None)
    if key is None and column is None:
        return None
    if isinstance(key, int) and not isinstance(key, bool):
        key = str(key)
    if not isinstance(key, str):
        raise InvalidInput(f"the field {name!r} must be a string or an integer, not {_KINDS[type(key)]}", _ADVICE)
    return checked_key(key)


def _metadata(others: dict[str, Any]) -> dict[str, Any] | None:
    own = others.pop("metadata", None)
    if own is None:
        # Nothing said about metadata is not the same as none: an update then keeps what is stored.
        metadata = others or None
    elif not isinstance(own, dict):
        raise InvalidInput(f"the field 'metadata' must be an object or null, not {_KINDS[type(own)]}", _ADVICE)
    else:
        twice = [name for name in others if name in own]
        if twice:
            raise InvalidInput(
                f"named beside metadata and within: {listed(twice)}", "Keep one of the two; both would be metadata."
            )
        metadata = {**others, **own}
    if metadata is not None:
        checked_metadata(metadata)
    return metadata


def _object(line: str) -> dict[str, Any]:
    array = line.lstrip().startswith("[")
    try:
        value = _DECODER.decode(line)
    except json.JSONDecodeError as error:
        raise InvalidInput(
            f"not valid JSON at column {error.colno}: {error.msg}", _ARRAY_ADVICE if array else _ADVICE
        ) from None
    except RecursionError:
        raise InvalidInput("not usable JSON: nested too deeply", _ARRAY_ADVICE if array else _ADVICE) from None
    if not isinstance(value, dict):
        raise InvalidInput(
            f'expected an object like {{"text": "..."}}, not {_KINDS[type(value)]}', _ARRAY_ADVICE if array else _ADVICE
        )
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        twice = repeated([name for name, _ in pairs])
        raise InvalidInput(f"named twice in one object: {listed(twice)}", "Keep one; only one value can be stored.")
    return fields


def _integer(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:  # Python's limit, 4,300 digits by default: longer ones take quadratic time
        raise InvalidInput(f"a number of {len(digits):,} digits is too long", "Write it as a string.") from None


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise InvalidInput(f"the number {digits[:40]} is too large for a double", "Write it as a string.")
    return number


def _no_constant(name: str) -> NoReturn:
    raise InvalidInput(f"{name} is not JSON", "Write null, or leave the field out.")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_float=_finite, parse_constant=_no_constant
)
