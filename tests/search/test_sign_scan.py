"""Scanning the signs of one-bit codes proposes what their estimates would, ties included, however rows are shared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vecindex.search.dense import codes, parallel_scan
from vecindex.search.dense.load_faiss import load_faiss
from vecindex.search.dense.pace import Pace
from vecindex.search.dense.parallel_scan import ParallelScan
from vecindex.search.dense.settings import FAST, CodeSettings
from vecindex.search.dense.sign_scan import SignScan

from ..support.sign_truth import sign_estimates


def unit(rows: int, seed: int, dimension: int = 256) -> Any:
    drawn = np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def fast(vectors: Any) -> Any:
    return codes.build(vectors, CodeSettings(1, 12)).variant(FAST)


@pytest.mark.parametrize(("rows", "dimension"), [(1, 256), (31, 256), (700, 256), (2001, 256), (3000, 301)])
@pytest.mark.parametrize("shares", [False, True])
def test_rows_and_estimates_are_those_that_numpy_computes(
    rows: int, dimension: int, shares: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel_scan, "LEAST_SIGNS", 256)
    monkeypatch.setattr(parallel_scan, "available_cores", lambda: 3)
    monkeypatch.setattr(Pace, "cuts", lambda self: True)
    vectors, asked = unit(rows, 0, dimension), unit(200, 1, dimension)
    made = fast(vectors)
    queries = np.concatenate([made.rotate(query[None]) for query in asked])
    truth, off = sign_estimates(np.concatenate([made.rotate(vector[None]) for vector in vectors]), queries)
    scan: Any = ParallelScan(made.index) if shares else SignScan(made.index, 0, rows)
    for count in sorted({1, min(rows, 10), min(rows, 200)}):
        common = 0
        for query, expected, allowed in zip(queries, truth, off, strict=True):
            first, second = scan.search(query[None], count)
            found, estimates = (first[0], second[0]) if shares else (second[0], first[0])
            assert (np.abs(estimates - expected[found]) <= allowed[found]).all()
            common += np.isin(found, np.argsort(-expected)[:count]).sum()
        assert common >= 0.97 * count * len(queries)


@pytest.mark.parametrize("dimension", [3, 256, 301, 1030])
def test_estimates_are_near_the_cosines(dimension: int) -> None:
    vectors, queries = unit(3000, 0, dimension), unit(20, 1, dimension)
    made = fast(vectors)
    estimates, rows = SignScan(made.index, 0, 3000).search(np.concatenate([made.rotate(q[None]) for q in queries]), 90)
    assert estimates.shape == rows.shape == (20, 90)
    assert (np.diff(estimates, axis=1) <= 0).all()
    errors = estimates - np.take_along_axis(queries @ vectors.T, rows, 1)
    assert float(np.sqrt((errors**2).mean())) < 1.6 / np.sqrt(dimension)  # the highest are too high


def test_a_row_has_one_estimate_however_many_rows_are_asked_for() -> None:
    made = fast(unit(3000, 0))
    scan, query = SignScan(made.index, 0, 3000), made.rotate(unit(1, 1))
    estimates, rows = scan.search(query, 3000)
    assert sorted(rows[0].tolist()) == list(range(3000))
    known = dict(zip(rows[0].tolist(), estimates[0].tolist(), strict=True))
    for count in (1, 10, 200, 2999):
        fewer, found = scan.search(query, count)
        assert [known[row] for row in found[0].tolist()] == pytest.approx(fewer[0].tolist(), abs=1e-6)
        assert len(set(found[0].tolist()) & set(rows[0, :count].tolist())) >= 0.8 * count


@pytest.mark.parametrize("copies", [30, 100, 300])
@pytest.mark.parametrize("seed", range(5))
def test_copies_are_all_there_or_have_the_last_estimate(copies: int, seed: int) -> None:
    vectors = unit(2000, seed)
    vectors[np.random.default_rng(seed).choice(2000, copies, replace=False)] = vectors[0]
    vectors[1000:1200] = vectors[999]
    made = fast(vectors)
    scan = SignScan(made.index, 0, 2000)
    groups = [np.flatnonzero((vectors == vectors[row]).all(axis=1)) for row in (0, 999)]
    for query in (vectors[0], vectors[999], *unit(10, seed + 10)):
        for count in (5, 50, 120, 400):
            estimates, rows = scan.search(made.rotate(query[None]), count)
            for group in groups:
                found = np.isin(rows[0], group)
                are_all = np.count_nonzero(found) == len(group)
                assert are_all or not found.any() or estimates[0][found].min() == estimates[0, -1]


def test_queries_together_get_the_answers_of_each_alone_and_faiss_keeps_its_threads() -> None:
    faiss, made = load_faiss(), fast(unit(3000, 0))
    scan, queries = SignScan(made.index, 0, 3000), made.rotate(unit(20, 1))
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(3)
    try:
        estimates, rows = scan.search(queries, 40)
        assert faiss.omp_get_max_threads() == 3
    finally:
        faiss.omp_set_num_threads(before)
    for place, query in enumerate(queries):
        alone = scan.search(query[None], 40)
        assert alone[1].tolist() == [rows[place].tolist()]
        assert alone[0][0].tolist() == pytest.approx(estimates[place].tolist(), abs=1e-6)


@pytest.mark.parametrize("rows", [1, 31, 700, 1000, 1024, 2001])
def test_shares_find_the_same_however_they_are_scanned(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel_scan, "LEAST_SIGNS", 256)
    monkeypatch.setattr(parallel_scan, "available_cores", lambda: 3)
    made = fast(unit(rows, 0))
    scan, queries = ParallelScan(made.index), made.rotate(unit(20, 1))
    whole = SignScan(made.index, 0, rows)
    for count in (1, min(rows, 10), min(rows, 200)):
        together = scan.search_whole(queries, count)
        for place, query in enumerate(queries):
            found, estimates = scan.search(query[None], count)
            assert found.tolist() == [together[0][place].tolist()]
            assert found.shape == estimates.shape == (1, count)
            assert estimates[0].mean() >= whole.search(query[None], count)[0].mean() - 1e-6


def test_an_index_of_fewer_codes_than_rows_is_refused() -> None:
    made = fast(unit(100, 0))
    with pytest.raises(ValueError, match="codes of 128 rows, not of 200"):
        SignScan(made.index, 0, 200)
