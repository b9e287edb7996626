"""``search --rerank MODEL`` on the command line: what it prints, its progress and errors, and `models` beside it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from ..support.commands import run
from ..support.models.cross_models import predicted, save_cross_model
from ..support.terminal import on_terminal

TEXTS = ("my name is Aun", "a lazy dog", "the quick brown fox")


@pytest.fixture
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_cross_model(tmp_path_factory.mktemp("cross") / "model"))


@pytest.fixture
def index(here: Path) -> None:
    assert run("add", *(each for text in TEXTS for each in ("--text", text)))[0] == 0


def test_a_cross_encoder_orders_the_hits(index: None, model: str) -> None:
    code, out, err = run("search", "a dog", "--rerank", model, "--rerank-ms", "inf", "--format", "json")
    assert (code, err) == (0, "")
    hits = json.loads(out)
    expected = dict(zip(TEXTS, predicted(Path(model), [("a dog", text) for text in TEXTS]).tolist(), strict=True))
    assert {hit["text"]: hit["scores"]["cross"] for hit in hits} == pytest.approx(expected, abs=1e-5)
    assert [hit["text"] for hit in hits] == sorted(TEXTS, key=lambda text: -expected[text])
    assert {hit["ranked_by"] for hit in hits} == {"dense+cross"}


def test_a_terminal_shows_the_progress_and_a_pipe_does_not(index: None, model: str) -> None:
    command = [sys.executable, "-m", "vecindex", "search", "a dog", "--rerank", model, "--rerank-ms", "inf"]
    status, screen = on_terminal(command, os.environ)
    assert status == 0
    assert "Reranking  [" in screen.raw
    assert "3/3" in screen.raw
    assert screen.text == [""]  # it passes
    assert on_terminal([*command, "-q"], os.environ)[1].raw == ""


def test_a_model_that_is_not_there_is_an_error_that_says_what_to_do(index: None, hub: Path) -> None:
    assert run("search", "a dog", "--rerank", "nothing", "--offline") == (
        1,
        "",
        "Error: the model cross-encoder/nothing was not found; tried: the folder nothing (does not exist); "
        f"the hub's local cache {hub} (not there); no download (offline)\n"
        "Check the name, or pass a local folder with --rerank DIR.\n",
    )


def test_an_embedding_model_is_an_error_that_says_what_to_do(index: None, minilm: Path) -> None:
    code, out, err = run("search", "a dog", "--rerank", str(minilm))
    assert (code, out) == (1, "")
    assert "is not supported: its modules are Transformer, Pooling, Normalize" in err
    assert err.endswith("Pass another cross-encoder with --rerank, or --rerank tokens, which needs none.\n")


def test_cross_encoders_are_compiled_listed_and_removed(
    here: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VECINDEX_CACHE", str(here / "cache"))
    code, out, err = run("models", "compile", model)
    assert (code, out) == (0, "")
    assert err.startswith(f"{model} (cross-encoder, fp32, fingerprint ")
    assert "is compiled: " in err
    assert "was already compiled: " in run("models", "compile", model)[2]
    (listed,) = [each for each in json.loads(run("models", "--format", "json")[1]) if each["model"] == model]
    assert (listed["kind"], listed["dimension"], listed["compiled"]) == ("cross-encoder", None, True)
    assert "none, as it is a cross-encoder" in run("models")[1]
    assert run("models", "compile", model, "--precision", "int8")[0] == 1
    code, out, err = run("models", "remove", model)
    assert (code, out) == (0, "")
    assert "bytes freed" in err
    assert run("models", "remove", model)[0] == 1
