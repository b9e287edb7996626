"""Parses filters written as dicts.

``{"lang": "en", "year": {"$gte": 2020, "$lt": 2024}, "$or": [{"author.name": "Aun"}, {"tag": {"$in": [1]}}]}``.
Entries, and the operators of one field, are joined by and. ``$and`` and ``$or`` take a list of dicts, ``$not`` a dict,
before a field or after it. The keys are fields, written as in an expression.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

from ..errors import InvalidFilter
from ..values.nested import MAX_NESTING
from .tree import (
    Contains,
    Exists,
    Filter,
    IsNull,
    Op,
    Path,
    Refused,
    all_of,
    any_of,
    compare,
    like,
    negate,
    one_of,
    parse_path,
    shortened,
    value_of,
)


def parse_dict(where: object) -> Filter:
    """Parses the mapping ``where``; raises InvalidFilter for anything else."""
    return _DictParser(where).parse()


_COMPARISONS: dict[str, tuple[Op, bool]] = {
    "$eq": (Op.EQ, False),
    "$ne": (Op.EQ, True),
    "$gt": (Op.GT, False),
    "$gte": (Op.GE, False),
    "$lt": (Op.LT, False),
    "$lte": (Op.LE, False),
}
_JOINS: dict[str, Callable[[list[Filter]], Filter]] = {"$and": all_of, "$or": any_of}
_FIELD_OPERATORS = (*_COMPARISONS, "$in", "$nin", "$exists", "$null", "$contains", "$like", "$not")
_TOP_OPERATORS = (*_JOINS, "$not")


class _DictParser:
    """``trail`` holds the keys and list positions down to the current entry, for the position in an error."""

    def __init__(self, where: object) -> None:
        self.where = where
        self.trail: list[str | int] = []
        self.depth = 0

    def parse(self) -> Filter:
        if not isinstance(self.where, Mapping):
            found = type(self.where).__name__
            raise InvalidFilter(f"a filter must be an expression or a dict, not {found}", *_located(self.where, []))
        try:
            return self.parse_entries(self.where)
        except Refused as refused:
            raise InvalidFilter(refused.reason, *_located(self.where, self.trail)) from None

    def parse_entries(self, entries: Mapping[Any, Any]) -> Filter:
        return all_of(self.each(entries, self.parse_entry))

    def each(self, entries: Mapping[Any, Any], parse_one: Callable[[str, Any], Filter]) -> list[Filter]:
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise Refused(f"dicts are nested more than {MAX_NESTING} levels deep")
        parsed = []
        for key, operand in entries.items():
            self.trail.append(key)
            if not isinstance(key, str):
                raise Refused(f"keys must be strings, not {type(key).__name__}")
            parsed.append(parse_one(key, operand))
            self.trail.pop()
        self.depth -= 1
        return parsed

    def parse_entry(self, key: str, operand: Any) -> Filter:
        if not key.startswith("$"):
            return self.parse_field(parse_path(key), operand)
        if key in _JOINS:
            return _JOINS[key](self.parse_list(key, operand))
        if key == "$not":
            if not isinstance(operand, Mapping):
                raise Refused(f"'$not' needs a dict, not {type(operand).__name__}")
            return negate(self.parse_entries(operand))
        if key in _FIELD_OPERATORS:
            raise Refused(f"'{key}' needs a field before it, as in {{'year': {{'{key}': ...}}}}")
        raise _unknown(key, _TOP_OPERATORS)

    def parse_list(self, key: str, operand: Any) -> list[Filter]:
        if not isinstance(operand, (list, tuple)):
            raise Refused(f"'{key}' needs a list of dicts, not {type(operand).__name__}")
        parsed = []
        for place, entries in enumerate(operand):
            self.trail.append(place)
            if not isinstance(entries, Mapping):
                raise Refused(f"'{key}' needs a list of dicts, not of {type(entries).__name__}")
            parsed.append(self.parse_entries(entries))
            self.trail.pop()
        return parsed

    def parse_field(self, path: Path, operand: Any) -> Filter:
        if isinstance(operand, Mapping) and any(isinstance(key, str) and key.startswith("$") for key in operand):
            return all_of(self.each(operand, lambda key, value: self.parse_operator(path, key, value)))
        return compare(path, Op.EQ, False, value_of(operand))

    def parse_operator(self, path: Path, key: str, operand: Any) -> Filter:
        if key in _COMPARISONS:
            return compare(path, *_COMPARISONS[key], value_of(operand))
        if key in ("$in", "$nin"):
            if hasattr(operand, "tolist"):
                operand = operand.tolist()
            if not isinstance(operand, (list, tuple, set, frozenset)):
                raise Refused(f"'{key}' needs a list of values, not {type(operand).__name__}")
            among = one_of(path, {value_of(raw) for raw in operand})
            return among if key == "$in" else negate(among)
        if key in ("$exists", "$null"):
            if not isinstance(operand, bool):
                raise Refused(f"'{key}' needs True or False")
            test = Exists(path) if key == "$exists" else IsNull(path)
            return test if operand else negate(test)
        if key == "$contains":
            return Contains(path, value_of(operand))
        if key == "$like":
            if not isinstance(operand, str):
                raise Refused(f"'$like' needs a string, not {type(operand).__name__}")
            return like(path, operand)
        if key == "$not":
            if not isinstance(operand, Mapping) or not operand:
                raise Refused("'$not' needs a dict of operators here; use '$ne' to exclude a value")
            return negate(self.parse_field(path, operand))
        raise _unknown(key, _FIELD_OPERATORS)


def _unknown(key: str, operators: tuple[str, ...]) -> Refused:
    return Refused(f"unknown operator '{shortened(key, 40)}'; the operators are {' '.join(operators)}")


def _located(where: object, trail: list[str | int]) -> tuple[str, int]:
    """``where`` as an error shows it, and the position of the last entry of ``trail`` in that; 0 if cut off."""
    try:
        text = repr(where)
        position = _offset(where, trail)
    except Exception:  # too deep for repr, or a broken __repr__: the reason must still reach the user
        return f"<{type(where).__name__}>", 0
    shown = shortened(text)
    return shown, position if position < len(shown) else 0


def _offset(where: Any, trail: list[str | int]) -> int:
    """The position of the last step in repr(where): every step adds the repr of what comes before it."""
    offset = 0
    for depth, step in enumerate(trail):
        last = depth + 1 == len(trail)
        if isinstance(where, Mapping):
            place = next(place for place, key in enumerate(where) if key is step)
            before = repr(dict(islice(where.items(), place)))
            offset += 0 if last else len(f"{step!r}: ")
        else:
            place = int(step)
            before = repr(list(where[:place]))
        offset += len(before) - len("}") + (len(", ") if place else 0)
        where = where[step]
    return offset
