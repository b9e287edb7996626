"""What is a filter, in both forms: the tree it parses to, the text it prints as, and why and where it is refused."""

from __future__ import annotations

import math
import subprocess
import sys
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from vecindex.errors import InvalidFilter
from vecindex.filters.parse import parse
from vecindex.filters.tree import And, Compare, Contains, Exists, Filter, In, IsNull, Kind, Like, Not, Op, Or, Value
from vecindex.values.nested import MAX_NESTING

from ..support.filter_oracle import Where, nested

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
        ("x is null", IsNull(("x",))),
        ("not x IS NOT null", IsNull(("x",))),
        ({"x": {"$null": False}}, Not(IsNull(("x",)))),
        ("tags contains 'it''s'", Contains(("tags",), Value(Kind.STRING, '"it\'s"'))),
        ("tags NOT CONTAINS 1", Not(Contains(("tags",), ONE))),
        ({"tags": {"$contains": None}}, Contains(("tags",), Value(Kind.NULL, "null"))),
        ("x like 'it''s \\_%'", Like(("x",), "it's \\_%")),
        ({"x": {"$not": {"$like": "%"}}}, Not(Like(("x",), "%"))),
        (
            "is is null and like like 'like' and contains contains 1",
            And((IsNull(("is",)), Like(("like",), "like"), Contains(("contains",), ONE))),
        ),
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
        ({"x": {"$null": False}, "y": {"$null": True}}, "x is not null and y is null"),
        ({"x": {"$like": "it's%"}, "t": {"$not": {"$contains": 1}}}, "x like 'it''s%' and t not contains 1"),
    ],
)
def test_a_filter_is_printed_like_this(where: Where, text: str) -> None:
    assert str(parse(where)) == text


def test_true_one_and_the_string_of_one_are_different_cache_keys() -> None:
    assert len({parse({"x": True}), parse({"x": 1}), parse({"x": "1"}), parse({"x": {"$in": [1]}})}) == 4


# --- exact cases: what is refused, and where -------------------------------------------------------------------------

OPERATORS = "the operators are = != < <= > >= in exists contains like, not in, not exists, is null"
ESCAPE = "a backslash in a pattern stands before %, _ or a backslash; write two for one"
NO_NUMBER = "JSON has no NaN and no infinity, and no number beyond 1.8e308 can be compared"
NOT_BARE = "is more than letters, digits, _ and -; as a field name it needs double quotes"
NO_NAME = "SQLite cannot look up a field whose name holds a double quote or a NUL"


@pytest.mark.parametrize(
    ("expression", "position", "reason"),
    [
        ("", 0, "the filter is empty; the filter true matches every record"),
        (" \n ", 0, "the filter is empty; the filter true matches every record"),
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
        ("x not = 1", 6, "expected 'in', 'exists', 'contains' or 'like' after 'not', found '='"),
        ("lang", 4, f"expected an operator after 'lang', found the end; {OPERATORS}"),
        ("a b = 1", 2, f"expected an operator after 'a', found 'b'; {OPERATORS}"),
        ("x = 1 and", 9, "expected a field name, found the end"),
        (
            "'x' = 1",
            0,
            "expected a field name, found ''x''; "
            'single quotes are for values, a field is written in double quotes: "x"',
        ),
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
NO_SCALAR = "only strings, numbers, true, false and null can be compared; this is"
FIELD_OPERATORS = "the operators are $eq $ne $gt $gte $lt $lte $in $nin $exists $null $contains $like $not"


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
        ({"a": {"$null": None}}, "'$null'", "'$null' needs True or False"),
        ({"a": {"$like": 1}}, "'$like'", "'$like' needs a string, not a int"),
        ({"a": {"$like": "50\\"}}, "'$like'", ESCAPE),
        ({"a": {"$like": "a\0"}}, "'$like'", "a pattern holds no NUL"),
        ({"a": {"$like": "a" * 10_001}}, "'$like'", "a pattern has at most 10,000 characters, and this one 10,001"),
        ({"a": {"$contains": ["x"]}}, "'$contains'", A_LIST),
        (
            {"a": date(2020, 1, 31)},
            "'a'",
            f"{NO_SCALAR} a date; a date is compared as ISO text, which .isoformat() writes",
        ),
        ({"a": Decimal(1)}, "'a'", f"{NO_SCALAR} a Decimal"),
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


def test_scalars_of_numpy_are_compared_as_what_they_are() -> None:
    found = {"a": np.int64(2), "b": np.bool_(True), "c": np.float32(0.5), "d": np.str_("x"), "e": np.float64(1)}
    assert parse(found) == parse({"a": 2, "b": True, "c": 0.5, "d": "x", "e": 1.0})
    assert parse({"a": {"$in": [np.uint8(1), np.longlong(2)]}}) == parse("a in (1, 2)")
    for odd in (np.datetime64("2020-01-01"), np.longdouble(1) / 3, np.complex64(1), np.uint64(2**63), np.array([1])):
        with pytest.raises(InvalidFilter):
            parse({"a": odd})


def test_a_long_dict_is_shortened_in_the_error() -> None:
    with pytest.raises(InvalidFilter) as caught:
        parse({"a": "x" * 300, "b": []})
    assert len(caught.value.expression) == 200
    assert caught.value.expression.endswith("xxx...")
    assert caught.value.position == 0


SLIPS = {
    "'FIRST NAME' exists": 'a field is written in double quotes: "FIRST NAME"',
    "lang = 'en' && year = 1": "expected 'and', 'or' or the end, found '&&'; write and instead of &&",
    "year=1&&lang='en'": "expected a value after '=', found '1&&lang'; write and instead of &&",
    "year = 1 || year = 2": "write or instead of ||",
    "lang = \u2018en\u2019": "expected a value after '=', found '\u2018en\u2019'; strings stand in plain quotes",
    "“lang” = 'en'": "strings stand in plain quotes, 'like this'",
    "year => 1990": "expected a value after '=', found '>'; write >=",
    "year =< 1990": "expected a value after '=', found '<'; write <=",
    "year === 1": "write =",
    "lang in ['en']": "expected '(' after 'in', found '['; a list is written in parentheses: ('a', 'b')",
    "lang in 'en', 'de'": "expected '(' after 'in', found ''en''",
    "lang = ['en']": "one value of several is asked for with in ('a', 'b'), an item of a list with contains 'a'",
    "'cats' in tags": "whether a list holds it is asked like this: tags contains 'cats'",
    "tags has 'cats'": "expected an operator after 'tags', found 'has'; a list is asked with contains",
    "year between 1 and 5": "write it as x >= 1 and x <= 5",
    "lang ~ 'en'": "write it as like 'abc%'",
    "lang ILIKE 'en'": "like tells A from a; there is no other",
    "lang is 'en'": "expected 'null' or 'not null' after 'is', found ''en''; other values are compared with =",
    "lang like en%": "expected a value after 'like', found 'en%'; strings need single quotes: 'en%'",
    "year like 1990": "expected a string after 'like', found '1990'",
    "year $gte 1990": "expected an operator after 'year', found '$gte'; write >=",
    '{"lang": "en"}': "a dict is for Python, an expression is written like lang = 'en' and year >= 2020",
    "lang: 'en'": "write = instead of :",
    "lang = None": "what is not there is asked for with is null",
    "x = .5": "numbers are written as in JSON: 0.5",
    "x = +5": "numbers are written as in JSON: 5.0",
    "x like '50\\'": f"position 10: {ESCAPE}",
    "x like 'a''b\\c'": f"position 12: {ESCAPE}",
    "x = 9223372036854775808": "an integer has 64 bits at most; as a float this is 9.223372036854775808e+18"[:-10],
}


@pytest.mark.parametrize("expression", SLIPS)
def test_a_slip_is_answered_with_what_to_write(expression: str) -> None:
    with pytest.raises(InvalidFilter) as caught:
        parse(expression)
    assert SLIPS[expression] in caught.value.message


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


def test_importing_the_filters_brings_in_the_standard_library_only() -> None:
    code = "import sys, vecindex.filters.parse; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    foreign = {name for name in loaded if not name.startswith("_")} - set(sys.stdlib_module_names) - {"vecindex"}
    assert not foreign & {"numpy", "sqlite_utils", "faiss", "click", "onnxruntime", "tokenizers", "torch"}
