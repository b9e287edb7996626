"""What does this filter mean: the one syntax tree of filters, its meaning and its canonical text.

A filter selects records by their metadata, a JSON object. `parse.parse` makes the tree from a dict or an expression,
``str(filter)`` gives an expression that parses back to an equal tree, and equal trees select the same
records, so that a tree can be a cache key. For every record a filter holds or it does not; there is no third value.

=====================  ==================================================================================
``x = v``              x is there, has the type of v, and is equal: ``true`` is never 1, ``'1'`` is never 1.
                       Strings are equal code point by code point; ``x = null`` asks for a stored null
``x != v``             exactly ``not x = v``: holds too where x is missing or of another type
``x < v`` (<=, >, >=)  x has the type of v and comes before it: numbers by value, strings by code point.
                       For numbers and strings only
``x in (v, w)``        ``x = v or x = w``; ``x in ()`` never holds
``x not in (v, w)``    exactly ``not x in (v, w)``
``x exists``           x is there, with a stored null or a list or an object too
``x is null``          x is not there, or a stored null; ``x is not null`` is exactly ``not x is null``
``x contains v``       x is a list, and one of its items is equal to v as in ``x = v``; the items themselves only, not
                       what lies in lists or objects within
``x like 'v'``         x is a string that v describes whole: % stands for any characters or none, _ for one, and
                       a backslash before %, _ or a backslash takes it as it is. ``A`` is not ``a``. A string
                       with a NUL is like nothing; U+FFFE and U+FFFF, which are no characters, count as U+FFFD
``a.b.c``              the path walks objects only: a list has no fields, not even ``"0"``
``true``, ``false``    as a condition: every record (also ``{}`` and ``{"$and": []}``), none (``{"$or": []}``)
=====================  ==================================================================================

Integers compare exactly, with floats too. They have 64 bits at most, in filters as in metadata; longer ones that an
earlier version stored compare as doubles, as SQLite converts them: recent releases (3.45 to 3.50, not 3.40) take a few
25-digit integers to the double next to the nearest one.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from ..values.arguments import plain

Path: TypeAlias = "tuple[str, ...]"
"""The names from the top of the metadata down to a field; at least one."""

KEYWORDS = frozenset({"and", "or", "not", "in", "exists", "true", "false", "null"})
"""The words, in lower case, that name no field in an expression unless they are in double quotes."""


class Kind(Enum):
    """The types of JSON that a field can be compared with; the value lists what SQLite's json_type calls them."""

    NULL = ("null",)
    BOOL = ("true", "false")
    NUMBER = ("integer", "real")
    STRING = ("text",)


class Op(Enum):
    """The comparisons, as written; ``!=`` is the `Not` of ``=``."""

    EQ = "="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="


@dataclass(frozen=True, slots=True)
class Value:
    """A scalar, held as its JSON text: in Python True == 1 == 1.0, and a cache would mix ``x = true`` and ``x = 1``."""

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
    """``pattern`` is as it is written, checked by `like`."""

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


# --- what a tree may hold: the parsers build trees with these --------------------------------------------------------


class Refused(Exception):
    """Why a name, a value or a comparison is refused; the parser that met it knows where, and raises InvalidFilter."""

    def __init__(self, reason: str, offset: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.offset = offset


_NAME = re.compile(r'"(?P<quoted>[^"]*(?:""[^"]*)*)"(?!")|(?P<bare>[^".]*)')


def is_bare(name: str) -> bool:
    """Whether a name needs no double quotes: letters (of any script, marks included), digits, _ and -."""
    return name != "" and ("a" + name.replace("-", "")).isidentifier()


def path_text(path: Path) -> str:
    """The path as it is written, with double quotes where they are needed."""

    def name_text(name: str) -> str:
        plain = is_bare(name) and name.lower() not in KEYWORDS
        return name if plain else '"' + name.replace('"', '""') + '"'

    return ".".join(map(name_text, path))


def parse_path(text: str) -> Path:
    """The path that ``text`` writes: names joined by dots."""
    names, offset = [], 0
    while True:
        found = _NAME.match(text, offset)
        assert found is not None  # `bare` matches the empty text
        quoted = found["quoted"]
        name = found["bare"] if quoted is None else quoted.replace('""', '"')
        _check_utf8(name, "a field name", offset)
        if quoted is None and name == "":
            raise Refused('a part of the field name is empty; the empty name is written ""', offset)
        if quoted is None and not is_bare(name):
            reason = (
                f"'{shortened(name, 40)}' is more than letters, digits, _ and -; as a field name it needs double quotes"
            )
            raise Refused(reason, offset)
        if '"' in name or "\0" in name:
            raise Refused("SQLite cannot look up a field whose name holds a double quote or a NUL", offset)
        names.append(name)
        offset = found.end()
        if offset == len(text):
            return tuple(names)
        if text[offset] != ".":
            raise Refused("a dot must separate the parts of a field name", offset)
        offset += 1


_LONGEST_PATTERN = 10_000  # SQLite takes 50,000 bytes
_ESCAPED = re.compile(r"\\[%_\\]")
_BAD_ESCAPE = re.compile(r"\\")

# In this order: to Python a bool is an int.
_KINDS: tuple[tuple[type, Kind], ...] = (
    (bool, Kind.BOOL),
    (int, Kind.NUMBER),
    (float, Kind.NUMBER),
    (str, Kind.STRING),
    (type(None), Kind.NULL),
)
_NO_SCALARS: tuple[tuple[type, str], ...] = (
    (Mapping, "an object cannot be compared; name the field inside it with a dotted path, as in 'author.name'"),
    (list, "a list cannot be compared; $in and $nin take a list of values"),
    (object, "only strings, numbers, true, false and null can be compared"),
)


def value_of(raw: object) -> Value:
    """The value that a scalar of Python stands for, or of numpy."""
    raw = plain(raw)
    kind = next((kind for type_, kind in _KINDS if isinstance(raw, type_)), None)
    if kind is None:
        advice = next(advice for type_, advice in _NO_SCALARS if isinstance(raw, type_))
        conversion = "; a date is compared as ISO text, which .isoformat() writes" if hasattr(raw, "isoformat") else ""
        raise Refused(f"{advice}; this is a {type(raw).__name__}{conversion}")
    if isinstance(raw, str):
        _check_utf8(raw, "the string")
    if isinstance(raw, (int, float)) and not _is_finite(raw):
        raise Refused("JSON has no NaN and no infinity, and no number beyond 1.8e308 can be compared")
    if isinstance(raw, int) and not -(2**63) <= raw < 2**63:
        raise Refused(f"an integer has 64 bits at most; as a float this is {float(raw)!r}")
    return Value(kind, json.dumps(raw, ensure_ascii=False))


def compare(path: Path, op: Op, negated: bool, value: Value) -> Filter:
    """The comparison, or its `Not`."""
    if op is not Op.EQ:
        if value.kind not in (Kind.NUMBER, Kind.STRING):
            raise Refused(f"{value} has no order; {op.value} compares numbers and strings")
        if value.kind is Kind.STRING and "\0" in str(value):
            raise Refused("SQLite cannot order strings that hold a NUL; = and != compare them")
    comparison = Compare(path, op, value)
    return negate(comparison) if negated else comparison


def like(path: Path, pattern: str) -> Like:
    """The `Like` of a pattern that can be answered."""
    _check_utf8(pattern, "the pattern")
    if "\0" in pattern:
        raise Refused("a pattern holds no NUL")
    if len(pattern) > _LONGEST_PATTERN:
        raise Refused(f"a pattern has at most {_LONGEST_PATTERN:,} characters, and this one {len(pattern):,}")
    if found := _BAD_ESCAPE.search(_ESCAPED.sub("--", pattern)):
        raise Refused("a backslash in a pattern stands before %, _ or a backslash; write two for one", found.start())
    return Like(path, pattern)


def one_of(path: Path, values: set[Value]) -> In:
    """The `In` of ``values`` in their canonical order, so that equal sets make equal filters."""
    return In(path, tuple(sorted(values, key=lambda value: value.json)))


def negate(operand: Filter) -> Filter:
    """`Not`, twice being none."""
    return operand.operand if isinstance(operand, Not) else Not(operand)


def all_of(operands: list[Filter]) -> Filter:
    """`And` without an And inside, or the only operand itself."""
    flat = [part for o in operands for part in (o.operands if isinstance(o, And) else (o,))]
    return flat[0] if len(flat) == 1 else And(tuple(flat))


def any_of(operands: list[Filter]) -> Filter:
    """`Or` without an Or inside, or the only operand itself."""
    flat = [part for o in operands for part in (o.operands if isinstance(o, Or) else (o,))]
    return flat[0] if len(flat) == 1 else Or(tuple(flat))


def constant(filter: Filter) -> bool | None:
    """What a filter says of every record whatever it holds, as ``{}`` and ``x not in ()`` do; None for most."""
    match filter:
        case In(_, ()):
            return False
        case Not(operand):
            inner = constant(operand)
            return None if inner is None else not inner
        case And(operands) | Or(operands):
            decides = isinstance(filter, Or)  # one operand that is so decides for all
            found = [constant(operand) for operand in operands]
            if decides in found:
                return decides
            return None if None in found else not decides
        case _:
            return None


def quoted(text: str) -> str:
    """A string as it is written in an expression."""
    return "'" + text.replace("'", "''") + "'"


def shortened(text: str, limit: int = 200) -> str:
    """``text`` in at most ``limit`` characters, as an error shows it."""
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _check_utf8(text: str, what: str, offset: int = 0) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise Refused(f"{what} holds a lone surrogate, which UTF-8 cannot hold", offset) from None


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # an integer that no double can hold
        return False
