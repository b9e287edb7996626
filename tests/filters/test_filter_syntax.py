"""Filters in both forms: the tree they parse to, the text they print as, and where and why they are refused."""

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


def test_true_1_and_the_string_1_are_different_cache_keys() -> None:
    assert len({parse({"x": True}), parse({"x": 1}), parse({"x": "1"}), parse({"x": {"$in": [1]}})}) == 4


# --- exact cases: what is refused, and where -------------------------------------------------------------------------

OPERATORS = "the operators are = != < <= > >= in exists contains like, not in, not exists, is null"
ESCAPE = "in a pattern, a backslash must come before %, _ or a backslash; write \\\\ for one"
NO_NUMBER = "NaN, infinity and numbers beyond 1.8e308 cannot be compared"
NOT_BARE = "needs double quotes; without them it may have only letters, digits, _ and -"
NO_NAME = "SQLite cannot look up a field with a double quote or a NUL in its name"


@pytest.mark.parametrize(
    ("expression", "position", "reason"),
    [
        ("", 0, "the filter is empty; write true to match every record"),
        (" \n ", 0, "the filter is empty; write true to match every record"),
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
            "expected a field name, found ''x''; single quotes are for values, double quotes for field names: \"x\"",
        ),
        ("x=1 or Or = 1", 7, "expected a field name, found 'Or'; a field of that name needs double quotes: \"Or\""),
        ("x = 1 y = 2", 6, "expected 'and', 'or' or the end, found 'y'"),
        ("x = 1)", 5, "expected 'and', 'or' or the end, found ')'"),
        (" (x = 1", 7, "expected 'and', 'or' or a ')' for the '(' at position 1, found the end"),
        ("x = 'a''", 4, "the string has no closing single quote"),
        ('x."a"" = 1', 2, "the field name has no closing double quote"),
        ("x ! 1", 2, "expected '!=' or 'not', found '!'"),
        ("a..b = 1", 2, 'a component of the field name is empty; write the empty name as ""'),
        ("y=1 or a. = 1", 9, 'a component of the field name is empty; write the empty name as ""'),
        ("a.b$ = 1", 2, f"the field name 'b$' {NOT_BARE}"),
        ('a"b" = 1', 1, "expected a dot between the components of the field name"),
        ('x."a""b" = 1', 2, NO_NAME),
        ('"a\0" = 1', 0, NO_NAME),
        ("x < true", 4, "< compares numbers and strings only, not true"),
        ("x >= null", 5, ">= compares numbers and strings only, not null"),
        ("x > 'a\0'", 4, "SQLite cannot order strings with a NUL; use = or !="),
        ("x = 1e999", 4, NO_NUMBER),
        ("x = -" + "9" * 5000, 4, NO_NUMBER),
        ("x = NaN", 4, "expected a value after '=', found 'NaN'; strings need single quotes: 'NaN'"),
        ("x = '\ud800'", 4, "the string contains a lone surrogate, which cannot be encoded as UTF-8"),
        ("x.\ud800 = 1", 2, "a field name contains a lone surrogate, which cannot be encoded as UTF-8"),
        ("(" * (MAX_NESTING + 1), MAX_NESTING, f"parentheses are nested more than {MAX_NESTING} levels deep"),
        ("(" * 100_000, MAX_NESTING, f"parentheses are nested more than {MAX_NESTING} levels deep"),
    ],
)
def test_an_expression_is_refused_with_position_and_reason(expression: str, position: int, reason: str) -> None:
    with pytest.raises(InvalidFilter) as caught:
        parse(expression)
    error = caught.value
    assert (error.reason, error.expression, error.position) == (reason, expression, position)


AN_OBJECT = "a dict cannot be compared; name the field inside it with a dotted path, as in 'author.name'"
A_LIST = "a list cannot be compared; $in and $nin take a list of values"
NO_SCALAR = "cannot be compared; only strings, numbers, true, false and null can"
FIELD_OPERATORS = "the operators are $eq $ne $gt $gte $lt $lte $in $nin $exists $null $contains $like $not"


@pytest.mark.parametrize(
    ("where", "key", "reason"),
    [
        ({"a": {"b": 1}}, "'a'", AN_OBJECT),
        ({"a": {}}, "'a'", AN_OBJECT),
        ({"a": 1, "b": [1]}, "'b'", A_LIST),
        ({"b": {"$eq": 1}, "a": {"$eq": {"$eq": 1}}}, "'$eq': {'", AN_OBJECT),
        ({"a": {"$in": [1, [2]]}}, "'$in'", A_LIST),
        ({"a": b"x"}, "'a'", f"a bytes {NO_SCALAR}"),
        ({"a": {"$foo": 1}}, "'$foo'", f"unknown operator '$foo'; {FIELD_OPERATORS}"),
        ({"$or": [{"a": 1}, {"$foo": 1}]}, "'$foo'", "unknown operator '$foo'; the operators are $and $or $not"),
        ({"$gte": 1}, "'$gte'", "'$gte' needs a field before it, as in {'year': {'$gte': ...}}"),
        ({"$or": {"a": 1}}, "'$or'", "'$or' needs a list of dicts, not dict"),
        ({"$and": ({"a": 1}, 5)}, "5", "'$and' needs a list of dicts, not of int"),
        ({"$not": 5}, "'$not'", "'$not' needs a dict, not int"),
        ({"a": {"$not": 5}}, "'$not'", "'$not' needs a dict of operators here; use '$ne' to exclude a value"),
        ({"a": {"$in": "abc"}}, "'$in'", "'$in' needs a list of values, not str"),
        ({"a": {"$exists": 1}}, "'$exists'", "'$exists' needs True or False"),
        ({"a": {"$null": None}}, "'$null'", "'$null' needs True or False"),
        ({"a": {"$like": 1}}, "'$like'", "'$like' needs a string, not int"),
        ({"a": {"$like": "50\\"}}, "'$like'", ESCAPE),
        ({"a": {"$like": "a\0"}}, "'$like'", "a pattern cannot contain a NUL"),
        ({"a": {"$like": "a" * 10_001}}, "'$like'", "the pattern has 10,001 characters; at most 10,000 are allowed"),
        ({"a": {"$contains": ["x"]}}, "'$contains'", A_LIST),
        (
            {"a": date(2020, 1, 31)},
            "'a'",
            "a date cannot be compared; pass its ISO text, which .isoformat() writes",
        ),
        ({"a": Decimal(1)}, "'a'", f"a Decimal {NO_SCALAR}"),
        ({"a": {"$lt": None}}, "'$lt'", "< compares numbers and strings only, not null"),
        ({"a": {"$lt": 1, 5: 1}}, "5: 1", "keys must be strings, not int"),
        ({1: 1}, "1: 1", "keys must be strings, not int"),
        ({"x": 1, "a b": 1}, "'a b'", f"the field name 'a b' {NOT_BARE}"),
        ({"x": {"$gt": 1, "$lt": float("nan")}}, "'$lt'", NO_NUMBER),
        ({"x": -math.inf}, "'x'", NO_NUMBER),
        ({"x": 10**400}, "'x'", NO_NUMBER),
        ({"x": "\ud800"}, "'x'", "the string contains a lone surrogate, which cannot be encoded as UTF-8"),
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
    with pytest.raises(InvalidFilter, match=f"a filter must be an expression or a dict, not {type(where).__name__}"):
        parse(where)


def test_numpy_scalars_are_compared_like_python_ones() -> None:
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


HINTS = {
    "'FIRST NAME' exists": 'double quotes for field names: "FIRST NAME"',
    "lang = 'en' && year = 1": "expected 'and', 'or' or the end, found '&&'; write and instead of &&",
    "year=1&&lang='en'": "expected a value after '=', found '1&&lang'; write and instead of &&",
    "year = 1 || year = 2": "write or instead of ||",
    "lang = \u2018en\u2019": "expected a value after '=', found '\u2018en\u2019'; write strings in plain quotes",
    "“lang” = 'en'": "write strings in plain quotes, 'like this'",
    "year => 1990": "expected a value after '=', found '>'; write >=",
    "year =< 1990": "expected a value after '=', found '<'; write <=",
    "year === 1": "write =",
    "lang in ['en']": "expected '(' after 'in', found '['; write a list in parentheses: ('a', 'b')",
    "lang in 'en', 'de'": "expected '(' after 'in', found ''en''",
    "lang = ['en']": "write in ('a', 'b') for one of several values, contains 'a' for an item of a list",
    "'cats' in tags": "to look for a value in a list, write: tags contains 'cats'",
    "tags has 'cats'": "expected an operator after 'tags', found 'has'; use contains for lists",
    "year between 1 and 5": "write x >= 1 and x <= 5",
    "lang ~ 'en'": "write like 'abc%'",
    "lang ILIKE 'en'": "like is case-sensitive, and there is no other",
    "lang is 'en'": "expected 'null' or 'not null' after 'is', found ''en''; use = for other values",
    "lang like en%": "expected a value after 'like', found 'en%'; strings need single quotes: 'en%'",
    "year like 1990": "expected a string after 'like', found '1990'",
    "year $gte 1990": "expected an operator after 'year', found '$gte'; write >=",
    '{"lang": "en"}': "dicts work in Python only, write an expression such as lang = 'en' and year >= 2020",
    "lang: 'en'": "write = instead of :",
    "lang = None": "use is null for missing values",
    "x = .5": "write numbers as in JSON: 0.5",
    "x = +5": "write numbers as in JSON: 5.0",
    "x like '50\\'": f"position 10: {ESCAPE}",
    "x like 'a''b\\c'": f"position 12: {ESCAPE}",
    "x = 9223372036854775808": "integers have at most 64 bits; write this one as a float: 9.22337203",
}


@pytest.mark.parametrize("expression", HINTS)
def test_a_hint_says_what_to_write_instead(expression: str) -> None:
    with pytest.raises(InvalidFilter) as caught:
        parse(expression)
    assert HINTS[expression] in caught.value.message


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
        with pytest.raises(InvalidFilter, match=r"dicts are nested more than \d+ levels deep"):
            parse(where)


def test_importing_the_filters_brings_in_the_standard_library_only() -> None:
    code = "import sys, vecindex.filters.parse; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    foreign = {name for name in loaded if not name.startswith("_")} - set(sys.stdlib_module_names) - {"vecindex"}
    assert not foreign & {"numpy", "sqlite_utils", "faiss", "click", "onnxruntime", "tokenizers", "torch"}


def test_an_error_shows_of_a_long_filter_what_is_around_the_fault() -> None:
    names = [f"a{n} = 1" for n in range(10_000)]
    for place, fault in (0, "first ~ 1"), (5_000, "middle ~ 1"), (10_000, "last ~ 1"):
        expression = " or ".join([*names[:place], fault, *names[place:]])
        with pytest.raises(InvalidFilter, match="expected an operator") as caught:
            parse(expression)
        error = caught.value
        assert (error.expression, error.expression[error.position]) == (expression, "~")
        message = str(error)
        assert len(message) < 500
        shown = message.partition("invalid filter '")[2].partition("', at position")[0]
        assert fault in shown
        assert shown.strip(".") in expression
        assert (shown.startswith("..."), shown.endswith("...")) == (place > 0, place < 10_000)
