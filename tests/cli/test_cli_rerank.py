"""``search --rerank MODEL`` on the command line: what it prints, its progress and errors, and `models` beside it."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from ..support.commands import run
from ..support.models.cross_models import predicted, save_cross_model
from ..support.models.hubs import cached_model, noted_as_missing
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
    code, out, err = run("models", "show", model, "--verify", "--format", "json")
    assert (code, err) == (0, "")
    (shown,) = json.loads(out)
    assert {name: shown[name] for name in listed} == listed
    assert (shown["runtime"], shown["difference"] < 1e-4, shown["faults"]) == ("onnxruntime", True, [])
    assert json.loads(run("models", "show", listed["fingerprint"][:12], "--format", "json")[1])[0]["model"] == model
    code, out, _ = run("models", "show", model, "--verify")
    assert re.search(r"^agreement +with the reference: scores differ by at most \d\.\de-\d+ on ", out, re.MULTILINE)
    assert "files         intact\n" in out
    (Path(listed["folder"]) / "tokenizer.json").write_text("{}")
    code, out, _ = run("models", "show", model, "--verify")
    assert (code, "files         tokenizer.json is not what was written: " in out) == (1, True)
    assert run("models", "compile", model)[0] == 0  # again, as it is damaged
    assert run("models", "compile", model, "--precision", "int8")[0] == 1
    code, out, err = run("models", "remove", model)
    assert (code, out) == (0, "")
    assert re.fullmatch(rf"{re.escape(model)} in fp32, fingerprint [0-9a-f]{{12}}: [\d,]+ bytes freed\.\n", err)
    assert run("models", "remove", model)[0] == 1


def test_show_tells_what_makes_the_scores_of_a_cross_encoder(
    here: Path, hub: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VECINDEX_CACHE", str(here / "cache"))
    code, out, err = run("models", "show", model)
    assert (code, err) == (0, "")
    fields = dict(re.findall(r"^(\w+(?: \w+)?)  +(.+)$", out, re.MULTILINE))
    assert (fields["model"], fields["folder"], fields["state"]) == (model, model, "compiled at its first use")
    assert (fields["dimension"], fields["runtime"]) == ("none, as it is a cross-encoder", "not compiled yet")
    assert fields["max tokens"] == "40, of a query and a text together"
    assert (fields["labels"], fields["score"]) == ("1", "Sigmoid of the label's number")
    assert fields["query prompt"] == '""'
    (facts,) = json.loads(run("models", "show", model, "--format", "json")[1])
    assert (facts["kind"], facts["compiled"], facts["dimension"]) == ("cross-encoder", False, None)
    assert (facts["max_tokens"], facts["labels"], facts["activation"], facts["prompt"]) == (40, 1, "Sigmoid", "")
    assert (facts["difference"], facts["faults"], facts["unread"]) == (None, None, None)
    assert facts["fingerprint"] == fields["fingerprint"]
    assert not (here / "cache" / "compiled").exists()  # it only looks

    config = json.loads((Path(model) / "config.json").read_text())
    config["sentence_transformers"] = {"activation_fn": "torch.nn.modules.linear.Identity"}
    snapshot = cached_model(hub, "cross-encoder/small")
    shutil.rmtree(snapshot)
    shutil.copytree(model, snapshot)
    (snapshot / "config.json").write_text(json.dumps(config))
    noted_as_missing(snapshot)
    code, out, _ = run("models", "show", "small")  # as --rerank has it, without the owner
    assert (code, "model         cross-encoder/small\n" in out) == (0, True)
    assert "score         the label's number as it is\n" in out


def test_show_refuses_a_model_that_is_neither(here: Path, hub: Path, model: str) -> None:
    config = json.loads((Path(model) / "config.json").read_text())
    config["id2label"] = {str(number): name for number, name in enumerate(("yes", "no", "neither"))}
    (Path(model) / "config.json").write_text(json.dumps(config))
    code, out, err = run("models", "show", model)
    assert (code, out) == (1, "")
    assert "is not supported: it gives 3 numbers for a pair (id2label), and an order needs one\n" in err
    assert err.endswith("Pass another cross-encoder with --rerank, or --rerank tokens, which needs none.\n")
    code, out, err = run("models", "show", "nothing")
    assert (code, out) == (1, "")
    assert "the model sentence-transformers/nothing was not found; tried: the folder nothing (does not exist); " in err
