"""How many hits may be missing is estimated for each query as if it were alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from vecindex.search.dense.doubt import are_in_doubt
from vecindex.search.dense.exact import best, best_of_each, candidate_scores, scores

COUNT = 120


def drawn(seed: int, queries: int = 16, noise: float = 0.03) -> tuple[Any, Any]:
    """Scores and falling estimates (q, c) of candidates, as codes propose them."""
    random = np.random.default_rng(seed)
    estimates = -np.sort(-random.exponential(0.05, (queries, COUNT)) - 0.3, axis=1)
    found = estimates + noise * random.standard_normal((queries, COUNT))
    return found.astype(np.float32), estimates.astype(np.float32)


def expected(found: Any, estimates: Any, end: float, last: float, outside: int) -> float:
    """The model of `doubt`, as it is written there, with many more steps."""
    e, s = estimates.astype(np.float64), found.astype(np.float64)
    slope, level = np.polyfit(e - e.mean(), s, 1)
    slope = min(max(slope, 0.0), 1.0)
    residue = s - level - slope * (e - e.mean())
    spread = math.sqrt(residue @ residue / (len(e) - 2)) * (1 + 1 / math.sqrt(len(e)))
    steps = np.linspace(0, math.log1p(outside / len(e)), 4001)
    middle = (steps[1:] + steps[:-1]) / 2
    at = level + slope * (end - (e.mean() - end) * middle - e.mean())
    above = [math.erfc((last - each) / spread / math.sqrt(2)) / 2 for each in at]
    return float(len(e) * (np.diff(np.exp(steps)) * above).sum())


@pytest.mark.parametrize("seed", range(5))
def test_the_decision_is_that_of_the_model(seed: int) -> None:
    found, estimates = drawn(seed)
    ends, lasts = estimates[:, -1], -np.sort(-found, axis=1)[:, 9]
    for outside in (500, 100_000):
        truth = [expected(*each, outside) for each in zip(found, estimates, ends, lasts, strict=True)]
        for most in (1e-6, 0.1, 20.0):
            decided = are_in_doubt(found, estimates, ends, lasts, outside, most).tolist()
            clear = [place for place, value in enumerate(truth) if not 0.7 < value / most < 1.4]
            assert [decided[place] for place in clear] == [truth[place] > most for place in clear]
            assert len(clear) >= 8


def test_a_query_is_judged_as_if_it_were_alone() -> None:
    found, estimates = drawn(0, queries=200)
    estimates[::3, 40] = estimates[::3, 41]  # copies
    estimates[1::7, 5:110] = estimates[1::7, 5:6]
    ends, lasts = estimates[:, -1], -np.sort(-found, axis=1)[:, 9]
    most = 0.5
    together = are_in_doubt(found, estimates, ends, lasts, 100_000, most)
    for place in range(len(found)):
        one = slice(place, place + 1)
        assert are_in_doubt(found[one], estimates[one], ends[one], lasts[one], 100_000, most) == together[one]
    assert 0 < np.count_nonzero(together) < len(together)


def test_copies_tell_no_more_than_a_single_row() -> None:
    found, estimates = drawn(1, queries=1)
    ends, lasts = estimates[:, -1], -np.sort(-found, axis=1)[:, 9]
    for place in (3, 60, 118):
        more, again = (np.insert(part, place, part[:, place], axis=1) for part in (found, estimates))
        for most in np.geomspace(1e-6, 10, 40):
            plain = are_in_doubt(found, estimates, ends, lasts, 100_000, most)
            # The last candidate is not counted where there are copies.
            assert are_in_doubt(more, again, ends, lasts, 100_000, most * 1.5) <= plain


def test_few_different_or_endless_estimates_tell_nothing() -> None:
    found, estimates = drawn(2, queries=3)
    estimates[0, 15:] = estimates[0, 15]
    ends = np.array([0.3, -np.inf, np.nan], np.float32)
    assert are_in_doubt(found, estimates, ends, found.max(axis=1) + 9, 1000, 1e9).all()
    assert are_in_doubt(found[:, :9], estimates[:, :9], ends, found.max(axis=1), 1000, 1e9).all()


@pytest.mark.parametrize("dimension", [1, 2, 7, 384, 1030, 8200])
def test_scores_of_candidates_are_those_of_each_alone(dimension: int) -> None:
    random = np.random.default_rng(dimension)
    vectors = random.standard_normal((300, dimension)).astype(np.float32)
    queries = random.standard_normal((17, dimension)).astype(np.float32)
    for count in (1, 3, 120):
        rows = random.integers(0, 300, (17, count))
        alone = np.stack([scores(vectors[some], query) for some, query in zip(rows, queries, strict=True)])
        assert np.array_equal(candidate_scores(vectors, rows, queries), alone)
    many = random.integers(0, 300, (2, 9000))
    alone = np.stack([scores(vectors[some], query) for some, query in zip(many, queries, strict=False)])
    assert np.array_equal(candidate_scores(vectors, many, queries[:2]), alone)


@pytest.mark.parametrize("count", [3, 120, 2000])
@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize("values", [40, 2**24])  # with ties, and hardly any
def test_the_best_of_each_are_those_of_each_alone(count: int, damaged: bool, values: int) -> None:
    random = np.random.default_rng(count)
    rows = np.stack([random.permutation(5000)[:count] for _ in range(9)])
    found = random.integers(0, values, (9, count)).astype(np.float32) / values
    if damaged:
        found[4, 1] = np.nan
    every = best_of_each(rows, found, 10)
    for one, ranking in zip(zip(rows, found, strict=True), every, strict=True):
        alone = best(*one, 10)
        assert np.array_equal(ranking.rows, alone.rows)
        assert np.array_equal(ranking.scores, alone.scores, equal_nan=True)
