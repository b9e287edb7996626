"""The search pipeline: allowed rows, plan, candidates, exact scores, records; all in one snapshot."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..filters import Filter
from ..records import Hit
from ..store.snapshot import Snapshot
from .exact import Ranking, Rows, Vectors, rank, scan
from .plan import Route, plan


def search(snapshot: Snapshot, queries: Vectors, k: int, where: Filter | None = None) -> list[list[Hit]]:
    """The min(k, records that match) best hits for each of ``queries`` (q, D), unit vectors."""
    return [_hits(snapshot, ranking) for ranking in rankings(snapshot, queries, k, where)]


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
