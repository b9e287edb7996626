"""Every answer is exact: the same rows, scores and order as scoring each row by itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vecindex
from vecindex import Hit, Index, InvalidFilter, InvalidInput
from vecindex.encoders.run.pooling import unit_length
from vecindex.search.dense import exact
from vecindex.search.dense.exact import Ranking, rank, scan, scores
from vecindex.search.dense.plan import RANK_ROWS, Plan, Route, plan
from vecindex.store.sql.reads import Catalog
from vecindex.store.sql.schema import create_index
from vecindex.store.stored import Stored
from vecindex.store.vectors import append, checksums, vector_file

from ..support.extent import examples, slow
from ..support.helpers import opened, snapshots
from ..support.toy import DIMENSION, ToyEncoder, toy_space

Vectors = npt.NDArray[np.float32]


def unit_vectors(n: int, dimension: int = DIMENSION, seed: int = 0) -> Vectors:
    drawn = np.random.default_rng(seed).standard_normal((n, dimension)).astype(np.float32)
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), dtype=np.float32)


def oracle(vectors: Vectors, rows: npt.NDArray[np.int64] | None, query: Vectors, k: int) -> Ranking:
    """Each row scored by itself, sorted by Python."""
    allowed = range(len(vectors)) if rows is None else rows.tolist()
    score = {row: scores(vectors[row : row + 1], query)[0] for row in allowed}
    best = sorted(allowed, key=lambda row: (-score[row], row))[:k]
    return Ranking(np.array(best, dtype=np.int64), np.array([score[row] for row in best], dtype=np.float32))


def assert_same(found: Ranking, expected: Ranking) -> None:
    assert found.rows.tolist() == expected.rows.tolist()
    assert found.scores.tolist() == expected.scores.tolist()


# --- the kernel ------------------------------------------------------------------------------------------------------


@examples(100)
@given(
    st.sampled_from([1, 2, 3, 7, 16, 17, 384, 1024, 5000, 8192]),
    st.integers(1, 60),
    st.integers(0, 2**32 - 1),
)
def test_a_rows_score_does_not_depend_on_the_other_rows(dimension: int, n: int, seed: int) -> None:
    vectors = unit_vectors(n, dimension, seed)
    query = unit_vectors(1, dimension, seed + 1)[0]
    together = scores(vectors, query)
    assert together.dtype == np.float32
    assert together.tolist() == [scores(vectors[i : i + 1], query)[0] for i in range(n)]
    some = np.random.default_rng(seed).permutation(n)[: n // 2 + 1]
    assert scores(vectors[some], query).tolist() == together[some].tolist()
    assert together == pytest.approx((vectors.astype(np.float64) @ query.astype(np.float64)), abs=exact.ROUNDING / 2)


def test_a_rows_score_does_not_depend_on_others_beyond_the_buffer_of_einsum() -> None:
    vectors, query = unit_vectors(20, 9001), unit_vectors(1, 9001, 1)[0]
    assert scores(vectors, query).tolist() == [scores(vectors[i : i + 1], query)[0] for i in range(20)]


def test_scores_of_mapped_vectors_equal_those_in_memory(tmp_path: Path) -> None:
    vectors, query = unit_vectors(999, 5), unit_vectors(1, 5, 1)[0]
    append(tmp_path / "v", 0, vectors)
    mapped = np.memmap(tmp_path / "v", dtype="<f4", mode="r", offset=20, shape=(998, 5))
    assert scores(mapped, query).tolist() == scores(vectors, query)[1:].tolist()


# --- scan, rank and the oracle agree ---------------------------------------------------------------------------------

N = 6000


def repeated(n: int, distinct: int) -> Vectors:
    return np.ascontiguousarray(unit_vectors(distinct)[np.arange(n) % distinct])


COLLECTIONS: dict[str, Vectors] = {
    "all different": unit_vectors(N),
    "three vectors, 2,000 times each": repeated(N, 3),
    "one vector": repeated(N, 1),
    "each twice": repeated(N, N // 2),
    "one of two signs": np.ascontiguousarray(unit_vectors(1) * np.where(np.arange(N) % 2, 1, -1)[:, None].astype("f4")),
    "all but equal": np.ascontiguousarray(unit_length(unit_vectors(1) + 1e-7 * unit_vectors(N, seed=3))),
}
ALLOWED: dict[str, npt.NDArray[np.int64] | None] = {
    "all": None,
    "every third": np.arange(0, N, 3),
    "the last 5,000": np.arange(N - 5000, N),
    "seven": np.array([0, 1, 2, 3, 3000, 5998, 5999]),
}


@pytest.mark.parametrize("number", [1, slow(5), 30])
@pytest.mark.parametrize("allowed", ALLOWED)
@pytest.mark.parametrize("collection", COLLECTIONS)
def test_scan_and_rank_give_the_exact_answer_ties_included(collection: str, allowed: str, number: int) -> None:
    vectors, rows = COLLECTIONS[collection], ALLOWED[allowed]
    queries = unit_vectors(number, seed=5)
    queries[0] = vectors[17]
    size = N if rows is None else len(rows)
    expected = [oracle(vectors, rows, query, size) for query in queries[:3]]
    for k in {min(k, size) for k in (1, 10, 700, size - 1, size)}:
        found = scan(vectors, rows, queries, k)
        assert len(found) == number
        for query, ranking in zip(queries, found, strict=True):
            assert_same(ranking, rank(vectors, rows, query, k))
        for ranking, whole in zip(found, expected, strict=False):
            assert_same(ranking, Ranking(whole.rows[:k], whole.scores[:k]))


@pytest.mark.parametrize("n", [20_000, 20_481])
@pytest.mark.parametrize("number", [1, 19, 20, 21])
def test_scan_of_20_000_rows_is_exact_for_one_and_for_many_queries(n: int, number: int) -> None:
    vectors = unit_vectors(n, 24)
    vectors[5000:9000] = vectors[4999]
    queries = unit_vectors(number, 24, seed=2)
    queries[-1] = vectors[4999]
    rows = np.flatnonzero(np.random.default_rng(1).random(n) < 0.5)
    for allowed in (None, rows):
        for query, ranking in zip(queries, scan(vectors, allowed, queries, 10), strict=True):
            assert_same(ranking, rank(vectors, allowed, query, 10))
    first = scan(vectors, None, queries, 10)[-1]
    assert first.rows.tolist() == list(range(4999, 5009))


def test_scan_asks_for_more_candidates_before_it_scores_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = unit_vectors(20_000)
    vectors[100:200] = vectors[99]  # more ties than the first 2 k + 16 candidates hold
    asked: list[tuple[int, int]] = []
    real = exact._faiss_scan

    def watched(vectors: Vectors, rows: Any, queries: Vectors, k: int) -> Any:
        asked.append((len(queries), k))
        return real(vectors, rows, queries, k)

    monkeypatch.setattr(exact, "_faiss_scan", watched)
    queries = np.stack([vectors[99], vectors[5]])
    found = scan(vectors, None, queries, 10)
    assert asked == [(2, 36), (1, 144)]
    assert found[0].rows.tolist() == list(range(99, 109))
    assert_same(found[1], oracle(vectors, None, queries[1], 10))


def test_scan_without_queries_is_empty() -> None:
    assert scan(unit_vectors(N), None, np.empty((0, DIMENSION), np.float32), 3) == []


# --- the plan --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "allowed", "k", "route", "cut"),
    [
        *((0, 0, 5, Route.NONE, 0), (9, 0, 5, Route.NONE, 0), (9, 1, 5, Route.RANK, 1), (9, 9, 5, Route.RANK, 5)),
        *((5000, RANK_ROWS, 5, Route.RANK, 5), (5000, RANK_ROWS + 1, 5, Route.SCAN, 5)),
        *((10**6, 10, 10**9, Route.RANK, 10), (10**6, 10**6, 10**9, Route.SCAN, 10**6)),
    ],
)
def test_plan(rows: int, allowed: int, k: int, route: Route, cut: int) -> None:
    assert plan(rows, allowed, k) == Plan(route, rows, allowed, cut)


# --- an index --------------------------------------------------------------------------------------------------------

LARGE = RANK_ROWS + 2000


def fill(folder: Path, vectors: Vectors, dead: range) -> None:
    """Writes an index in its format on disk without the writer; row r has the metadata {"r": r % 100}."""
    create_index(folder)
    append(vector_file(folder, 1), 0, vectors)
    catalog = Catalog(folder)
    records = [Stored(r, f"k{r}", f"t{r}", f'{{"r":{r % 100}}}', False) for r in range(len(vectors))]
    with catalog.changing() as tables:
        manifest = replace(catalog.manifest(), space=toy_space())
        manifest = tables.insert(manifest, records, checksums(vectors))
        tables.commit(tables.bury(manifest, np.array(dead, np.int64)))
    catalog.close()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp("large") / "i"
    vectors = unit_vectors(LARGE)
    vectors[4000:4300] = vectors[3999]
    fill(folder, vectors, range(0, LARGE, 50))
    with vecindex.open(folder, model=ToyEncoder(), readonly=True) as index:
        yield index


def expected_hits(index: Index, query: Vectors, k: int, remainders: set[int]) -> list[tuple[int, str, float, str]]:
    with snapshots(index).take() as snapshot:
        vectors = np.array(snapshot.vectors)
    rows = np.array([r for r in range(LARGE) if r % 50 and r % 100 in remainders])
    found = oracle(vectors, rows, query, k)
    hits = zip(found.rows.tolist(), found.scores.tolist(), strict=True)
    return [(rank, f"k{row}", min(score, 1.0), f"t{row}") for rank, (row, score) in enumerate(hits, 1)]


def plain(hits: list[Hit]) -> list[tuple[int, str, float, str]]:
    return [(hit.rank, hit.key, hit.score, hit.text) for hit in hits]


@pytest.mark.parametrize("k", [1, 10, 350, 10**9])
@pytest.mark.parametrize(
    ("where", "remainders"),
    [
        (None, set(range(100))),
        ({"r": {"$lt": 90}}, set(range(90))),
        ({"r": {"$in": [7, 50, 99]}}, {7, 99}),
        ("r = 50", set()),
    ],
)
def test_search_equals_the_oracle_with_dead_rows_and_filters(
    large: Index, where: Any, remainders: set[int], k: int
) -> None:
    for query in (large.get("k3999").vector, unit_vectors(1, seed=9)[0]):
        assert query is not None
        # Bringing a unit vector to unit length can move its last digit; the index searches for what comes of it.
        unit = unit_length(query[None, :])[0]
        hits = large.search(query, k=k, where=where)
        matching = sum(bool(r % 50) and r % 100 in remainders for r in range(LARGE))
        assert len(hits) == min(k, matching)
        assert plain(hits) == expected_hits(large, unit, k, remainders)
        assert all(type(hit.score) is float and -1 <= hit.score <= 1 for hit in hits)


def test_hits_are_the_same_after_a_compaction(tmp_path: Path) -> None:
    fill(tmp_path / "i", unit_vectors(LARGE), range(0, LARGE, 3))
    with vecindex.open(tmp_path / "i", model=ToyEncoder()) as index:
        queries = unit_vectors(25, seed=4)
        before = [plain(hits) for hits in index.search_many(queries, k=20)]
        assert index.compact().dropped_rows == LARGE // 3
        assert [plain(hits) for hits in index.search_many(queries, k=20)] == before
        assert index.info().records == LARGE - LARGE // 3


@pytest.mark.parametrize("number", [1, 5, 30])
def test_search_many_equals_searching_one_by_one(large: Index, number: int) -> None:
    texts = [f"t{n} word" for n in range(number)]
    together = large.search_many(texts, k=7, where={"r": {"$ne": 3}})
    assert [plain(hits) for hits in together] == [plain(large.search(t, k=7, where={"r": {"$ne": 3}})) for t in texts]
    queries = unit_vectors(number, seed=8)
    assert [plain(h) for h in large.search_many(queries, k=7)] == [plain(large.search(q, k=7)) for q in queries]


def test_search_many_without_queries_is_empty(large: Index) -> None:
    assert large.search_many([]) == []
    assert large.search_many(np.empty((0, DIMENSION), np.float32)) == []


def test_similar_leaves_the_record_out_among_hundreds_of_copies(large: Index) -> None:
    copies = [f"k{r}" for r in range(3999, 4300) if r % 50 and r != 4299]
    assert [hit.key for hit in large.similar("k4299", k=len(copies))] == copies
    assert [hit.rank for hit in large.similar("k4299", k=3)] == [1, 2, 3]
    assert "k4299" not in {hit.key for hit in large.similar("k4299", k=10**6)}
    assert len(large.similar("k4299", k=10**6)) == len(large) - 1
    assert large.similar("k4299", k=2, where={"r": 1})[0].key == "k4001"


# --- vectors as queries ----------------------------------------------------------------------------------------------


def test_a_query_vector_may_be_a_list_of_any_length_and_precision(large: Index) -> None:
    vector = unit_vectors(1, seed=6)[0]
    expected = plain(large.search(vector, k=5))
    for query in (vector.tolist(), vector.astype(np.float64), tuple(vector.tolist()), vector[None, :][0]):
        assert plain(large.search(query, k=5)) == expected
    for factor in (3.0, 1e-4, 1e6):
        hits = large.search(vector * factor, k=5)
        assert [hit.key for hit in hits] == [key for _, key, _, _ in expected]
        assert [hit.score for hit in hits] == pytest.approx([score for _, _, score, _ in expected], abs=1e-6)


@pytest.mark.parametrize("factor", [1e30, 1e-14, 1e-25])
@pytest.mark.filterwarnings("ignore:overflow")
def test_a_query_vectors_length_does_not_matter(large: Index, factor: float) -> None:
    vector = unit_vectors(1, seed=6)[0]
    scores = [hit.score for hit in large.search(vector * np.float32(factor), k=3)]
    assert scores == pytest.approx([hit.score for hit in large.search(vector, k=3)], abs=1e-6)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (np.ones(3), r"a query vector has the shape \(3,\); the index holds vectors of shape \(16,\)"),
        (np.ones((1, DIMENSION)), r"has the shape \(1, 16\)"),
        ([], r"has the shape \(0,\)"),
        (3.5, r"has the shape \(\)"),
        ([0.0] * DIMENSION, "zero or not finite"),
        ([math.nan] + [1.0] * (DIMENSION - 1), "zero or not finite"),
        ([math.inf] + [1.0] * (DIMENSION - 1), "zero or not finite"),
        (["a", "b"], "neither a text nor a vector of numbers"),
        (b"bytes", "neither a text nor a vector of numbers"),
        ({"text": "x"}, "neither a text nor a vector of numbers"),
    ],
)
def test_a_query_that_is_neither_text_nor_vector_is_refused(large: Index, query: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        large.search(query)


def test_a_query_vector_of_another_dimension_is_told_the_right_one(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.add(["one"], vectors=np.eye(1, 5), space="elsewhere")
        queries: list[Any] = [np.ones(3), np.ones((2, 2)), []]
        for query in queries:
            with pytest.raises(InvalidInput, match=r"vectors of shape \(5,\)") as caught:
                index.search(query)
            assert caught.value.advice == "Pass vectors of 5 numbers, from what made the stored ones."


def test_search_many_refuses_a_single_text(large: Index) -> None:
    for text in ("text", b"text"):
        with pytest.raises(InvalidInput, match="queries is a single string, not a sequence"):
            large.search_many(text)


@pytest.mark.parametrize("k", [0, -1, 2.0, "5", None, True])
def test_k_must_be_a_whole_number_of_hits(large: Index, k: Any) -> None:
    for ask in (large.search, large.similar):
        with pytest.raises(InvalidInput, match="k is"):
            ask("k1", k=k)
    assert len(large.search("x", k=np.int32(3))) == 3


def test_an_invalid_filter_is_refused_before_the_search(large: Index) -> None:
    for ask in (large.search, large.similar):
        with pytest.raises(InvalidFilter):
            ask("no such key", where="r >")


def test_a_score_is_never_more_than_one(tmp_path: Path) -> None:
    vectors = unit_vectors(3000)
    over = [r for r in range(3000) if scores(vectors[r : r + 1], vectors[r])[0] > 1]
    assert over  # some products of a unit vector with itself round to more
    fill(tmp_path / "i", vectors, range(0))
    with vecindex.open(tmp_path / "i", model=ToyEncoder()) as index:
        assert max(index.search(vectors[r], k=1)[0].score for r in over) == 1.0


def test_an_empty_vector_is_refused_in_an_empty_index_too(tmp_path: Path) -> None:
    with vecindex.open(tmp_path / "i", model=ToyEncoder()) as index:
        queries: tuple[Any, ...] = ([], [[]], ["1", "2"], [1j], None)
        for query in queries:
            with pytest.raises(InvalidInput):
                index.search(query)
