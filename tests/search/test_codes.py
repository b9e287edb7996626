"""Searches with codes: each route against the exact answer, with good and with misleading estimates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from vecindex.search.dense import nearest
from vecindex.search.dense.codes import build
from vecindex.search.dense.exact import rank
from vecindex.search.dense.load_faiss import load_faiss
from vecindex.search.dense.plan import Plan, Route
from vecindex.search.dense.settings import FAST, CodeSettings

from ..support.coded_vectors import (
    CLUSTERED,
    ONE_BIT,
    QUERIES,
    TWO_BITS,
    ArrayView,
    Mask,
    N,
    Vectors,
    answers,
    coded,
    collection,
    explained,
    grouped,
    recall,
    traced,
    unit_vectors,
)
from ..support.extent import every, slow

# --- recall, where it is easy and where it is not ---------------------------------------------------------------------


NAMES = (
    *("real-like", "no structure at all", "queries far from all rows", "few distinct vectors", "thousands of copies"),
    *("all equal", "all but equal", "variance in few dimensions", "two signs"),
)


@pytest.mark.parametrize("settings", [ONE_BIT, TWO_BITS], ids=["1 bit", "2 bits"])
@pytest.mark.parametrize("name", every(3, NAMES))
def test_recall_of_flat_codes(name: str, settings: CodeSettings) -> None:
    vectors, queries = collection(name)
    view = ArrayView(vectors, coded(name, settings))
    assert traced(view, queries[0]).route is Route.CODES
    assert recall(view, queries) >= 0.99
    assert recall(view, queries, 1) >= 0.99
    assert recall(view, queries[:3], 60) >= 0.99


def masks(vectors: Vectors, query: Vectors) -> dict[str, Mask]:
    rng = np.random.default_rng(2)
    scores = vectors @ query
    return {
        "nearly all": rng.random(N) < 0.98,
        "half": rng.random(N) < 0.5,
        "a tenth": rng.random(N) < 0.1,
        "hundredth": rng.random(N) < 0.01,
        "seven": np.isin(np.arange(N), rng.choice(N, 7, replace=False)),
        "none": np.zeros(N, np.bool_),
        "the farthest half": scores < np.median(scores),
        "all but the nearest thousand": scores < np.sort(scores)[-1000],
        "the nearest fifth": scores > np.quantile(scores, 0.8),
    }


@pytest.mark.parametrize("settings", [TWO_BITS, CLUSTERED], ids=["flat", "clustered"])
@pytest.mark.parametrize("name", ["real-like", slow("thousands of copies")])
def test_recall_with_filters_of_every_density(name: str, settings: CodeSettings) -> None:
    vectors, queries = collection(name)
    routes = set()
    for label, mask in masks(vectors, queries[0]).items():
        view = ArrayView(vectors, coded(name, settings), mask)
        routes.add(traced(view, queries[0]).route)
        assert recall(view, queries[:4]) >= (0.99 if settings.lists == 0 else 0.9), label
    assert routes >= {Route.NONE, Route.RANK, Route.MASKED} | (set() if settings.lists else {Route.CODES})


def test_fast_and_masked_codes_give_the_same_answer() -> None:
    vectors, queries = collection("real-like")
    codes = coded("real-like", TWO_BITS)
    for mask in masks(vectors, queries[0]).values():
        view = ArrayView(vectors, codes, mask)
        if mask.sum() < 1000:
            continue
        plain = [ranking.rows.tolist() for ranking in answers(view, queries[:3], 10)]
        for route in (Route.CODES, Route.MASKED):
            job = nearest._Job(
                *(view, vectors, view._allowed, queries[:3]),
                *(Plan(route, N, view._allowed.count, 10, 400, N), nearest.Trace(), codes),
            )
            assert [ranking.rows.tolist() for ranking in nearest._coded(job)] == plain


def test_recall_grows_with_the_number_of_scanned_clusters() -> None:
    vectors, queries = collection("real-like")
    found = []
    for probes in (1, 4, 16):
        codes = build(vectors, replace(CLUSTERED, probes=probes, doubt=1.0))
        found.append(recall(ArrayView(vectors, codes), queries))
    assert found == sorted(found)
    assert found[-1] >= 0.99


@pytest.mark.parametrize("dimension", every(3, [1, 2, 3, 5, 8, 33]))
def test_recall_in_low_dimensions(dimension: int) -> None:
    vectors = unit_vectors(20_100, dimension)
    for settings in (ONE_BIT, TWO_BITS):
        assert recall(ArrayView(vectors, build(vectors, settings)), unit_vectors(3, dimension, 7)) >= 0.99


@pytest.mark.parametrize("rows", every(4, [1, 2, 31, 33, 1000]))
def test_a_tiny_index_may_have_codes(rows: int) -> None:
    vectors = unit_vectors(rows)
    for settings in (ONE_BIT, CodeSettings(4, 3), replace(CLUSTERED, lists=1, probes=1)):
        codes = build(vectors, settings)
        proposed, estimates = codes.propose(vectors[:2], 50)
        assert proposed.shape == estimates.shape == (min(2, rows), min(50, rows))
        assert recall(ArrayView(vectors, codes), vectors[:2]) == 1.0


@pytest.fixture(params=[1, 3])
def threads_of_faiss(request: pytest.FixtureRequest) -> Iterator[None]:
    faiss = load_faiss()
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(request.param)
    yield
    faiss.omp_set_num_threads(before)


@pytest.mark.usefixtures("threads_of_faiss")
def test_a_batch_gives_the_same_answers_as_single_queries() -> None:
    vectors, queries = collection("thousands of copies")
    view = ArrayView(vectors, coded("thousands of copies", ONE_BIT), np.arange(N) % 10 > 0)
    queries = np.concatenate([queries] * 6)
    assert len(queries) > 2 * nearest.QUERIES_A_BLOCK
    together = answers(view, queries, 10) + answers(view, queries[:QUERIES], 10)
    for query, ranking in zip([*queries, *queries[:QUERIES]], together, strict=True):
        alone = answers(view, query[None, :], 10)[0]
        assert (ranking.rows.tolist(), ranking.scores.tolist()) == (alone.rows.tolist(), alone.scores.tolist())
    assert nearest.rankings(view, queries[:0], 10, view.allowed(None)) == []


def test_large_batches_are_answered_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, queries = collection("real-like")
    view = ArrayView(vectors, coded("real-like", ONE_BIT))
    whole = [ranking.rows.tolist() for ranking in answers(view, queries, 10)]
    monkeypatch.setattr(nearest, "CANDIDATES_A_BLOCK", 1000)
    assert [ranking.rows.tolist() for ranking in answers(view, queries, 10)] == whole


# --- the tail ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tail", every(3, [1, 7, 500, 5000]))
def test_rows_of_the_tail_are_scored_and_merged(tail: int) -> None:
    vectors, queries = collection("real-like")
    vectors = np.concatenate([vectors, grouped(tail, 20, seed=40)])
    vectors[-1] = queries[0]
    view = ArrayView(vectors, coded("real-like", TWO_BITS))
    assert answers(view, queries, 10)[0].rows[0] == len(vectors) - 1
    assert recall(view, queries) >= 0.99
    rng = np.random.default_rng(3)
    for share in (0.9, 0.5, 0.1):
        mask = rng.random(len(vectors)) < share
        mask[-1] = True
        filtered = ArrayView(vectors, coded("real-like", TWO_BITS), mask)
        assert recall(filtered, queries[:4]) >= 0.99
        assert traced(filtered, queries[0]).tail == (tail if traced(filtered, queries[0]).coded else len(vectors))


def test_equal_vectors_in_codes_and_tail_are_ordered_by_row() -> None:
    vectors, _ = collection("real-like")
    vectors = np.concatenate([vectors, vectors[:300]])
    view = ArrayView(vectors, coded("real-like", TWO_BITS))
    for row in (0, 7, 299):
        assert answers(view, vectors[row][None, :], 2)[0].rows.tolist() == [row, N + row]


def test_all_allowed_rows_may_be_in_the_tail() -> None:
    vectors = np.concatenate([collection("real-like")[0], grouped(6000, 20, seed=40)])
    mask = np.arange(len(vectors)) >= N
    assert recall(ArrayView(vectors, coded("real-like", ONE_BIT), mask), unit_vectors(3, seed=9)) == 1.0


# --- the search report ------------------------------------------------------------------------------------


def test_a_search_report_says_what_was_done() -> None:
    vectors, queries = collection("real-like")
    hits, told = explained(ArrayView(vectors, coded("real-like", TWO_BITS)), queries[0])
    assert [int(hit.key[1:]) for hit in hits] == rank(vectors, None, queries[0], 10).rows.tolist()
    assert (told.route, told.rows, told.allowed, told.coded, told.tail) == (Route.CODES, N, N, N, 0)
    assert told.candidates == 100 * 4**told.widened
    assert told.rescored >= 100
    assert not told.exhaustive
    assert set(told.milliseconds) == {"filter", "load", "candidates", "rescore", "fetch"}
    assert all(0 <= spent < 60_000 for spent in told.milliseconds.values())
    exact = traced(ArrayView(vectors, None), queries[0])
    assert (exact.route, exact.candidates, exact.coded) == (Route.SCAN, 0, 0)


def test_more_copies_than_candidates_end_in_an_exhaustive_search() -> None:
    vectors, queries = collection("thousands of copies")
    told = traced(ArrayView(vectors, coded("thousands of copies", TWO_BITS)), queries[0])
    assert told.widened
    assert told.exhaustive


def test_doubt_decides_whether_a_search_is_widened() -> None:
    vectors, queries = collection("no structure at all")
    codes = build(vectors, replace(ONE_BIT, doubt=1.0))
    assert not any(traced(ArrayView(vectors, codes), query).widened for query in queries)
    codes.settings = replace(codes.settings, doubt=0.0)
    assert all(traced(ArrayView(vectors, codes), query).widened for query in queries)


@pytest.mark.parametrize("dimension", [3, 256])
def test_a_vector_alone_is_rotated_like_one_of_many(dimension: int) -> None:
    vectors = unit_vectors(40, dimension)
    variant = build(vectors, ONE_BIT).variant(FAST)
    alone = np.concatenate([variant.rotate(vector[None]) for vector in vectors])
    assert np.abs(alone - variant.rotate(vectors)).max() < 1e-6
    assert np.array_equal(variant.rotate(vectors[::2][:1]), alone[:1])


def test_a_search_goes_on_without_codes_that_cannot_be_used() -> None:
    vectors, queries = collection("real-like")
    view = ArrayView(vectors, coded("real-like", ONE_BIT))
    view.codes = None  # announced, but they cannot be loaded
    assert traced(view, queries[0]).route is Route.SCAN
    assert recall(view, queries) == 1.0
    view.codes = build(vectors[:20_500], ONE_BIT)  # not the announced ones
    assert traced(view, queries[0]).coded == 20_500
    assert recall(view, queries) >= 0.99
