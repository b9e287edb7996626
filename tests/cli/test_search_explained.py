"""`vecindex search --explain` prints why each hit is there, for people and for programs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import vecindex
from vecindex.cli.render.explained import explanation_lines
from vecindex.encoders.explain import TokenExplanation
from vecindex.encoders.run.encoder import Encoder
from vecindex.search.explained.hit_explanation import HitExplanation, Standing
from vecindex.search.lexical.postings import Contribution
from vecindex.search.rerank.late_interaction import Pair
from vecindex.values.records import Hit

from ..support.commands import run


@pytest.fixture
def index(here: Path, encoder: Encoder) -> Path:
    """Four sentences with a field to filter by."""
    with vecindex.open(here / ".vecindex", model=encoder) as opened:
        opened.add(["one", "two", "three", "four"], keys=list("abcd"), metadata=[{"n": n} for n in range(4)])
    return here / ".vecindex"


# --- the command


@pytest.mark.usefixtures("index")
def test_people_get_the_reasons_below_each_hit_and_the_route_beside_them() -> None:
    plainly = run("search", "one", "-k", "2", "--mode", "hybrid")
    code, out, err = run("search", "one", "-k", "2", "--mode", "hybrid", "--explain")
    lines = out.splitlines()
    assert (code, "".join(f"{line}\n" for line in lines if line[0] != " ")) == plainly[:2]
    assert [line.split()[0] for line in lines] == [
        *("1", "ranks", "hybrid", "cosine", "BM25"),
        *("2", "ranks", "hybrid", "cosine"),
    ]
    assert re.fullmatch(r"   hybrid  \d\.\d{4} = dense 1\.0000 \+ lexical \d\.\d{4}", lines[2])
    assert lines[1] == "   ranks   dense 1 of 4, lexical 1 of 1, hybrid 1 of 4"
    assert re.fullmatch(r"   cosine  1\.0000 = \S+ \d\.\d{4} \+ \S+ \d\.\d{4} \+ \S+ \d\.\d{4}", lines[3])
    first, second = err.splitlines()
    assert first == "mode hybrid; route rank; 4 of 4 rows allowed"
    assert re.fullmatch(r"\d+\.\d\d milliseconds: filter \d.*, fetch \d+\.\d\d, explain \d+\.\d\d", second)


@pytest.mark.usefixtures("index")
def test_programs_get_the_reasons_within_each_hit_and_the_route_beside_them() -> None:
    options = ("search", "one", "--mode", "hybrid", "--rerank", "tokens", "--rerank-ms", "inf", "-k", "2")
    code, out, err = run(*options, "--explain", "--format", "json")
    hits = json.loads(out)
    lines = run(*options, "--explain", "--format", "jsonl")[1].splitlines()
    assert (code, len(hits), [json.loads(line) for line in lines]) == (0, 2, hits)
    plainly = json.loads(run(*options, "--format", "json")[1])
    for hit, without in zip(hits, plainly, strict=True):
        why: dict[str, Any] = hit.pop("explanation")
        assert hit == without
        assert list(why) == ["standings", "tokens", "terms", "pairs", "notes"]
        assert [each["by"] for each in why["standings"]][-3:] == ["hybrid", "tokens", "rerank"]
        assert sum(token["contribution"] for token in why["tokens"]) == pytest.approx(hit["score"], abs=1e-5)
        assert sum(term["score"] for term in why["terms"]) == pytest.approx(hit["scores"]["lexical"], abs=1e-6)
        assert sum(pair["contribution"] for pair in why["pairs"]) == pytest.approx(hit["scores"]["tokens"], abs=1e-5)
    report = json.loads(err)["report"]
    assert (report["mode"], report["route"], report["rows"], report["reranked"]) == ("hybrid", "rank", 4, 4)
    assert {"filter", "rerank", "explain"} <= set(report["milliseconds"])


def test_within_a_passage_the_reasons_are_below_their_hit(here: Path, encoder: Encoder) -> None:
    (here / "notes.txt").write_text("The pump leaks. It rains. The sun shines.")
    assert run("add", "notes.txt", "--split", "sentence")[0] == 0
    out = run("search", "rain", "-k", "1", "--context", "1", "--explain")[1]
    assert [line.split()[0] for line in out.splitlines()] == ["The", "1", "cosine", "The"]


@pytest.mark.usefixtures("index")
def test_csv_has_the_hits_alone() -> None:
    plainly, explained = (run("search", "one", "--format", "csv", *more) for more in ((), ("--explain",)))
    assert explained[:2] == plainly[:2]
    assert explained[2].startswith("mode dense; route rank; ")


@pytest.mark.usefixtures("index")
def test_what_is_allowed_and_what_is_not_found_is_said() -> None:
    assert "1 of 4 rows allowed\n" in run("search", "one", "--where", "n = 1", "--explain")[2]
    code, out, err = run("search", "zebra", "--mode", "lexical", "--explain")
    assert (code, out) == (0, "")
    assert err.startswith("mode lexical\n")
    assert err.endswith("No record matches.\n")


@pytest.mark.usefixtures("index")
def test_the_neighbours_of_a_record_are_explained_as_the_hits_of_a_search_are() -> None:
    plainly = run("similar", "a", "-k", "2")
    code, out, err = run("similar", "a", "-k", "2", "--explain")
    lines = out.splitlines()
    assert (code, "".join(f"{line}\n" for line in lines if line[0] != " ")) == plainly[:2]
    assert [line.split()[0] for line in lines] == ["1", "cosine", "2", "cosine"]
    assert err.startswith("mode dense; route rank; 4 of 4 rows allowed\n")
    code, out, err = run("similar", "a", "b", "--not", "c", "--explain", "--format", "json")
    (hit,) = json.loads(out)
    assert (code, list(hit["explanation"])) == (0, ["standings", "tokens", "terms", "pairs", "notes"])
    added = sum(token["contribution"] for token in hit["explanation"]["tokens"])
    assert added == pytest.approx(hit["score"], abs=1e-5)
    searched = json.loads(run("search", "one", "--explain", "--format", "json")[2])["report"]
    assert list(json.loads(err)["report"]) == list(searched)


def test_a_plain_search_loads_nothing_that_explains(index: Path) -> None:
    program = (
        "import sys\nfrom vecindex.cli import main\ntry:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(*(name for name in sys.modules if 'explained' in name), file=sys.stderr)"
    )

    def loaded(*options: str) -> set[str]:
        command = [sys.executable, "-c", program, "search", "one", "--index", str(index), *options]
        return set(subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()[-1].split())

    assert loaded("--mode", "hybrid", "--rerank", "tokens") == set()
    assert "vecindex.search.explained.explain_hits" in loaded("--explain")


# --- the lines


def token(name: str, contribution: float) -> TokenExplanation:
    return TokenExplanation(0, name, 1, 0.0, contribution)


def lines(explanation: HitExplanation, width: int | None = None, **scores: float) -> list[str]:
    return explanation_lines(Hit(1, "a", 0.5, "text", {}, scores=scores), explanation, 3, width)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("[CLS]", "tooth", "##pas", "##te", "##", "[SEP]"), "[CLS] toothpaste [SEP]"),
        (("<s>", "\u2581tooth", "pa", "ste", "\u2581", ".", "</s>"), "<s> toothpaste . </s>"),
        (("<s>", "tooth", "paste", "\u0120now", "</s>"), "<s> toothpaste now </s>"),
        (("##s", "a"), "##s a"),
        (("a", "b"), "a b"),
    ],
)
def test_tokens_that_continue_a_word_are_shown_with_it(names: tuple[str, ...], words: str) -> None:
    tokens = tuple(token(name, 0.0625) for name in names)
    (line,) = lines(HitExplanation(1, "a", tokens=tokens), dense=0.5)
    assert sorted(re.sub(r" \+| \d\.\d{4}", "", line.partition("= ")[2]).split()) == sorted(words.split())


def test_the_strongest_words_are_named_and_the_others_are_one_number() -> None:
    tokens = (token("my", 0.1), token("tooth", 0.2), token("##pas", 0.1), token("##te", 0.05), token("!", 0.02))
    more = tuple(token(f"t{n}", -0.01 * n) for n in range(1, 6))
    assert lines(HitExplanation(1, "a", tokens=(*tokens, *more)), dense=0.32) == [
        "   cosine  0.3200 = toothpaste 0.3500 + my 0.1000 + ! 0.0200 - t3 0.0300 - t4 0.0400 "
        "- t5 0.0500 - 2 others 0.0300"
    ]


def test_a_rank_that_is_not_the_hits_is_shown_alone() -> None:
    assert lines(HitExplanation(1, "a", standings=(Standing("dense", 1, 5, 0.3),))) == []
    moved = HitExplanation(1, "a", standings=(Standing("dense", 3, 5, 0.3),))
    assert lines(moved) == ["   ranks   dense 3 of 5"]


def test_every_line_says_what_it_is_about() -> None:
    explanation = HitExplanation(
        *(1, "a"),
        standings=(Standing("dense", 2, 1000, 0.3), Standing("hybrid", 1, 9, 0.9, {"dense": 0.4, "lexical": 0.5})),
        tokens=(token("pump", -0.3),),
        terms=(Contribution("pump", 1, 2.0, 1, 1.0, 2.0), Contribution("pumps", 1, 1.0, 1, 1.0, 1.0, is_form=True)),
        pairs=(Pair("pump", "pumps", 0, 0, 0.9, 0.45), Pair("my", "the", 1, 2, 0.5, 0.25)),
    )
    assert lines(explanation, dense=-0.3, lexical=3.0, tokens=0.7) == [
        "   ranks   dense 2 of 1,000, hybrid 1 of 9",
        "   hybrid  0.9000 = dense 0.4000 + lexical 0.5000",
        "   cosine  -0.3000 = -pump 0.3000",
        '   BM25    3.0000 = pump 2.0000 + "pumps" 1.0000',
        "   tokens  0.7000 = mean of pump ~ pumps 0.90, my ~ the 0.50",
    ]


def test_notes_stand_where_the_explanation_would_or_below_it() -> None:
    notes = {"tokens": "made elsewhere", "pairs": "the text was not reached in time"}
    assert lines(HitExplanation(1, "a", notes=notes), dense=0.3) == [
        "   cosine  (made elsewhere)",
        "   tokens  (the text was not reached in time)",
    ]
    assert lines(HitExplanation(1, "a", tokens=(token("a", 0.3),), notes={"tokens": "CLS"}), dense=0.3) == [
        "   cosine  0.3000 = a 0.3000",
        "           (CLS)",
    ]


def test_a_cross_encoders_score_is_shown() -> None:
    assert lines(HitExplanation(1, "a"), dense=0.3, cross=7.25) == [
        "   cross   7.2500, for the query and the text read together"
    ]
    assert lines(HitExplanation(1, "a", notes={"cross": "not reached"})) == ["   cross   (not reached)"]


def test_lines_are_wrapped_below_what_they_say_and_are_safe_on_a_terminal() -> None:
    tokens = tuple(token(name, 0.1) for name in ("one", "two", "\x1b[2J", "four"))
    assert lines(HitExplanation(1, "a", tokens=tokens), 40, dense=0.4) == [
        "   cosine  0.4000 = one 0.1000 + two",
        "           0.1000 + \\x1b[2J 0.1000 +",
        "           four 0.1000",
    ]
