"""Tuning returns the fastest measured settings that reach the recall, or an error with the best."""

from __future__ import annotations

import re
from datetime import date
from functools import cache

import numpy as np
import pytest

from vecindex import InvalidInput
from vecindex.encoders.run.pooling import unit_length
from vecindex.search.dense import tune as tuning
from vecindex.search.dense.codes import Codes, build
from vecindex.search.dense.exact import Vectors
from vecindex.search.dense.settings import DOUBT, CodeSettings
from vecindex.search.dense.tune import Trial, tune

from ..support.coded_vectors import ArrayView, grouped, recall, unit_vectors

N = 20_000


@cache
def rows_and_queries() -> tuple[Vectors, Vectors]:
    vectors = grouped(N, 200)
    chosen = np.random.default_rng(1).choice(N, 60)
    return vectors, unit_length(vectors[chosen] + 0.4 * unit_vectors(60, seed=3))


made: dict[tuple[int, int], Codes] = {}


def built_once(vectors: Vectors, settings: CodeSettings) -> Codes:
    """As `build`, cached, for the vectors above."""
    key = (settings.bits, settings.lists)
    made[key] = made.get(key) or build(vectors, settings)
    made[key].settings = settings
    return made[key]


def test_the_tuned_settings_are_the_fastest_that_reach_the_recall() -> None:
    vectors, queries = rows_and_queries()
    seen: list[Trial] = []
    today = date.today()
    tuned = tune(vectors, queries, 0.9, clustered=True, build=built_once, progress=seen.append)
    assert tuned.tried == tuple(seen)
    assert {trial.settings.lists for trial in seen} == {0, 128}
    good = [trial for trial in seen if trial.recall >= 0.9]
    best = min(good, key=lambda trial: trial.mean_ms)
    assert tuned.codes.settings == tuned.settings
    assert tuned.codes.rows == N
    assert tuned.settings.recall == pytest.approx(best.recall, abs=1e-4)
    assert tuned.settings.measured in (today.isoformat(), date.today().isoformat())  # midnight may come between
    assert (tuned.settings.factor, tuned.settings.probes) == (best.settings.factor, best.settings.probes)
    assert recall(ArrayView(vectors, tuned.codes), queries) == pytest.approx(best.recall, abs=0.005)
    assert all(0 < trial.recall <= 1 and trial.p50_ms > 0 for trial in seen)


def test_only_searches_for_a_high_recall_are_widened() -> None:
    vectors, queries = rows_and_queries()
    low = tune(vectors, queries, 0.5, build=built_once)
    assert (low.settings.doubt, low.settings.lists) == (1.0, 0)
    high = tune(vectors, queries, 0.99, build=built_once)
    assert high.settings.doubt == DOUBT
    assert high.settings.recall is not None
    assert high.settings.recall >= 0.99


def test_an_unreachable_recall_is_an_error_that_names_the_best_settings() -> None:
    vectors, queries = rows_and_queries()
    with pytest.raises(InvalidInput, match=r"recall 0\.9 within 0\.001 ms; the best reached recall (0\.9|1\.0)"):
        tune(vectors, queries, 0.9, 0.001, build=built_once)
    unreachable = unit_vectors(N)  # without structure, few candidates do not hold the nearest
    with pytest.raises(InvalidInput) as caught:
        tune(unreachable, unit_vectors(10, seed=4), 0.98999, build=lambda v, s: build(v, CodeSettings(1, 1, doubt=1.0)))
    found = re.search(r"reach recall 0\.98999; the best reached recall (\d\.\d+) in ", str(caught.value))
    assert found
    assert float(found[1]) < 0.98999


@pytest.mark.parametrize(
    ("rows", "queries", "wanted", "message"),
    [
        (N, 1, 0.0, "recall is 0"),
        (N, 1, 1.5, "recall is 1.5"),
        (100, 1, 0.9, "the index has 100 rows"),
        (N, 0, 0.9, "no queries"),
    ],
)
def test_invalid_arguments_are_refused(rows: int, queries: int, wanted: float, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        tune(unit_vectors(rows, 8), unit_vectors(queries, 8), wanted)


def test_many_queries_are_sampled() -> None:
    vectors, _ = rows_and_queries()
    recall = tune(vectors, vectors[:1000], 0.6, build=built_once).settings.recall
    assert recall is not None
    assert recall * tuning.QUERIES * tuning.K == pytest.approx(round(recall * tuning.QUERIES * tuning.K), abs=0.11)
