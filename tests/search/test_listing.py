"""Records are listed in the order of insertion, from one moment, a few at a time."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecindex import FilterWarning, Index, InvalidFilter, InvalidInput, Record, RecordNotFound
from vecindex.search import listing
from vecindex.sources import read, source

from ..support.commands import run
from ..support.helpers import opened, small_index, state_of

ROWS: list[tuple[str, str, dict[str, Any]]] = [
    ("a", "one", {"lang": "en", "n": 2, "x": 0.1}),
    ("=1+1", "two\nlines, and \x1b", {}),
    ("c", "l" * 300, {"lang": "de", "of": {"b": None}}),
]


@pytest.fixture
def index(here: Path) -> Iterator[Index]:
    with opened(here / ".vecindex") as index:
        keys, texts, metadata = zip(*ROWS, strict=True)
        index.add(texts, keys=keys, metadata=metadata)
        yield index


def plain(records: Iterator[Record]) -> list[tuple[Any, ...]]:
    return [(record.key, record.text, record.metadata) for record in records]


def test_records_are_listed_in_the_order_of_insertion(index: Index) -> None:
    assert plain(index.list()) == ROWS
    assert all(record.vector is None for record in index.list())
    assert plain(index.list(limit=2)) == ROWS[:2]
    assert plain(index.list(limit=100)) == ROWS
    assert plain(index.list("lang exists")) == [ROWS[0], ROWS[2]]
    assert plain(index.list({"lang": "de"}, limit=1)) == ROWS[2:]
    index.add(["eins"], keys=["a"])
    index.delete(["=1+1"])
    assert [key for key, _, _ in plain(index.list())] == ["c", "a"]


def test_a_list_goes_on_after_a_record(index: Index) -> None:
    first, second, third = ROWS
    assert plain(index.list(after=first[0])) == ROWS[1:]
    assert plain(index.list(after=first[0], limit=1)) == [second]
    assert plain(index.list("lang exists", after=first[0])) == [third]
    assert plain(index.list(after=third[0])) == []
    index.add(["eins"], keys=[first[0]])  # an update is an insertion
    assert [record.key for record in index.list(after=second[0])] == [third[0], first[0]]
    index.delete([second[0]])
    with pytest.raises(RecordNotFound, match=re.escape(repr(second[0]))):
        index.list(after=second[0])


def test_a_list_is_of_one_moment(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_RECORDS_A_READ", 1)
    records = index.list()
    first = next(records)
    index.delete(where="true")
    index.compact()
    assert [(first.key, first.text, first.metadata), *plain(records)] == ROWS
    assert plain(index.list()) == []


def test_a_list_that_is_given_up_holds_nothing(index: Index) -> None:
    records = index.list()
    next(records)
    del records
    assert len(index.search(np.ones(16))) == 3


def test_an_index_without_its_vectors_is_still_listed(here: Path) -> None:
    small_index(here / "i")
    for path in (here / "i").glob("vectors-*"):
        path.unlink()
    with opened(here / "i", readonly=True) as index:
        assert [record.key for record in index.list()] == ["a", "d", "c"]


def test_wrong_arguments_of_list_are_refused_at_once(index: Index) -> None:
    with pytest.raises(InvalidInput, match="limit is 0"):
        index.list(limit=0)
    with pytest.raises(InvalidFilter):
        index.list("lang =")
    with pytest.warns(FilterWarning):
        assert list(index.list("nothing = 1")) == []


# --- the command


@pytest.mark.usefixtures("index")
def test_list_prints_a_line_for_each_record() -> None:
    assert run("list") == (0, f"one  [a]\ntwo lines, and \\x1b  [=1+1]\n{'l' * 198}…  [c]\n", "")
    assert run("list", "--limit", "1") == (0, "one  [a]\n", "")
    assert run("list", "--where", "n = 2") == (0, "one  [a]\n", "")
    assert run("list", "--limit", "0")[0] == 2


@pytest.mark.usefixtures("index")
def test_list_is_read_by_programs() -> None:
    expected = [{"key": key, "text": text, "metadata": metadata} for key, text, metadata in ROWS]
    assert json.loads(run("list", "--format", "json")[1]) == expected
    assert [json.loads(line) for line in run("list", "--format", "jsonl")[1].split("\n")[:-1]] == expected
    rows = list(csv.DictReader(io.StringIO(run("list", "--format", "csv")[1], newline="")))
    assert [{**row, "metadata": json.loads(row["metadata"])} for row in rows] == expected
    assert "'=1+1" in run("list", "--format", "csv", "--csv-safe")[1]


@pytest.mark.parametrize(("format_", "empty"), [("text", ""), ("json", "[]\n"), ("jsonl", "")])
@pytest.mark.usefixtures("index")
def test_an_empty_list_is_valid(format_: str, empty: str) -> None:
    assert run("list", "--where", "false", "--format", format_)[1] == empty


@pytest.mark.parametrize("format_", ["csv", "json", "jsonl"])
def test_what_list_prints_can_be_added(format_: str, index: Index, here: Path) -> None:
    (here / f"all.{format_}").write_bytes(run("list", "--format", format_)[1].encode())
    with opened(here / "again") as again, source(f"all.{format_}") as rows:
        again.add(read(rows))
        assert state_of(again) == state_of(index)
        assert again.keys() == index.keys()


def test_a_long_list_is_printed_in_pieces(here: Path) -> None:
    with opened(here / ".vecindex") as index:
        index.add([f"t{n}" for n in range(1_000)], keys=[f"k{n}" for n in range(1_000)])
    assert run("list")[1].splitlines() == [f"t{n}  [k{n}]" for n in range(1_000)]
    assert len(json.loads(run("list", "--format", "json")[1])) == 1_000


def test_count_is_of_the_records_that_match_or_of_all(index: Index) -> None:
    assert index.count() == len(index)
    for where in ("n >= 1", {"lang": "de"}, "not (n = 2)"):
        assert index.count(where) == len(list(index.list(where)))
    with pytest.warns(FilterWarning):
        assert index.count("nothing = 1") == 0
