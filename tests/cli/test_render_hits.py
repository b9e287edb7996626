"""Formats of hits: snippets, metadata fields and scores, safe for terminals and spreadsheets."""

from __future__ import annotations

import csv
import io
import json
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex.cli.render.hits import SNIPPET, Shown, hits_as, snippet
from vecindex.values.records import Hit

from ..support.commands import run
from ..support.extent import examples
from ..support.helpers import opened

FILLER = "lorem ipsum dolor sit amet " * 40


# --- snippets


def test_a_snippet_has_most_of_the_querys_words() -> None:
    text = f"{FILLER}A plant of the desert. {FILLER}Some plants need little water, such as cacti. {FILLER}"
    found = snippet(text, "plant that needs little water")
    assert "Some plants need little water, such as cacti." in found
    assert (found[0], found[-1]) == ("…", "…")
    assert SNIPPET - 40 <= len(found) <= SNIPPET


@pytest.mark.parametrize("query", ["nothing of this", "", "?!", "猫"])
def test_a_snippet_without_a_word_of_the_query_is_the_beginning(query: str) -> None:
    found = snippet(FILLER, query)
    assert found == FILLER[: len(found) - 1] + "…"
    assert SNIPPET - 20 <= len(found) <= SNIPPET


def test_the_end_of_a_text_is_marked_on_one_side_only() -> None:
    found = snippet(f"{FILLER}water", "water")
    assert found == f"…{FILLER[-len(found) + 6 :]}water"


def test_short_words_match_whole_and_long_ones_by_their_beginning() -> None:
    text = f"inside inner {FILLER}it is in here {FILLER}"
    assert "it is in here" in snippet(text, "in")
    assert snippet(f"{FILLER}Gardeners {FILLER}", "gardener").count("Gardeners") == 1


@examples(100)
@given(st.text(max_size=600), st.text(max_size=50), st.integers(10, 300))
def test_a_snippet_is_a_passage_of_at_most_the_given_width(text: str, query: str, width: int) -> None:
    found = snippet(text, query, width)
    assert len(found) <= width
    assert found == text if len(text) <= width else found.strip("…") in text or "…" in text


@pytest.mark.parametrize("text", ["ab " * 4_000_000, "x" * 10_000_000, "the cat " * 1_000_000])
def test_a_snippet_of_ten_megabytes_is_fast(text: str) -> None:
    start = time.perf_counter()
    assert len(snippet(text, "the cat ab x")) <= SNIPPET
    assert time.perf_counter() - start < 0.5


# --- fields, spreadsheets, terminals

HITS = [
    Hit(1, "=1+1", -0.5, "@SUM(A1)\x1b", {"lang": "-en", "year": -2019, "author": {"name": "+x"}, "n": None}),
    Hit(2, "b", 0.25, "plain", {}),
]


def rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


def test_csv_is_exact_unless_it_must_be_safe() -> None:
    assert rows(hits_as("csv", HITS))[1][:4] == ["1", "=1+1", "-0.5", "@SUM(A1)\x1b"]
    shown = Shown(fields=("lang", "year", "author.name"), csv_safe=True)
    assert rows(hits_as("csv", HITS, shown)) == [
        ["rank", "key", "score", "text", "lang", "year", "author.name"],
        ["1", "'=1+1", "-0.5", "'@SUM(A1)\x1b", "'-en", "-2019", "'+x"],
        ["2", "b", "0.25", "plain", "", "", ""],
    ]


@pytest.mark.parametrize("start", [*"=+-@\t\r\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_every_start_of_a_formula_is_quoted(start: str) -> None:
    hit = Hit(1, "k", 0.5, f"{start}x", {})
    assert rows(hits_as("csv", [hit], Shown(csv_safe=True)))[1][3] == f"'{start}x"


def test_a_terminal_gets_no_control_character_in_csv() -> None:
    assert rows(hits_as("csv", HITS, Shown(terminal=True)))[1][3] == "@SUM(A1)\\x1b"
    assert "\x1b" not in hits_as("csv", [Hit(1, "k", 1, "t", {"\x1b": "\u202e"})], Shown(terminal=True))
    of_lists = hits_as("csv", [Hit(1, "k", 1, "t", {"tags": ["\u202e"]})], Shown(fields=("tags",), terminal=True))
    assert rows(of_lists)[1][4] == '["\\u202e"]'


def test_fields_choose_the_metadata_that_is_shown() -> None:
    shown = Shown(fields=("author.name", "year", "none"))
    assert hits_as("text", HITS, shown).splitlines() == [
        '1  -0.5000  @SUM(A1)\\x1b  [=1+1]  {"author.name": "+x", "year": -2019}',
        "2  0.2500  plain  [b]  {}",
    ]
    assert [hit["metadata"] for hit in json.loads(hits_as("json", HITS, shown))] == [
        {"author.name": "+x", "year": -2019},
        {},
    ]
    assert json.loads(hits_as("jsonl", HITS, Shown(fields=("n",))).splitlines()[0])["metadata"] == {"n": None}
    assert hits_as("csv", HITS, Shown(fields=("*",))) == hits_as("csv", HITS)


# --- the commands


@pytest.fixture
def folder(here: Path) -> Path:
    with opened(here / ".vecindex") as index:
        index.add(
            [f"{FILLER}water {FILLER}", "two", "three"],
            keys=["a", "b", "c"],
            metadata=[{"n": n, "m": {"x": "y"}} for n in range(3)],
            vectors=np.array([[1, 0], [0.8, 0.6], [0, 1]]),
            space="theirs",
        )
    return here / ".vecindex"


@pytest.mark.usefixtures("folder")
def test_long_texts_are_snippets_unless_full_or_for_programs() -> None:
    short, full = (run("similar", "b", "-k", "1", *more)[1] for more in ([], ["--full"]))
    assert (len(short) < SNIPPET + 50, len(full) > 2 * len(FILLER)) == (True, True)
    assert json.loads(run("similar", "b", "-k", "1", "--format", "json")[1])[0]["text"] == f"{FILLER}water {FILLER}"
    assert f"{FILLER}water {FILLER}" in run("get", "a")[1]


@pytest.mark.usefixtures("folder")
def test_hits_below_a_score_are_left_out() -> None:
    assert run("similar", "b", "--min-score", "0.7", "--full")[1].count("\n") == 1
    assert run("similar", "b", "--min-score", "0.9") == (
        *(0, ""),
        "No record scores 0.9 or more; the best scores 0.8000.\n",
    )
    assert run("similar", "b", "--min-score", "2")[0] == 2


@pytest.mark.usefixtures("folder")
def test_fields_are_separated_by_commas() -> None:
    expected = '1  0.6000  three  [c]  {"n": 2, "m.x": "y"}\n'
    for arguments in (["--fields", "n,m.x"], ["--fields", "n", "--fields", "m.x"]):
        assert run("similar", "b", "--where", "n = 2", *arguments) == (0, expected, "")
    assert run("similar", "b", "--fields", "n,,x")[0] == 2
