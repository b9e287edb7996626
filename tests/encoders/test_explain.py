"""Shares of the tokens sum to 1, their contributions sum to the score, and it is the score of a search."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecindex import explain, load_encoder
from vecindex.encoders.explain import convention
from vecindex.encoders.run.encoder import Encoder
from vecindex.encoders.run.head import Dense, Head
from vecindex.errors import InvalidInput

from ..support.models.small_model import SmallModel
from ..support.toy import DIMENSION, MAX_TOKENS, ToyEncoder


def test_tokens_and_shares_are_exact_for_the_toy_encoder() -> None:
    toy = ToyEncoder()
    (encoded,) = toy.encode_tokens(["red green blue"])
    sentence = encoded.vectors.astype(np.float64).mean(axis=0)
    explained = explain("red green blue", encoder=toy)
    assert (explained.text, explained.against, explained.score) == ("red green blue", None, None)
    assert (explained.model, explained.pooling, explained.truncated) == ("toy", "mean", 0)
    assert explained.shapes.token_vectors == (1, 3, DIMENSION)
    assert explained.shapes.attention_mask == (1, 3)
    assert explained.shapes.sentence_vector == (DIMENSION,)
    assert [(t.position, t.token, t.id, t.contribution) for t in explained.tokens] == [
        (position, word, id_, None)
        for position, (word, id_) in enumerate(zip(("red", "green", "blue"), encoded.tokens.ids, strict=True))
    ]
    expected = (encoded.vectors / 3) @ sentence / (sentence @ sentence)
    np.testing.assert_allclose([t.share for t in explained.tokens], expected, atol=1e-6)


def test_the_only_token_of_a_text_has_the_whole_share() -> None:
    explained = explain("red", against="red", encoder=ToyEncoder())
    (token,) = explained.tokens
    assert token.share == pytest.approx(1, abs=1e-6)
    assert token.contribution == pytest.approx(1, abs=1e-6)
    assert explained.score == pytest.approx(1, abs=1e-6)


def test_contributions_to_a_toy_score_are_exact() -> None:
    toy = ToyEncoder()
    red, green = (vectors.vectors[0].astype(np.float64) for vectors in toy.encode_tokens(["red", "green"]))
    length = np.linalg.norm((red + green) / 2)
    query = red / np.linalg.norm(red)
    explained = explain("red green", against="red", encoder=toy)
    assert [t.contribution for t in explained.tokens] == [
        pytest.approx(red @ query / 2 / length, abs=1e-6),
        pytest.approx(green @ query / 2 / length, abs=1e-6),
    ]


def test_truncated_counts_the_tokens_that_the_model_does_not_read() -> None:
    whole = explain(" ".join(["w"] * MAX_TOKENS), encoder=ToyEncoder())
    cut = explain(" ".join(["w"] * (MAX_TOKENS + 5)), encoder=ToyEncoder())
    assert (whole.truncated, len(whole.tokens)) == (0, MAX_TOKENS)
    assert (cut.truncated, len(cut.tokens)) == (5, MAX_TOKENS)


def test_with_cls_pooling_the_first_token_is_everything() -> None:
    explained = explain("red green blue", against="blue", encoder=ToyEncoder(pooling="cls"))
    assert explained.pooling == "cls"
    assert [t.share for t in explained.tokens] == [pytest.approx(1, abs=1e-6), 0, 0]
    assert explained.tokens[0].contribution == explained.score
    assert [t.contribution for t in explained.tokens[1:]] == [0, 0]


@pytest.mark.parametrize(
    ("pooling", "layers", "said"),
    [
        ("mean", (), None),
        ("weightedmean+mean_sqrt_len_tokens", (), None),
        ("mean", (Dense(np.eye(DIMENSION, dtype=np.float32)),), None),
        ("mean", (Dense(np.eye(DIMENSION, dtype=np.float32), activation="Tanh"),), "a layer after pooling"),
        (
            "mean",
            (Dense(np.eye(DIMENSION, dtype=np.float32), np.ones(DIMENSION, np.float32)),),
            "a layer after pooling",
        ),
        ("cls", (), "the vector is that of the first token alone"),
        ("lasttoken", (), "the vector is that of the last token alone"),
        ("mean+max", (), "each number of the vector is the largest"),
    ],
)
def test_what_only_a_convention_divides_among_tokens_is_said(
    pooling: str, layers: tuple[Dense, ...], said: str | None
) -> None:
    toy = ToyEncoder(pooling=pooling)
    toy.head = Head(toy.space.pooling_modes, layers, DIMENSION)
    found = convention(toy)
    assert found is None if said is None else (found or "").startswith(said)


def test_each_side_gets_its_own_prompt() -> None:
    toy = ToyEncoder(query_prompt="ask ", document_prompt="tell ")
    explained = explain("red", against="blue", encoder=toy)
    assert [t.token for t in explained.tokens] == ["tell", "red"]
    expected = toy.encode(["red"])[0] @ toy.encode(["blue"], role="query")[0]
    assert explained.score == pytest.approx(float(expected), abs=1e-6)


TEXTS = ["My name is Aun", "", "naïve café 東京 🚆", "a b c d e f g " * 60]


@pytest.mark.parametrize("text", TEXTS)
def test_the_sums_hold_for_the_real_model(encoder: Encoder, text: str) -> None:
    explained = explain(text, against="my name", encoder=encoder)
    contributions = [t.contribution for t in explained.tokens]
    assert None not in contributions
    score = float(encoder.encode([text])[0] @ encoder.encode(["my name"], role="query")[0])
    assert sum(t.share for t in explained.tokens) == pytest.approx(1, abs=1e-5)
    assert sum(c for c in contributions if c is not None) == pytest.approx(explained.score, abs=1e-5)
    assert explained.score == pytest.approx(score, abs=1e-5)


def test_the_real_models_explanation_of_the_first_example(encoder: Encoder) -> None:
    explained = explain("My name is Aun", against="my name")
    assert [(t.token, t.id) for t in explained.tokens] == [
        *(("[CLS]", 101), ("my", 2026), ("name", 2171), ("is", 2003), ("au", 8740), ("##n", 2078), ("[SEP]", 102)),
    ]
    assert explained.shapes.token_vectors == (1, 7, 384)
    assert explained.shapes.sentence_vector == (384,)
    assert explained.score == pytest.approx(0.5415, abs=5e-4)
    best = max(explained.tokens, key=lambda t: t.contribution or 0)
    assert best.token == "my"


def test_a_long_texts_truncated_tokens_are_counted(encoder: Encoder) -> None:
    explained = explain("hello " * 300, encoder=encoder)
    assert (len(explained.tokens), explained.truncated) == (256, 302 - 256)


def test_both_runtimes_explain_alike(encoder: Encoder, reference: Encoder) -> None:
    fast, slow = (explain("My name is Aun", against="my name", encoder=e) for e in (encoder, reference))
    assert [(t.token, t.id) for t in fast.tokens] == [(t.token, t.id) for t in slow.tokens]
    np.testing.assert_allclose([t.share for t in fast.tokens], [t.share for t in slow.tokens], atol=1e-5)


def test_a_real_cls_model_gives_everything_to_its_first_token(small_model: SmallModel, tmp_path: Path) -> None:
    small = load_encoder(small_model(tmp_path, pooling="cls"), runtime="torch")
    explained = explain("the cat sat", against="the cat", encoder=small)
    assert [t.token for t in explained.tokens] == ["[CLS]", "the", "cat", "sat", "[SEP]"]
    assert [t.share for t in explained.tokens] == [pytest.approx(1, abs=1e-6), 0, 0, 0, 0]


def test_an_explanation_cannot_be_changed_and_is_json() -> None:
    explained = explain("red", against="blue", encoder=ToyEncoder())
    for value, field in ((explained, "score"), (explained.tokens[0], "share"), (explained.shapes, "token_vectors")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field, None)
    as_json: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(explained)))
    assert {"text", "shapes", "truncated", "tokens", "score"} <= set(as_json)
    assert set(as_json["tokens"][0]) == {"position", "token", "id", "share", "contribution"}
    assert as_json["shapes"]["token_vectors"] == [1, 1, DIMENSION]


@pytest.mark.parametrize("text", [3, None, b"bytes", "lone \ud800 surrogate"])
def test_a_text_or_query_that_is_not_a_string_is_refused(text: Any) -> None:
    with pytest.raises(InvalidInput):
        explain(text, encoder=ToyEncoder())
    if text is not None:
        with pytest.raises(InvalidInput):
            explain("red", against=text, encoder=ToyEncoder())
