"""Late interaction: known values, and any token vectors against loops over all pairs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vecindex.encoders.run.pooling import unit_length
from vecindex.search.rerank.late_interaction import Pair, meetings, pairs, scores

from ...support.extent import examples

Vectors = npt.NDArray[np.float32]

EAST, NORTH = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
NORTH_EAST = np.array([0.6, 0.8], np.float32)


def test_each_token_of_the_query_meets_the_token_most_like_it() -> None:
    query, text = np.stack([EAST, NORTH, -EAST]), np.stack([NORTH_EAST, EAST])
    places, cosines = meetings(query, text)
    assert places.tolist() == [1, 0, 0]
    np.testing.assert_allclose(cosines, [1, 0.8, -0.6], atol=1e-7)
    np.testing.assert_allclose(scores(query, [text, np.stack([EAST])]), [0.4, 0], atol=1e-7)


def test_the_first_of_equal_tokens_is_met() -> None:
    assert meetings(EAST[None], np.stack([NORTH, EAST, EAST]))[0].tolist() == [1]


def test_pairs_say_which_token_met_which() -> None:
    assert pairs(["go", "up"], np.stack([EAST, NORTH]), ["down", "east"], np.stack([-NORTH, EAST])) == (
        Pair("go", "east", 0, 1, 1.0, 0.5),
        Pair("up", "east", 1, 1, 0.0, 0.0),
    )


def test_without_a_token_there_is_no_score_and_no_pair() -> None:
    none = np.empty((0, 2), np.float32)
    assert np.isnan(scores(none, [EAST[None]])).all()
    assert np.isnan(scores(EAST[None], [none])).all()
    assert pairs([], none, ["east"], EAST[None]) == pairs(["east"], EAST[None], [], none) == ()


@st.composite
def unit_vectors(draw: st.DrawFn, dimension: int) -> Vectors:
    shape = (draw(st.integers(1, 9)), dimension)
    found = draw(arrays.arrays(np.float32, shape, elements=st.floats(-1, 1, width=32)))
    found[np.linalg.norm(found, axis=1) < 1e-3] = 1
    return unit_length(found)


@examples(100)
@given(st.data(), st.integers(1, 5))
def test_any_score_is_the_mean_of_the_largest_cosines(data: st.DataObject, dimension: int) -> None:
    query = data.draw(unit_vectors(dimension))
    texts = data.draw(st.lists(unit_vectors(dimension), min_size=1, max_size=4))
    for text, score in zip(texts, scores(query, texts), strict=True):
        largest = [max(float(np.dot(one.astype(float), other.astype(float))) for other in text) for one in query]
        assert score == pytest.approx(sum(largest) / len(query), abs=1e-6)
        assert scores(query, [text])[0] == score
        named = pairs([str(n) for n in range(len(query))], query, [str(n) for n in range(len(text))], text)
        assert sum(pair.contribution for pair in named) == pytest.approx(score, abs=1e-9)
        assert [pair.cosine for pair in named] == pytest.approx(largest, abs=1e-6)
        assert all(pair.text_token == str(pair.text_position) for pair in named)
