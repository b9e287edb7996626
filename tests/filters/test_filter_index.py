"""SQL indexes on fields answer filters, and select the same records as a scan."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex.errors import InvalidFilter
from vecindex.filters.parse import parse
from vecindex.filters.sql import compile_sql, index_terms
from vecindex.filters.tree import And, Compare, Filter, Not, Op, Or, Path

from ..support.extent import every, examples, slow
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
    joined,
    scalars,
    values,
)

A, B = ("a",), ("b",)
BOTH = frozenset({A, B})

# --- SQLite ----------------------------------------------------------------------------------------------------------


class Records:
    """A table of records with indexes on some fields."""

    def __init__(self) -> None:
        self.sqlite = sqlite3.connect(":memory:")
        self.sqlite.execute(
            "create table records "
            "(row integer primary key, key text, text text, metadata text, truncated int, crc int) strict"
        )
        self.indexes: list[str] = []

    def hold(self, documents: Iterable[Any], indexed: Iterable[Path]) -> None:
        for name in self.indexes:
            self.sqlite.execute(f"drop index {name}")
        self.sqlite.execute("delete from records")
        self.indexes = []
        for place, path in enumerate(sorted(indexed)):
            self.indexes.append(f"field_{place}")
            self.sqlite.execute(f"create index field_{place} on records ({index_terms(path)})")
        texts = [json.dumps(each, ensure_ascii=False, separators=(",", ":")) for each in documents]
        self.sqlite.executemany("insert into records (row, metadata) values (?, ?)", list(enumerate(texts)))

    def rows(self, filter: Filter, indexed: Iterable[Path] = ()) -> list[int]:
        sql, parameters = compile_sql(filter, indexed=frozenset(indexed))
        return sorted(row for (row,) in self.sqlite.execute(f"select row from records where {sql}", parameters))

    def plan(self, filter: Filter, indexed: Iterable[Path]) -> list[str]:
        sql, parameters = compile_sql(filter, indexed=frozenset(indexed))
        explained = self.sqlite.execute(f"explain query plan select row from records where {sql}", parameters)
        return [detail for *_, detail in explained]


@pytest.fixture(scope="module")
def records() -> Iterator[Records]:
    opened = Records()
    yield opened
    opened.sqlite.close()


def fields(node: Filter) -> set[Path]:
    match node:
        case Not(operand):
            return fields(operand)
        case And(operands) | Or(operands):
            return {path for operand in operands for path in fields(operand)}
        case _:
            return {node.path}


# --- the same records ------------------------------------------------------------------------------------------------


@examples(300)
@given(pair=filters, stored=st.lists(documents, min_size=1, max_size=5), data=st.data())
def test_indexes_do_not_change_which_records_match(
    records: Records, pair: tuple[Where, str], stored: list[Any], data: st.DataObject
) -> None:
    filter = parse(pair[0])
    paths = sorted(fields(filter))
    indexed = data.draw(st.sets(st.sampled_from(paths))) if paths else set()
    records.hold(stored, indexed)
    expected = [row for row, document in enumerate(stored) if holds(pair[0], document)]
    assert records.rows(filter, indexed) == records.rows(filter) == expected


few_tests = st.sampled_from("ab").flatmap(
    lambda name: field_tests(name).map(lambda test: ({name: test[0]}, f"({test[1]})"))
)
joined_tests = st.builds(joined, st.lists(few_tests, min_size=1, max_size=4), st.sampled_from(["and", "or"]))
one_or_two_fields = st.fixed_dictionaries({}, optional={"a": scalars | values, "b": scalars | values})


@examples(400)
@given(
    pair=st.builds(joined, st.lists(few_tests | joined_tests, min_size=1, max_size=3), st.sampled_from(["and", "or"])),
    stored=st.lists(one_or_two_fields, min_size=1, max_size=12),
)
def test_ands_and_ors_of_indexed_fields_match_the_same_records(
    records: Records, pair: tuple[Where, str], stored: list[Any]
) -> None:
    filter = parse(pair[0])
    records.hold(stored, BOTH)
    expected = [row for row, document in enumerate(stored) if holds(pair[0], document)]
    assert records.rows(filter, BOTH) == records.rows(filter) == expected
    records.hold(stored, ())
    assert records.rows(filter, BOTH) == expected  # SQL that is written for an index is right without one


def test_odd_values_are_compared_as_without_an_index(records: Records) -> None:
    odd = [None, True, False, *NUMBERS, *STRINGS, r"\u0000", "a\\u0000b"]
    stored = [{}, {"a": []}, {"a": {}}, {"a": [1]}, {"a": ["\0"]}, {"a": 10**400}, *({"a": n} for n in (*odd, *LONG))]
    records.hold(stored, [A])
    for value in odd:
        names = ["$eq", "$ne"]
        if isinstance(value, (str, int, float)) and not isinstance(value, bool) and "\0" not in str(value):
            names += ORDER
        for operand in [*({name: value} for name in names), {"$in": [value]}, {"$in": [value, 1, "a", None]}]:
            filter = parse({"a": operand})
            expected = [row for row, document in enumerate(stored) if holds({"a": operand}, document)]
            assert records.rows(filter, [A]) == records.rows(filter) == expected, operand


def test_patterns_match_the_same_strings_as_without_an_index(records: Records) -> None:
    stored = [{"a": value} for value in (None, 1, ["a"], *STRINGS, "a\U0010ffffb", "abcab", "\ud7ffa", "\ue000")]
    records.hold(stored, [A])
    for pattern in PATTERNS:
        filter = parse({"a": {"$like": pattern}})
        expected = [row for row, document in enumerate(stored) if holds({"a": {"$like": pattern}}, document)]
        assert records.rows(filter, [A]) == records.rows(filter) == expected, pattern


def test_a_changed_record_is_found_by_its_new_value_only(records: Records) -> None:
    records.hold([{"a": 1}, {"a": "a\0b"}, {"b": 1}], [A])
    records.sqlite.execute("update records set metadata = ? where row = 1", ('{"a":1.0}',))
    records.sqlite.execute("delete from records where row = 0")
    assert records.rows(parse("a = 1"), [A]) == [1]
    assert records.rows(parse("a >= 'a'"), [A]) == []
    assert records.sqlite.execute("pragma integrity_check").fetchone() == ("ok",)


def test_one_in_takes_twenty_thousand_values(records: Records) -> None:
    records.hold([{"a": 9_999}, {"a": 9_999.0}, {"a": 10_000}, {"a": "s5"}, {"a": "5"}, {"a": True}, {}], [A])
    among = parse({"a": {"$in": [*range(10_000), *(f"s{n}" for n in range(10_000))]}})
    assert records.rows(among, [A]) == [0, 1, 3]


# --- the index is used -----------------------------------------------------------------------------------------------

LOOKUPS = {
    "a = 1": "<expr>=? AND <expr>=?",
    "a < 1": "<expr>=? AND <expr><?",
    "a <= 1": "<expr>=? AND <expr><?",
    "a > 1": "<expr>=? AND <expr>>?",
    "a >= 1": "<expr>=? AND <expr>>?",
    "a > 1 and a <= 5": "<expr>=? AND <expr>>? AND <expr><?",
    "a in (1, 2)": "<expr>=? AND <expr>=?",
    "a = 'x'": "<expr>=? AND <expr>=? AND <expr>=?",
    "a in ('x', 'y')": "<expr>=? AND <expr>=? AND <expr>=?",
    "a < 'x'": "<expr>=? AND <expr><?",
    "a <= 'x'": "<expr>=? AND <expr><?",
    "a > 'x'": "<expr>=? AND <expr>>?",
    "a >= 'x'": "<expr>=? AND <expr>>?",
    "a > 'x' and a < 'y'": "<expr>=? AND <expr>>? AND <expr><?",
    "a = true": "<expr>=?",
    "a = null": "<expr>=?",
    "a in (true, null)": "<expr>=?",
    "a exists": "<expr>>?",
    "a like 'x%'": "<expr>=? AND <expr>>? AND <expr><?",
    "a like 'it_'": "<expr>=? AND <expr>>? AND <expr><?",
    "a like '%x'": "<expr>=?",
    "a = 1 and c = 1": "<expr>=? AND <expr>=?",
    "a = 1 and not (c = 1 or a = 2)": "<expr>=? AND <expr>=?",
    "a != 2 and a = 1": "<expr>=? AND <expr>=?",
    "a = 1 and (c = 1 or b = 2)": "<expr>=? AND <expr>=?",
    "a = 1 or a = 2": "<expr>=? AND <expr>=?",
}


@pytest.mark.parametrize("expression", LOOKUPS)
def test_the_index_is_used_for_a_condition(records: Records, expression: str) -> None:
    records.hold([], [A])
    found = next(detail for detail in records.plan(parse(expression), [A]) if "records" in detail)
    assert found.replace("COVERING INDEX", "INDEX") == f"SEARCH records USING INDEX field_0 ({LOOKUPS[expression]})"


@pytest.mark.parametrize(
    ("expression", "used"),
    [
        ("a = 1 or a < 0", ["field_0", "field_0"]),
        ("a < 1 or b = 'x'", ["field_0", "field_1"]),
        ("a in (1, 'x', null)", ["field_0"] * 3),
        ("a is null", ["field_0", "field_0"]),
        ("a = 1 or a > 'x' or b exists", ["field_0", "field_0", "field_1"]),
        ("(a = 1 or b = 2) and c = 3", ["field_0", "field_1"]),
    ],
)
def test_an_or_of_indexed_fields_uses_an_index_for_each_operand(
    records: Records, expression: str, used: list[str]
) -> None:
    records.hold([], BOTH)
    plan = records.plan(parse(expression), BOTH)
    assert plan[0] == "MULTI-INDEX OR"
    searches = [detail for detail in plan if "records" in detail]
    assert sorted(detail.split()[4] for detail in searches) == used
    assert all(detail.startswith("SEARCH records USING INDEX") for detail in searches)


@pytest.mark.parametrize(
    "expression",
    [
        "c = 1",
        "a.b = 1",
        '"a.b" = 1',
        "a != 1",
        "not (a = 1 and a > 2)",
        "a not exists",
        "a = 1 or c = 1",
        "a = 1 or not a = 2",
        "(a = 1 and b = 1) or (a = 2 and b = 2)",
        "a in ()",
        "a contains 'x'",
        "a is not null",
        "a not like 'x%'",
        "true",
        "false",
    ],
)
def test_sql_is_the_same_as_without_indexes_where_none_helps(expression: str) -> None:
    filter = parse(expression)
    assert compile_sql(filter, "m", BOTH) == compile_sql(filter, "m")


@pytest.mark.parametrize("value", ["\0", "a\0b", "\\u0000"])
def test_a_value_that_the_index_may_cut_is_compared_with_the_records(value: str) -> None:
    for operand in (value, {"$in": [value, 1]}):
        filter = parse({"a": operand})
        assert compile_sql(filter, indexed=BOTH) == compile_sql(filter)


def test_odd_names_have_their_own_index(records: Records) -> None:
    stored = [{name: {"": 1}} for name in STORED_NAMES]
    odd = [*NAMES, "?", ":a", "--", "{c}", "%s", "a'b''c", 'a".b'.replace('"', "”")]
    stored += [{name: {"": 1}} for name in odd[len(NAMES) :]]
    for name in odd:
        path = (name, "")
        records.hold(stored, [path])
        filter = parse(f'"{name}"."" = 1')
        assert [list(stored[row]) for row in records.rows(filter, [path])] == [[name]]
        assert "field_0" in records.plan(filter, [path])[0]


def test_values_are_not_written_into_the_sql() -> None:
    evil = "x'); DROP TABLE records; --"
    where = {"a": {"$eq": evil, "$gt": evil, "$lte": evil, "$in": [evil, 7777], "$lt": 7777, "$exists": True}}
    sql, parameters = compile_sql(parse(where), "r.metadata", BOTH)
    assert "DROP" not in sql
    assert "7777" not in sql
    assert sql.count("?") == len(parameters)


def test_the_index_of_a_joined_table_is_found_by_its_column(records: Records) -> None:
    records.hold([], [A])
    sql, parameters = compile_sql(parse("a = 1"), "r.metadata", BOTH)
    plan = records.sqlite.execute(f"explain query plan select r.row from records as r where {sql}", parameters)
    assert "field_0" in plan.fetchone()[3]


# --- SQLite's limits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("condition", ["a > {}", slow("a > 's{}'"), slow("a in ({}, 's')")])
@pytest.mark.parametrize("word", ["and", "or"])
def test_two_thousand_conditions_can_be_joined(records: Records, condition: str, word: str) -> None:
    records.hold([{"a": -1}], [A])
    assert records.rows(parse(f" {word} ".join(condition.format(n) for n in range(2_000))), [A]) == []


def test_too_many_conditions_are_refused() -> None:
    filter = parse(" or ".join(f"a > {n}" for n in range(32_001)))
    with pytest.raises(InvalidFilter, match="too many conditions"):
        compile_sql(filter, indexed=BOTH)


STRING = parse("a <= 'a'")
assert isinstance(STRING, Compare)
LEAVES = [
    *(Compare(A, op, STRING.value) for op in Op),
    *map(
        parse,
        ("a = 1", "a in (1)", "a in ('x')", "a in (null, 'x', 1)", "a exists", "a = true", "a is null", "a like 'x%'"),
    ),
    *map(parse, ("a contains 'x'", "a contains 1")),
]
SHAPES: dict[str, Callable[[Filter, Filter, int], Filter]] = {
    "or in and": lambda inner, leaf, width: And((inner, *[Or((leaf,) * width)] * width, leaf)),
    "and": lambda inner, leaf, width: And((leaf,) * width + (inner,)),
    "or": lambda inner, leaf, width: Or((leaf,) * width),
    "chain": lambda inner, leaf, width: And((leaf, inner)),
}
C = parse("c in (1, 'x')")


@pytest.mark.parametrize("leaf", every(6, LEAVES), ids=str)
@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_compiled_sql_fits_the_stack_of_sqlites_parser(records: Records, shape: str, leaf: Filter) -> None:
    records.hold([], [A])
    refused = False
    inner, level = C, 0
    while not refused and level < 40:
        filter = SHAPES[shape](inner, leaf, 2 ** (level % 7))
        try:
            sql, parameters = compile_sql(filter, "r.metadata", BOTH)
        except InvalidFilter:
            refused = True
        else:
            around = (
                "explain select (select r.row from records as r where r.row in (select row from records where row > 0 "
                f"and ({sql}) and row < 9) limit 1)"
            )
            records.sqlite.execute(around, parameters)
        inner, level = Not((And if level % 2 else Or)((leaf, inner))), level + 1
    assert level > 6
