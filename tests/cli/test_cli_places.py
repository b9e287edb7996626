"""Places as search prints them stand for keys, and all JSON of records has the same fields for their places."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ..support.commands import failed, run, stored, write

pytestmark = pytest.mark.usefixtures("here", "encoder")

TEA = "# Tea\n\nWarm the pot. Milk comes\nlast.\n\nNo sugar.\n"


@pytest.fixture(autouse=True)
def tea(here: Path, encoder: object) -> None:
    write("tea.md", TEA)
    write("films.csv", "key,text\nm1,A man is stranded.\nm2,A shark terrorises a beach.\n")
    (here / "a in b").mkdir()
    write("a in b/notes.txt", "Buy milk.\n")
    assert run("add", "tea.md", "films.csv", "a in b/notes.txt")[0] == 0


def read(*arguments: str) -> Any:
    code, out, err = run(*arguments, "--format", "json")
    assert (code, err) == (0, "")
    return json.loads(out)


def test_get_and_similar_take_what_search_prints() -> None:
    for place, key in {
        "tea.md:1": "tea.md#1",
        "[tea.md:6]": "tea.md#4",
        "films.csv:3": "m2",
        "m2 in films.csv:3": "m2",
        "[m2 in films.csv:3]": "m2",
        "tea.md#1 in tea.md:1": "tea.md#1",
    }.items():
        assert read("get", place)["key"] == key
        assert read("similar", place, "-k", "2") == read("similar", key, "-k", "2")
    assert read("get", "a in b/notes.txt:1")["text"] == "Buy milk."


def test_everything_that_search_prints_can_be_got() -> None:
    shown = re.findall(r"\[(.*?)\]", run("search", "milk", "-k", "20")[1])
    assert len(shown) == len(stored()) == 7
    assert {read("get", place)["key"] for place in shown} == {*stored()}


def test_a_place_with_several_records_names_their_keys() -> None:
    error = failed(
        "2 records begin at tea.md:3",
        "Name one by its key: tea.md#2 (Warm the pot.), tea.md#3 (Milk comes last.).",
    )
    assert run("get", "tea.md:3") == run("similar", "tea.md:3") == error
    assert read("get", "tea.md#3 in tea.md:3")["key"] == "tea.md#3"
    out = run("search", "milk", "-k", "20")[1]
    assert all(f"[{shown}]" in out for shown in ("tea.md#2 in tea.md:3", "tea.md#3 in tea.md:3", "tea.md:6"))


def test_a_place_without_a_record_is_an_error() -> None:
    assert run("get", "tea.md:4") == failed("no record begins at tea.md:4", "See `vecindex list --source tea.md`.")
    for typed in ("tea.md", "coffee.md:3", "m2 in coffee.csv:3", "tea.md:", "[]"):
        assert run("get", typed)[2].startswith(f"Error: no record has the key '{typed}'\n")


def test_a_key_comes_before_a_place() -> None:
    assert run("add", "--text", "It rains.", "--key", "tea.md:1")[0] == 0
    assert read("get", "tea.md:1")["text"] == "It rains."
    assert run("delete", "tea.md:6")[0] == 1  # only a key says what to delete
    assert run("delete", "tea.md:1")[0] == 0
    assert read("get", "tea.md:1")["key"] == "tea.md#1"


def test_all_json_of_a_record_says_its_place_in_the_same_way() -> None:
    place = {"source": "tea.md", "line": 3, "span": [21, 37]}
    record = {"key": "tea.md#3", "text": "Milk comes\nlast.", "metadata": {"headings": ["Tea"]}, **place}
    assert read("get", "tea.md#3") == record
    assert read("list", "--source", "tea.md")[2] == record
    lines = run("list", "--format", "jsonl")[1].splitlines()
    assert record in map(json.loads, lines)
    assert run("export", "all.jsonl", "--no-vectors")[0] == 0
    assert [*map(json.loads, Path("all.jsonl").read_text().splitlines())] == [*map(json.loads, lines)]
    found = next(each for each in read("search", "milk", "-k", "20") if each["key"] == "tea.md#3")
    assert {name: found[name] for name in record} == record
    (row,) = (each for each in read("list") if each["key"] == "m1")
    assert row == {"key": "m1", "text": "A man is stranded.", "metadata": {}, "source": "films.csv", "line": 2}


def test_places_are_not_taken_for_metadata_when_records_are_added_again() -> None:
    before = stored()
    assert run("list", "--format", "jsonl")[0] == 0
    write("all.jsonl", run("list", "--format", "jsonl")[1])
    write("all.json", run("list", "--format", "json")[1])
    for name in ("all.jsonl", "all.json"):
        assert run("add", name, "--index", name[4:])[0] == 0
        assert stored(name[4:]) == before
    options = ("--mode", "hybrid", "--min-percentile", "1", "--context", "1", "--explain")
    write("hits.jsonl", run("search", "milk", "-k", "99", *options, "--format", "jsonl")[1])
    assert run("add", "hits.jsonl", "--index", "hits")[0] == 0
    assert stored("hits").items() <= before.items()
    write("own.jsonl", '{"key": "a", "text": "One.", "metadata": {}, "source": "b"}\n')
    assert run("add", "own.jsonl")[0] == 0
    assert read("get", "a")["metadata"] == {"source": "b"}


def test_line_breaks_are_spaces_for_people_and_marks_in_code() -> None:
    write("a.py", "def f(x):\n\tif x:\n\t\treturn x\n")
    assert run("add", "a.py")[0] == 0
    assert run("list", "--source", "a.py")[1] == "def f(x): \u21b5 if x: \u21b5 return x  [a.py#1]\n"
    assert "  Milk comes last.  [" in run("search", "milk", "-k", "20")[1]
    assert run("list", "--source", "tea.md")[1].splitlines()[2] == "Milk comes last.  [tea.md#3]"
    assert run("get", "tea.md#3")[1].splitlines()[1:3] == ["text      Milk comes", "          last."]
    assert read("get", "a.py#1")["text"] == "def f(x):\n\tif x:\n\t\treturn x"
