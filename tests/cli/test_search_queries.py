"""`vecindex search --queries FILE` prints the hits of every query of a file, in each format."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from ..support.commands import failed, misused, run
from ..support.helpers import opened
from ..support.toy import ToyEncoder

USAGE = "search [OPTIONS] [QUERY]"


@pytest.fixture
def index(tmp_path: Path) -> Path:
    with opened(tmp_path / "index", model=ToyEncoder()) as index:
        index.add(["the pump is old", "=the red pump", "a cat sleeps"], keys=["p1", "p2", "c1"])
    return tmp_path / "index"


def search(index: Path, queries: Path | str, *options: str, stdin: str | None = None) -> tuple[int, str, str]:
    return run("search", "--queries", queries, "--mode", "lexical", "--index", index, *options, stdin=stdin)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    (tmp_path / "q.txt").write_text("red pump\n\nsleeping cats\nzebra\n", encoding="utf-8")
    return tmp_path / "q.txt"


@pytest.fixture
def named(tmp_path: Path) -> Path:
    objects = [{"id": "q1", "text": "red pump"}, {"id": "q2", "text": "cat"}]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(each) + "\n" for each in objects), encoding="utf-8")
    return tmp_path / "q.jsonl"


def answers(found: list[dict[str, Any]]) -> list[tuple[str | None, str, list[str]]]:
    return [(each.get("id"), each["query"], [hit["key"] for hit in each["hits"]]) for each in found]


def test_people_get_each_query_above_its_hits(index: Path, plain: Path, named: Path) -> None:
    code, out, err = search(index, plain, "-k", "1")
    lines = [line.split("  ")[-1] for line in out.splitlines()]
    assert (code, lines) == (0, ["red pump", "[p2]", "", "sleeping cats", "[c1]", "", "zebra"])
    assert err == "No record matches 1 of the 3 queries.\n"
    code, out, err = search(index, named, "-k", "1")
    assert [line for line in out.splitlines() if "[" not in line] == ["q1: red pump", "", "q2: cat"]
    assert (code, err) == (0, "")


def test_programs_get_an_object_for_each_query(index: Path, plain: Path, named: Path) -> None:
    expected = [(None, "red pump", ["p2", "p1"]), (None, "sleeping cats", ["c1"]), (None, "zebra", [])]
    assert answers(json.loads(search(index, plain, "--format", "json")[1])) == expected
    lines = search(index, plain, "--format", "jsonl")[1].splitlines()
    assert answers([json.loads(line) for line in lines]) == expected
    found = json.loads(search(index, named, "--format", "json")[1])
    assert answers(found) == [("q1", "red pump", ["p2", "p1"]), ("q2", "cat", ["c1"])]
    alone = json.loads(run("search", "red pump", "--mode", "lexical", "--format", "json", "--index", index)[1])
    assert found[0]["hits"] == alone


def test_a_spreadsheet_gets_the_query_before_each_hit(index: Path, plain: Path, named: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(search(index, plain, "--format", "csv", "--csv-safe")[1])))
    assert [(row["query"], row["rank"], row["key"]) for row in rows] == [
        ("red pump", "1", "p2"),
        ("red pump", "2", "p1"),
        ("sleeping cats", "1", "c1"),
    ]
    assert rows[0]["text"] == "'=the red pump"
    assert "id" not in rows[0]
    rows = list(csv.DictReader(io.StringIO(search(index, named, "--format", "csv")[1])))
    assert [(row["id"], row["query"], row["key"]) for row in rows][-1] == ("q2", "cat", "c1")


def test_queries_may_come_from_standard_input(index: Path) -> None:
    assert answers(json.loads(search(index, "-", "--format", "json", stdin="cat\n")[1])) == [(None, "cat", ["c1"])]


def test_options_hold_for_every_query(index: Path, named: Path) -> None:
    found = json.loads(search(index, named, "--format", "json", "--exclude", "p2", "-k", "1")[1])
    assert answers(found) == [("q1", "red pump", ["p1"]), ("q2", "cat", ["c1"])]


def test_a_query_is_given_or_a_file_of_them(index: Path, plain: Path) -> None:
    assert run("search", "x", "--queries", plain) == misused(USAGE, "Pass a QUERY or --queries FILE, not both.")
    assert search(index, plain, "--explain") == misused(USAGE, "--explain is for a single QUERY.")


def test_a_file_without_queries_is_refused(index: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text("\n", encoding="utf-8")
    advice = 'Write one object a line, {"_id": "q1", "text": "..."}; or a name, a tab and the text; or, without names, '
    assert search(index, empty) == failed(f"{empty}: it is empty", f"{advice}one query a line.")
