"""Turns values of databases and tables into JSON values, without losing a digit; says what JSON cannot hold."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any

from ...errors import InvalidInput
from ...values.scalars import BYTES, is_missing, plain

_AS_THEY_ARE = frozenset({str, int, bool, type(None)})


def json_value(value: Any, what: str) -> Any:
    """``value`` as JSON: times in ISO 8601, durations in seconds, decimals as text; missing values and NaN are null.

    ``what`` is what errors call it. Raises InvalidInput for bytes and other things that JSON cannot hold.
    """
    if type(value) in _AS_THEY_ARE:
        return value
    value = plain(value)
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if is_missing(value):
        return None
    if isinstance(value, Decimal):
        return format(value, "f") if value.is_finite() else None
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (date, time)):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, Mapping):
        return {_name(name, what): json_value(inner, what) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return _json_array(value, what)
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, (str, int)):  # of a class of its own
        return plain_scalar(value)
    if isinstance(value, BYTES):
        raise has_bytes(what)
    if hasattr(value, "tolist"):  # an array of numpy
        return json_value(value.tolist(), what)
    raise InvalidInput(
        f"{what} holds a {type(value).__name__}, which JSON cannot hold", "Convert it, or leave the column out."
    )


def has_bytes(what: str) -> InvalidInput:
    """The error for bytes in the column ``what``."""
    return InvalidInput(f"{what} holds bytes, which JSON cannot hold", "Leave the column out, or decode it to text.")


def plain_scalar(value: str | int) -> str | int:
    """A string or integer of a class of its own as Python's own type."""
    return str.__str__(value) if isinstance(value, str) else int(value)


def _json_array(value: Any, what: str) -> Any:
    """An array; an object for the pairs of an Arrow map whose names are strings."""
    is_map = bool(value) and all(type(each) is tuple and len(each) == 2 and type(each[0]) is str for each in value)
    if is_map and len({name for name, _ in value}) == len(value):
        return {name: json_value(inner, what) for name, inner in value}
    return [json_value(inner, what) for inner in value]


def _name(name: object, what: str) -> str:
    if not isinstance(name, str):
        raise InvalidInput(f"{what} holds an object with the name {name!r}, not a string", "Convert it with str().")
    return name
