"""Is ann_recall the share of the exact nearest records that searches find?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import vecindex
from vecindex.errors import InvalidInput
from vecindex.search.dense import nearest, recall
from vecindex.search.dense.exact import Ranking

ROWS = 24_000
"""Enough for codes to be made and used."""


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index with codes, of which one row in ten is deleted."""
    path = tmp_path_factory.mktemp("recall") / "index"
    vectors = np.random.default_rng(0).standard_normal((ROWS, 64))
    with vecindex.open(path) as index:
        metadata = [{"n": n % 10} for n in range(ROWS)]
        index.add([f"text {n}" for n in range(ROWS)], vectors=vectors, space="theirs", metadata=metadata)
        index.delete(where="n = 0")
    return path


def test_searches_over_codes_find_nearly_all(coded: Path) -> None:
    with vecindex.open(coded, readonly=True) as index:
        found = index.ann_recall(10, sample=100)
        assert found == index.ann_recall(10, sample=100)
        filtered = index.ann_recall(5, "n in (1, 2, 3, 4, 5, 6)", sample=50, seed=1)
    assert (found.k, found.queries, found.is_exact) == (10, 100, False)
    assert found.recall > 0.98
    assert (filtered.k, filtered.queries) == (5, 50)
    assert filtered.recall > 0.98


def test_what_searches_miss_lowers_it(coded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(*arguments: object) -> list[Ranking]:
        found = nearest.rankings(*arguments)  # type: ignore[arg-type]
        return [Ranking(each.rows[::2], each.scores[::2]) for each in found]

    monkeypatch.setattr(recall, "rankings", half)
    with vecindex.open(coded) as index:
        assert index.ann_recall(10, sample=50).recall == pytest.approx(0.5, abs=0.06)


def test_equal_records_count_as_found(tmp_path: Path) -> None:
    with vecindex.open(tmp_path / "i") as index:
        index.add([f"text {n}" for n in range(50)], vectors=np.ones((50, 8)), space="theirs")
        assert index.ann_recall(3).recall == 1
        found = index.ann_recall(100, sample=5)
        assert (found.recall, found.queries, found.is_exact) == (1, 5, True)


def test_recall_needs_two_records(tmp_path: Path) -> None:
    with vecindex.open(tmp_path / "i") as index:
        with pytest.raises(InvalidInput, match="no record with a vector can be found"):
            index.ann_recall()
        index.add(["one"], vectors=np.ones((1, 8)), space="theirs")
        with pytest.raises(InvalidInput, match="one record with a vector can be found"):
            index.ann_recall()
