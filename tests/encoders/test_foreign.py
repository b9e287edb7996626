"""An encoder around another program's embedder: what it is called with, and what it may return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from vecindex import ForeignEncoder, explain
from vecindex.encoders.run import encoder as run_encoder
from vecindex.errors import EncodingFailed, InvalidInput
from vecindex.values.space import Space


def letters(texts: list[str]) -> list[list[float]]:
    """Counts of a, b and c."""
    return [[float(text.count(letter)) for letter in "abc"] for text in texts]


class Watched:
    """An embedder that remembers what it was called with."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(self, texts: list[str]) -> list[list[float]]:
        self.calls.append(texts)
        return letters(texts)


def test_vectors_are_those_of_the_embedder_at_unit_length_in_the_order_of_the_texts() -> None:
    found = ForeignEncoder("letters", letters).encode(["aab", "c", "aab", "b"])
    expected = np.array([[2, 1, 0], [0, 0, 1], [2, 1, 0], [0, 1, 0]]) / np.array([[5**0.5], [1], [5**0.5], [1]])
    assert found.dtype == np.float32
    assert found.shape == (4, 3)
    assert np.allclose(found, expected, atol=1e-7)


def test_the_embedder_is_called_with_each_different_text_once() -> None:
    embed = Watched()
    encoded = ForeignEncoder("letters", embed).encode_all(["a", "b", "a"])
    assert embed.calls == [["a", "b"]]
    assert encoded.lost.tolist() == [0, 0, 0]
    assert encoded.unknown.tolist() == [False] * 3


def test_queries_have_an_embedder_of_their_own_if_one_is_given() -> None:
    documents, queries = Watched(), Watched()
    encoder = ForeignEncoder("letters", documents, queries)
    encoder.encode(["a"])
    encoder.encode(["b"], role="query")
    assert (documents.calls, queries.calls) == ([["a"]], [["b"]])
    alone = Watched()
    ForeignEncoder("letters", alone).encode(["b"], role="query")
    assert alone.calls == [["b"]]


def test_the_space_is_the_name_and_the_dimension() -> None:
    embed = Watched()
    assert ForeignEncoder("letters", embed, dimension=3).space == Space.external("letters", 3)
    assert embed.calls == []
    encoder = ForeignEncoder("letters", lambda texts: np.ones((len(texts), 7)))
    assert repr(encoder) == "<ForeignEncoder 'letters'>"
    assert encoder.space == Space.external("letters", 7)
    assert repr(encoder) == "<ForeignEncoder 'letters', 7 dimensions>"


def test_a_first_call_tells_the_dimension_so_that_nothing_more_is_encoded_for_it() -> None:
    embed = Watched()
    encoder = ForeignEncoder("letters", embed)
    encoder.encode(["a"])
    assert encoder.space.dimension == 3
    assert embed.calls == [["a"]]


def test_many_texts_are_encoded_in_several_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecindex.encoders.foreign.TEXTS_A_WINDOW", 2)
    embed = Watched()
    found = ForeignEncoder("letters", embed).encode(["a", "b", "c", "ab", "bc"])
    assert [len(call) for call in embed.calls] == [2, 2, 1]
    assert np.allclose(found[:3], np.eye(3))
    assert run_encoder.TEXTS_A_WINDOW == 4096  # what the documentation says


def test_no_texts_are_no_vectors() -> None:
    assert ForeignEncoder("letters", letters).encode([]).shape == (0, 3)


RIGHT: dict[str, Any] = {
    "lists of integers": [[3, 4]],
    "tuples": ((3.0, 4.0),),
    "an array": np.array([[3, 4]]),
    "large numbers": np.array([[3e200, 4e200]]),
    "half precision": np.array([[3, 4]], np.float16),
    "a tensor": torch.tensor([[3.0, 4.0]], dtype=torch.bfloat16),
    "a list of arrays": [np.array([3, 4])],
    "a list of tensors": [torch.tensor([3.0, 4.0])],
}


@pytest.mark.parametrize("returned", RIGHT.values(), ids=RIGHT)
def test_vectors_may_be_of_many_types(returned: Any) -> None:
    assert np.allclose(ForeignEncoder("theirs", lambda texts: returned).encode(["x"]), [[0.6, 0.8]], atol=1e-6)


WRONG: dict[str, tuple[Any, str]] = {
    "too few": ([[1, 0]], "the embedder 'theirs' returned 1 vectors for 2 texts"),
    "too many": ([[1, 0]] * 3, "the embedder 'theirs' returned 3 vectors for 2 texts"),
    "one vector": ([1, 0], r"the embedder 'theirs' returned an array of the shape \(2,\) for 2 texts"),
    "empty vectors": ([[], []], r"the embedder 'theirs' returned an array of the shape \(2, 0\) for 2 texts"),
    "token vectors": (np.ones((2, 4, 3)), r"the embedder 'theirs' returned an array of the shape \(2, 4, 3\)"),
    "different lengths": ([[1, 0], [1, 0, 0]], "the vectors of the embedder 'theirs' have different lengths"),
    "nothing": (None, "the vectors of the embedder 'theirs' are not all numbers: item 0 is None"),
    "strings": (["1", "0"], "the vectors of the embedder 'theirs' are strings"),
    "NaN": ([[1, 0], [np.nan, 0]], "the embedder 'theirs' returned a vector with a number that is not finite for the "),
    "zeros": ([[1, 0], [0, 0]], "the embedder 'theirs' returned a vector of zeros, which has no direction, for the "),
}


@pytest.mark.parametrize(("returned", "message"), WRONG.values(), ids=WRONG)
def test_what_is_not_one_vector_for_each_text_is_an_error_that_names_the_embedder(returned: Any, message: str) -> None:
    with pytest.raises(EncodingFailed, match=f"^the texts could not be encoded: {message}") as caught:
        ForeignEncoder("theirs", lambda texts: returned).encode(["x", "y"])
    assert caught.value.advice.startswith("It must return one vector for each text")


def test_a_text_without_a_usable_vector_is_named() -> None:
    with pytest.raises(EncodingFailed, match="for the text 'xyz'"):
        ForeignEncoder("letters", letters).encode(["abc", "xyz"])


def test_vectors_of_another_length_than_before_are_an_error() -> None:
    encoder = ForeignEncoder("theirs", lambda texts: np.ones((len(texts), 3)), dimension=6)
    with pytest.raises(EncodingFailed, match="'theirs' returned vectors of 3 dimensions, but has 6"):
        encoder.encode(["x"])


def test_errors_of_the_embedder_pass_through() -> None:
    def refuse(texts: list[str]) -> Any:
        raise ConnectionError("the service is down")

    with pytest.raises(ConnectionError, match="the service is down"):
        ForeignEncoder("theirs", refuse).encode(["x"])


TOKENS: dict[str, Callable[[ForeignEncoder], Any]] = {
    "explain": lambda encoder: explain("a", encoder=encoder),
    "encode_tokens": lambda encoder: encoder.encode_tokens(["a"]),
    "encode_keeping": lambda encoder: encoder.encode_keeping(["a"], lambda *states: None),
    "count_tokens": lambda encoder: encoder.count_tokens(["a"]),
    "token_spans": lambda encoder: encoder.token_spans("a"),
    "parts": lambda encoder: encoder.parts("a"),
    "without_token": lambda encoder: encoder.without_token(["a"]),
    "strings": lambda encoder: encoder.tokenizer.strings([1]),
    "spans": lambda encoder: encoder.tokenizer.spans("a", 1),
    "forward": lambda encoder: encoder.forward(np.ones((1, 1), np.int64), np.ones((1, 1), np.int64)),
}


@pytest.mark.parametrize("use", TOKENS.values(), ids=TOKENS)
def test_what_needs_tokens_is_an_error_that_names_the_embedder(use: Callable[[ForeignEncoder], Any]) -> None:
    with pytest.raises(
        InvalidInput, match=r"^the embedder 'letters' gives a vector for a whole text, and none for its"
    ):
        use(ForeignEncoder("letters", letters))


@pytest.mark.parametrize("name", ["", "  "])
def test_an_embedder_needs_a_name(name: str) -> None:
    with pytest.raises(InvalidInput, match="the name of an embedder is empty"):
        ForeignEncoder(name, letters)
