"""The search pipeline: allowed rows, plan, candidates, exact scores, records; all in one snapshot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..encoders.pooling import unit_length
from ..errors import InvalidInput
from ..filters import Filter
from ..records import Hit
from ..store.snapshot import Snapshot
from .exact import Ranking, Rows, Vectors, rank, scan
from .plan import Route, plan


def search(snapshot: Snapshot, queries: Vectors, k: int, where: Filter | None = None) -> list[list[Hit]]:
    """The min(k, records that match) best hits for each of ``queries`` (q, D), unit vectors."""
    return [_hits(snapshot, ranking) for ranking in rankings(snapshot, queries, k, where)]


def unit_queries(vectors: Any, dimension: int) -> Vectors:
    """Query vectors made elsewhere, (q, D) numbers, at unit length; ``dimension`` 0 takes any. Raises InvalidInput."""
    try:
        array = np.asarray(vectors)
    except ValueError:
        array = np.empty(0, dtype=object)  # ragged
    if array.ndim and len(array) == 0 and array.dtype != object:
        return np.empty((0, dimension), np.float32)
    if array.dtype.kind not in "fiu":
        raise InvalidInput("a query is neither a text nor a vector of numbers", "Pass a str or (D,) floats.")
    array = array.astype(np.float64)
    if array.ndim != 2 or not array.shape[1] or (dimension and array.shape[1] != dimension):
        raise InvalidInput(
            f"a query vector has the shape {array.shape[1:]}; the index holds vectors of shape ({dimension},)",
            "Encode the query with index.encoder.encode([text], role='query')[0].",
        )
    largest = np.abs(array).max(axis=1, keepdims=True)
    if not np.isfinite(largest).all() or not largest.all():
        raise InvalidInput("a query vector is zero or not finite", "A cosine needs a direction.")
    if not dimension:
        return np.empty((len(array), 0), np.float32)
    return unit_length(array / largest)  # first to a size whose squares neither overflow nor vanish


def rankings(snapshot: Snapshot, queries: Vectors, k: int, where: Filter | None) -> list[Ranking]:
    """As `search`, rows and scores instead of hits."""
    rows = snapshot.allowed(where)
    decided = plan(snapshot.manifest.rows, snapshot.manifest.rows if rows is None else len(rows), k)
    return _ROUTES[decided.route](snapshot.vectors, rows, queries, decided.k)


def _none(vectors: Vectors, rows: Rows | None, queries: Vectors, k: int) -> list[Ranking]:
    return [Ranking(np.empty(0, np.int64), np.empty(0, np.float32)) for _ in queries]


def _rank(vectors: Vectors, rows: Rows | None, queries: Vectors, k: int) -> list[Ranking]:
    return [rank(vectors, rows, query, k) for query in queries]


_ROUTES: dict[Route, Callable[[Vectors, Rows | None, Vectors, int], list[Ranking]]] = {
    Route.NONE: _none,
    Route.RANK: _rank,
    Route.SCAN: scan,
}


def _hits(snapshot: Snapshot, ranking: Ranking) -> list[Hit]:
    stored = snapshot.fetch(ranking.rows.tolist())
    # Rounding can carry the product of two unit vectors past 1 by a digit; a cosine is never more.
    cosines = np.clip(ranking.scores, -1, 1).tolist()
    return [
        Hit(place, record.key, score, record.text, snapshot.metadata(record))
        for place, (record, score) in enumerate(zip(stored, cosines, strict=True), 1)
    ]
