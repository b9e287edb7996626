"""Warnings for filters that cannot match: no record has the field, or none has a value of that kind."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vecindex import FilterWarning, Index, VecindexWarning
from vecindex.store.sql.unmatched import MOST

from ..support.commands import run
from ..support.helpers import opened

TYPED = [
    {"year": 1985, "score": 7, "zip": "01234", "active": True, "tags": ["cats"], "a.b": 1},
    {"year": 1990, "score": 500, "zip": "98765", "active": False, "tags": ["dogs", "cats"]},
    {"year": 2021, "score": 12.5, "zip": "00001", "active": True, "tags": []},
    {"score": 3, "zip": "12345"},
]


@pytest.fixture(params=[(), ("year", "zip", "tags")], ids=["plain", "indexed"])
def index(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Index]:
    with opened(tmp_path / "i") as index:
        index.add(["one", "two", "three", "four"], keys=list("abcd"), metadata=TYPED)
        for field in request.param:
            index.index_field(field)
        yield index


SAID: list[tuple[Any, str]] = [
    (
        "yaer >= 1990",
        'the filter asks for the field yaer, but no record has it. Fields include: "a.b", active,',
    ),
    ({"yaer": {"$exists": True}}, "the filter asks for the field yaer, but no record has it."),
    ("a.b = 1", 'Write a name that contains a dot in double quotes: "a.b".'),
    (
        "year >= '1990'",
        "the filter compares year with a string, but year holds numbers. Write a number without quotes,",
    ),
    ("year != '1990'", "the filter compares year with a string, but year holds numbers."),
    ("zip = 1234", "the filter compares zip with a number, but zip holds strings. Write a string in single quotes,"),
    ("zip in (1, true)", "the filter compares zip with true or false or a number, but zip holds strings."),
    ("active = 1", "the filter compares active with a number, but active holds true or false. Write true or false,"),
    ("year like '19%'", "the filter compares year with a string, but year holds numbers."),
    ("tags = 'cats'", "To find a value in a list, use: tags contains 'cats'"),
    ("tags contains 5", "the filter asks whether a list in tags contains a number, but the lists there hold strings."),
    ("zip contains '0'", "a list in zip contains a string, but zip holds strings. contains is for lists;"),
    ("year = null", "To find records without it, use: year is null"),
]


@pytest.mark.parametrize(("where", "said"), SAID, ids=[str(where) for where, _ in SAID])
def test_a_condition_that_no_record_can_meet_gives_a_warning(index: Index, where: Any, said: str) -> None:
    for _ in range(2):  # the second time, the result is cached
        with pytest.warns(FilterWarning) as caught:
            index.search("one", where=where)
        assert [said in str(each.message) for each in caught] == [True]
        assert caught[0].filename == __file__


SILENT = [
    *("year >= 1990", "score > 100", "zip = '01234'", "active = true", "tags contains 'cats'", "year is null"),
    *(
        "year = 1",
        "zip = 'x'",
        "tags contains 'x'",
        "zip like 'x%'",
        "year in ('x', 1)",
        "year not in ()",
        "true",
        "false",
    ),
    *("year is not null and zip = '98765'", "year > 5000 or zip = 'x'", "nothing is null", "not (year = 1)", "x in ()"),
]


@pytest.mark.parametrize("where", SILENT)
def test_no_warning_where_a_record_could_match(index: Index, where: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        index.search("one", where=where)


def test_every_condition_is_checked_when_hits_are_missing(index: Index) -> None:
    with pytest.warns(FilterWarning) as caught:
        assert index.search("one", k=5, where="year >= '1990' or zip = '01234' or not colour = 'red'") != []
    assert [each.message.field for each in caught if isinstance(each.message, FilterWarning)] == ["year", "colour"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # as many hits as were asked for: nothing is checked
        assert len(index.search("one", k=1, where="year >= '1990' or zip = '01234' or score = 3")) == 1


def test_every_command_with_a_filter_prints_the_warning_in_one_line(index: Index, tmp_path: Path) -> None:
    line = "Warning: the filter asks for the field yaer, but no record has it. Fields include: "
    for command in (["similar", "a"], ["export", str(tmp_path / "out.jsonl")], ["delete"]):
        code, _, err = run(*command, "--where", "yaer = 1", "--index", str(index.path))
        assert (code, err.splitlines()[0][: len(line)], err.count("Warning")) == (0, line, 1)


def test_delete_warns_before_it_deletes(index: Index) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", VecindexWarning)
        with pytest.raises(FilterWarning, match="year holds numbers"):
            index.delete(where="year != '1990'")
        assert len(index) == 4
        assert index.delete(where={"year": {"$ne": 1990}}) == 3


def test_an_empty_index_gives_no_warning(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index, warnings.catch_warnings():
        warnings.simplefilter("error")
        assert index.search("one", where="x = 1") == []
        assert index.delete(where="x = 1") == 0


def test_a_later_commit_ends_the_warning(index: Index) -> None:
    with pytest.warns(FilterWarning):
        index.search("one", where="colour = 'red'")
    index.add(["five"], metadata=[{"colour": "blue"}])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert index.search("one", where="colour = 'red'") == []


def test_only_the_first_conditions_of_a_long_filter_are_looked_up(index: Index) -> None:
    where = " or ".join(f"year = {n} or f{n} = {n}" for n in range(2_000))
    for look in (index.search, lambda _, where: index.delete(where=where)):
        with pytest.warns(FilterWarning) as caught:
            look("one", where=where)
        fields = [each.message.field for each in caught if isinstance(each.message, FilterWarning)]
        assert fields == [f"f{n}" for n in range(MOST - 1)], "and year, which is there"
