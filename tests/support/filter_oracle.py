"""An oracle for filters: what the dict form means, in a few lines of Python, and random filters and metadata."""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Where = dict[str, Any]

# --- the oracle ------------------------------------------------------------------------------------------------------

MISSING = object()
ORDER = {"$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le}


def holds(where: Where, document: Any) -> bool:
    return all(entry_holds(key, operand, document) for key, operand in where.items())


def entry_holds(key: str, operand: Any, document: Any) -> bool:
    if key == "$and":
        return all(holds(part, document) for part in operand)
    if key == "$or":
        return any(holds(part, document) for part in operand)
    if key == "$not":
        return not holds(operand, document)
    found = document
    for quoted, bare in re.findall(r'"([^"]*)"|([^".]+)', key):
        found = found.get(quoted or bare, MISSING) if isinstance(found, dict) else MISSING
    return field_holds(found, operand)


def field_holds(found: Any, operand: Any) -> bool:
    if not isinstance(operand, dict):
        return comparable(found) == comparable(operand)
    return all(operator_holds(name, found, value) for name, value in operand.items())


def operator_holds(name: str, found: Any, value: Any) -> bool:
    if name in ("$eq", "$ne"):
        return (comparable(found) == comparable(value)) is (name == "$eq")
    if name in ("$in", "$nin"):
        return any(comparable(found) == comparable(each) for each in value) is (name == "$in")
    if name == "$exists":
        return (found is not MISSING) is value
    if name == "$null":
        return (found is MISSING or found is None) is value
    if name == "$contains":
        return isinstance(found, list) and any(comparable(item) == comparable(value) for item in found)
    if name == "$like":
        return isinstance(found, str) and "\0" not in found and bool(described(value).fullmatch(_characters(found)))
    if name == "$not":
        return not field_holds(found, value)
    (kind, left), (other, right) = comparable(found), comparable(value)
    return kind == other and bool(ORDER[name](left, right))


WILD = {"%": ".*", "_": "."}


def described(pattern: str) -> re.Pattern[str]:
    """The pattern of a like as a regular expression."""
    pieces = re.findall(r"\\.|.", _characters(pattern), re.DOTALL)
    return re.compile("".join(WILD.get(piece, re.escape(piece[-1])) for piece in pieces), re.DOTALL)


def _characters(text: str) -> str:
    return re.sub("[\ufffe\uffff]", "\ufffd", text)


def comparable(value: Any) -> tuple[str, Any]:
    if value is None or isinstance(value, (bool, str)):
        return type(value).__name__, value
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        try:
            return "number", float(value)
        except OverflowError:
            return "number", math.inf if value > 0 else -math.inf
    if isinstance(value, (int, float)):
        return "number", value
    return "other", object()  # equal to nothing, itself included


# --- random metadata and random filters ------------------------------------------------------------------------------

NAMES = [
    *(
        "a",
        "b",
        "a.b",
        "",
        "a b",
        "in",
        "NOT",
        "null",
        "0",
        "-",
        "a-b",
        "_",
        "é",
        "नाम",
        "日本",
        "😀",
        "a\u0301",
        "\u200c",
    ),
    *("\n", "\x01", "\x7f", "\\", "a\\", "\\n", "\\u0061", "'", "it's", "$x", "$", "[0]", "a[0]", "#", "/", "²"),
]
# A NUL in a stored name is not among these: from 3.45 SQLite itself takes "a\0b" for "a".
STORED_NAMES = [*NAMES, 'q"q', '"']
STRINGS = [
    *("\ufffd", "\ufffea", "\ue000", "\ud7ff", "\U0010ffff", "[a]", "a*", "?", "%", "a_b", "\\u0000", "aab"),
    "",
    "a",
    "A",
    "ab",
    "b",
    "é",
    "e\u0301",
    "😀",
    "\uffff",
    "\0",
    "a\0",
    "a\0b",
    "'",
    "''",
    '"',
    "\\",
    "\n",
    "1",
    "true",
]
NUMBERS: list[int | float] = [
    *(
        0,
        1,
        -1,
        2,
        0.0,
        -0.0,
        1.0,
        0.1,
        0.5,
        1e-7,
        -2.5,
        5e-324,
        1.7976931348623157e308,
        2**53,
        2**53 + 1,
        float(2**53),
    ),
    *(2**53 - 1, -(2**53) - 1, 2**62 + 1, float(2**62), 2**63 - 1, 2**63 - 512, float(2**63 - 512)),
    *(-(2**63), float(-(2**63)), float(2**63), 1e25, 1.5e25),
]
LONG = [2**63, -(2**63) - 1, 10**19, 10**25, -(10**25)]
"""Integers that earlier versions stored and that are refused now: they compare as doubles."""

strings = st.sampled_from(STRINGS) | st.text(max_size=4)
numbers = st.sampled_from(NUMBERS) | st.integers(-3, 3) | st.integers(-(2**63), 2**63 - 1) | st.floats(-1e6, 1e6)
scalars = st.none() | st.booleans() | numbers | strings
PIECES = [
    "%",
    "%",
    "_",
    "\\%",
    "\\_",
    "\\\\",
    "[",
    "]",
    "*",
    "?",
    "^",
    "a",
    "A",
    "b",
    "é",
    "😀",
    "'",
    '"',
    "\n",
    "\uffff",
]
patterns = st.lists(st.sampled_from(PIECES), max_size=5).map("".join)
few_names = st.sampled_from(["a", "b", ""]) | st.sampled_from(STORED_NAMES)
values = st.recursive(
    scalars | st.sampled_from(LONG),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(few_names, inner, max_size=3),
    max_leaves=6,
)
documents = st.dictionaries(few_names, values, max_size=4)


def written_name(name: str) -> str:
    return name if re.fullmatch("[a-z]", name) else f'"{name}"'


def written_value(value: Any) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else json.dumps(value)


paths = st.lists(st.sampled_from(["a", "b", ""]) | st.sampled_from(NAMES), min_size=1, max_size=2).map(
    lambda names: ".".join(map(written_name, names))
)
SYMBOLS = {"$eq": ["=", "=="], "$ne": ["!=", "<>"], "$gt": [">"], "$gte": [">="], "$lt": ["<"], "$lte": ["<="]}
IN = {"$in": "in", "$nin": "NOT IN"}


@st.composite
def field_tests(draw: st.DrawFn, path: str) -> tuple[Any, str]:
    """The operand of a field in a dict, and the whole condition as an expression."""
    form = draw(
        st.sampled_from(
            ["plain", "compare", "compare", "order", "order", "in", "exists", "null", "contains", "like", "not", "both"]
        )
    )
    if form in ("plain", "compare"):
        value, name = draw(scalars), draw(st.sampled_from(["$eq", "$ne"]))
        if form == "plain":
            return value, f"{path}={written_value(value)}"
        return {name: value}, f"{path} {draw(st.sampled_from(SYMBOLS[name]))} {written_value(value)}"
    if form == "order":
        name, value = (
            draw(st.sampled_from(sorted(ORDER))),
            draw(numbers | strings.filter(lambda text: "\0" not in text)),
        )
        return {name: value}, f"{path}{draw(st.sampled_from(SYMBOLS[name]))}{written_value(value)}"
    if form == "in":
        name, among = draw(st.sampled_from(sorted(IN))), draw(st.lists(scalars, max_size=4))
        return {name: among}, f"{path} {IN[name]} ({' , '.join(map(written_value, among))})"
    if form == "exists":
        there = draw(st.booleans())
        return {"$exists": there}, f"{path}{' exists' if there else ' not exists'}"
    if form == "null":
        absent = draw(st.booleans())
        return {"$null": absent}, f"{path} {'Is null' if absent else 'is NOT null'}"
    if form == "contains":
        item = draw(scalars)
        return {"$contains": item}, f"{path} contains {written_value(item)}"
    if form == "like":
        pattern = draw(patterns)
        return {"$like": pattern}, f"{path} like {written_value(pattern)}"
    operand, expression = draw(field_tests(path).filter(lambda test: isinstance(test[0], dict)))
    if form == "not":
        return {"$not": operand}, f"not ({expression})"
    other, also = draw(field_tests(path).filter(lambda test: isinstance(test[0], dict)))
    if operand.keys() & other.keys():  # a dict holds one of them
        return operand, expression
    return {**operand, **other}, f"({expression}) and {also}"


def conditions() -> st.SearchStrategy[tuple[Where, str]]:
    def condition(path: str) -> st.SearchStrategy[tuple[Where, str]]:
        return field_tests(path).map(lambda test: ({path: test[0]}, test[1]))

    return paths.flatmap(condition)


def joined(parts: list[tuple[Where, str]], name: str) -> tuple[Where, str]:
    nothing = {"and": "true", "or": "FALSE"}[name]
    return {f"${name}": [part for part, _ in parts]}, f" {name} ".join(f"({text})" for _, text in parts) or nothing


filters = st.recursive(
    conditions(),
    lambda inner: (
        st.builds(joined, st.lists(inner, max_size=3), st.sampled_from(["and", "or"]))
        | inner.map(lambda pair: ({"$not": pair[0]}, f"NOT ({pair[1]})"))
    ),
    max_leaves=5,
)


PATTERNS = [
    *(
        "",
        "%",
        "_",
        "a%",
        "%a",
        "%a%",
        "a_b",
        "a\\_b",
        "\\%",
        "[a]",
        "[a-z]",
        "a*",
        "?",
        "\\\\u0000",
        "A%",
        "é",
        "e_",
        "😀",
    ),
    *("\ufffd%", "\uffff", "\ud7ff%", "\U0010ffff%", "a\U0010ffff%", "%%%%", "%a%b%", "'%", '"', "\n"),
]


def nested(levels: int, wrap: Callable[[Any], Any], inner: Any) -> Any:
    for _ in range(levels):
        inner = wrap(inner)
    return inner
