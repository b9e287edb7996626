"""Every kind of cross-encoder gives sentence-transformers' own scores, in both runtimes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecindex.encoders.compile import cross_compiler
from vecindex.encoders.cross.cross_encoder import CrossEncoder
from vecindex.encoders.cross.load import load_cross_encoder
from vecindex.encoders.cross.onnx import OnnxCrossEncoder

from ...support.extent import every
from ...support.models.cross_models import (
    CROSS_FAMILIES,
    PAIR_TOKENS,
    QUERIES,
    predicted,
    save_cross_model,
    texts,
)
from ...support.models.families import edit


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads that share out matrices as small as these only wait for each other, beside other work for seconds."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=every(2, CROSS_FAMILIES))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_cross_model(tmp_path_factory.mktemp(request.param) / "model", request.param)


def in_torch(folder: Path, encoder: CrossEncoder) -> Any:
    from vecindex.encoders.cross.torch import TorchCrossEncoder

    return TorchCrossEncoder(folder, encoder.cross)


def test_hundreds_of_pairs_have_sentence_transformers_own_scores(folder: Path) -> None:
    fast = load_cross_encoder(folder)
    assert (fast.runtime, fast.cross.max_tokens) == ("onnxruntime", PAIR_TOKENS)
    some = {
        query: [text for text, pair in zip(texts(), fast.tokens(query, texts()), strict=True) if pair.ids]
        for query in QUERIES
    }  # sentence-transformers itself fails on a pair without a token
    expected = predicted(folder, [(query, text) for query in QUERIES for text in some[query]])
    assert len(expected) > 400
    assert np.ptp(expected) > 0.01, "or this test shows nothing"
    for encoder in (fast, in_torch(folder, fast)):
        tokens = [pair for query in QUERIES for pair in encoder.tokens(query, some[query])]
        assert max(len(pair.ids) for pair in tokens) == PAIR_TOKENS
        np.testing.assert_allclose(encoder.scores(tokens), expected, atol=1e-5)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_cross_model(tmp_path_factory.mktemp("bert") / "model")


def copied(bert: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bert, tmp_path / "copy"))


PAIRS = [("my name", "a lazy dog"), ("my name", "name"), ("a dog", "the quick brown fox jumps over a lazy dog")]


def scores(encoder: CrossEncoder) -> Any:
    return [encoder.scores(encoder.tokens(query, [text]))[0] for query, text in PAIRS]


# --- what is read


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}},
        {"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Tanh"}},
        {"sentence_transformers": {"activation_fn": None}, "sbert_ce_default_activation_function": "torch.nn.Tanh"},
        {"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"},
    ],
    ids=["none", "identity", "tanh", "null", "older"],
)
def test_the_activation_is_the_one_that_the_files_name(bert: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    folder = copied(bert, tmp_path)
    edit(folder, "config.json", **changes)
    encoder = load_cross_encoder(folder)
    np.testing.assert_allclose(scores(encoder), predicted(folder, PAIRS), atol=1e-5)
    np.testing.assert_allclose(scores(in_torch(folder, encoder)), predicted(folder, PAIRS), atol=1e-5)


@pytest.mark.parametrize("prompt", ["", "a query: "])
def test_a_newer_save_with_modules_has_the_same_scores(bert: Path, tmp_path: Path, prompt: str) -> None:
    import torch
    from sentence_transformers import CrossEncoder as SentenceCrossEncoder

    settings = {"prompts": {"asked": prompt}, "default_prompt_name": "asked"} if prompt else {}
    model = SentenceCrossEncoder(str(bert), device="cpu", activation_fn=torch.nn.Identity(), **settings)
    model.save(str(tmp_path / "saved"), create_model_card=False)
    encoder = load_cross_encoder(tmp_path / "saved")
    assert (encoder.cross.activation, encoder.cross.prompt) == ("Identity", prompt)
    expected = predicted(tmp_path / "saved", PAIRS)
    np.testing.assert_allclose(scores(encoder), expected, atol=1e-5)
    is_same = np.allclose(expected, predicted(bert, PAIRS, activation_fn=torch.nn.Identity()))
    assert is_same == (not prompt)


@pytest.mark.parametrize("side", ["right", "left"])
def test_of_a_huge_pair_the_side_is_read_that_the_files_name(bert: Path, tmp_path: Path, side: str) -> None:
    folder = copied(bert, tmp_path)
    edit(folder, "tokenizer_config.json", truncation_side=side)
    encoder = load_cross_encoder(folder)
    assert encoder.cross.truncation == side
    text = " ".join(f"fox {n} dog" for n in range(50_000))
    ideographs = "今日は雨です" * 3000
    pairs = [
        ("my name", text),
        (text[:2000], "my name"),
        (text[-2000:], text[:2000]),
        ("", ideographs),
        ("", "x" * 9000),
    ]
    found = [encoder.scores(encoder.tokens(*pair[:1], pair[1:]))[0] for pair in pairs]
    np.testing.assert_allclose(found, predicted(folder, pairs), atol=1e-5)


def test_two_huge_texts_take_little_memory_and_time(bert: Path) -> None:
    encoder = load_cross_encoder(bert)
    text = "the quick brown fox " * 100_000
    begun = time.process_time()
    (pair,) = encoder.tokens(text, [text])
    assert len(pair.ids) == PAIR_TOKENS
    assert time.process_time() - begun < 5


def test_a_score_does_not_depend_on_the_other_pairs(bert: Path) -> None:
    encoder = load_cross_encoder(bert)
    tokens = encoder.tokens("my name", texts())
    together = encoder.scores(tokens)
    np.testing.assert_allclose(encoder.scores(tokens[::-1])[::-1], together, atol=1e-6)
    np.testing.assert_allclose([encoder.scores([pair])[0] for pair in tokens], together, atol=1e-6)
    assert encoder.scores([]).tolist() == []


# --- compiled once, or run on torch


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VECINDEX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_it_is_compiled_once_and_then_needs_no_torch(bert: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_cross_encoder(bert)
    assert [folder.name for folder in (cache / "compiled").iterdir()] == [first.cross.fingerprint]
    monkeypatch.setattr(cross_compiler, "reference", lambda *_: pytest.fail("loaded in torch"))
    again = load_cross_encoder(bert)
    assert again.runtime == "onnxruntime"
    np.testing.assert_allclose(scores(again), scores(first), atol=1e-6)


def test_damaged_compiled_files_are_made_again(bert: Path, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    expected = scores(load_cross_encoder(bert))
    (weights,) = cache.rglob("model.onnx.data")
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    np.testing.assert_allclose(scores(load_cross_encoder(bert)), expected, atol=1e-6)
    assert "cannot be used (model.onnx.data is not what was written" in caplog.text


def test_what_cannot_be_exported_runs_on_torch_with_the_same_scores_and_is_not_tried_again(
    bert: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise NotImplementedError("no such operator")

    monkeypatch.setattr(cross_compiler, "_export", fail)
    encoder = load_cross_encoder(bert)
    assert encoder.runtime == "torch"
    np.testing.assert_allclose(scores(encoder), predicted(bert, PAIRS), atol=1e-5)
    assert "runs on torch, which is slower: onnxruntime refuses the exported graph (no such operator)" in caplog.text
    monkeypatch.setattr(cross_compiler, "compile_cross", lambda *_: pytest.fail("tried again"))
    assert load_cross_encoder(bert).runtime == "torch"


def test_a_graph_with_other_numbers_is_not_used(
    bert: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    honest = OnnxCrossEncoder.logits
    monkeypatch.setattr(OnnxCrossEncoder, "logits", lambda *given: honest(*given) + 0.01)
    assert load_cross_encoder(bert).runtime == "torch"
    assert "compiled, its scores differ from the reference by 1" in caplog.text
