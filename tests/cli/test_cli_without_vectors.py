"""``vecindex add --no-encode`` and ``encode-missing``: what they store, print and refuse."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import vecindex
from vecindex.encoders.run.encoder import Encoder

from ..support.commands import run


@pytest.fixture
def index(here: Path, encoder: Encoder) -> Path:
    """An index with one vector of three records."""
    with vecindex.open(here / ".vecindex", model=encoder) as opened:
        opened.add(["One apple hangs on the tree."], keys=["a"])
    _, _, err = run("add", "--text", "Two pears.", "--text", "Three plums.", "--key", "b", "--key", "c", "--no-encode")
    assert err == "2 added, 0 updated, 0 unchanged, 2 without a vector; .vecindex holds 3 records.\n"
    return here / ".vecindex"


def test_words_find_what_was_added_without_a_model(here: Path) -> None:
    (here / "notes.txt").write_text("Two pears.\nThree plums.\n")
    code, out, err = run("add", "notes.txt", "--no-encode", "--model", "there/is/none")
    assert (code, out) == (0, "")
    assert err == "2 added, 0 updated, 0 unchanged, 2 without a vector; .vecindex holds 2 records.\n"
    assert [hit["text"] for hit in json.loads(run("search", "pear", "--mode", "lexical", "--format", "json")[1])] == [
        "Two pears."
    ]
    assert json.loads(run("search", "pear", "--format", "json")[1]) == []
    assert "model           -\n" in run("info")[1]
    assert "without vector  2\n" in run("info")[1]
    assert run("verify")[1] == "2 records (2 without a vector), 2 rows: sound\n"
    listed = run("list", "--format", "jsonl")[1]
    (here / "listed.jsonl").write_text(listed)
    assert "vector" not in listed
    code, _, err = run("add", "listed.jsonl", "--no-encode", "--on-long", "mean")
    assert code == 1
    assert "nothing is" in err
    assert "Leave --on-long or --no-encode out." in err


def test_encode_missing_encodes_the_rest(index: Path) -> None:
    assert run("list")[1].splitlines() == [
        "One apple hangs on the tree.  [a]",
        "Two pears.  [b] (no vector)",
        "Three plums.  [c] (no vector)",
    ]
    assert "vector    none\n" in run("get", "b")[1]
    assert json.loads(run("get", "b", "--format", "json")[1])["has_vector"] is False
    assert "has_vector" not in json.loads(run("get", "a", "--format", "json")[1])
    code, out, err = run("similar", "b")
    assert (code, out) == (1, "")
    assert err == (
        "Error: the record 'b' has no vector\n"
        "Give it one with `vecindex encode-missing`, or search for its text with --mode lexical.\n"
    )
    assert run("encode-missing") == (0, "", "2 records got a vector.\n")
    found = json.loads(run("encode-missing", "--format", "json")[1])
    assert {name: found[name] for name in ("encoded", "without_vector", "records")} == {
        **{"encoded": 0, "without_vector": 0, "records": 3}
    }
    assert "(no vector)" not in run("list")[1]
    assert run("similar", "b")[0] == 0


def test_encode_missing_counts_what_is_too_long(index: Path) -> None:
    run("add", "--text", "word " * 2_000, "--no-encode")
    assert run("encode-missing")[2].startswith(
        "3 records got a vector.\nWarning: 1 text is longer than the model reads; "
    )


def test_vectors_made_elsewhere_are_not_encoded_here(here: Path) -> None:
    with vecindex.open(here / ".vecindex", create=True) as index:
        index.add(["one", "two"], vectors=[None, np.ones(2, np.float32)], space="theirs")
    code, out, err = run("encode-missing")
    assert (code, out) == (1, "")
    assert err.startswith("Error: the index holds vectors made elsewhere (theirs)")
