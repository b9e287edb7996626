"""Compiles filters to SQL: expressions that SQLite evaluates, and that an index can answer without a scan.

How SQLite's JSON functions behave (measured on 3.40.1, 3.45.3, 3.46.1 and 3.50.4), and what follows:

1. A path member is compared with the stored name as written in JSON, escapes included. So a path is written by the
   encoder that wrote the metadata: ``json.dumps(ensure_ascii=False)``. Up to 3.46 a name with a ``"`` cannot be
   addressed, and from 3.45 a name is cut at a NUL; the parsers refuse both.
2. ``json_extract`` cuts a string at a NUL on 3.40. ``->`` gives the whole JSON text, so equality compares that.
3. 3.40's SQL parser has a stack of 100 entries, an expression a depth of 1,000, a statement 32,766 parameters.
4. An index is used only for expressions written exactly like its terms, with literal paths, and only where the planner
   sees the comparisons themselves: joined by AND and OR, not inside CASE, coalesce or NOT.
5. Versions differ in the last bit of some numbers (1 in 2,000 of those with 6 decimals, 3.40 against 3.45) and in where
   they cut a string. An index that a different version filled may miss a record, and a DELETE of that record then fails
   with "database disk image is malformed". So only the version that filled an index may use it; others REINDEX first.
"""

from __future__ import annotations

import heapq
import json
import re
from dataclasses import dataclass
from typing import TypeGuard

from ..errors import InvalidFilter
from ..values.nested import on_own_stack
from .tree import (
    And,
    Compare,
    Contains,
    Exists,
    Filter,
    In,
    IsNull,
    Kind,
    Like,
    Not,
    Op,
    Or,
    Path,
    Value,
    one_of,
    shortened,
)

# A statement may bind 32,766 parameters, and its text may fill 100 entries of SQLite's parser stack; the rest of both
# is left to the statement around the filter.
_MAX_PARAMETERS = 32_000
_MAX_STACK = 75
_LEAF_STACK = 18  # measured for the deepest template below, except:
_CONTAINS_STACK = 27

_SAME_JSON = "(({c} -> ?) IS ?)"
_AMONG_JSON = "coalesce(({c} -> ?) IN (SELECT value FROM json_each(?)), 0)"
_EXISTS = "(json_type({c}, ?) IS NOT NULL)"
# The value is bound as JSON text, so that SQLite converts both sides of a comparison to doubles in the same way.
_COMPARED = "CASE WHEN json_type({c}, ?) IN ({types}) THEN json_extract({c}, ?) {op} json_extract(?, '$') ELSE 0 END"
_AMONG_NUMBERS = (
    "CASE WHEN json_type({c}, ?) IN ({types}) THEN json_extract({c}, ?) IN (SELECT value FROM json_each(?)) ELSE 0 END"
)

_IS_NULL = "(coalesce(json_type({c}, ?), 'null') = 'null')"
# For lists only: json_each also takes an object, for its values, and a scalar, as a list of one.
_CONTAINS = "CASE WHEN json_type({c}, ?) = 'array' THEN EXISTS (SELECT 1 FROM json_each({c} -> ?) {test}) ELSE 0 END"
_ITEM_TYPE = "WHERE type = ?"
_ITEM_NUMBER = "WHERE type IN ('integer', 'real') AND value = json_extract(?, '$')"
# Each candidate is also compared as a whole, as JSON text: its value may be cut at a NUL.
_ITEM_STRING = "WHERE type = 'text' AND value = json_extract(?, '$') AND ({c} -> ? -> key) IS ?"
# GLOB, unlike LIKE, is case-sensitive. \u0000 in JSON is a NUL, unless its backslash is escaped.
_NO_NUL = r"instr(replace({c} -> ?, '\\', ''), '\u0000') = 0"
_LIKE = f"CASE WHEN json_type({{c}}, ?) = 'text' THEN json_extract({{c}}, ?) GLOB ? AND {_NO_NUL} ELSE 0 END"

# The terms of an index, and the same tests as comparisons of these alone, which read no record. The third term tells
# whether a string may be cut: it takes 1 byte a record, where `->` would store every string a second time.
_TYPE, _VALUE, _NUL = "json_type({c}, {p})", "json_extract({c}, {p})", r"instr({c} -> {p}, '\u0000')"
_INDEX_TERMS = f"{_TYPE}, {_VALUE}, {_NUL}"
_INDEXED_EXISTS = f"({_TYPE} > '')"
_INDEXED_TYPES = f"({_TYPE} IN ({{types}}))"
_INDEXED_COMPARED = f"({_TYPE} IN ({{types}}) AND {_VALUE} {{op}} json_extract(?, '$'))"
_INDEXED_AMONG = f"({_TYPE} IN ({{types}}) AND {_VALUE} IN (SELECT value FROM json_each(?)))"
# For values without a NUL. A stored string that is cut to such a value is not equal to it but comes after it.
_INDEXED_AMONG_STRINGS = f"({_TYPE} = 'text' AND {_VALUE} IN (SELECT value FROM json_each(?)) AND {_NUL} = 0)"
_INDEXED_IS_NULL = f"({_TYPE} IS NULL OR {_TYPE} = 'null')"
_INDEXED_LIKE = (
    f"({_TYPE} = 'text'{{within}} AND {_VALUE} GLOB ? "
    rf"AND ({_NUL} = 0 OR instr(replace({{c}} -> {{p}}, '\\', ''), '\u0000') = 0))"
)
_FROM, _BEFORE = f" AND {_VALUE} >= ?", f" AND {_VALUE} < ?"
_LT, _GT = f"{_VALUE} < json_extract(?, '$')", f"{_VALUE} > json_extract(?, '$')"
_INDEXED_STRINGS = {
    Op.EQ: f"({_TYPE} = 'text' AND {_VALUE} = json_extract(?, '$') AND {_NUL} = 0)",
    Op.LT: f"({_TYPE} = 'text' AND {_LT})",
    Op.LE: f"({_TYPE} = 'text' AND {_VALUE} <= json_extract(?, '$') AND ({_LT} OR {_NUL} = 0))",
    Op.GT: f"({_TYPE} = 'text' AND {_VALUE} >= json_extract(?, '$') AND ({_GT} OR {_NUL} > 0))",
    Op.GE: f"({_TYPE} = 'text' AND {_VALUE} >= json_extract(?, '$'))",
}


_PATTERN = re.compile(r"\\[%_\\]|[%_*?\[]")
_IN_GLOB = {"%": "*", "_": "?", r"\%": "%", r"\_": "_", "\\\\": "\\"}
_LITERAL = re.compile(r"\\[%_\\]|.", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Sql:
    """A self-contained SQL expression: its text, its parameters, and the entries it takes on the parser's stack."""

    text: str
    parameters: tuple[str, ...]
    stack: int = _LEAF_STACK


def index_terms(path: Path, column: str = "metadata") -> str:
    """The terms of an SQL index on this field: ``create index ... on records (<these terms>)``."""
    return _INDEX_TERMS.format(c=column, p=path_literal(path))


def compile_sql(
    filter: Filter, column: str = "metadata", indexed: frozenset[Path] = frozenset()
) -> tuple[str, tuple[str, ...]]:
    """An SQL expression that is 1 for the records that match and 0 for others, never NULL, and its parameters.

    ``column`` is the SQL name of the metadata. The fields in ``indexed`` have an index on their `index_terms`, and the
    SQL uses it where it helps. Then the expression may be NULL instead of 0, so it must be the WHERE or an operand of
    its ANDs, and the paths of these fields are SQL literals; all other paths, and all values, are bound.

    Raises:
        InvalidFilter: the filter is too long or too deeply nested for a statement.
    """
    return on_own_stack(_checked, filter, column, indexed)


def _checked(filter: Filter, column: str, indexed: frozenset[Path]) -> tuple[str, tuple[str, ...]]:
    sql = _compile(filter, column, indexed)
    if sql.stack > _MAX_STACK:
        raise InvalidFilter("and, or and not are nested too deeply for SQLite", shortened(str(filter)), 0)
    if len(sql.parameters) > _MAX_PARAMETERS:
        raise InvalidFilter("too many conditions; put the values of a field into 'in (...)'", shortened(str(filter)), 0)
    return sql.text, sql.parameters


def _compile(node: Filter, column: str, indexed: frozenset[Path] = frozenset()) -> _Sql:
    if _has_index(node, indexed):
        return _compile_indexed(node, column)
    match node:
        case Compare(path, op, value):
            return _compile_compare(path, op, value, column)
        case In(path, values):
            return _compile_in(path, values, column)
        case Exists(path):
            return _Sql(_EXISTS.format(c=column), (json_path(path),))
        case IsNull(path):
            return _Sql(_IS_NULL.format(c=column), (json_path(path),))
        case Contains(path, value):
            return _compile_contains(path, value, column)
        case Like(path, pattern):
            return _Sql(_LIKE.format(c=column), (*[json_path(path)] * 2, _glob(pattern), json_path(path)))
        case Not(operand):
            # No index answers a NOT, and its operand must not be NULL.
            sql = _compile(operand, column)
            return _Sql(f"(NOT {sql.text})", sql.parameters, sql.stack + 2)
        case And(operands):
            operands = tuple(_in_lists(operands, negated=True))
            return _balanced("AND", [_compile(o, column, indexed) for o in operands], nothing="1")
        case Or(operands):
            operands = tuple(_in_lists(operands, negated=False))
            # SQLite uses indexes for all operands of an OR or for none.
            if not all(_has_index(o, indexed) for o in operands):
                indexed = frozenset()
            return _balanced("OR", [_compile(o, column, indexed) for o in operands], nothing="0")


def _in_lists(operands: tuple[Filter, ...], negated: bool) -> list[Filter]:
    """The operands of an Or with ``x = 1`` and ``x = 2`` as ``x in (1, 2)``; with ``negated``, of an And of Nots.

    A list costs a record about as much as one value, so that thousands of equalities take no longer than a few.
    """
    found: dict[Path, set[Value]] = {}
    places: list[Filter | Path] = []  # a path stands for all equalities of that field
    for operand in operands:
        match operand if negated else Not(operand):
            case Not(Compare(path, Op.EQ, value)) if not _may_hold_nul(value):  # no index would take a list with it
                if path not in found:
                    places.append(path)
                found.setdefault(path, set()).add(value)
            case _:
                places.append(operand)
    joined: list[Filter] = []
    for place in places:
        if isinstance(place, tuple):
            values = found[place]
            among = Compare(place, Op.EQ, *values) if len(values) == 1 else one_of(place, values)
            joined.append(Not(among) if negated else among)
        else:
            joined.append(place)
    return joined


def _has_index(node: Filter, indexed: frozenset[Path]) -> TypeGuard[Compare | In | Exists | IsNull | Like]:
    """Whether an index answers this test."""
    match node:
        case Compare(path, _, value):
            return path in indexed and not _may_hold_nul(value)
        case In(path, values):
            return path in indexed and not any(map(_may_hold_nul, values))
        case Exists(path) | IsNull(path):
            return path in indexed
        case Like(path, pattern):
            # GLOB treats these three as one character, but they are ordered separately.
            return path in indexed and not any(character in pattern for character in "\ufffd\ufffe\uffff")
        case _:
            return False


def _may_hold_nul(value: Value) -> bool:
    """Whether the index may confuse this value with a different one."""
    return r"\u0000" in value.json


def _compile_compare(path: Path, op: Op, value: Value, column: str) -> _Sql:
    # SQLite 3.40 cuts 'a\0b' at its NUL when it extracts it. The cut string still comes before a value without NUL
    # exactly when the whole string does; only equality is lost, and the JSON text decides that.
    match (op, value.kind):
        case (Op.EQ, Kind.STRING | Kind.BOOL | Kind.NULL):
            return _Sql(_SAME_JSON.format(c=column), (json_path(path), value.json))
        case (Op.LE, Kind.STRING):
            return _compile(Or((Compare(path, Op.LT, value), Compare(path, Op.EQ, value))), column)
        case (Op.GT, Kind.STRING):
            return _compile(And((Compare(path, Op.GE, value), Not(Compare(path, Op.EQ, value)))), column)
        case _:
            text = _COMPARED.format(c=column, op=op.value, types=_sql_types(value.kind))
            return _Sql(text, (json_path(path), json_path(path), value.json))


def _compile_in(path: Path, values: tuple[Value, ...], column: str) -> _Sql:
    # One parameter holds all values, and SQLite sorts them once a statement: 10,000 values cost no more a row than ten.
    # Numbers are compared by value, everything else as JSON text, as `=` does.
    numbers = [value.json for value in values if value.kind is Kind.NUMBER]
    others = [value.json for value in values if value.kind is not Kind.NUMBER]
    operands = []
    if others:
        listed = json.dumps(others, ensure_ascii=False)
        operands.append(_Sql(_AMONG_JSON.format(c=column), (json_path(path), listed)))
    if numbers:
        text = _AMONG_NUMBERS.format(c=column, types=_sql_types(Kind.NUMBER))
        operands.append(_Sql(text, (json_path(path), json_path(path), f"[{','.join(numbers)}]")))
    return _balanced("OR", operands, nothing="0")


def _compile_contains(path: Path, value: Value, column: str) -> _Sql:
    at = json_path(path)
    parameters: tuple[str, ...] = (value.json,)
    match value.kind:
        case Kind.STRING:
            test, parameters = _ITEM_STRING.format(c=column), (value.json, at, value.json)
        case Kind.NUMBER:
            test = _ITEM_NUMBER
        case _:  # SQLite's names of these types are their JSON texts
            test = _ITEM_TYPE
    return _Sql(_CONTAINS.format(c=column, test=test), (at, at, *parameters), _CONTAINS_STACK)


def _glob(pattern: str) -> str:
    """Translates a pattern of `Like` into one of GLOB."""
    return _PATTERN.sub(lambda found: _IN_GLOB.get(found.group(), f"[{found.group()[-1]}]"), pattern)


def _bounds(pattern: str) -> tuple[str, str | None]:
    """The prefix of all strings that match ``pattern``, and the first string after all with that prefix, if any.

    Strings are ordered by code point, without the surrogates, which no string contains.
    """
    start = ""
    for piece in _LITERAL.findall(pattern):
        if piece in "%_":
            break
        start += piece[-1]
    for place in range(len(start) - 1, -1, -1):
        code = ord(start[place])
        if code < 0x10FFFF:
            return start, start[:place] + chr(0xE000 if code == 0xD7FF else code + 1)
    return start, None


def _compile_indexed(leaf: Compare | In | Exists | IsNull | Like, column: str) -> _Sql:
    """The same test on the terms of the index; NULL where the field is missing."""

    def sql(template: str, *parameters: str, types: str = "", op: str = "") -> _Sql:
        return _Sql(template.format(c=column, p=path_literal(leaf.path), types=types, op=op), parameters)

    match leaf:
        case Exists():
            return sql(_INDEXED_EXISTS)
        case IsNull():
            return sql(_INDEXED_IS_NULL)
        case Like(_, pattern):
            start, behind = _bounds(pattern)
            within = [(_FROM, start)] if start else []
            if behind is not None:
                within.append((_BEFORE, behind))
            template = _INDEXED_LIKE.replace("{within}", "".join(text for text, _ in within))
            return sql(template, *(bound for _, bound in within), _glob(pattern))
        case Compare(_, op, Value(Kind.STRING, json_text)):
            template = _INDEXED_STRINGS[op]
            return sql(template, *[json_text] * template.count("?"))
        case Compare(_, op, Value(Kind.NUMBER, json_text)):
            return sql(_INDEXED_COMPARED, json_text, types=_sql_types(Kind.NUMBER), op=op.value)
        case Compare(_, _, value):
            return sql(_INDEXED_TYPES, types=f"'{value.json}'")
        case In(_, values):
            texts = {kind: [value.json for value in values if value.kind is kind] for kind in Kind}
            operands = []
            if types := texts[Kind.NULL] + texts[Kind.BOOL]:  # SQLite's names of these types are their JSON texts
                operands.append(sql(_INDEXED_TYPES, types=", ".join(f"'{name}'" for name in types)))
            if texts[Kind.NUMBER]:
                listed = f"[{','.join(texts[Kind.NUMBER])}]"
                operands.append(sql(_INDEXED_AMONG, listed, types=_sql_types(Kind.NUMBER)))
            if texts[Kind.STRING]:
                operands.append(sql(_INDEXED_AMONG_STRINGS, f"[{','.join(texts[Kind.STRING])}]"))
            return _balanced("OR", operands, nothing="0")


def _balanced(word: str, operands: list[_Sql], nothing: str) -> _Sql:
    """Joins ``operands`` by ``word`` in the tree that takes the fewest entries of SQLite's parser stack.

    "(a OR b)" takes 1 entry while a is read, 3 while b is. So the deeper operand goes to the left, and the two
    shallowest are joined first (as in Huffman's code), which also keeps the depth of 5,000 conditions at 13.
    """
    # Of equally deep operands the later is taken first and goes to the right, so that a short filter keeps its order.
    heap = [(operand.stack, -place, operand) for place, operand in enumerate(operands)]
    heapq.heapify(heap)
    place = -len(operands)
    while len(heap) > 1:
        right, left = heapq.heappop(heap)[2], heapq.heappop(heap)[2]
        stack = 1 + max(left.stack, right.stack + 2)
        joined = _Sql(f"({left.text} {word} {right.text})", left.parameters + right.parameters, stack)
        heapq.heappush(heap, (stack, place, joined))
        place -= 1
    return heap[0][2] if heap else _Sql(nothing, ())


def json_path(path: Path) -> str:
    """The path in the syntax of SQLite's JSON functions."""
    return "$" + "".join("." + json.dumps(name, ensure_ascii=False) for name in path)


def path_literal(path: Path) -> str:
    """The same as an SQL literal, as in the terms of an index."""
    return "'" + json_path(path).replace("'", "''") + "'"


def _sql_types(kind: Kind) -> str:
    return ", ".join(f"'{name}'" for name in kind.value)
