"""The meaning of filters: SQLite agrees, record by record, with an oracle that reads the dict form."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex.errors import InvalidFilter
from vecindex.filters.parse import parse
from vecindex.filters.sql import compile_sql
from vecindex.filters.tree import And, Filter, Not, Or
from vecindex.values.nested import MAX_NESTING

from ..support.extent import every, examples
from ..support.filter_oracle import (
    LONG,
    NAMES,
    NUMBERS,
    ORDER,
    PATTERNS,
    STORED_NAMES,
    STRINGS,
    Where,
    documents,
    field_tests,
    filters,
    holds,
    nested,
    scalars,
)

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


# --- the oracle's answers ---------------------------------------------------------------------------------------------


@examples(500)
@given(pair=filters, stored=st.lists(documents, min_size=1, max_size=5))
def test_sqlite_agrees_with_the_oracle_in_both_forms(
    database: sqlite3.Connection, pair: tuple[Where, str], stored: list[Any]
) -> None:
    where, expression = pair
    expected = [int(holds(where, document)) for document in stored]
    assert answers(database, parse(where), stored) == expected
    assert answers(database, parse(expression), stored) == expected


@examples(400)
@given(test=field_tests("a"), stored=st.lists(st.builds(lambda value: {"a": value}, scalars), min_size=1, max_size=8))
def test_sqlite_agrees_with_the_oracle_on_one_field(
    database: sqlite3.Connection, test: tuple[Any, str], stored: list[Any]
) -> None:
    expected = [int(holds({"a": test[0]}, document)) for document in stored]
    assert answers(database, parse({"a": test[0]}), stored) == expected


def test_odd_values_are_compared_as_by_the_oracle(database: sqlite3.Connection) -> None:
    odd = [None, True, False, *NUMBERS, *STRINGS]
    stored = [{}, {"x": []}, {"x": {}}, {"x": [1]}, {"x": 10**400}, *({"x": value} for value in (*odd, *LONG))]
    for value in odd:
        names = ["$eq", "$ne"]
        if isinstance(value, (str, int, float)) and not isinstance(value, bool) and "\0" not in str(value):
            names += ORDER
        for name in names:
            where = {"x": {name: value}}
            assert answers(database, parse(where), stored) == [int(holds(where, each)) for each in stored], where


def test_items_of_a_list_are_compared_as_by_the_oracle(database: sqlite3.Connection) -> None:
    odd = [None, True, False, *NUMBERS, *STRINGS]
    stored = [
        *({"x": [value]} for value in odd),
        *({"x": value} for value in odd),
        {"x": {"a": "a"}},
        {"x": [["a"]]},
        {},
    ]
    stored += [{"x": [1, "b", "a"]}, {"x": []}, {"x": [{"a": 1}, None]}]
    for value in odd:
        where = {"x": {"$contains": value}}
        assert answers(database, parse(where), stored) == [int(holds(where, each)) for each in stored], where


def test_patterns_match_the_same_strings_as_the_oracle(database: sqlite3.Connection) -> None:
    stored = [{"x": value} for value in (None, 1, ["a"], *STRINGS, "a\U0010ffffb", "abcab", "\ud7ffa", "\ue000")]
    for pattern in PATTERNS:
        where = {"x": {"$like": pattern}}
        assert answers(database, parse(where), stored) == [int(holds(where, each)) for each in stored], pattern


def test_a_pattern_of_the_maximum_length_is_matched_quickly(database: sqlite3.Connection) -> None:
    stored = [{"x": "a" * 1_000}, {"x": "😀" * 10_000}]
    assert answers(database, parse({"x": {"$like": "%a" * 5_000}}), stored) == [0, 0]
    assert answers(database, parse({"x": {"$like": "😀" * 10_000}}), stored) == [0, 1]
    assert answers(database, parse({"x": {"$like": "%a%a%a%a%a%a%b"}}), stored) == [0, 0]


def test_dates_as_iso_text_compare_like_dates(database: sqlite3.Connection) -> None:
    days = ["1999-12-31", "2020-01-01", "2020-01-31T09:00:00", "2020-02", "2021-01-01"]
    stored = [{"d": day} for day in days]
    assert answers(database, parse("d >= '2020-01-01' and d < '2021'"), stored) == [0, 1, 1, 1, 0]
    assert answers(database, parse("d like '2020-01-%'"), stored) == [0, 1, 1, 0, 0]


def test_odd_names_match_only_their_own_field(database: sqlite3.Connection) -> None:
    stored = [{name: {"": 1}} for name in STORED_NAMES]
    for place, name in enumerate(NAMES):
        found = answers(database, parse(f'"{name}"."" = 1'), stored)
        assert found == [int(each == place) for each in range(len(stored))], name


@examples(500)
@given(pair=filters)
def test_the_text_of_a_filter_parses_back_to_an_equal_filter(pair: tuple[Where, str]) -> None:
    for where in pair:
        filter = parse(where)
        again = parse(str(filter))
        assert again == filter
        assert hash(again) == hash(filter)
        assert str(again) == str(filter)


# --- SQL: nothing is spliced in, and SQLite's limits hold ------------------------------------------------------------


def test_neither_names_nor_values_are_written_into_the_sql() -> None:
    evil = "x'); DROP TABLE records; --"
    where = {f'"{evil}"': {"$eq": evil, "$gt": evil, "$in": [evil, 7777], "$lt": 7777, "$exists": True}}
    sql, parameters = compile_sql(parse(where), "r.metadata")
    assert not re.search("DROP|7777", sql)
    assert sql.count("?") == len(parameters)
    assert "r.metadata" in sql


def test_sql_is_never_null_for_a_record_without_metadata(database: sqlite3.Connection) -> None:
    for expression in (
        "x = 1",
        "x = 'a'",
        "x < 'a'",
        "x > 'a'",
        "x in (1)",
        "x in ('a', 1)",
        "x exists",
        "x = null",
        "x like 'a%'",
    ):
        sql, parameters = compile_sql(parse(expression), "NULL")
        assert database.execute(f"SELECT {sql}, NOT {sql}", parameters * 2).fetchone() == (0, 1)


def test_one_in_takes_twenty_thousand_values(database: sqlite3.Connection) -> None:
    among = [*range(10_000), *(f"s{n}" for n in range(10_000))]
    stored: list[Any] = [{"x": 9_999}, {"x": 9_999.0}, {"x": 10_000}, {"x": "s5"}, {"x": "5"}, {"x": True}, {}]
    assert answers(database, parse({"x": {"$in": among}}), stored) == [1, 1, 0, 1, 0, 0, 0]
    assert answers(database, parse({"x": {"$nin": among}}), stored) == [0, 0, 1, 0, 1, 1, 1]


@pytest.mark.parametrize("condition", ["x > {}", "x > 's{}'"])
def test_five_thousand_conditions_can_be_joined(database: sqlite3.Connection, condition: str) -> None:
    filter = parse(" or ".join(condition.format(n) for n in range(5_000)))
    assert answers(database, filter, [{"x": -1}]) == [0]


def test_equalities_of_one_field_are_one_condition_however_many(database: sqlite3.Connection) -> None:
    stored: list[Any] = [{"x": 7}, {"x": 7.0}, {"x": "7"}, {"x": None}, {"x": True}, {"x": "a\0b"}, {"y": 1}, {}]
    either = " or ".join([*(f"x = {n}" for n in range(20_000)), "y = 1", "x = '7'", "x = null", "x = 'a\0b'"])
    assert answers(database, parse(either), stored) == [1, 1, 1, 1, 0, 1, 1, 0]
    neither = " and ".join(f"x != {n}" for n in range(20_000))
    assert answers(database, parse(f"{neither} and x != true and y is null"), stored) == [0, 0, 1, 1, 0, 1, 0, 1]
    short, long = (compile_sql(parse(" or ".join(f"x = {n}" for n in range(most))))[0] for most in (2, 20_000))
    assert short == long


def test_too_many_conditions_are_refused() -> None:
    filter = parse(" or ".join(f"x > {n}" for n in range(20_000)))
    with pytest.raises(InvalidFilter, match="too many conditions") as caught:
        compile_sql(filter)
    assert caught.value.expression.startswith("x > 0 or x > 1 or ")
    assert len(caught.value.expression) == 200


LEAVES = [parse(text) for text in ("x = 1", "x > 'a'", "x in (1)", "x in ('a', 1)", "x exists", "x like 'a'")]
LEAVES += [parse(text) for text in ("x is null", "x contains 'a'", "x contains 1", "x contains true")]
SHAPES: dict[str, Callable[[Filter, Filter, int], Filter]] = {
    "chain": lambda inner, leaf, level: (And if level % 2 else Or)((leaf, inner)),
    "negated chain": lambda inner, leaf, level: Not((And if level % 2 else Or)((leaf, inner))),
    "nots": lambda inner, leaf, level: Not(inner),
    "twins": lambda inner, leaf, level: (And if level % 2 else Or)((inner, inner)),
    "wide": lambda inner, leaf, level: (And if level % 2 else Or)((leaf,) * 40 + (inner,)),
}


@pytest.mark.parametrize("leaf", every(3, LEAVES), ids=str)
@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_compiled_sql_fits_the_stack_of_sqlites_parser(database: sqlite3.Connection, shape: str, leaf: Filter) -> None:
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


def test_ors_nested_in_parentheses_become_one_flat_or(database: sqlite3.Connection) -> None:
    expression = "x = 0"
    for n in range(1, MAX_NESTING + 1):
        expression = f"({expression} or x = {n})"
    assert answers(database, parse(expression), [{"x": MAX_NESTING}, {"x": -1}]) == [1, 0]


# --- garbage ---------------------------------------------------------------------------------------------------------


def parsed(where: Any) -> Filter | InvalidFilter:
    """The filter, or the only error that may be raised."""
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
    *(
        "and",
        "OR",
        "not",
        "in",
        "exists",
        "is",
        "like",
        "contains",
        "&&",
        "“x”",
        "[",
        "{",
        "true",
        "null",
        ".",
        "$or",
        "\\",
        "\0",
        "\ud800",
        ";",
        "--",
        " ",
        "\n",
        "é",
    ),
]
garbage = st.text() | st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
spaced = st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join)


@examples(800)
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
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text()
    | st.binary()
    | st.just("\ud800")
    | st.just({1}),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_key | st.integers(), inner, max_size=3),
    max_leaves=8,
)


@examples(600)
@given(where=st.dictionaries(any_key, anything, max_size=3))
def test_any_dict_is_a_filter_or_an_invalid_filter(database: sqlite3.Connection, where: Where) -> None:
    result = parsed(where)
    if isinstance(result, InvalidFilter):
        assert 0 <= result.position < len(result.expression) <= 200
    else:
        assert parse(str(result)) == result
        assert set(answers(database, result, [{"x": 1}, {}])) <= {0, 1}
