"""How do token vectors become one sentence vector: the masked mean, and what a pipeline's ragged arrays become."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from vecindex import mean_pool, pool_features
from vecindex.encoders.run.encoder import Encoder
from vecindex.encoders.run.pooling import pool, token_terms, unit_length
from vecindex.errors import InvalidInput

from ...support.places import PROJECT

Array = npt.NDArray[Any]

# The shapes of the question that vecindex began with.
QUESTION_SHAPES = ((1, 8, 768), (1, 5, 768), (1, 8, 768), (1, 7, 768))

VECTORS = np.array([[[1, 2], [3, 4], [100, 100]], [[5, 6], [7, 8], [9, 13]]], dtype=np.float32)
MASK = np.array([[1, 1, 0], [1, 1, 1]])
MEANS = [[2, 3], [7, 9]]


def question_features() -> list[npt.NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape, dtype=np.float32) for shape in QUESTION_SHAPES]


# --- mean_pool -------------------------------------------------------------------------------------------------------


def test_the_mean_is_over_the_real_tokens_only() -> None:
    pooled = mean_pool(VECTORS, MASK)
    assert isinstance(pooled, np.ndarray)
    assert pooled.dtype == np.float32
    assert pooled.tolist() == MEANS


def test_torch_in_gives_torch_out() -> None:
    pooled = mean_pool(torch.from_numpy(VECTORS), torch.from_numpy(MASK))
    assert isinstance(pooled, torch.Tensor)
    assert pooled.dtype == torch.float32
    assert pooled.tolist() == MEANS


def test_the_result_has_the_kind_of_the_token_vectors() -> None:
    from_numpy = mean_pool(VECTORS, torch.from_numpy(MASK))
    from_torch = mean_pool(torch.from_numpy(VECTORS), MASK)
    from_lists = mean_pool(VECTORS.tolist(), MASK.tolist())
    assert isinstance(from_numpy, np.ndarray)
    assert isinstance(from_torch, torch.Tensor)
    assert isinstance(from_lists, np.ndarray)
    assert from_numpy.tolist() == from_torch.tolist() == from_lists.tolist() == MEANS


@pytest.mark.parametrize("kind", [np.bool_, np.int8, np.int64, np.float32])
def test_a_mask_may_have_any_number_type(kind: type[np.generic]) -> None:
    assert mean_pool(VECTORS, MASK.astype(kind)).tolist() == MEANS
    assert mean_pool(torch.from_numpy(VECTORS), torch.from_numpy(MASK.astype(kind))).tolist() == MEANS


def test_padding_on_the_left_and_between_tokens_is_ignored() -> None:
    assert mean_pool(VECTORS, [[0, 1, 0], [1, 0, 1]]).tolist() == [[3, 4], [7, 9.5]]


@pytest.mark.parametrize("junk", [np.nan, np.inf, -np.inf, 3e38])
def test_what_lies_under_the_mask_never_matters(junk: float) -> None:
    vectors = VECTORS.copy()
    vectors[0, 2] = junk
    assert mean_pool(vectors, MASK).tolist() == MEANS
    assert mean_pool(torch.from_numpy(vectors), torch.from_numpy(MASK)).tolist() == MEANS


def test_a_nan_in_a_real_token_is_not_hidden() -> None:
    vectors = VECTORS.copy()
    vectors[1, 0, 0] = np.nan
    assert np.isnan(mean_pool(vectors, MASK)).tolist() == [[False, False], [True, False]]


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_torch_of_any_precision_gives_float32(kind: torch.dtype) -> None:
    pooled = mean_pool(torch.from_numpy(VECTORS).to(kind), torch.from_numpy(MASK))
    assert pooled.dtype == torch.float32
    assert pooled.tolist() == MEANS


@pytest.mark.parametrize("kind", [np.float16, np.float64, np.int32])
def test_numpy_of_any_precision_gives_float32(kind: type[np.generic]) -> None:
    pooled = mean_pool(VECTORS.astype(kind), MASK)
    assert pooled.dtype == np.float32
    assert pooled.tolist() == MEANS


def test_half_precision_is_summed_in_float32() -> None:
    # 60,000 + 60,000 is over float16's largest number, 65,504.
    vectors = np.full((1, 2, 1), 60_000, dtype=np.float16)
    expected = [[float(np.float16(60_000))]]
    assert mean_pool(vectors, [[1, 1]]).tolist() == expected
    assert mean_pool(torch.from_numpy(vectors), torch.ones(1, 2)).tolist() == expected


def test_the_gradient_reaches_the_real_tokens_only() -> None:
    vectors = torch.from_numpy(VECTORS.copy())
    vectors[0, 2] = torch.nan
    vectors.requires_grad_()
    mean_pool(vectors, torch.from_numpy(MASK)).sum().backward()
    third = pytest.approx(1 / 3)
    assert vectors.grad is not None
    assert vectors.grad.tolist() == [[[0.5, 0.5], [0.5, 0.5], [0, 0]], [[third, third]] * 3]


def test_the_input_is_not_changed() -> None:
    vectors, mask = VECTORS.copy(), MASK.copy()
    tensor = torch.from_numpy(VECTORS.copy())
    mean_pool(vectors, mask)
    mean_pool(tensor, mask)
    assert np.array_equal(vectors, VECTORS)
    assert np.array_equal(mask, MASK)
    assert np.array_equal(tensor.numpy(), VECTORS)


def test_a_text_alone_has_the_vector_that_it_has_in_a_padded_batch() -> None:
    items = question_features()
    padded = np.full((4, 11, 768), np.nan, dtype=np.float32)
    mask = np.zeros((4, 11), dtype=np.int64)
    for row, item in enumerate(items):
        padded[row, : item.shape[1]] = item[0]
        mask[row, : item.shape[1]] = 1
    together = mean_pool(padded, mask)
    alone = np.concatenate([mean_pool(item, np.ones(item.shape[:2])) for item in items])
    by_torch = mean_pool(torch.from_numpy(padded), torch.from_numpy(mask)).numpy()
    plain = np.stack([item[0].astype(np.float64).mean(axis=0) for item in items])
    assert together.shape == (4, 768)
    for pooled in (together, alone, by_torch, pool_features(items)):
        np.testing.assert_allclose(pooled, plain, atol=1e-6)


@pytest.mark.parametrize("as_kind", [np.asarray, torch.as_tensor])
def test_a_row_without_a_token_is_an_error_that_names_the_row(as_kind: Any) -> None:
    with pytest.raises(InvalidInput, match=r"^row 1 of the attention mask is all 0"):
        mean_pool(as_kind(VECTORS), as_kind(np.array([[1, 1, 0], [0, 0, 0]])))


@pytest.mark.parametrize("as_kind", [np.asarray, torch.as_tensor])
@pytest.mark.parametrize("value", [2, -1, 0.5, np.nan])
def test_a_mask_of_other_values_is_an_error(as_kind: Any, value: float) -> None:
    mask = MASK.astype(np.float32)
    mask[0, 1] = value
    with pytest.raises(InvalidInput, match=r"^the attention mask contains a value other than 0 and 1"):
        mean_pool(as_kind(VECTORS), as_kind(mask))


@pytest.mark.parametrize("as_kind", [np.asarray, torch.as_tensor])
@pytest.mark.parametrize(
    ("vectors", "mask", "message"),
    [
        ((2, 6), (2, 3), r"must have 3 dimensions .* not the shape \(2, 6\): flattening loses"),
        ((6,), (3,), r"must have 3 dimensions .* not the shape \(6,\): flattening loses"),
        ((1, 2, 3, 2), (2, 3), r"must have 3 dimensions .* not the shape \(1, 2, 3, 2\)\."),
        ((2, 3, 2), (2, 4), r"the attention mask has the shape \(2, 4\), and the token vectors have \(2, 3, 2\)"),
        ((2, 3, 2), (3, 2), r"the attention mask has the shape \(3, 2\), and the token vectors have \(2, 3, 2\)"),
        ((2, 3, 2), (2, 3, 1), r"the attention mask has the shape \(2, 3, 1\), and the token vectors have \(2, 3, 2\)"),
        ((1, 3, 2), (3,), r"the attention mask has the shape \(3,\), and the token vectors have \(1, 3, 2\)"),
    ],
)
def test_mismatched_shapes_are_an_error_that_names_both(
    as_kind: Any, vectors: tuple[int, ...], mask: tuple[int, ...], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        mean_pool(as_kind(np.ones(vectors, dtype=np.float32)), as_kind(np.ones(mask)))


# --- the weights and the length --------------------------------------------------------------------------------------


POOLED = np.array([[[1, 2], [3, -4], [9, 9]], [[9, 9], [5, 6], [7, 0]]], dtype=np.float32)
POOLED_MASK = np.array([[1, 1, 0], [0, 1, 1]])
ROOT = float(np.sqrt(2))


@pytest.mark.parametrize(
    ("modes", "expected"),
    [
        ("mean", [[2, -1], [6, 3]]),
        ("cls", [[1, 2], [5, 6]]),
        ("lasttoken", [[3, -4], [7, 0]]),
        ("max", [[3, 2], [7, 6]]),
        ("mean_sqrt_len_tokens", [[4 / ROOT, -2 / ROOT], [12 / ROOT, 6 / ROOT]]),
        # The second text's tokens are at positions 2 and 3.
        ("weightedmean", [[7 / 3, -2], [31 / 5, 12 / 5]]),
        (("cls", "max"), [[1, 2, 3, 2], [5, 6, 7, 6]]),
    ],
)
def test_each_mode_pools_and_its_terms_sum_to_the_result(modes: Any, expected: list[list[float]]) -> None:
    vectors = np.where(POOLED_MASK[:, :, None] == 1, POOLED, np.nan)
    pooled = pool(vectors, POOLED_MASK, modes)
    assert pooled.dtype == np.float32
    np.testing.assert_allclose(pooled, expected, rtol=1e-6)
    listed: Any = (modes,) if isinstance(modes, str) else modes
    for text, mask, vector in zip(vectors, POOLED_MASK, expected, strict=True):
        parts = token_terms(text, mask, listed)
        assert parts.shape == (3, len(vector))
        assert not parts[mask == 0].any()
        np.testing.assert_allclose(parts.sum(axis=0), vector, rtol=1e-6)


def test_unit_length_keeps_a_row_of_zeros() -> None:
    units = unit_length(np.array([[3, 4], [0, 0]], dtype=np.float64))
    assert units.dtype == np.float32
    assert units.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0]]


# --- pool_features ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "as_kind", [lambda a: a.tolist(), np.asarray, torch.as_tensor], ids=["lists", "numpy", "torch"]
)
def test_the_arrays_of_the_question_become_one_vector_for_each_sentence(as_kind: Any) -> None:
    items = question_features()
    pooled = pool_features([as_kind(item) for item in items])
    assert pooled.shape == (4, 768)
    assert pooled.dtype == np.float32
    np.testing.assert_allclose(pooled, [item[0].astype(np.float64).mean(axis=0) for item in items], atol=1e-6)


@pytest.mark.parametrize(
    "as_kind", [lambda a: a.tolist(), np.asarray, torch.as_tensor], ids=["lists", "numpy", "torch"]
)
def test_one_texts_features_alone_give_one_row(as_kind: Any) -> None:
    assert pool_features(as_kind(VECTORS[1:])).tolist() == [MEANS[1]]


def test_features_with_a_gradient_or_in_half_precision_are_pooled() -> None:
    tensor = torch.from_numpy(VECTORS[1:].copy())
    features = [tensor.clone().requires_grad_(), tensor.to(torch.bfloat16), tensor.numpy().astype(np.float16)]
    assert pool_features(features).tolist() == [MEANS[1]] * 3


def flattened() -> list[Array]:
    return [item.reshape(-1) for item in question_features()]


def padded_flat() -> Array:
    longest = max(item.size for item in flattened())
    return np.stack([np.pad(item, (0, longest - item.size)) for item in flattened()])


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (flattened()[0], "features of 1 dimension cannot be pooled: flattening loses"),
        (flattened()[0].tolist(), "features of 1 dimension cannot be pooled: flattening loses"),
        (flattened(), "features of 2 dimensions cannot be pooled: flattening loses"),
        (padded_flat(), "features of 2 dimensions cannot be pooled: flattening loses"),
        (torch.as_tensor(padded_flat()), "features of 2 dimensions cannot be pooled: flattening loses"),
        (VECTORS, "one array of 2 padded texts: without the attention mask, padding cannot be told from tokens"),
        (VECTORS.tolist(), "one array of 2 padded texts"),
        (torch.from_numpy(VECTORS), "one array of 2 padded texts"),
        ([VECTORS[:1], VECTORS[:1, :, :1]], "item 1 has vectors of 1 numbers, and item 0 of 2"),
        ([VECTORS[:1], VECTORS[0]], r"item 1 has the shape \(3, 2\), not \[1, T, D\]"),
        ([VECTORS[:1], VECTORS], r"item 1 has the shape \(2, 3, 2\), not \[1, T, D\]"),
        ([VECTORS[:1, :0]], r"item 0 has the shape \(1, 0, 2\), not \[1, T, D\]"),
        ([[[[1.0, 2.0], [3.0]]]], "the features of item 0 have different lengths"),
        (np.empty((0, 1, 5, 8)), "there are no features to pool"),
        ([], "cannot be pooled"),
    ],
)
def test_features_that_cannot_be_pooled_are_an_error_with_advice(features: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        pool_features(features)
    assert "one [1, T, D] array for each text" in caught.value.advice or "one model" in caught.value.advice


def test_padded_texts_are_pointed_to_mean_pool() -> None:
    with pytest.raises(InvalidInput, match="padded texts") as caught:
        pool_features(VECTORS.tolist())
    assert caught.value.advice.endswith("Or call mean_pool(token_vectors, attention_mask).")


def test_the_real_pipelines_features_give_the_encoders_own_vectors(minilm: Path, encoder: Encoder) -> None:
    from transformers import pipeline

    texts = (PROJECT / "data" / "hello.txt").read_text(encoding="utf-8").splitlines()
    extract = pipeline("feature-extraction", model=str(minilm), tokenizer=str(minilm))
    features = extract(texts)
    assert [np.shape(item) for item in features] == [(1, 9, 384), (1, 5, 384), (1, 8, 384), (1, 7, 384)]
    cosines = (unit_length(pool_features(features)) * encoder.encode(texts)).sum(axis=1)
    assert cosines.min() >= 0.99999
    as_tensors = extract(texts, return_tensors=True)
    np.testing.assert_allclose(pool_features(as_tensors), pool_features(features), atol=1e-6)
