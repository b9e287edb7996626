"""What does a filter mean: real SQLite must agree, record by record, with an oracle that reads the dict form."""

from __future__ import annotations

import json
import math
import operator
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecindex.errors import InvalidFilter
from vecindex.filter_syntax import MAX_NESTING, parse
from vecindex.filters import And, Compare, Exists, Filter, In, Kind, Not, Op, Or, Value, compile_sql

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
    if name == "$not":
        return not field_holds(found, value)
    (kind, left), (other, right) = comparable(found), comparable(value)
    return kind == other and bool(ORDER[name](left, right))


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


# --- SQLite ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def database() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE records (row INTEGER PRIMARY KEY, metadata TEXT)")
    yield connection
    connection.close()


def answers(database: sqlite3.Connection, filter: Filter, documents: list[Any]) -> list[Any]:
    database.execute("DELETE FROM records")
    texts = [(json.dumps(document, ensure_ascii=False, allow_nan=False),) for document in documents]
    database.executemany("INSERT INTO records (metadata) VALUES (?)", texts)
    sql, parameters = compile_sql(filter)
    found = [answer for (answer,) in database.execute(f"SELECT {sql} FROM records ORDER BY row", parameters)]
    chosen = database.execute(f"SELECT count(*) FROM records WHERE row > 0 AND {sql}", parameters).fetchone()[0]
    assert chosen == sum(found)
    return found


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
    *(2**63 - 1, 2**63, -(2**63), -(2**63) - 1, float(2**63), 10**19, 10**25, -(10**25), 1e25, 1.5e25),
]

strings = st.sampled_from(STRINGS) | st.text(max_size=4)
numbers = st.sampled_from(NUMBERS) | st.integers(-3, 3) | st.integers(-(2**63), 2**63 - 1) | st.floats(-1e6, 1e6)
scalars = st.none() | st.booleans() | numbers | strings
few_names = st.sampled_from(["a", "b", ""]) | st.sampled_from(STORED_NAMES)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(few_names, inner, max_size=3), max_leaves=6
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
    """What stands after a field in a dict, and the whole condition as an expression."""
    form = draw(st.sampled_from(["plain", "compare", "compare", "order", "order", "in", "exists", "not", "both"]))
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
    operand, expression = draw(field_tests(path).filter(lambda test: isinstance(test[0], dict)))
    if form == "not":
        return {"$not": operand}, f"not ({expression})"
    other, also = draw(field_tests(path).filter(lambda test: isinstance(test[0], dict)))
    merged = {**other, **operand}
    return (merged, f"({expression}) and {also}") if len(merged) > len(operand) else (operand, expression)


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


@settings(max_examples=500, deadline=None)
@given(pair=filters, stored=st.lists(documents, min_size=1, max_size=5))
def test_sqlite_agrees_with_the_oracle_in_both_forms(
    database: sqlite3.Connection, pair: tuple[Where, str], stored: list[Any]
) -> None:
    where, expression = pair
    expected = [int(holds(where, document)) for document in stored]
    assert answers(database, parse(where), stored) == expected
    assert answers(database, parse(expression), stored) == expected


@settings(max_examples=400, deadline=None)
@given(test=field_tests("a"), stored=st.lists(st.builds(lambda value: {"a": value}, scalars), min_size=1, max_size=8))
def test_sqlite_agrees_with_the_oracle_on_one_field(
    database: sqlite3.Connection, test: tuple[Any, str], stored: list[Any]
) -> None:
    expected = [int(holds({"a": test[0]}, document)) for document in stored]
    assert answers(database, parse({"a": test[0]}), stored) == expected


def test_every_pair_of_odd_values_is_compared_as_the_oracle_does(database: sqlite3.Connection) -> None:
    odd = [None, True, False, *NUMBERS, *STRINGS]
    stored = [{}, {"x": []}, {"x": {}}, {"x": [1]}, {"x": 10**400}, *({"x": value} for value in odd)]
    for value in odd:
        names = ["$eq", "$ne"]
        if isinstance(value, (str, int, float)) and not isinstance(value, bool) and "\0" not in str(value):
            names += ORDER
        for name in names:
            where = {"x": {name: value}}
            assert answers(database, parse(where), stored) == [int(holds(where, each)) for each in stored], where


def test_every_odd_name_finds_its_own_field_and_no_other(database: sqlite3.Connection) -> None:
    stored = [{name: {"": 1}} for name in STORED_NAMES]
    for place, name in enumerate(NAMES):
        found = answers(database, parse(f'"{name}"."" = 1'), stored)
        assert found == [int(each == place) for each in range(len(stored))], name


@settings(max_examples=500, deadline=None)
@given(pair=filters)
def test_the_text_of_a_filter_parses_back_to_an_equal_filter(pair: tuple[Where, str]) -> None:
    for where in pair:
        filter = parse(where)
        again = parse(str(filter))
        assert again == filter
        assert hash(again) == hash(filter)
        assert str(again) == str(filter)


# --- exact cases: the tree, its text ---------------------------------------------------------------------------------

ONE = Value(Kind.NUMBER, "1")
X1 = Compare(("x",), Op.EQ, ONE)
Y1 = Compare(("y",), Op.EQ, ONE)
Z1 = Compare(("z",), Op.EQ, ONE)


@pytest.mark.parametrize(
    ("where", "tree"),
    [
        ("x = 1", X1),
        ("x==1", X1),
        ("((x = 1))", X1),
        ({"x": 1}, X1),
        ({"x": {"$eq": 1}}, X1),
        (MappingProxyType({"x": 1}), X1),
        ("x != 1", Not(X1)),
        ("x <> 1", Not(X1)),
        ("not not not x = 1", Not(X1)),
        ({"$not": {"x": {"$ne": 1}}}, X1),
        ({"x": {"$not": {"$eq": 1}}}, Not(X1)),
        ("a.b = -1.5e3", Compare(("a", "b"), Op.EQ, Value(Kind.NUMBER, "-1500.0"))),
        ("\"a.b\".\"c d\".in = 'it''s'", Compare(("a.b", "c d", "in"), Op.EQ, Value(Kind.STRING, '"it\'s"'))),
        ('"IN" = TRUE', Compare(("IN",), Op.EQ, Value(Kind.BOOL, "true"))),
        ("2020-a_1 != NULL", Not(Compare(("2020-a_1",), Op.EQ, Value(Kind.NULL, "null")))),
        ("नाम <= ''", Compare(("नाम",), Op.LE, Value(Kind.STRING, '""'))),
        ("x in (1, 1, 'b', 'a')", In(("x",), (Value(Kind.STRING, '"a"'), Value(Kind.STRING, '"b"'), ONE))),
        ({"x": {"$nin": {1}}}, Not(In(("x",), (ONE,)))),
        ("x in ()", In(("x",), ())),
        ("x Exists", Exists(("x",))),
        ("x not exists", Not(Exists(("x",)))),
        ("NOT x exists", Not(Exists(("x",)))),
        ({"x": {"$exists": False}}, Not(Exists(("x",)))),
        ("not x=1 and y=1 or z=1", Or((And((Not(X1), Y1)), Z1))),
        ("not (x=1 and (y=1 or z=1))", Not(And((X1, Or((Y1, Z1)))))),
        ("x=1 and (y=1 and z=1)", And((X1, Y1, Z1))),
        ({"x": 1, "$or": [{"y": 1}, {"z": 1}]}, And((X1, Or((Y1, Z1))))),
        ({"$and": [{"x": 1}]}, X1),
        ({}, And(())),
        ("true", And(())),
        ({"$or": []}, Or(())),
        ("false", Or(())),
    ],
)
def test_a_filter_parses_to_this_tree(where: Any, tree: Filter) -> None:
    assert parse(where) == tree


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ({"lang": "en", "year": {"$gte": 2020, "$lt": 2024}}, "lang = 'en' and year >= 2020 and year < 2024"),
        ({"$or": [{"a": 1, "b": 2}, {"c": None}]}, "a = 1 and b = 2 or c = null"),
        ({"a": 1, "$or": [{"b": 2}, {"c": True}]}, "a = 1 and (b = 2 or c = true)"),
        ({"$not": {"a": 1, "b": {"$nin": ["x"]}}}, "not (a = 1 and b not in ('x'))"),
        ({"year": {"$not": {"$gt": 5}}}, "not (year > 5)"),
        ({"not": {"$ne": "it's"}, '"a b".c': {"$exists": False}}, "\"not\" != 'it''s' and \"a b\".c not exists"),
        ({}, "true"),
        ({"$not": {"$or": []}}, "not (false)"),
    ],
)
def test_a_filter_is_printed_like_this(where: Where, text: str) -> None:
    assert str(parse(where)) == text


def test_true_one_and_the_string_of_one_are_different_cache_keys() -> None:
    assert len({parse({"x": True}), parse({"x": 1}), parse({"x": "1"}), parse({"x": {"$in": [1]}})}) == 4


# --- exact cases: what is refused, and where -------------------------------------------------------------------------

OPERATORS = "the operators are = != < <= > >= in exists, not in, not exists"
NO_NUMBER = "JSON has no NaN and no infinity, and no number beyond 1.8e308 can be compared"
NOT_BARE = "is more than letters, digits, _ and -; as a field name it needs double quotes"
NO_NAME = "SQLite cannot look up a field whose name holds a double quote or a NUL"


@pytest.mark.parametrize(
    ("expression", "position", "reason"),
    [
        ("", 0, "the filter is empty; leave it out to match every record"),
        (" \n ", 0, "the filter is empty; leave it out to match every record"),
        ("lang = en", 7, "expected a value after '=', found 'en'; strings need single quotes: 'en'"),
        ('x in ("a")', 6, "expected a value after '(', found '\"a\"'; strings need single quotes: 'a'"),
        (
            "d > 2020-01-01",
            4,
            "expected a value after '>', found '2020-01-01'; strings need single quotes: '2020-01-01'",
        ),
        ("x = 007", 4, "expected a value after '=', found '007'; strings need single quotes: '007'"),
        ("year >=", 7, "expected a value after '>=', found the end"),
        ("x in (1,", 8, "expected a value after ',', found the end"),
        ("x in (1 2)", 8, "expected ',' or ')' after a value, found '2'"),
        ("x in 1", 5, "expected '(' after 'in', found '1'"),
        ("x not = 1", 6, "expected 'in' or 'exists' after 'not', found '='"),
        ("lang", 4, f"expected an operator after 'lang', found the end; {OPERATORS}"),
        ("a b = 1", 2, f"expected an operator after 'a', found 'b'; {OPERATORS}"),
        ("x = 1 and", 9, "expected a field name, found the end"),
        ("'x' = 1", 0, "expected a field name, found ''x''"),
        ("x=1 or Or = 1", 7, "expected a field name, found 'Or'; a field of that name needs double quotes: \"Or\""),
        ("x = 1 y = 2", 6, "expected 'and', 'or' or the end, found 'y'"),
        ("x = 1)", 5, "expected 'and', 'or' or the end, found ')'"),
        (" (x = 1", 7, "expected 'and', 'or' or a ')' for the '(' at position 1, found the end"),
        ("x = 'a''", 4, "the string has no closing single quote"),
        ('x."a"" = 1', 2, "the field name has no closing double quote"),
        ("x ! 1", 2, "expected '!=' or 'not', found '!'"),
        ("a..b = 1", 2, 'a part of the field name is empty; the empty name is written ""'),
        ("y=1 or a. = 1", 9, 'a part of the field name is empty; the empty name is written ""'),
        ("a.b$ = 1", 2, f"'b$' {NOT_BARE}"),
        ('a"b" = 1', 1, "a dot must separate the parts of a field name"),
        ('x."a""b" = 1', 2, NO_NAME),
        ('"a\0" = 1', 0, NO_NAME),
        ("x < true", 4, "true has no order; < compares numbers and strings"),
        ("x >= null", 5, "null has no order; >= compares numbers and strings"),
        ("x > 'a\0'", 4, "SQLite cannot order strings that hold a NUL; = and != compare them"),
        ("x = 1e999", 4, NO_NUMBER),
        ("x = -" + "9" * 5000, 4, NO_NUMBER),
        ("x = NaN", 4, "expected a value after '=', found 'NaN'; strings need single quotes: 'NaN'"),
        ("x = '\ud800'", 4, "the string holds a lone surrogate, which UTF-8 cannot hold"),
        ("x.\ud800 = 1", 2, "a field name holds a lone surrogate, which UTF-8 cannot hold"),
        ("(" * (MAX_NESTING + 1), MAX_NESTING, f"parentheses are nested more than {MAX_NESTING} deep"),
        ("(" * 100_000, MAX_NESTING, f"parentheses are nested more than {MAX_NESTING} deep"),
    ],
)
def test_an_expression_is_refused_with_position_and_reason(expression: str, position: int, reason: str) -> None:
    with pytest.raises(InvalidFilter) as caught:
        parse(expression)
    error = caught.value
    assert (error.reason, error.expression, error.position) == (reason, expression, position)


AN_OBJECT = (
    "an object cannot be compared; name the field inside it with a dotted path, as in 'author.name'; this is a dict"
)
A_LIST = "a list cannot be compared; $in and $nin take a list of values; this is a list"
FIELD_OPERATORS = "the operators are $eq $ne $gt $gte $lt $lte $in $nin $exists $not"


@pytest.mark.parametrize(
    ("where", "key", "reason"),
    [
        ({"a": {"b": 1}}, "'a'", AN_OBJECT),
        ({"a": {}}, "'a'", AN_OBJECT),
        ({"a": 1, "b": [1]}, "'b'", A_LIST),
        ({"b": {"$eq": 1}, "a": {"$eq": {"$eq": 1}}}, "'$eq': {'", AN_OBJECT),
        ({"a": {"$in": [1, [2]]}}, "'$in'", A_LIST),
        ({"a": b"x"}, "'a'", "only strings, numbers, true, false and null can be compared; this is a bytes"),
        ({"a": {"$foo": 1}}, "'$foo'", f"unknown operator '$foo'; {FIELD_OPERATORS}"),
        ({"$or": [{"a": 1}, {"$foo": 1}]}, "'$foo'", "unknown operator '$foo'; the operators are $and $or $not"),
        ({"$gte": 1}, "'$gte'", "'$gte' needs a field before it, as in {'year': {'$gte': ...}}"),
        ({"$or": {"a": 1}}, "'$or'", "'$or' needs a list of dicts, not a dict"),
        ({"$and": ({"a": 1}, 5)}, "5", "'$and' needs a list of dicts; this is a int"),
        ({"$not": 5}, "'$not'", "'$not' needs a dict, not a int"),
        ({"a": {"$not": 5}}, "'$not'", "'$not' needs a dict of operators here; the opposite of a plain value is '$ne'"),
        ({"a": {"$in": "abc"}}, "'$in'", "'$in' needs a list of values, not a str"),
        ({"a": {"$exists": 1}}, "'$exists'", "'$exists' needs True or False"),
        ({"a": {"$lt": None}}, "'$lt'", "null has no order; < compares numbers and strings"),
        ({"a": {"$lt": 1, 5: 1}}, "5: 1", "keys are strings, not int"),
        ({1: 1}, "1: 1", "keys are strings, not int"),
        ({"x": 1, "a b": 1}, "'a b'", f"'a b' {NOT_BARE}"),
        ({"x": {"$gt": 1, "$lt": float("nan")}}, "'$lt'", NO_NUMBER),
        ({"x": -math.inf}, "'x'", NO_NUMBER),
        ({"x": 10**400}, "'x'", NO_NUMBER),
        ({"x": "\ud800"}, "'x'", "the string holds a lone surrogate, which UTF-8 cannot hold"),
    ],
)
def test_a_dict_is_refused_with_the_position_of_the_key_in_its_repr(where: Any, key: str, reason: str) -> None:
    with pytest.raises(InvalidFilter) as caught:
        parse(where)
    error = caught.value
    shown = repr(where) if len(repr(where)) <= 200 else repr(where)[:197] + "..."
    assert (error.reason, error.expression, error.position) == (reason, shown, repr(where).index(key))


@pytest.mark.parametrize("where", [5, None, ["x"], b"x = 1"])
def test_what_is_neither_an_expression_nor_a_dict_is_refused(where: Any) -> None:
    with pytest.raises(InvalidFilter, match=f"a filter is an expression or a dict, not a {type(where).__name__}"):
        parse(where)


def test_a_long_dict_is_shortened_in_the_error() -> None:
    with pytest.raises(InvalidFilter) as caught:
        parse({"a": "x" * 300, "b": []})
    assert len(caught.value.expression) == 200
    assert caught.value.expression.endswith("xxx...")
    assert caught.value.position == 0


def nested(levels: int, wrap: Callable[[Any], Any], inner: Any) -> Any:
    for _ in range(levels):
        inner = wrap(inner)
    return inner


def test_dicts_that_are_too_deep_or_hold_themselves_are_refused() -> None:
    loop: Where = {}
    loop["$and"] = [loop]
    negation: Where = {}
    negation["$not"] = negation
    deep = [
        nested(100_000, lambda inner: {"$not": inner}, {"x": 1}),
        nested(100_000, lambda inner: {"$or": [inner, {"y": 1}]}, {"x": 1}),
        {"x": nested(100_000, lambda inner: {"$not": inner}, {"$eq": 1})},
    ]
    for where in (loop, negation, *deep):
        with pytest.raises(InvalidFilter, match="dicts are nested too deeply"):
            parse(where)


# --- SQL: nothing is spliced in, and SQLite's limits hold ------------------------------------------------------------


def test_neither_names_nor_values_are_written_into_the_sql() -> None:
    evil = "x'); DROP TABLE records; --"
    where = {f'"{evil}"': {"$eq": evil, "$gt": evil, "$in": [evil, 7777], "$lt": 7777, "$exists": True}}
    sql, parameters = compile_sql(parse(where), "r.metadata")
    assert not re.search("DROP|7777", sql)
    assert sql.count("?") == len(parameters)
    assert "r.metadata" in sql


def test_a_record_without_metadata_is_answered_with_zero_or_one(database: sqlite3.Connection) -> None:
    for expression in ("x = 1", "x = 'a'", "x < 'a'", "x > 'a'", "x in (1)", "x in ('a', 1)", "x exists", "x = null"):
        sql, parameters = compile_sql(parse(expression), "NULL")
        assert database.execute(f"SELECT {sql}, NOT {sql}", parameters * 2).fetchone() == (0, 1)


def test_ten_thousand_values_stand_in_one_in(database: sqlite3.Connection) -> None:
    among = [*range(10_000), *(f"s{n}" for n in range(10_000))]
    stored: list[Any] = [{"x": 9_999}, {"x": 9_999.0}, {"x": 10_000}, {"x": "s5"}, {"x": "5"}, {"x": True}, {}]
    assert answers(database, parse({"x": {"$in": among}}), stored) == [1, 1, 0, 1, 0, 0, 0]
    assert answers(database, parse({"x": {"$nin": among}}), stored) == [0, 0, 1, 0, 1, 1, 1]


@pytest.mark.parametrize("condition", ["x = {}", "x > 's{}'"])
def test_five_thousand_conditions_can_be_joined(database: sqlite3.Connection, condition: str) -> None:
    filter = parse(" or ".join(condition.format(n) for n in range(5_000)))
    assert answers(database, filter, [{"x": -1}]) == [0]


def test_too_many_conditions_are_refused() -> None:
    filter = parse(" or ".join(f"x = {n}" for n in range(20_000)))
    with pytest.raises(InvalidFilter, match="too many conditions") as caught:
        compile_sql(filter)
    assert caught.value.expression.startswith("x = 0 or x = 1 or ")
    assert len(caught.value.expression) == 200


LEAVES = [parse(text) for text in ("x = 1", "x > 'a'", "x in (1)", "x in ('a', 1)", "x exists")]
SHAPES: dict[str, Callable[[Filter, Filter, int], Filter]] = {
    "chain": lambda inner, leaf, level: (And if level % 2 else Or)((leaf, inner)),
    "negated chain": lambda inner, leaf, level: Not((And if level % 2 else Or)((leaf, inner))),
    "nots": lambda inner, leaf, level: Not(inner),
    "twins": lambda inner, leaf, level: (And if level % 2 else Or)((inner, inner)),
    "wide": lambda inner, leaf, level: (And if level % 2 else Or)((leaf,) * 40 + (inner,)),
}


@pytest.mark.parametrize("leaf", LEAVES, ids=str)
@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_what_is_compiled_fits_the_stack_of_sqlites_parser(
    database: sqlite3.Connection, shape: str, leaf: Filter
) -> None:
    filter, level = leaf, 0
    while True:
        try:
            sql, parameters = compile_sql(filter)
        except InvalidFilter:
            break
        if level < 12 or sql.count("?") < 3_000:
            around = (
                "EXPLAIN SELECT (SELECT r.row FROM records AS r WHERE r.row IN (SELECT row FROM records WHERE row > 0 "
                f"AND ({sql}) AND row < 9) LIMIT 1)"
            )
            database.execute(around, parameters)
        filter, level = SHAPES[shape](filter, leaf, level), level + 1
    assert level > 10


def test_the_deepest_expression_that_parses_compiles_or_is_refused() -> None:
    expression = nested(MAX_NESTING - 1, lambda inner: f"not (x = 1 and y = 1 or {inner})", "z = 1")
    filter = parse(expression)
    assert parse(str(filter)) == filter
    with pytest.raises(InvalidFilter, match="nested too deeply for SQLite"):
        compile_sql(filter)


def test_conditions_combined_pair_by_pair_in_parentheses_are_one_flat_or(database: sqlite3.Connection) -> None:
    expression = "x = 0"
    for n in range(1, MAX_NESTING + 1):
        expression = f"({expression} or x = {n})"
    assert answers(database, parse(expression), [{"x": MAX_NESTING}, {"x": -1}]) == [1, 0]


# --- garbage ---------------------------------------------------------------------------------------------------------


def parsed(where: Any) -> Filter | InvalidFilter:
    """The filter, or the only error that there may be."""
    try:
        return parse(where)
    except InvalidFilter as error:
        return error


PIECES = [
    *(
        "x",
        "a.b",
        '"q q"',
        '""',
        '"',
        "'",
        "'s'",
        "''",
        "1",
        "-2.5e3",
        "=",
        "==",
        "!=",
        "<>",
        "<",
        ">=",
        "!",
        "(",
        ")",
        ",",
    ),
    *("and", "OR", "not", "in", "exists", "true", "null", ".", "$or", "\\", "\0", "\ud800", ";", "--", " ", "\n", "é"),
]
garbage = st.text() | st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
spaced = st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join)


@settings(max_examples=800, deadline=None)
@given(expression=garbage | spaced)
def test_any_string_is_a_filter_or_an_invalid_filter(database: sqlite3.Connection, expression: str) -> None:
    result = parsed(expression)
    if isinstance(result, InvalidFilter):
        assert result.expression == expression
        assert 0 <= result.position <= len(expression)
    else:
        assert parse(str(result)) == result
        assert set(answers(database, result, [{"x": 1}, {}])) <= {0, 1}


any_key = (
    st.sampled_from(["x", "a.b", "$and", "$or", "$not", "$in", "$gte", "$exists", "$eq", '"', "", "\ud800"]) | st.text()
)
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.just("\ud800")
    | st.just({1}),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_key | st.integers(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=600, deadline=None)
@given(where=st.dictionaries(any_key, anything, max_size=3))
def test_any_dict_is_a_filter_or_an_invalid_filter(database: sqlite3.Connection, where: Where) -> None:
    result = parsed(where)
    if isinstance(result, InvalidFilter):
        assert 0 <= result.position < len(result.expression) <= 200
    else:
        assert parse(str(result)) == result
        assert set(answers(database, result, [{"x": 1}, {}])) <= {0, 1}


def test_importing_the_filters_brings_in_the_standard_library_only() -> None:
    code = "import sys, vecindex.filter_syntax; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    foreign = {name for name in loaded if not name.startswith("_")} - set(sys.stdlib_module_names) - {"vecindex"}
    assert not foreign & {"numpy", "sqlite_utils", "faiss", "click", "onnxruntime", "tokenizers", "torch"}
