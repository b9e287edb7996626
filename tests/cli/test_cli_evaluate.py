"""``vecindex eval``: what it prints, saves and compares, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import vecindex
from vecindex.encoders.run.encoder import Encoder

from ..support.commands import run, write

QUERIES = '{"_id": "1", "text": "one apple"}\n{"_id": "2", "text": "two pears"}\n'
QRELS = "1\ta\t1\n2\tb\t2\n"
JUDGED = ("--queries", "queries.jsonl", "--qrels", "qrels.tsv", "--mode", "dense")


@pytest.fixture
def index(here: Path, encoder: Encoder) -> Path:
    with vecindex.open(here / ".vecindex", model=encoder) as opened:
        opened.add(
            ["One apple hangs on the tree.", "Two pears lie in the green grass.", "The car does not start today."],
            keys=list("abc"),
        )
    write("queries.jsonl", QUERIES)
    write("qrels.tsv", QRELS)
    return here / ".vecindex"


@pytest.mark.usefixtures("index")
def test_measures_are_printed_with_their_intervals() -> None:
    code, out, err = run("eval", *JUDGED)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "2 queries, 2 relevant judgements, k = 100, by record.",
        "",
        "                nDCG@10       R@10          R@100         RR@10         AP@100",
        "dense           1.0000        1.0000        1.0000        1.0000        1.0000",
        "  95 % interval 1.000-1.000   1.000-1.000   1.000-1.000   1.000-1.000   1.000-1.000",
    ]


@pytest.mark.usefixtures("index")
def test_modes_stand_side_by_side_and_are_compared() -> None:
    code, out, _ = run("eval", *JUDGED, "--mode", "hybrid")
    lines = out.splitlines()
    assert (code, [line.split()[0] for line in lines[3::2][:2]]) == (0, ["dense", "hybrid"])
    assert lines[-1] == "  hybrid against dense: +0.0000 (+0.0000 to +0.0000), p = 1.0000: the same"
    found = json.loads(run("eval", *JUDGED[:4], "--fusion", "rrf", "--fusion", "convex", "--format", "json")[1])
    assert [each["system"] for each in found["systems"]] == ["dense", "lexical", "hybrid rrf", "hybrid"]


@pytest.mark.usefixtures("index")
def test_second_stages_stand_side_by_side() -> None:
    code, out, err = run("eval", *JUDGED, "--rerank", "none", "--rerank", "tokens")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()[3::2][:2]] == ["dense", "dense+tokens"]
    assert "dense+tokens against dense" in out
    code, out, err = run("eval", "--self-test", "--mode", "dense", "--rerank", "tokens")
    assert (code, err) == (0, "")
    assert "dense+tokens" in out


@pytest.mark.usefixtures("index")
def test_json_has_all_measures_and_differences() -> None:
    code, out, _ = run("eval", *JUDGED, "--format", "json", "-k", "2")
    found = json.loads(out)
    assert (code, found["queries"], found["measures"]) == (0, 2, ["nDCG@2", "R@2", "RR@2", "AP@2"])
    assert found["systems"][0]["estimates"][0] == {"measure": "nDCG@2", "mean": 1, "low": 1, "high": 1}


@pytest.mark.usefixtures("index")
def test_an_evaluation_is_saved_and_compared() -> None:
    assert run("eval", *JUDGED, "--save", "before.json")[2] == "Saved in before.json.\n"
    code, _, err = run("eval", *JUDGED, "--save", "before.json")
    assert (code, "before.json already exists" in err) == (1, True)
    code, out, _ = run("eval", *JUDGED, "--compare", "before.json")
    assert code == 0
    assert out.splitlines()[-2:] == [
        "Differences in nDCG@10, with 95 % intervals and p-values of a paired randomisation test:",
        "  dense against dense (saved): +0.0000 (+0.0000 to +0.0000), p = 1.0000: the same",
    ]
    found = json.loads(run("eval", *JUDGED, "--compare", "before.json", "--format", "json")[1])
    assert [each["measure"] for each in found["differences"]] == found["measures"]
    assert {each["is_real"] for each in found["differences"]} == {False}


@pytest.mark.usefixtures("index")
def test_what_is_missing_is_said() -> None:
    write("qrels.tsv", f"{QRELS}1\tnowhere\t1\n")
    write("queries.jsonl", f'{QUERIES}{{"_id": "3", "text": "x"}}\n')
    facts = run("eval", *JUDGED)[1].splitlines()[0]
    assert facts.endswith("1 judgement of what the index does not have, which counts as not found.")
    write("qrels.tsv", f"{QRELS}3\ta\t0\n")
    assert "1 query without anything relevant left out." in run("eval", *JUDGED)[1].splitlines()[0]


@pytest.mark.usefixtures("index")
def test_the_self_test_prints_each_kind_and_the_recall() -> None:
    code, out, err = run("eval", "--self-test", "--mode", "dense")
    assert (code, err) == (0, "")
    assert out.startswith("Queries made from 3 records.\n\nA part of a text finds its record (3 queries):\n")
    assert "\nA text with typing errors finds its record (3 queries):\n" in out
    assert re.search(r"^ +RR@10 +success@1 +success@10$", out, flags=re.MULTILINE)
    assert out.endswith("\nann_recall@10: 1.0000 (3 stored vectors; every record is scored)\n")
    found = json.loads(run("eval", "--self-test", "--format", "json", "--sample", "2")[1])
    assert (found["records"], [each["kind"] for each in found["kinds"]]) == (2, ["shortened", "misspelt"])
    assert found["ann_recall"] == {"recall": 1.0, "k": 10, "queries": 2, "is_exact": True}


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "Pass --queries FILE and --qrels FILE; or --self-test, which needs no judgements."),
        (["--queries", "queries.jsonl"], 2, "Pass --queries FILE and --qrels FILE"),
        (["--self-test", "-k", "5"], 2, "-k is for judgements, and --self-test has none."),
        (["--self-test", "--qrels", "qrels.tsv"], 2, "--qrels is for judgements"),
        ([*JUDGED, "--sample", "5"], 2, "--sample is for --self-test."),
        ([*JUDGED, "--mode", "other"], 2, "'other' is not"),
        (["--queries", "nowhere.tsv", "--qrels", "qrels.tsv"], 1, "Error: nowhere.tsv: no such file\nName a file that"),
        (["--queries", "qrels.tsv", "--qrels", "queries.jsonl"], 1, "Error: queries.jsonl:1: it does not have"),
        ([*JUDGED, "--save", "no/where.json"], 1, "there is no folder"),
        ([*JUDGED, "--compare", "qrels.tsv"], 1, "Error: qrels.tsv: is no saved evaluation"),
        ([*JUDGED, "--where", "n ~"], 1, "Error: invalid filter"),
        ([*JUDGED, "--by", "source"], 1, "and it has no sources\nThe judgements name keys: use --by record.\n"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: list[str], code: int, message: str) -> None:
    found, out, err = run("eval", *arguments)
    assert (found, out) == (code, "")
    assert message in err


def test_without_an_index_it_fails_as_a_search_does(here: Path) -> None:
    write("queries.jsonl", QUERIES)
    write("qrels.tsv", QRELS)
    code, _, err = run("eval", *JUDGED)
    assert (code, err.startswith("Error: there is no index at ")) == (1, True)
