"""Token codes: what is made of vectors and what comes back; what they cost in space and in likeness."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex.encoders.run.pooling import unit_length
from vecindex.search.rerank import token_codes
from vecindex.search.rerank.late_interaction import scores
from vecindex.search.rerank.token_codes import bytes_a_token, cosines, decode, encode, turned, turned_back

from ...support.extent import examples


def unit(count: int, dimension: int, seed: int = 0) -> npt.NDArray[np.float32]:
    return unit_length(np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32))


@pytest.mark.parametrize("dimension", [1, 2, 3, 5, 16, 384, 1024])
def test_turning_keeps_products_and_can_be_undone(dimension: int) -> None:
    vectors = unit(9, dimension)
    np.testing.assert_allclose(turned(vectors) @ turned(vectors).T, vectors @ vectors.T, atol=1e-5)
    np.testing.assert_allclose(turned_back(turned(vectors)), vectors, atol=1e-5)


def test_signs_and_cosines_are_those_of_the_guide() -> None:
    """Computed number by number: the rotation is part of what is on disk."""
    state, signs = 0, []
    for _ in range(5):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        mixed = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB % 2**64
        signs.append(-1 if (mixed ^ mixed >> 31) >> 63 else 1)
    vector = np.array([0.1, -0.2, 0.3, 0.5, -0.7])
    for j, number in enumerate(turned(vector[None].astype(np.float32))[0].tolist()):
        scale = np.sqrt((1 if j == 0 else 2) / 5)
        assert number == pytest.approx(
            scale * sum(signs[i] * vector[i] * np.cos(np.pi * j * (2 * i + 1) / 10) for i in range(5)), abs=1e-6
        )


def test_a_number_becomes_the_nearest_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_codes, "turned", lambda vectors: vectors)
    numbers = np.array([[-2, -0.99, -0.97, -0.1, 0, 0.1, 0.97, 0.99, 2]], np.float32) / np.float32(3)
    levels = [0, 0, 1, 1, 2, 2, 2, 3, 3]
    expected = [sum(level << 2 * at for at, level in enumerate(levels[i : i + 4])) for i in (0, 4, 8)]
    assert encode(numbers).tolist() == [expected]


@examples(60)
@given(st.integers(0, 9), st.integers(1, 70), st.integers(0, 1_000))
def test_codes_have_their_size_and_mean_the_same_beside_others(count: int, dimension: int, seed: int) -> None:
    vectors = unit(count, dimension, seed)
    codes = encode(vectors)
    for one in range(count):
        assert (encode(vectors[one : one + 1]) == codes[one]).all()
    assert codes.shape == (count, bytes_a_token(dimension)) == (count, -(-dimension // 4))
    found = decode(codes, dimension)
    assert found.shape == (count, dimension)
    assert found.dtype == np.float32
    for one in range(count):
        assert (decode(codes[one : one + 1], dimension) == found[one]).all()


def test_products_with_other_vectors_are_on_average_what_they_were() -> None:
    vectors, queries = unit(2_000, 384), unit(2_000, 384, 1)
    near = unit_length(queries + 1.5 * vectors)
    before = np.einsum("ij,ij->i", near, vectors)
    after = np.einsum("ij,ij->i", turned(near), decode(encode(vectors), 384))
    assert np.mean(after - before) == pytest.approx(0, abs=0.002)
    assert np.std(after - before) < 0.025


def test_scores_of_codes_are_near_those_of_the_vectors() -> None:
    query, texts = unit(7, 384, 1), [unit(size, 384, size) for size in (1, 9, 40)]
    exact = scores(query, texts)
    stored = scores(turned(query), [decode(encode(text), 384) for text in texts])
    np.testing.assert_allclose(stored, exact, atol=0.02)


@examples(60)
@given(st.integers(0, 200), st.integers(0, 90), st.sampled_from([1, 3, 16, 50, 384]), st.integers(0, 1_000))
def test_products_with_codes_are_those_with_their_vectors(tokens: int, asked: int, dimension: int, seed: int) -> None:
    codes, query = encode(unit(tokens, dimension, seed)), turned(unit(asked, dimension, seed + 1))
    expected = query.astype(np.float64) @ decode(codes, dimension).astype(np.float64).T
    np.testing.assert_allclose(cosines(query, codes), expected, atol=2e-6)
