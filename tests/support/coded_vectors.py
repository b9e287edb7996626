"""Collections of vectors, their codes, and a view that checks how a search uses them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from vecindex.encoders.run.pooling import unit_length
from vecindex.filters.tree import Filter, Path
from vecindex.search import run
from vecindex.search.background import Background
from vecindex.search.dense import nearest
from vecindex.search.dense.codes import Codes, build
from vecindex.search.dense.exact import Ranking, rank
from vecindex.search.dense.settings import CodeSettings
from vecindex.search.options import SearchOptions
from vecindex.search.sides import Dense
from vecindex.store.generation import Allowed
from vecindex.store.origins import Whence
from vecindex.store.sql.groups import Groups
from vecindex.store.stored import Stored
from vecindex.values.hits import Hits

Vectors = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
N = 21_000
D = 160
ONE_BIT = CodeSettings(bits=1, factor=20)
TWO_BITS = CodeSettings(bits=2, factor=10)
CLUSTERED = CodeSettings(bits=2, factor=10, lists=16, probes=8)


def unit_vectors(n: int, dimension: int = D, seed: int = 0) -> Vectors:
    drawn = np.random.default_rng(seed).standard_normal((n, dimension)).astype(np.float32)
    return unit_length(drawn)


def grouped(n: int, groups: int, dimension: int = D, spread: float = 0.5, seed: int = 0) -> Vectors:
    """Like real vectors: around some centres, and with a mean far from zero."""
    centres = unit_vectors(groups, dimension, seed) + unit_vectors(1, dimension, seed + 1)
    return unit_length(np.repeat(centres, -(-n // groups), axis=0)[:n] + spread * unit_vectors(n, dimension, seed + 2))


class ArrayView:
    """A `View` of plain arrays that records which rows were checked and why codes were refused."""

    def __init__(self, vectors: Vectors, codes: Codes | None, mask: Mask | None = None) -> None:
        self.vectors = vectors
        self.codes = codes
        self.coded = codes.rows if codes else 0
        self.settings = codes.settings if codes else None
        self.checked = np.zeros(len(vectors), np.bool_)
        self.refused: list[str] = []
        if mask is None or mask.all():
            self._allowed = Allowed(len(vectors), None, len(vectors))
        else:
            self._allowed = Allowed(int(mask.sum()), np.packbits(mask, bitorder="little"), len(vectors))

    def refuse(self, codes: Codes, error: Exception) -> None:
        self.refused.append(str(error))

    def allowed(self, where: Filter | None) -> Allowed:
        return self._allowed

    def with_vectors(self, allowed: Allowed) -> Allowed:
        return allowed

    def lack_vectors(self, rows: npt.NDArray[np.int64]) -> Mask:
        return np.zeros(len(rows), np.bool_)

    def check(self, rows: npt.NDArray[np.int64]) -> None:
        self.checked[rows] = True

    def check_range(self, start: int, stop: int) -> None:
        self.checked[start:stop] = True

    @property
    def background(self) -> Background | None:
        return None

    def fetch(self, rows: list[int]) -> list[Stored]:
        return [Stored(row, f"k{row}", "", "{}", False) for row in rows]

    def metadata(self, record: Any) -> dict[str, Any]:
        return {}

    def origins(self, records: Sequence[Stored], context: int = 0) -> list[Whence | None]:
        return [None] * len(records)

    def groups(self, field: Path, rows: list[int] | None = None) -> Groups:
        raise NotImplementedError


def answers(view: ArrayView, queries: Vectors, k: int) -> list[Ranking]:
    """What a search finds; asserts that every row was checked and scored exactly."""
    found = nearest.rankings(view, queries, k, view.allowed(None))
    for query, ranking in zip(queries, found, strict=True):
        assert len(ranking.rows) == min(k, view._allowed.count)
        assert view.checked[ranking.rows].all()
        again = rank(view.vectors, np.sort(ranking.rows), query, k)
        assert (ranking.rows.tolist(), ranking.scores.tolist()) == (again.rows.tolist(), again.scores.tolist())
    return found


def recall(view: ArrayView, queries: Vectors, k: int = 10) -> float:
    """The share of the exact answer's rows that a search finds."""
    rows = view._allowed.rows()
    hits = [
        len(np.intersect1d(found.rows, rank(view.vectors, rows, query, k).rows)) / min(k, len(rows))
        if len(rows)
        else 1.0
        for query, found in zip(queries, answers(view, queries, k), strict=True)
    ]
    return float(np.mean(hits))


def explained(view: ArrayView, query: Vectors, k: int = 10) -> tuple[Hits, run.SearchReport]:
    trace = nearest.Trace()
    ranker = Dense(view, query[None, :], [view.allowed(None)], trace)
    return run.search(view, ranker, SearchOptions(k), trace=trace)[0], run.reported("dense", trace)


def traced(view: ArrayView, query: Vectors, k: int = 10) -> run.SearchReport:
    return explained(view, query, k)[1]


QUERIES = 6


@cache
def collection(name: str) -> tuple[Vectors, Vectors]:
    """Vectors (N, D) and queries."""
    rng = np.random.default_rng(5)
    if name == "real-like":
        vectors = grouped(N, 400)
        return vectors, unit_length(vectors[rng.choice(N, QUERIES)] + 0.3 * unit_vectors(QUERIES, seed=9))
    if name == "no structure at all":
        return unit_vectors(N), unit_vectors(QUERIES, seed=9)
    if name == "queries far from all rows":
        vectors = grouped(N, 400)
        return vectors, unit_length(-vectors.mean(axis=0) + 0.1 * unit_vectors(QUERIES, seed=9))
    if name == "few distinct vectors":
        return np.ascontiguousarray(unit_vectors(40)[rng.integers(0, 40, N)]), unit_vectors(QUERIES, seed=9)
    if name == "thousands of copies":
        vectors = grouped(N, 400)
        copied = rng.choice(N, 5000, replace=False)
        vectors[copied] = vectors[3]
        queries = unit_vectors(QUERIES, seed=9)
        queries[: QUERIES // 2] = unit_length(vectors[3] + 0.2 * queries[: QUERIES // 2])
        return vectors, queries
    if name == "all equal":
        return np.repeat(unit_vectors(1), N, axis=0), unit_vectors(QUERIES, seed=9)
    if name == "all but equal":
        return unit_length(unit_vectors(1) + 1e-4 * unit_vectors(N, seed=3)), unit_vectors(QUERIES, seed=9)
    if name == "variance in few dimensions":
        scale = (1 / (1 + np.arange(D)) ** 1.5).astype(np.float32)
        return unit_length(unit_vectors(N) * scale), unit_length(unit_vectors(QUERIES, seed=9) * scale)
    assert name == "two signs"
    return np.ascontiguousarray(unit_vectors(1) * rng.choice([-1, 1], N)[:, None].astype("f4")), unit_vectors(QUERIES)


@cache
def coded(name: str, settings: CodeSettings) -> Codes:
    return build(collection(name)[0], settings)
