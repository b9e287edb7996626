"""Which texts are run together: every one once, within the budget, padded as little as keeps a device busy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex.encoders.gpu import batches
from vecindex.encoders.gpu.batches import Batch, next_batch


def all_batches(lengths: list[int], budget: int, limit: int = 0) -> list[Batch]:
    ordered = np.array(sorted(lengths, reverse=True), dtype=np.int64)
    found: list[Batch] = []
    while (start := found[-1].stop if found else 0) < len(ordered):
        found.append(next_batch(ordered, start, budget, limit))
    return found


@given(st.lists(st.integers(1, 40), max_size=200), st.integers(1, 300), st.sampled_from([0, 40]), st.integers(1, 200))
def test_every_text_is_in_one_batch_that_fits(lengths: list[int], budget: int, limit: int, enough: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "ENOUGH_TOKENS", enough)
        found = all_batches(lengths, budget, limit)
    ordered = sorted(lengths, reverse=True)
    assert [place for batch in found for place in range(batch.start, batch.stop)] == list(range(len(lengths)))
    for batch in found:
        inside = ordered[batch.start : batch.stop]
        assert batch.width >= inside[0]
        assert batch.width <= limit or not limit
        assert batch.texts == 1 or batch.texts * batch.width <= budget
        assert batch.padded == (inside[-1] != inside[0])
        assert batch.padded or batch.width == inside[0]


def test_many_texts_of_one_length_are_never_padded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "ENOUGH_TOKENS", 100)
    assert all_batches([12] * 24 + [11] * 20 + [3] * 50, budget=150) == [
        Batch(0, 12, 12, False),
        Batch(12, 24, 12, False),
        Batch(24, 37, 11, False),
        # Seven of 11 tokens are left, which is too few for a batch.
        Batch(37, 44, 11, False),
        Batch(44, 94, 3, False),
    ]


def test_few_texts_of_a_length_share_a_batch_with_shorter_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "ENOUGH_TOKENS", 100)
    assert all_batches([13, 12, 12, 11, 9, 9, 8], budget=1000) == [Batch(0, 7, 16, True)]
    assert all_batches([250, 249], budget=1000, limit=252) == [Batch(0, 1, 250, False), Batch(1, 2, 249, False)]


def test_no_more_join_than_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "ENOUGH_TOKENS", 64)
    lengths = [8, *[7] * 30]
    assert all_batches(lengths, budget=1000) == [Batch(0, 8, 8, True), Batch(8, 31, 7, False)]


def test_a_text_larger_than_the_budget_is_alone() -> None:
    assert all_batches([500, 500, 2], budget=100) == [
        Batch(0, 1, 500, False),
        Batch(1, 2, 500, False),
        Batch(2, 3, 2, False),
    ]
