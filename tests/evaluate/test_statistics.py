"""Are intervals and tests right where the answer is known, and do they call noise what is noise?"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex.evaluate.statistics import adjusted, intervals, randomisation_test

QUERIES = 100


def answers(generator: np.random.Generator, quality: np.ndarray) -> np.ndarray:
    """Reciprocal ranks of a system that finds the right record of each query at a rank drawn by its difficulty."""
    ranks = generator.geometric(quality)
    return np.where(ranks <= 10, 1 / ranks, 0.0)


def test_identical_runs_never_differ() -> None:
    values = np.random.default_rng(0).random(QUERIES)
    assert [randomisation_test(values - values, seed) for seed in range(100)] == [1.0] * 100


def test_equally_good_systems_differ_at_the_1_percent_level_no_more_often_than_that() -> None:
    generator = np.random.default_rng(1)
    p_values = []
    for seed in range(300):
        difficulty = generator.uniform(0.05, 0.95, QUERIES)
        one, other = answers(generator, difficulty), answers(generator, difficulty)
        p_values.append(randomisation_test(one - other, seed))
    assert sum(p < 0.01 for p in p_values[:100]) <= 2
    # 300 tries at 1 %: 3 are expected, and more than 9 have a chance of 0.1 %.
    assert sum(p < 0.01 for p in p_values) <= 9
    assert 0.4 < np.mean(p_values) < 0.6


def test_a_better_system_is_found() -> None:
    generator = np.random.default_rng(2)
    difficulty = generator.uniform(0.05, 0.5, QUERIES)
    found = [
        randomisation_test(answers(generator, difficulty + 0.4) - answers(generator, difficulty), seed)
        for seed in range(20)
    ]
    assert all(p < 0.01 for p in found)


@given(st.lists(st.sampled_from([-0.5, -0.25, 0.0, 0.125, 1.0]), max_size=9))
def test_few_differences_are_tested_exactly(differences: list[float]) -> None:
    observed = abs(sum(differences))
    sums = [
        abs(sum(sign * each for sign, each in zip(signs, differences, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(differences))
    ]
    expected = sum(each >= observed for each in sums) / len(sums)
    assert randomisation_test(np.array(differences)) == pytest.approx(expected)


def test_many_differences_are_tested_as_few_are() -> None:
    few = np.random.default_rng(3).normal(0.3, 1, 13)
    exact = randomisation_test(few)
    # A difference that is tiny beside the others makes them too many for all signs to be tried.
    drawn = randomisation_test(np.append(few, 1e-9))
    assert 0.01 < exact < 0.99
    assert drawn == pytest.approx(exact, abs=0.02)


def test_the_same_seed_gives_the_same_answer() -> None:
    values = np.random.default_rng(4).normal(0.02, 0.3, QUERIES)
    assert randomisation_test(values, 5) == randomisation_test(values, 5)
    assert (intervals(values[:, None], 5) == intervals(values[:, None], 5)).all()


def test_p_is_never_zero() -> None:
    assert randomisation_test(np.ones(1000)) == 1 / 10_001


def test_intervals_hold_the_true_mean_as_often_as_they_say() -> None:
    generator = np.random.default_rng(6)
    true = 0.3
    held = 0
    for seed in range(60):
        low, high = intervals((generator.random((40, 1)) < true).astype(float), seed)
        held += bool(low[0] <= true <= high[0])
    assert 51 <= held <= 60


def test_intervals_are_those_of_the_normal_distribution_where_there_are_many_values() -> None:
    values = np.random.default_rng(7).normal([[0.5, 2]], [[0.1, 3]], (1000, 2))
    low, high = intervals(values)
    half = 1.96 * values.std(axis=0) / np.sqrt(1000)
    assert low == pytest.approx(values.mean(axis=0) - half, abs=0.05 * half.max())
    assert high == pytest.approx(values.mean(axis=0) + half, abs=0.05 * half.max())


def test_equal_values_have_an_interval_without_width() -> None:
    assert intervals(np.full((5, 1), 0.25)).tolist() == [[0.25], [0.25]]


def test_many_comparisons_raise_the_p_values() -> None:
    # Holm's own example has the same steps: the smallest by 4, the next by 3, and none below the one before.
    assert adjusted([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert adjusted([0.6]) == [0.6]
    assert adjusted([0.9, 0.8]) == [1.0, 1.0]
    assert adjusted([]) == []
