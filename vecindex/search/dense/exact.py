"""Exact search: which rows score highest, and the one kernel that computes every final score.

A score is the inner product of two unit vectors, their cosine. `scores` computes it row by row, so that a row's score
never depends on the other rows in the call. The last digits of BLAS's and FAISS's sums differ, also with the number of
rows, so these only propose candidates. Ties break by row, that is by order of insertion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import OutOfMemory
from .load_faiss import load_faiss

Vectors = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

ROUNDING = 1e-5
"""Two float32 sums of one inner product of unit vectors, in any order, always differ by less."""

_QUERIES_FOR_BLAS = 20  # faiss.cvar.distance_compute_blas_threshold
_ROWS_A_BLOCK = 8192
_ROWS_TOGETHER = 1024  # rows that are taken at a time fit the processor's cache
_COLUMNS = 8192  # the size of numpy's buffer; with longer rows, einsum's sums depend on the number of rows


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Rows (n,) int64 and their scores (n,), float32 or float64, best first, ties by row."""

    rows: Rows
    scores: npt.NDArray[Any]


def scores(vectors: Vectors, query: Vectors) -> Vectors:
    """The inner products (n,) float32 of ``vectors`` (n, D) with ``query`` (D,), all summed in the same order."""
    found = np.einsum("ij,j->i", vectors[:, :_COLUMNS], query[:_COLUMNS])
    for start in range(_COLUMNS, len(query), _COLUMNS):
        found = found + np.einsum("ij,j->i", vectors[:, start : start + _COLUMNS], query[start : start + _COLUMNS])
    return np.asarray(found, dtype=np.float32)


def candidate_scores(vectors: Vectors, rows: Rows, queries: Vectors) -> Vectors:
    """The scores (q, c) of the rows (q, c) of ``vectors`` with the ``queries`` (q, D), just as `scores` gives them."""
    found = np.empty(rows.shape, np.float32)
    (size, count), dimension = rows.shape, vectors.shape[1]
    together = max(1, _ROWS_TOGETHER // max(1, count))
    space = np.empty(min(together * count, max(count, _ROWS_A_BLOCK)) * dimension, np.float32)
    for start in range(0, size, together):
        some = slice(start, start + together)
        for first in range(0, count, _ROWS_A_BLOCK):
            part = rows[some, first : first + _ROWS_A_BLOCK]
            taken = space[: part.size * dimension].reshape(*part.shape, dimension)
            np.take(vectors, part, axis=0, out=taken, mode="clip")  # without "clip", numpy copies twice
            found[some, first : first + _ROWS_A_BLOCK] = _products(taken, queries[some])
    return found


def _products(vectors: Vectors, queries: Vectors) -> Vectors:
    """The inner products (q, c) of ``vectors`` (q, c, D) with ``queries`` (q, D)."""
    found = np.einsum("qcd,qd->qc", vectors[:, :, :_COLUMNS], queries[:, :_COLUMNS])
    for start in range(_COLUMNS, queries.shape[1], _COLUMNS):
        some = slice(start, start + _COLUMNS)
        found = found + np.einsum("qcd,qd->qc", vectors[:, :, some], queries[:, some])
    return np.asarray(found, dtype=np.float32)


def best_of_each(rows: Rows, found: npt.NDArray[Any], k: int) -> list[Ranking]:
    """As `best`, for each of several: ``rows`` and ``found`` are (q, n)."""
    if found.size and (found.shape[1] > 4 * k + 1000 or np.isnan(found.max())):
        return [best(*pair, k) for pair in zip(rows, found, strict=True)]
    places = np.arange(len(rows))[:, None]
    order = (-found).argsort(axis=1)[:, : k + 1]  # a fifth of the time of lexsort
    ordered = found[places, order]
    if (ordered[:, 1:] == ordered[:, :-1]).any():
        order = np.lexsort((rows, -found))
    order = order[:, :k]
    return [Ranking(*pair) for pair in zip(rows[places, order], found[places, order], strict=True)]


def best(rows: Rows, found: npt.NDArray[Any], k: int) -> Ranking:
    """The k best of ``rows`` (n,), distinct and in any order, with the scores ``found`` (n,)."""
    if len(found) and np.isnan(found.max()):  # earlier versions may have stored NaN; such vectors come last
        ranking = best(rows, np.nan_to_num(found, nan=-2.0), k)
        return Ranking(ranking.rows, np.where(ranking.scores == -2, np.float32(np.nan), ranking.scores))
    if len(found) > 4 * k + 1000:  # drop what cannot be among the best before sorting, but no tie with the last
        kept = np.flatnonzero(found >= np.partition(found, len(found) - k)[len(found) - k])
        rows, found = rows[kept], found[kept]
    order = np.lexsort((rows, -found))[:k]
    return Ranking(rows[order], found[order])


def rank(vectors: Vectors, rows: Rows | None, query: Vectors, k: int) -> Ranking:
    """The k best of ``rows`` (ascending; None stands for all), by scoring each of them."""
    return best(*scored(vectors, rows, query), k)


def scored(vectors: Vectors, rows: Rows | None, query: Vectors) -> tuple[Rows, Vectors]:
    """All ``rows`` (ascending; None stands for all) and their scores."""
    if rows is None:
        return np.arange(len(vectors), dtype=np.int64), scores(vectors, query)
    blocks = range(0, len(rows), _ROWS_A_BLOCK)
    found = [scores(vectors[rows[start : start + _ROWS_A_BLOCK]], query) for start in blocks]
    return rows, found[0] if len(found) == 1 else np.concatenate([*found, np.empty(0, np.float32)])


def are_enough(found: npt.NDArray[Any], least: float) -> npt.NDArray[np.bool_]:
    """Which scores (n,) are at least ``least``."""
    # As Python compares the numbers: in float32, ``least`` would be rounded.
    return np.asarray(found.astype(np.float64) >= least)


def as_cosines(found: Vectors) -> Vectors:
    """Rounding can raise the product of two unit vectors above 1 in the last digit; a cosine is never more than 1."""
    return np.minimum(np.maximum(found, -1), 1)  # faster than np.clip


def union(one: Rows, other: Rows) -> Rows:
    """Each row once, ascending. The first np.union1d loads numpy's masked arrays, a tenth of a cold hybrid search."""
    rows = np.sort(np.concatenate([one, other]))
    is_first = np.ones(len(rows), np.bool_)
    is_first[1:] = rows[1:] != rows[:-1]
    return rows[is_first]


def scan(vectors: Vectors, rows: Rows | None, queries: Vectors, k: int) -> list[Ranking]:
    """As `rank` for each of ``queries`` (q, D), with candidates from a scan by FAISS.

    FAISS drops arbitrary ties beyond its k. So it is asked for more than k, and for four times as many again where a
    query's k-th score is within `ROUNDING` of the last candidate's. In the end, and where there is too little memory
    for FAISS, every row is scored.
    """
    allowed = len(vectors) if rows is None else len(rows)
    rankings: dict[int, Ranking] = {}
    waiting = np.arange(len(queries))
    wanted = min(allowed, 2 * k + 16)
    while len(waiting):
        if wanted * 4 >= allowed:
            rankings |= {int(i): rank(vectors, rows, queries[i], k) for i in waiting}
            break
        try:
            proposed, candidates = _faiss_scan(vectors, rows, queries[waiting], wanted)
        except OutOfMemory:
            wanted = allowed
            continue
        complete = proposed[:, k - 1] - proposed[:, -1] > 2 * ROUNDING
        for i, found in zip(waiting[complete], candidates[complete], strict=True):
            rankings[int(i)] = rank(vectors, np.sort(found), queries[i], k)
        waiting = waiting[~complete]
        wanted *= 4
    return [rankings[i] for i in range(len(queries))]


def _faiss_scan(vectors: Vectors, rows: Rows | None, queries: Vectors, k: int) -> tuple[Vectors, Rows]:
    """FAISS's k best for each query: scores (q, k) in descending order, and rows (q, k)."""
    faiss = load_faiss()
    queries = np.ascontiguousarray(queries)
    found = np.empty((len(queries), k), dtype=np.float32)
    candidates = np.empty((len(queries), k), dtype=np.int64)
    selector = bitmap = None
    # Without a selector, FAISS shares even one query between threads, and on a busy machine waits for the last of them:
    # 36 ms instead of 1. For many queries it multiplies matrices, which is worth it.
    if rows is not None or len(queries) < _QUERIES_FOR_BLAS:
        allowed = np.full(len(vectors), rows is None)
        if rows is not None:
            allowed[rows] = True
        bitmap = np.packbits(allowed, bitorder="little")
        selector = faiss.IDSelectorBitmap(bitmap.size, faiss.swig_ptr(bitmap))
    faiss.knn_inner_product(
        *(faiss.swig_ptr(queries), faiss.swig_ptr(vectors), vectors.shape[1], len(queries), len(vectors), k),
        *(faiss.swig_ptr(found), faiss.swig_ptr(candidates), selector),
    )
    del selector, bitmap  # FAISS only has pointers to them: they had to live until here
    return found, candidates
