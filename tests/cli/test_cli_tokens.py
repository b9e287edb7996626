"""``vecindex index-tokens``: what it stores, prints and removes, and what it refuses."""

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
    with vecindex.open(here / ".vecindex", model=encoder) as opened:
        opened.add(["One apple hangs on the tree.", "Two pears lie in the grass."], keys=["a", "b"])
    return here / ".vecindex"


def stored(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("tokens-*")]


def test_token_vectors_are_stored_and_searched_with(index: Path) -> None:
    code, out, err = run("index-tokens")
    assert (code, out) == (0, "")
    size = sum((index / name).stat().st_size for name in stored(index))
    assert err == f"2 texts encoded; 15 token vectors of 2 rows stored, 96 bytes each, {size:,} bytes in all.\n"
    assert "token vectors   96 bytes a token, 2 rows\n" in run("info")[1]
    code, out, err = run("search", "apples", "--rerank", "tokens", "--rerank-ms", "0", "--format", "json")
    assert (code, err) == (0, "")
    assert all("tokens" in hit["scores"] for hit in json.loads(out))
    run("add", "--text", "Three plums.")
    assert json.loads(run("index-tokens", "--format", "json")[1])["encoded"] == 0


def test_a_warning_names_the_option_of_the_command(index: Path) -> None:
    code, out, err = run("search", "apples", "--rerank", "tokens", "--rerank-ms", "0")
    assert (code, out != "") == (0, True)
    assert err.endswith("the others keep their order behind them. Give it more time with --rerank-ms.\n")


def test_they_are_removed(index: Path) -> None:
    assert run("index-tokens", "--remove") == (0, "", "There are no token vectors.\n")
    run("index-tokens")
    assert len(stored(index)) == 1
    assert run("index-tokens", "--remove") == (0, "", "Token vectors removed.\n")
    assert stored(index) == []


def test_vectors_made_elsewhere_have_none(here: Path) -> None:
    with vecindex.open(here / ".vecindex", create=True) as index:
        index.add(["one", "two"], vectors=np.eye(2, dtype=np.float32))
    code, out, err = run("index-tokens")
    assert (code, out) == (1, "")
    assert err.startswith("Error: the index holds vectors made elsewhere")


def test_there_must_be_an_index(here: Path) -> None:
    code, out, err = run("index-tokens")
    assert (code, out) == (1, "")
    assert "no index" in err
