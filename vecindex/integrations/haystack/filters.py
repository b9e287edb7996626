"""Translates Haystack's filters to those of an index, with exactly the meaning that Haystack gives them.

Haystack evaluates a filter in Python on one document after another. ``True == 1``, ISO 8601 strings compare as dates,
lists and dicts are equal item by item, and an order between values of different types raises FilterError. What an index
can decide is translated; the documents that it cannot decide are `Translated.unsure`, and Haystack's own function is
asked about these alone. As a rule there are none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from haystack.dataclasses import Document
from haystack.errors import FilterError
from haystack.utils.filters import document_matches_filter

from ...filters.tree import (
    EVERYTHING,
    Compare,
    Exists,
    Filter,
    IsNull,
    Kind,
    Op,
    Path,
    Refused,
    Value,
    all_of,
    any_of,
    compare,
    like,
    negate,
    one_of,
    parse_path,
    path_text,
    value_of,
)
from .dates import DATE_PATTERN, Moment, moment
from .documents import RESERVED

NOTHING = any_of([])
_FIELDS = frozenset(each.name for each in fields(Document))
_ORDERS = {">": Op.GT, ">=": Op.GE, "<": Op.LT, "<=": Op.LE}
_NEGATED = {"!=": "==", "not in": "in"}
_COMPARISONS = ("==", "!=", *_ORDERS, "in", "not in")
_LOGICAL = ("AND", "OR", "NOT")
MOST_NESTED = 50
"""How deeply conditions may be nested; Python's own stack bounds Haystack's evaluation as well."""


@dataclass(frozen=True, slots=True)
class Translated:
    """Filters of an index: documents that match, unless they are among those that Haystack has to be asked about."""

    matched: Filter
    unsure: Filter = NOTHING

    @property
    def negated(self) -> Translated:
        return Translated(negate(self.matched), self.unsure)


def translate(filters: Any) -> Translated:
    """The filters of an index for a filter of Haystack; raises FilterError if it is malformed."""
    if not isinstance(filters, dict):
        raise FilterError(f"Filters must be a dictionary, not {type(filters).__name__}.")
    return _condition(filters, 1) if filters else Translated(EVERYTHING)


def matches(filters: dict[str, Any], document: Document) -> bool:
    """Whether Haystack finds that a document matches; raises FilterError, also where Haystack raises TypeError."""
    try:
        return bool(document_matches_filter(filters, document))
    except (TypeError, OverflowError) as error:
        raise FilterError(f"A value of the document {document.id!r} cannot be compared: {error}.") from error


def _condition(condition: Any, depth: int) -> Translated:
    if not isinstance(condition, dict):
        raise FilterError(f"A condition must be a dictionary, not {type(condition).__name__}.")
    if depth > MOST_NESTED:
        raise FilterError(f"Conditions are nested more than {MOST_NESTED} levels deep.")
    return _comparison(condition) if "field" in condition else _logic(condition, depth)


def _logic(condition: dict[str, Any], depth: int) -> Translated:
    operator = _member(condition, "operator")
    operands = _member(condition, "conditions")
    if operator not in _LOGICAL:
        raise FilterError(f"Unknown logical operator {operator!r}. Valid operators are: {', '.join(_LOGICAL)}.")
    if not isinstance(operands, (list, tuple)):
        raise FilterError(f"'conditions' must be a list, not {type(operands).__name__}.")
    parts = [_condition(operand, depth + 1) for operand in operands]
    join = any_of if operator == "OR" else all_of
    joined = Translated(join([part.matched for part in parts]), _either(*(part.unsure for part in parts)))
    return joined.negated if operator == "NOT" else joined


def _comparison(condition: dict[str, Any]) -> Translated:
    field, operator = condition["field"], _member(condition, "operator")
    value = _member(condition, "value")
    if not isinstance(field, str):
        raise FilterError(f"'field' must be a string, not {type(field).__name__}.")
    if operator not in _COMPARISONS:
        raise FilterError(f"Unknown comparison operator {operator!r}. Valid operators are: {', '.join(_COMPARISONS)}.")
    if operator in ("in", "not in") and not isinstance(value, list):
        raise FilterError(f"The value of {operator!r} must be a list, not {type(value).__name__}.")
    if operator in _ORDERS and isinstance(value, (list, dict, tuple, set, frozenset)):
        raise FilterError(f"{operator!r} compares numbers and dates, not {type(value).__name__}.")
    try:
        return _on_field(field, operator, value)
    except Refused:  # a name or a value that a filter of an index cannot have
        return Translated(NOTHING, EVERYTHING)


def _member(condition: dict[str, Any], name: str) -> Any:
    if name not in condition:
        raise FilterError(f"{name!r} is missing in {condition}.")
    return condition[name]


def _either(*parts: Filter) -> Filter:
    return any_of([part for part in dict.fromkeys(parts) if part != NOTHING])


def _both(*parts: Filter) -> Filter:
    return all_of(list(parts))


# --- fields


def _on_field(field: str, operator: str, value: Any) -> Translated:
    root, *names = field.split(".") if "." in field else (field,)
    if not names and root not in _FIELDS:  # Haystack looks for other names in the meta
        root, names = "meta", [field]
    if root == "meta" and names and names[0] != RESERVED:
        return _on_value(tuple(names), operator, value)
    if root.startswith("_") and names:
        return Translated(NOTHING, EVERYTHING)
    if root not in _FIELDS or names:  # a name within anything but the meta is missing
        return _on_nothing(operator, value)
    own = _on_own(root, operator, value)
    foreign = negate(Exists((RESERVED, "id")))  # Haystack is asked about records that were not added through it
    return Translated(own.matched, _either(own.unsure, foreign))


def _on_nothing(operator: str, value: Any) -> Translated:
    is_met = matches({"field": "meta.missing", "operator": operator, "value": value}, Document(id="none"))
    return Translated(EVERYTHING if is_met else NOTHING)


def _on_own(field: str, operator: str, value: Any) -> Translated:
    """A condition on a field of the document itself."""
    if field in ("id", "score"):
        return _on_value((RESERVED, field), operator, value)
    places = {"content": (RESERVED, "empty"), "embedding": (RESERVED, "length")}
    places |= {"blob": (RESERVED, "blob"), "sparse_embedding": (RESERVED, "sparse")}
    if field not in places or value is not None or operator not in ("==", "!="):
        return Translated(NOTHING, EVERYTHING)
    has_place = Translated(Exists(places[field]))
    return has_place if (operator == "==") == (field == "content") else has_place.negated


# --- values


def _on_value(path: Path, operator: str, value: Any) -> Translated:
    parse_path(path_text(path))  # raises Refused for a name that SQLite cannot look up
    if operator in _NEGATED:
        return _on_value(path, _NEGATED[operator], value).negated
    if operator == "==":
        return _among(path, [value])
    if operator == "in":
        return _among(path, value)
    if value is None:
        return Translated(NOTHING)
    if isinstance(value, (bool, int, float)):
        return _ordered_numbers(path, _ORDERS[operator], value)
    if isinstance(value, (str, datetime)):
        return _ordered_dates(path, _ORDERS[operator], moment(value))
    return Translated(NOTHING, _is_present(path))


def _among(path: Path, values: list[Any]) -> Translated:
    """Whether a field is equal to one of these values, as Python and dates are."""
    scalars: set[Value] = set()
    matched: list[Filter] = []
    unsure: list[Filter] = []
    for value in values:
        if value is None:
            matched.append(IsNull(path))
        elif isinstance(value, bool):
            scalars |= {value_of(value), value_of(int(value))}
        elif isinstance(value, (int, float)):
            scalars |= _equal_numbers(value)
        elif isinstance(value, (list, dict, tuple)):
            unsure.append(_is_nested(path))
        elif isinstance(value, (str, datetime)):
            if isinstance(value, str):
                scalars.add(value_of(value))
            found = moment(value)
            if found is not None:
                matched.append(_compared_dates(path, Op.EQ, found))
            if found is not None or isinstance(value, datetime) or _is_like_date(value):
                # Strings that look like a date, but are read in another way.
                unsure.append(_both(like(path, DATE_PATTERN), negate(_is_date(path))))
            if found is None and (isinstance(value, datetime) or _is_like_date(value)):
                unsure.append(_is_date(path))
        else:
            unsure.append(_is_present(path))
    if scalars:
        matched.append(one_of(path, scalars))
    return Translated(any_of(matched), _either(*unsure))


def _is_like_date(value: str) -> bool:
    return value[4:5] == "-" and value[7:8] == "-"


def _equal_numbers(number: int | float) -> set[Value]:
    """The stored values that Python finds equal to a number: stored numbers are finite, and integers have 64 bits."""
    if isinstance(number, float) and not math.isfinite(number):
        return set()
    if isinstance(number, int) and not -(2**63) <= number < 2**63:
        try:
            as_float = float(number)
        except OverflowError:
            return set()
        return {value_of(as_float)} if as_float == number else set()
    return {value_of(number), *([value_of(bool(number))] if number in (0, 1) else [])}


def _ordered_numbers(path: Path, op: Op, number: bool | int | float) -> Translated:
    meets = _PYTHON[op]
    others = _both(_is_present(path), negate(_is_number(path)), negate(_is_bool(path)))
    bools = one_of(path, {value_of(each) for each in (False, True) if meets(each, number)})
    if isinstance(number, float) and not math.isfinite(number):
        numbers = _is_number(path) if meets(0, number) else NOTHING
    elif isinstance(number, int) and not -(2**63) <= number < 2**63:
        numbers, others = NOTHING, _either(others, _is_number(path))
    else:
        numbers = compare(path, op, False, value_of(int(number) if isinstance(number, bool) else number))
    return Translated(any_of([numbers, bools]), others)


def _ordered_dates(path: Path, op: Op, date: Moment | None) -> Translated:
    if date is None:
        return Translated(NOTHING, _is_present(path))
    return Translated(_compared_dates(path, op, date), _both(_is_present(path), negate(_is_date(path))))


def _compared_dates(path: Path, op: Op, date: Moment) -> Filter:
    clock, utc = (RESERVED, "clock", *path), (RESERVED, "utc", *path)
    by_clock = compare(clock, op, False, value_of(date.clock))
    if date.utc is None:
        return by_clock
    return any_of([compare(utc, op, False, value_of(date.utc)), _both(by_clock, negate(like(utc, "%")))])


def _is_date(path: Path) -> Filter:
    return like((RESERVED, "clock", *path), "%")


def _is_present(path: Path) -> Filter:
    return negate(IsNull(path))


def _is_number(path: Path) -> Filter:
    zero = Value(Kind.NUMBER, "0")
    return any_of([Compare(path, Op.LT, zero), Compare(path, Op.GE, zero)])


def _is_bool(path: Path) -> Filter:
    return one_of(path, {value_of(True), value_of(False)})


def _is_nested(path: Path) -> Filter:
    """Whether a field is a list or an object."""
    return _both(_is_present(path), negate(_is_number(path)), negate(_is_bool(path)), negate(like(path, "%")))


_PYTHON: dict[Op, Callable[[Any, Any], bool]] = {
    Op.GT: lambda one, other: one > other,
    Op.GE: lambda one, other: one >= other,
    Op.LT: lambda one, other: one < other,
    Op.LE: lambda one, other: one <= other,
}
