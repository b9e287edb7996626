"""What does this filter mean: the one syntax tree of filters, its meaning, its canonical text and its SQL.

A filter selects records by their metadata, a JSON object. `filter_syntax.parse` makes the tree from a dict or an
expression, ``str(filter)`` gives an expression that parses back to an equal tree, and equal trees select the same
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
``a.b.c``              the path walks objects only: a list has no fields, not even ``"0"``
``true``, ``false``    as a condition: every record (also ``{}`` and ``{"$and": []}``), none (``{"$or": []}``)
=====================  ==================================================================================

Integers of 64 bits compare exactly, with floats too. Longer ones compare as doubles, as SQLite converts them: recent
versions (3.45 to 3.50, not 3.40) take a few 25-digit integers to the double next to the nearest one.

What SQLite's JSON functions do (measured on 3.40.1, 3.45.3, 3.46.1 and 3.50.4), and what follows here:

1. A path member is compared with the stored name as it is written in JSON, escapes included, so a path is written with
   the encoder that wrote the metadata: ``json.dumps(ensure_ascii=False)``. Up to 3.46 a name holding ``"`` cannot be
   addressed, and from 3.45 a name is cut at NUL; the parsers refuse both.
2. ``json_extract`` cuts a string at NUL on 3.40. ``->`` gives the JSON text whole, so equality compares that.
3. 3.40's SQL parser has a stack of 100 entries, its expressions a depth of 1,000, a statement 32,766 parameters.
"""

from __future__ import annotations

import heapq
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from .errors import InvalidFilter

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
        string: str = json.loads(self.json)
        return "'" + string.replace("'", "''") + "'"


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
class Not:
    operand: Filter

    def __str__(self) -> str:
        match self.operand:
            case Compare(path, Op.EQ, value):
                return f"{path_text(path)} != {value}"
            case In(path, _) | Exists(path):
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


Filter: TypeAlias = Compare | In | Exists | Not | And | Or


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
    """The value that a scalar of Python stands for."""
    kind = next((kind for type_, kind in _KINDS if isinstance(raw, type_)), None)
    if kind is None:
        advice = next(advice for type_, advice in _NO_SCALARS if isinstance(raw, type_))
        raise Refused(f"{advice}; this is a {type(raw).__name__}")
    if isinstance(raw, str):
        _check_utf8(raw, "the string")
    if isinstance(raw, (int, float)) and not _is_finite(raw):
        raise Refused("JSON has no NaN and no infinity, and no number beyond 1.8e308 can be compared")
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


# --- SQL -------------------------------------------------------------------------------------------------------------

# A statement may bind 32,766 parameters and its text may fill 100 entries of SQLite's parser stack; the rest of both
# belongs to the statement around the filter.
_MAX_PARAMETERS = 32_000
_MAX_STACK = 75
_LEAF_STACK = 18  # measured: what the deepest of the templates below needs

_SAME_JSON = "(({c} -> ?) IS ?)"
_AMONG_JSON = "coalesce(({c} -> ?) IN (SELECT value FROM json_each(?)), 0)"
_EXISTS = "(json_type({c}, ?) IS NOT NULL)"
# The value is bound as JSON text: both sides of a comparison then take the same road from decimal digits to a double.
_COMPARED = "CASE WHEN json_type({c}, ?) IN ({types}) THEN json_extract({c}, ?) {op} json_extract(?, '$') ELSE 0 END"
_AMONG_NUMBERS = (
    "CASE WHEN json_type({c}, ?) IN ({types}) THEN json_extract({c}, ?) IN (SELECT value FROM json_each(?)) ELSE 0 END"
)


@dataclass(frozen=True, slots=True)
class _Sql:
    """A piece of SQL that can stand anywhere: its text, its parameters, and how much of the parser's stack it needs."""

    text: str
    parameters: tuple[str, ...]
    stack: int = _LEAF_STACK


def compile_sql(filter: Filter, column: str = "metadata") -> tuple[str, tuple[str, ...]]:
    """A SQL expression, 1 for the records that match and 0 for all others (never NULL), and its parameters in order.

    ``column`` is the SQL name of the metadata and the only thing written into the text: paths and values are bound.
    Raises InvalidFilter for what is too long or too deeply nested for a statement.
    """
    sql = _compile(filter, column)
    if sql.stack > _MAX_STACK:
        raise InvalidFilter("ands, ors and nots are nested too deeply for SQLite", shortened(str(filter)), 0)
    if len(sql.parameters) > _MAX_PARAMETERS:
        raise InvalidFilter(
            "too many conditions; many values of one field can stand in one 'in (...)'", shortened(str(filter)), 0
        )
    return sql.text, sql.parameters


def _compile(node: Filter, column: str) -> _Sql:
    match node:
        case Compare(path, op, value):
            return _compile_compare(path, op, value, column)
        case In(path, values):
            return _compile_in(path, values, column)
        case Exists(path):
            return _Sql(_EXISTS.format(c=column), (_json_path(path),))
        case Not(operand):
            sql = _compile(operand, column)
            return _Sql(f"(NOT {sql.text})", sql.parameters, sql.stack + 2)
        case And(operands):
            return _balanced("AND", [_compile(o, column) for o in operands], nothing="1")
        case Or(operands):
            return _balanced("OR", [_compile(o, column) for o in operands], nothing="0")


def _compile_compare(path: Path, op: Op, value: Value, column: str) -> _Sql:
    # SQLite 3.40 cuts 'a\0b' at its NUL when it extracts it. The cut string still comes before a value without NUL, or
    # not before it, exactly when the whole one does; only "equal" is lost, and that is asked of the JSON text.
    match (op, value.kind):
        case (Op.EQ, Kind.STRING | Kind.BOOL | Kind.NULL):
            return _Sql(_SAME_JSON.format(c=column), (_json_path(path), value.json))
        case (Op.LE, Kind.STRING):
            return _compile(Or((Compare(path, Op.LT, value), Compare(path, Op.EQ, value))), column)
        case (Op.GT, Kind.STRING):
            return _compile(And((Compare(path, Op.GE, value), Not(Compare(path, Op.EQ, value)))), column)
        case _:
            text = _COMPARED.format(c=column, op=op.value, types=_sql_types(value.kind))
            return _Sql(text, (_json_path(path), _json_path(path), value.json))


def _compile_in(path: Path, values: tuple[Value, ...], column: str) -> _Sql:
    # One parameter holds all values, and SQLite makes it a sorted set once a statement: 10,000 values cost no more a
    # row than ten. Numbers are compared by value, everything else as JSON text, as `=` does it.
    numbers = [value.json for value in values if value.kind is Kind.NUMBER]
    others = [value.json for value in values if value.kind is not Kind.NUMBER]
    parts = []
    if others:
        listed = json.dumps(others, ensure_ascii=False)
        parts.append(_Sql(_AMONG_JSON.format(c=column), (_json_path(path), listed)))
    if numbers:
        text = _AMONG_NUMBERS.format(c=column, types=_sql_types(Kind.NUMBER))
        parts.append(_Sql(text, (_json_path(path), _json_path(path), f"[{','.join(numbers)}]")))
    return _balanced("OR", parts, nothing="0")


def _balanced(word: str, parts: list[_Sql], nothing: str) -> _Sql:
    """``parts`` joined by ``word`` in the tree that needs the least of SQLite's parser stack.

    "(a OR b)" needs 1 entry while a is read, 3 while b is: so the deeper part goes to the left, and the two shallowest
    are joined first (as in Huffman's code), which also keeps the depth of 5,000 conditions at 13.
    """
    # Of equally deep parts the later is taken first, and goes to the right: a short filter keeps its order.
    heap = [(part.stack, -place, part) for place, part in enumerate(parts)]
    heapq.heapify(heap)
    place = -len(parts)
    while len(heap) > 1:
        right, left = heapq.heappop(heap)[2], heapq.heappop(heap)[2]
        stack = 1 + max(left.stack, right.stack + 2)
        joined = _Sql(f"({left.text} {word} {right.text})", left.parameters + right.parameters, stack)
        heapq.heappush(heap, (stack, place, joined))
        place -= 1
    return heap[0][2] if heap else _Sql(nothing, ())


def _json_path(path: Path) -> str:
    return "$" + "".join("." + json.dumps(name, ensure_ascii=False) for name in path)


def _sql_types(kind: Kind) -> str:
    return ", ".join(f"'{name}'" for name in kind.value)
