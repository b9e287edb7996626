"""The syntax tree of filters: what a filter means, and its canonical text.

A filter selects records by their metadata, a JSON object. `parse.parse` makes the tree from a dict or an expression,
and ``str(filter)`` gives an expression that parses back to an equal tree. Equal trees select the same records, so a
tree can be a cache key. A filter either matches a record or does not; there is no third value.

=====================  ==================================================================================
``x = v``              x exists, has the type of v, and is equal: ``true`` is never 1, ``'1'`` is never 1.
                       Strings are compared by code point; ``x = null`` matches a stored null
``x != v``             exactly ``not x = v``: also matches where x is missing or has a different type
``x < v`` (<=, >, >=)  x has the type of v and comes before it: numbers by value, strings by code point.
                       For numbers and strings only
``x in (v, w)``        ``x = v or x = w``; ``x in ()`` never matches
``x not in (v, w)``    exactly ``not x in (v, w)``
``x exists``           x exists, also as a stored null, a list or an object
``x is null``          x is missing or a stored null; ``x is not null`` is exactly ``not x is null``
``x contains v``       x is a list, and one of its items is equal to v as in ``x = v``. Lists and objects within
                       the list are not searched
``x like 'v'``         x is a string that matches v as a whole: % stands for any characters or none, _ for one.
                       A backslash before %, _ or a backslash makes it literal. Case matters. A string with a
                       NUL never matches; the noncharacters U+FFFE and U+FFFF count as U+FFFD
``a.b.c``              the path walks objects only: a list has no fields, not even ``"0"``
``true``, ``false``    as a condition: every record (also ``{}`` and ``{"$and": []}``), none (``{"$or": []}``)
=====================  ==================================================================================

Integers compare exactly, also with floats. They have at most 64 bits, in filters as in metadata. Longer ones that an
earlier version stored compare as doubles, as SQLite converts them: recent releases (3.45 to 3.50, not 3.40) convert a
few 25-digit integers to a neighbour of the nearest double.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from ..values.scalars import plain

Path: TypeAlias = "tuple[str, ...]"
"""The names from the top of the metadata to a field; at least one."""

KEYWORDS = frozenset({"and", "or", "not", "in", "exists", "true", "false", "null"})
"""Words, in lower case, that need double quotes as field names in an expression."""


class Kind(Enum):
    """The JSON types that a field can be compared with; the value lists their names in SQLite's json_type."""

    NULL = ("null",)
    BOOL = ("true", "false")
    NUMBER = ("integer", "real")
    STRING = ("text",)


class Op(Enum):
    """The comparison operators as written; ``!=`` is the `Not` of ``=``."""

    EQ = "="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="


@dataclass(frozen=True, slots=True)
class Value:
    """A scalar as JSON text: in Python True == 1 == 1.0, and a cache would confuse ``x = true`` with ``x = 1``."""

    kind: Kind
    json: str

    def __str__(self) -> str:
        if self.kind is not Kind.STRING:
            return self.json
        return quoted(json.loads(self.json))


@dataclass(frozen=True, slots=True)
class Compare:
    path: Path
    op: Op
    value: Value

    def __str__(self) -> str:
        return f"{path_text(self.path)} {self.op.value} {self.value}"


@dataclass(frozen=True, slots=True)
class In:
    path: Path
    values: tuple[Value, ...]

    def __str__(self) -> str:
        return f"{path_text(self.path)} in ({', '.join(map(str, self.values))})"


@dataclass(frozen=True, slots=True)
class Exists:
    path: Path

    def __str__(self) -> str:
        return f"{path_text(self.path)} exists"


@dataclass(frozen=True, slots=True)
class IsNull:
    path: Path

    def __str__(self) -> str:
        return f"{path_text(self.path)} is null"


@dataclass(frozen=True, slots=True)
class Contains:
    path: Path
    value: Value

    def __str__(self) -> str:
        return f"{path_text(self.path)} contains {self.value}"


@dataclass(frozen=True, slots=True)
class Like:
    """``pattern`` as written; `like` has checked it."""

    path: Path
    pattern: str

    def __str__(self) -> str:
        return f"{path_text(self.path)} like {quoted(self.pattern)}"


@dataclass(frozen=True, slots=True)
class Not:
    operand: Filter

    def __str__(self) -> str:
        match self.operand:
            case Compare(path, Op.EQ, value):
                return f"{path_text(path)} != {value}"
            case IsNull(path):
                return f"{path_text(path)} is not null"
            case In(path, _) | Exists(path) | Contains(path, _) | Like(path, _):
                field = path_text(path)
                return f"{field} not{str(self.operand).removeprefix(field)}"
            case _:
                return f"not ({self.operand})"


@dataclass(frozen=True, slots=True)
class And:
    operands: tuple[Filter, ...]

    def __str__(self) -> str:
        return " and ".join(f"({o})" if isinstance(o, Or) else str(o) for o in self.operands) or "true"


@dataclass(frozen=True, slots=True)
class Or:
    operands: tuple[Filter, ...]

    def __str__(self) -> str:
        return " or ".join(map(str, self.operands)) or "false"


Test: TypeAlias = Compare | In | Exists | IsNull | Contains | Like
Filter: TypeAlias = Test | Not | And | Or

EVERYTHING = And(())
"""The filter ``true``."""


# --- what a tree may contain: the parsers build trees with these -----------------------------------------------------


class Refused(Exception):
    """A name, value or comparison is invalid; the parser adds the position and raises InvalidFilter."""

    def __init__(self, reason: str, offset: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.offset = offset


_NAME = re.compile(r'"(?P<quoted>[^"]*(?:""[^"]*)*)"(?!")|(?P<bare>[^".]*)')


def is_bare(name: str) -> bool:
    """Whether a name needs no double quotes: letters (of any script, marks included), digits, _ and -."""
    return name != "" and ("a" + name.replace("-", "")).isidentifier()


def path_text(path: Path) -> str:
    """The path as written in an expression, with double quotes where they are needed."""

    def name_text(name: str) -> str:
        plain = is_bare(name) and name.lower() not in KEYWORDS
        return name if plain else '"' + name.replace('"', '""') + '"'

    return ".".join(map(name_text, path))


def parse_path(text: str) -> Path:
    """Parses a path: names joined by dots."""
    names, offset = [], 0
    while True:
        found = _NAME.match(text, offset)
        assert found is not None  # `bare` matches the empty text
        quoted = found["quoted"]
        name = found["bare"] if quoted is None else quoted.replace('""', '"')
        _check_utf8(name, "a field name", offset)
        if quoted is None and name == "":
            raise Refused('a component of the field name is empty; write the empty name as ""', offset)
        if quoted is None and not is_bare(name):
            only = "without them it may have only letters, digits, _ and -"
            raise Refused(f"the field name '{shortened(name, 40)}' needs double quotes; {only}", offset)
        if '"' in name or "\0" in name:
            raise Refused("SQLite cannot look up a field with a double quote or a NUL in its name", offset)
        names.append(name)
        offset = found.end()
        if offset == len(text):
            return tuple(names)
        if text[offset] != ".":
            raise Refused("expected a dot between the components of the field name", offset)
        offset += 1


_LONGEST_PATTERN = 10_000  # SQLite takes 50,000 bytes
_ESCAPED = re.compile(r"\\[%_\\]")


# In this order: to Python a bool is an int.
_KINDS: tuple[tuple[type, Kind], ...] = (
    (bool, Kind.BOOL),
    (int, Kind.NUMBER),
    (float, Kind.NUMBER),
    (str, Kind.STRING),
    (type(None), Kind.NULL),
)
_NOT_SCALARS: tuple[tuple[type, str], ...] = (
    (Mapping, "name the field inside it with a dotted path, as in 'author.name'"),
    (list, "$in and $nin take a list of values"),
    (object, "only strings, numbers, true, false and null can"),
)


def value_of(raw: object) -> Value:
    """The value of a Python or numpy scalar."""
    raw = plain(raw)
    kind = next((kind for type_, kind in _KINDS if isinstance(raw, type_)), None)
    if kind is None:
        advice = next(advice for type_, advice in _NOT_SCALARS if isinstance(raw, type_))
        if hasattr(raw, "isoformat"):
            advice = "pass its ISO text, which .isoformat() writes"
        raise Refused(f"a {type(raw).__name__} cannot be compared; {advice}")
    if isinstance(raw, str):
        _check_utf8(raw, "the string")
    if isinstance(raw, (int, float)) and not _is_finite(raw):
        raise Refused("NaN, infinity and numbers beyond 1.8e308 cannot be compared")
    if isinstance(raw, int) and not -(2**63) <= raw < 2**63:
        raise Refused(f"integers have at most 64 bits; write this one as a float: {float(raw)!r}")
    return Value(kind, json.dumps(raw, ensure_ascii=False))


def compare(path: Path, op: Op, negated: bool, value: Value) -> Filter:
    """The comparison, or its `Not`."""
    if op is not Op.EQ:
        if value.kind not in (Kind.NUMBER, Kind.STRING):
            raise Refused(f"{op.value} compares numbers and strings only, not {value}")
        if value.kind is Kind.STRING and "\0" in str(value):
            raise Refused("SQLite cannot order strings with a NUL; use = or !=")
    comparison = Compare(path, op, value)
    return negate(comparison) if negated else comparison


def like(path: Path, pattern: str) -> Like:
    """The `Like` of a valid pattern."""
    _check_utf8(pattern, "the pattern")
    if "\0" in pattern:
        raise Refused("a pattern cannot contain a NUL")
    if len(pattern) > _LONGEST_PATTERN:
        raise Refused(f"the pattern has {len(pattern):,} characters; at most {_LONGEST_PATTERN:,} are allowed")
    if (place := _ESCAPED.sub("--", pattern).find("\\")) >= 0:
        raise Refused(r"in a pattern, a backslash must come before %, _ or a backslash; write \\ for one", place)
    return Like(path, pattern)


def one_of(path: Path, values: set[Value]) -> In:
    """The `In` of ``values`` in their canonical order, so that equal sets make equal filters."""
    return In(path, tuple(sorted(values, key=lambda value: value.json)))


def negate(operand: Filter) -> Filter:
    """`Not`; two of them cancel out."""
    return operand.operand if isinstance(operand, Not) else Not(operand)


def all_of(operands: list[Filter]) -> Filter:
    """`And` without an And inside, or the only operand itself."""
    flat = [each for o in operands for each in (o.operands if isinstance(o, And) else (o,))]
    return flat[0] if len(flat) == 1 else And(tuple(flat))


def any_of(operands: list[Filter]) -> Filter:
    """`Or` without an Or inside, or the only operand itself."""
    flat = [each for o in operands for each in (o.operands if isinstance(o, Or) else (o,))]
    return flat[0] if len(flat) == 1 else Or(tuple(flat))


def constant(filter: Filter) -> bool | None:
    """True or False for a filter that matches every record or none, such as ``{}`` and ``x in ()``; else None."""
    match filter:
        case In(_, ()):
            return False
        case Not(operand):
            inner = constant(operand)
            return None if inner is None else not inner
        case And(operands) | Or(operands):
            decides = isinstance(filter, Or)  # one such operand decides
            found = [constant(operand) for operand in operands]
            if decides in found:
                return decides
            return None if None in found else not decides
        case _:
            return None


def quoted(text: str) -> str:
    """A string as written in an expression."""
    return "'" + text.replace("'", "''") + "'"


def shortened(text: str, limit: int = 200) -> str:
    """``text`` in at most ``limit`` characters, for an error."""
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _check_utf8(text: str, what: str, offset: int = 0) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise Refused(f"{what} contains a lone surrogate, which cannot be encoded as UTF-8", offset) from None


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # an integer beyond the doubles
        return False
