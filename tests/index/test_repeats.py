"""Rows that have the key of an earlier row: the same ones are counted, other ones are refused, none is lost unsaid."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vecindex
from vecindex import AddReport, Index, Record
from vecindex.errors import InvalidInput
from vecindex.sources import read, read_options, source
from vecindex.values.keys import derive_key
from vecindex.values.repeats import SeenKeys

from ..support.commands import run
from ..support.helpers import opened, state_of
from ..support.places import SHARED

CASES = SHARED / "cases"


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with opened(tmp_path / "i") as index:
        yield index


# --- keys that are derived


def test_the_key_is_by_the_text_and_by_what_metadata_reads_as() -> None:
    assert derive_key("one") == derive_key("one", {}) == "7692c3ad3540bb803c020b3aee66cd88"
    assert derive_key("one", {"a": None, "b": ""}) == derive_key("one")
    assert derive_key("one", {"tags": ["a"], "n": 1}) == derive_key("one", {"n": "1", "tags": ["a"]})
    different: list[dict[str, Any]] = [
        {"n": 1},
        {"n": 1.0},
        {"n": 2},
        {"m": 1},
        {"n": True},
        {"n": [1]},
        {"n": {"n": 1}},
    ]
    assert len({derive_key("one", each) for each in different}) == len(different)


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not here")
def test_rows_with_one_text_and_other_metadata_all_stay(index: Index) -> None:
    records = list(read(source(CASES / "repeated.csv", read_options(text_column="text"))))
    assert index.add(records) == AddReport(added=4)
    hits = index.search("Collapsed in the heat", k=10)
    assert sorted((hit.text, hit.metadata["year"], hit.metadata["place"]) for hit in hits) == [
        ("Collapsed in the heat", 1931, "north gate"),
        ("Collapsed in the heat", 1974, "river bank"),
        ("Collapsed in the heat", 2003, "stadium"),
        ("Fell from a horse", 1931, "parade ground"),
    ]
    assert index.add(records) == AddReport(unchanged=4)


def test_rows_that_say_the_same_are_one_record_and_are_counted(index: Index) -> None:
    rows = [Record("one", None, {"n": 1, "m": 2}), Record("one", None, {"m": 2, "n": 1}), Record("one"), Record("one")]
    assert index.add(rows) == AddReport(added=2, duplicates=2)
    assert index.add(iter([*rows, Record("two")])) == AddReport(added=1, unchanged=2, duplicates=2)


def test_duplicates_are_counted_however_far_apart_they_are(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vecindex.index.adding.repeats, "KEYS_AT_ONCE", 3)
    monkeypatch.setattr(vecindex.index.adding.encode_ahead, "RECORDS_A_READ", 4)
    texts = [f"t{n % 7}" for n in range(50)]
    assert index.add(iter(texts)) == AddReport(added=7, duplicates=43)


@pytest.mark.parametrize("on_long", ["truncate", "split"])
def test_what_an_earlier_version_stored_by_its_text_alone_is_known_again(
    index: Index, on_long: vecindex.index.long_texts.OnLong
) -> None:
    long = " ".join(f"w{n}" for n in range(80))
    for text in ("one", long):
        index.add([text], keys=[derive_key(text)], metadata=[{"n": 1}], on_long=on_long)
    before = state_of(index)
    report = index.add([Record(text, None, {"n": 1}) for text in ("one", long)], on_long=on_long)
    assert (report.added, report.updated, report.unchanged) == (0, 0, len(before))
    assert state_of(index) == before
    # What a table says of a number now is a number: the record is the same, and is told so.
    assert index.add([Record("one", None, {"n": "1"})]) == AddReport(updated=1)
    assert index.get(derive_key("one")).metadata == {"n": "1"}
    # Another row of that text is a record of its own.
    assert index.add([Record("one", None, {"n": 2})]) == AddReport(added=1)


# --- keys that are given


@pytest.mark.parametrize("as_iterator", [False, True])
def test_a_given_key_twice_is_an_error_that_names_both_items(index: Index, as_iterator: bool) -> None:
    rows = [Record("one", "a"), Record("two", "b"), Record("eins", "a")]
    with pytest.raises(InvalidInput, match="items 0 and 2 have the same key, 'a'"):
        index.add(iter(rows) if as_iterator else rows)
    assert len(index) == 0
    with pytest.raises(InvalidInput, match="items 0 and 1 have the same key"):
        index.add([Record("one"), Record("two", derive_key("one"))])
    with pytest.raises(InvalidInput, match="on_duplicate is 'first'"):
        index.add(rows, on_duplicate="first")  # type: ignore[arg-type]


def test_the_last_item_wins_where_that_is_asked_for(index: Index) -> None:
    rows = [Record("one", "a", {"n": 1}), Record("two", "b"), Record("eins", "a", {"n": 2})]
    assert index.add(rows, on_duplicate="last") == AddReport(added=2, duplicates=1)
    assert state_of(index) == {"b": ("two", {}), "a": ("eins", {"n": 2})}
    back = [Record("eins", "a", {"n": 2}), Record("uno", "a", {"n": 3})]
    assert index.add(back, on_duplicate="last") == AddReport(updated=1, duplicates=1)
    assert index.get("a").text == "uno"


def test_keys_tells_where_each_came_first() -> None:
    keys = SeenKeys()
    names = [f"k{n}" for n in range(5000)]
    for start in range(0, 5000, 700):
        assert keys.repeated(names[start : start + 700], [True] * len(names[start : start + 700])) == {}
    assert keys.repeated(["k4999", "new", "k0", "new"], [False] * 4) == {5000: 4999, 5002: 0, 5003: 5001}
    assert (keys.is_named(4999), keys.is_named(5000), len(keys)) == (True, False, 5004)


# --- on the command line


@pytest.mark.usefixtures("here", "encoder")
class TestAddedFiles:
    def test_a_key_twice_names_both_lines_and_nothing_is_added(self, here: Path) -> None:
        Path("a.csv").write_text("key,text\na,one\nb,two\na,three\n")
        Path("b.jsonl").write_text('{"key": "b", "text": "four"}\n')
        status, _, err = run("add", "a.csv")
        assert (status, err.splitlines()[0]) == (1, "Error: a.csv:4: the key 'a' is also that of line 2")
        assert "--on-duplicate last" in err
        Path("a.csv").write_text("key,text\na,one\nb,two\n")
        assert "b.jsonl:1: the key 'b' is also that of line 3 of a.csv" in run("add", "a.csv", "b.jsonl")[2]
        assert run("add", "--text", "x", "--key", "k", "--text", "y", "--key", "k")[0] == 2
        assert not (here / ".vecindex").exists()

    def test_the_last_row_wins_or_the_later_ones_are_bad_rows(self) -> None:
        Path("a.csv").write_text("key,text\na,one\nb,two\na,three\n")
        assert run("add", "a.csv", "--on-duplicate", "last", "--index", "last")[2].startswith(
            "2 added, 0 updated, 0 unchanged, 1 duplicate in the input; last holds 2 records."
        )
        assert json.loads(run("get", "a", "--format", "json", "--index", "last")[1])["text"] == "three"
        assert run("add", "a.csv", "--skip-bad") == (
            0,
            "",
            "Skipped: a.csv:4: the key 'a' is also that of line 2\n"
            "2 added, 0 updated, 0 unchanged; .vecindex holds 2 records.\nWarning: 1 bad row left out.\n",
        )
        assert json.loads(run("get", "a", "--format", "json")[1])["text"] == "one"

    def test_duplicates_are_said_and_reported_as_json(self) -> None:
        Path("a.txt").write_text("one\n" * 1030)
        assert run("add", "a.txt")[2] == (
            "1 added, 0 updated, 0 unchanged, 1,029 duplicates in the input; .vecindex holds 1 record.\n"
        )
        status, out, err = run("add", "a.txt", "--report", "json")
        found = json.loads(out)
        assert (status, err) == (0, "")
        assert (found["unchanged"], found["skipped"], found["records"], found["bad"]) == (1, 1, 1, 0)
