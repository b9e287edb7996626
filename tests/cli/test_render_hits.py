"""Formats of hits: snippets, metadata fields and scores, safe for terminals and spreadsheets."""

from __future__ import annotations

import csv
import io
import json
import time
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex.cli.render.hits import SNIPPET, Shown, hits_as, snippet
from vecindex.cli.render.passages import passages
from vecindex.sources import read, source
from vecindex.values.keys import derive_key
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
    start = time.process_time()
    assert len(snippet(text, "the cat ab x")) <= SNIPPET
    assert time.process_time() - start < 0.5


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


# --- sources and context

WATER = "Water the tomatoes at the roots, never over the leaves, since wet leaves get blight."
MD: dict[str, Any] = {"source": "docs/garden/tomatoes.md", "document": "docs/garden/tomatoes.md"}
UNDER: dict[str, Any] = {"headings": ["Tomatoes", "Watering"]}
FROM_LINE = Hit(1, "docs/garden/tomatoes.md#3", 0.75, WATER, UNDER, **MD, place=("line", 41), span=(10, 94), position=2)
FROM_PAGE = Hit(2, derive_key("A page."), 0.5, "A page.", {}, source="report.pdf", place=("page", 3))
NAMED = Hit(3, "g-1", 0.25, "Mix the grout.", {}, source="data/sentences.csv", place=("line", 12))
SOURCED = [FROM_LINE, FROM_PAGE, NAMED]


def test_a_hit_from_a_source_is_shown_with_its_place_and_headings() -> None:
    assert hits_as("text", SOURCED).splitlines() == [
        f"1  0.7500  {WATER}  [docs/garden/tomatoes.md:41]  Tomatoes > Watering",
        "2  0.5000  A page.  [report.pdf, page 3]",
        "3  0.2500  Mix the grout.  [g-1 in data/sentences.csv:12]",
    ]
    odd = [replace(FROM_LINE, metadata={"headings": headings}) for headings in ([], "x", ["a", 1], ["\x1b", "b"])]
    endings = [line.partition(":41]")[2] for line in hits_as("text", odd).splitlines()]
    assert endings == ["", "", "", "  \\x1b > b"]
    title = replace(FROM_LINE, text="Watering", metadata=UNDER)
    assert hits_as("text", [title]) == "1  0.7500  Watering  [docs/garden/tomatoes.md:41]  Tomatoes\n"
    assert hits_as("text", [replace(NAMED, metadata=UNDER, source=None)]) == "3  0.2500  Mix the grout.  [g-1]\n"


def test_hits_fit_a_terminal() -> None:
    assert hits_as("text", SOURCED, Shown("", width=80)).splitlines() == [
        "1  0.7500  Water the tomatoes at the roots, never over the leaves, since wet",
        "           leaves get blight.  [docs/garden/tomatoes.md:41]  Tomatoes > Watering",
        "2  0.5000  A page.  [report.pdf, page 3]",
        "3  0.2500  Mix the grout.  [g-1 in data/sentences.csv:12]",
    ]
    assert hits_as("text", SOURCED[2:], Shown("", width=56)).splitlines() == [
        "3  0.2500  Mix the grout.",
        "           [g-1 in data/sentences.csv:12]",
    ]
    assert hits_as("text", SOURCED, Shown("", width=25)) == hits_as("text", SOURCED)


@given(st.lists(st.builds(replace, st.sampled_from(SOURCED), text=st.text(min_size=1))), st.integers(1, 100))
def test_wrapping_moves_spaces_only(hits: list[Hit], width: int) -> None:
    plain, wrapped = (hits_as("text", hits, Shown(None, width=width)) for width in (None, width))
    assert plain.split() == wrapped.split()


def test_programs_get_the_source_of_a_hit() -> None:
    assert [list(hit.items())[5:] for hit in json.loads(hits_as("json", SOURCED))] == [
        [
            *(("source", "docs/garden/tomatoes.md"), ("line", 41), ("span", [10, 94])),
            *(("document", "docs/garden/tomatoes.md"), ("position", 2)),
        ],
        [("source", "report.pdf"), ("page", 3)],
        [("source", "data/sentences.csv"), ("line", 12)],
    ]
    assert [row[4:] for row in rows(hits_as("csv", [*SOURCED, HITS[1]]))] == [
        ["metadata", "source", "line", "page", "start", "end"],
        ['{"headings": ["Tomatoes", "Watering"]}', "docs/garden/tomatoes.md", "41", "", "10", "94"],
        ["{}", "report.pdf", "", "3", "", ""],
        ["{}", "data/sentences.csv", "12", "", "", ""],
        ["{}", "", "", "", "", ""],
    ]


BEFORE, AFTER = ("One.", "Two."), ("Four.", "Five.")


def test_sentences_around_a_hit_have_no_rank() -> None:
    near = [replace(FROM_LINE, text="Three.", before=BEFORE, after=AFTER), FROM_PAGE]
    assert hits_as("text", near).splitlines() == [
        "           One.",
        "           Two.",
        "1  0.7500  Three.  [docs/garden/tomatoes.md:41]  Tomatoes > Watering",
        "           Four.",
        "           Five.",
        "",
        "2  0.5000  A page.  [report.pdf, page 3]",
    ]
    first = json.loads(hits_as("jsonl", near).splitlines()[0])
    assert (first["before"], first["after"]) == (["One.", "Two."], ["Four.", "Five."])
    assert rows(hits_as("csv", near))[1][-2:] == ['["One.", "Two."]', '["Four.", "Five."]']


def in_document(rank: int, position: int, around: int = 1, name: str = "d") -> Hit:
    """A hit of a document whose sentences are a to j."""
    texts = "abcdefghij"
    before, after = texts[max(position - around, 0) : position], texts[position + 1 : position + 1 + around]
    return Hit(
        *(rank, f"{name}#{position + 1}", 1 / rank, texts[position], {}),
        source=name,
        document=name,
        position=position,
        before=tuple(before),
        after=tuple(after),
    )


def shown_passages(hits: list[Hit]) -> list[str]:
    """Each passage, with hits in capitals."""
    found = passages(hits)
    return ["".join(each if isinstance(each, str) else each.text.upper() for each in passage) for passage in found]


@pytest.mark.parametrize(
    ("hits", "expected"),
    [
        ([in_document(1, 4), in_document(2, 6)], ["dEfGh"]),
        ([in_document(1, 6), in_document(2, 4)], ["dEfGh"]),
        ([in_document(1, 4), in_document(2, 5)], ["dEFg"]),
        ([in_document(1, 1), in_document(2, 4)], ["aBcdEf"]),  # they touch
        ([in_document(1, 1), in_document(2, 5)], ["aBc", "eFg"]),
        ([in_document(1, 1), in_document(2, 5), in_document(3, 3)], ["aBcDeFg"]),
        ([in_document(1, 8, name="e"), in_document(2, 5), in_document(3, 3)], ["hIj", "cDeFg"]),
        ([in_document(1, 4, around=0), in_document(2, 5, around=0)], ["E", "F"]),
    ],
)
def test_hits_near_each_other_are_one_passage(hits: list[Hit], expected: list[str]) -> None:
    assert shown_passages(hits) == expected


def test_hits_whose_positions_disagree_are_shown_apart() -> None:
    shifted = replace(in_document(2, 5), before=("x",))
    assert shown_passages([in_document(1, 4), shifted]) == ["dEf", "xFg"]


@given(st.sets(st.integers(0, 9), min_size=1), st.integers(1, 9), st.randoms())
def test_no_sentence_of_a_document_is_shown_twice(positions: set[int], around: int, random: Random) -> None:
    order = list(positions)
    random.shuffle(order)
    found = shown_passages([in_document(rank, position, around) for rank, position in enumerate(order, 1)])
    expected = {p for q in positions for p in range(q - around, q + around + 1) if 0 <= p <= 9}
    texts = ["abcdefghij"[p].upper() if p in positions else "abcdefghij"[p] for p in sorted(expected)]
    assert sorted("".join(found).lower()) == sorted("".join(texts).lower())
    assert set("".join(found)) == set(texts)


@pytest.mark.parametrize("format_", ["csv", "json", "jsonl"])
def test_hits_with_sources_can_be_added_again(format_: str, here: Path) -> None:
    found = [replace(hit, lost=3, unknown=True, before=BEFORE) for hit in SOURCED]
    Path(f"hits.{format_}").write_text(hits_as(format_, found))
    with opened(here / ".vecindex") as index, source(f"hits.{format_}") as hits:
        index.add(read(hits))
        assert [(r.key, r.text, r.metadata or {}) for r in map(index.get, index.keys())] == [
            (hit.key, hit.text, hit.metadata) for hit in SOURCED
        ]


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
