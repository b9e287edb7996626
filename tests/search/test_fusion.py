"""How the scores of several sides become one: parts that depend on no other candidate, and add up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex.search.background import Background
from vecindex.search.fusion import Scale, convex, mixed, rrf, total

DENSE, LEXICAL = np.array([0.2, 1.0, 0.6, -0.6]), np.array([0.0, 12.0, 3.0, 6.0])


def test_a_cosine_counts_from_that_of_unrelated_texts_and_words_as_a_share_of_the_query() -> None:
    parts = convex(DENSE, LEXICAL, Scale(unrelated=0.2, whole=6.0))
    assert parts["dense"] == pytest.approx([0, 1, 0.5, -1])
    assert parts["lexical"] == pytest.approx([0, 2, 0.5, 1])
    assert total(parts) == pytest.approx([0, 3, 1, 0])


def test_a_query_without_words_is_ordered_by_cosines_alone() -> None:
    assert total(convex(DENSE, np.zeros(4), Scale(0.5))) == pytest.approx([-0.6, 1, 0.2, -2.2])
    assert total(convex(np.empty(0), np.empty(0), Scale())).tolist() == []


def test_ranks_count_from_one_and_a_text_without_words_has_none() -> None:
    parts = rrf(DENSE, LEXICAL, Scale())
    assert parts["dense"] == pytest.approx([1 / 63, 1 / 61, 1 / 62, 1 / 64])
    assert parts["lexical"] == pytest.approx([0, 1 / 61, 1 / 63, 1 / 62])


def test_token_scores_count_like_cosines_and_a_side_alone_half() -> None:
    scale, tokens, small = Scale(unrelated=0.2, whole=16.0), np.array([0.2, 1.0, 0.6, np.nan]), 2 * (1 / 16) ** 0.75
    parts = mixed({"dense": DENSE, "lexical": np.array([0.0, 16.0, 1.0, 1.0])}, tokens, scale)
    assert parts["tokens"] == pytest.approx([0, 2, 1, 0])
    assert parts["dense"] == pytest.approx([0, 1, 0.5, -1])
    assert parts["lexical"] == pytest.approx([0, 2, small, small])
    assert total(parts) == pytest.approx([0, 5, 1.5 + small, small - 1])
    assert mixed({"dense": DENSE}, tokens, scale)["dense"] == pytest.approx([0, 0.5, 0.25, -0.5])
    assert mixed({"lexical": np.array([16.0])}, tokens[:1], scale)["lexical"] == pytest.approx([1])


def test_unrelated_is_the_mean_of_the_background_within_reason() -> None:
    def scale(mean: float) -> Scale:
        return Scale.of(Background(2, mean, (0.0,), (0.0,)), 1.0)

    assert scale(0.7) == Scale(0.7, 1.0)
    assert scale(-0.1) == Scale(0.0, 1.0)
    assert scale(1.0) == Scale(0.95, 1.0)
    assert Scale.of(None, 2.0) == Scale(0.0, 2.0)


@given(st.floats(0, 2), st.lists(st.floats(-1, 1), min_size=1, max_size=9), st.floats(0, 0.5))
def test_what_all_vectors_have_in_common_changes_no_order(common: float, cosines: list[float], mean: float) -> None:
    """With models that put all texts into a narrow cone, cosines are squeezed together; the words weigh as before."""
    lexical = np.arange(len(cosines), dtype=float)
    squeezed = (np.array(cosines) + common) / (1 + common)
    before = total(convex(np.array(cosines), lexical, Scale(mean, 5.0)))
    after = total(convex(squeezed, lexical, Scale((mean + common) / (1 + common), 5.0)))
    assert after == pytest.approx(before, abs=1e-9)


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 30)), min_size=1, max_size=9))
def test_a_candidates_score_does_not_depend_on_the_others(found: list[tuple[float, float]]) -> None:
    dense, lexical = (np.array(side) for side in zip(*found, strict=True))
    together = total(convex(dense, lexical, Scale(0.1, 7.0)))
    alone = [total(convex(dense[n : n + 1], lexical[n : n + 1], Scale(0.1, 7.0)))[0] for n in range(len(found))]
    assert together.tolist() == alone
