"""Filters in requests: as text or as JSON, and of how many conditions."""

from __future__ import annotations

from collections.abc import Mapping
from json import JSONEncoder
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from ...errors import InvalidInput
from ...filters.parse import parse
from ...filters.tree import And, Filter, Not, Or
from ...sources.strict_json import parsed
from ...values.nested import MAX_NESTING, nesting

LONGEST_FILTER = 100_000
MOST_CONDITIONS = 100
WHERE = "A filter on metadata, as text or as JSON."

Expression = Annotated[str, Field(max_length=LONGEST_FILTER)]
Where = Expression | dict[str, Any]


def _read(value: object) -> object:
    """The filter of a URL, where JSON is a text that begins like an object."""
    if not isinstance(value, str) or not value.startswith("{"):
        return value
    if nesting(value) > MAX_NESTING:
        raise ValueError(f"it is nested more than {MAX_NESTING} deep")
    return parsed(value, "Write one JSON object, or a filter such as lang = 'en'.")


WhereInUrl = Annotated[Where, BeforeValidator(_read, json_schema_input_type=Expression), Field(description=WHERE)]


def limited(where: str | Mapping[str, Any] | None) -> str | Mapping[str, Any] | None:
    """The filter, unless it is too long or has too many conditions, each of which may read all records.

    Raises:
        InvalidInput: it is or has.
    """
    if isinstance(where, Mapping) and _is_long(where):
        raise InvalidInput(
            f"the filter has more than {LONGEST_FILTER:,} characters", "Ask several times, for some of the values each."
        )
    if where is not None and (count := _conditions(parse(where))) > MOST_CONDITIONS:
        raise InvalidInput(
            f"the filter has {count:,} conditions, and a server takes {MOST_CONDITIONS}",
            "For one of many values, write: field in (1, 2, 3).",
        )
    return where


def _is_long(where: Mapping[str, Any]) -> bool:
    """Whether it has more characters than a filter may; no more than that are looked at."""
    size = 0
    for piece in JSONEncoder(ensure_ascii=False).iterencode(where):
        size += len(piece)
        if size > LONGEST_FILTER:
            return True
    return False


def _conditions(found: Filter) -> int:
    match found:
        case Not(operand):
            return _conditions(operand)
        case And(operands) | Or(operands):
            return sum(map(_conditions, operands))
        case _:
            return 1
