"""The search pipeline: filter, plan, candidates, exact scores and records, all in one view of the index."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..encoders.run.pooling import unit_length_of, widened
from ..errors import InvalidInput
from ..filters.tree import Filter
from ..store.stored import Stored
from ..values.arrays import numbers
from ..values.hits import Hits
from ..values.records import Hit
from .dense.exact import Ranking, Vectors
from .dense.nearest import Trace, rankings
from .dense.plan import Route
from .grouping import Grouping, grouped
from .view import RecordView


@dataclass(frozen=True, slots=True)
class SearchReport:
    """What one search did; ``milliseconds`` by step: filter, load, candidates, rescore, group, fetch."""

    route: Route
    rows: int
    allowed: int
    coded: int
    tail: int
    """Rows without codes, scored one by one."""
    candidates: int
    """How many the last request asked for."""
    rescored: int
    """Exact scores computed for candidates."""
    widened: int
    """How often more candidates were asked for."""
    exhaustive: bool
    """The codes were given up, and every allowed row was searched."""
    milliseconds: Mapping[str, float]


def search(
    view: RecordView,
    queries: Vectors,
    k: int,
    where: Filter | None = None,
    by: Grouping | None = None,
    without: int | None = None,
    context: int = 0,
) -> list[Hits]:
    """The best min(k, records that match) hits for each of ``queries`` (q, D), unit vectors; see `_best`.

    With ``by`` only so many are of one group. ``without`` is a row that is left out. Each hit has up to ``context``
    sentences around it.
    """
    if by is not None:
        found = grouped(view, queries, k, where, by, without)
        return [_hits(view, *_fetched(view, ranking), context) for ranking in found]

    def again(query: Vectors, more: int) -> Ranking:
        return rankings(view, query[None, :], more, where)[0]

    wanted = k if without is None else k + 1
    found = rankings(view, queries, wanted, where)
    best = (_best(view, ranking, wanted, partial(again, query)) for query, ranking in zip(queries, found, strict=True))
    return [_hits(view, stored, ranking, context, k, without) for stored, ranking in best]


def explain(
    view: RecordView,
    query: Vectors,
    k: int,
    where: Filter | None = None,
    by: Grouping | None = None,
    context: int = 0,
) -> tuple[Hits, SearchReport]:
    """As `search` for one ``query`` (D,), and what was done to find the hits."""
    trace = Trace()

    def ranked(k: int) -> Ranking:
        return rankings(view, query[None, :], k, where, trace)[0]

    if by is not None:
        stored, ranking = _fetched(view, grouped(view, query[None, :], k, where, by, trace=trace)[0])
    else:
        stored, ranking = _best(view, ranked(k), k, ranked)
    hits = _hits(view, stored, ranking, context)
    trace.lap("fetch")
    did = trace.plan
    assert did is not None
    return hits, SearchReport(
        *(did.route, did.rows, did.allowed, did.coded, did.tail, trace.candidates, trace.rescored, trace.widened),
        *(trace.exhaustive, {step: seconds * 1e3 for step, seconds in trace.seconds.items()}),
    )


def unit_queries(vectors: Any, dimension: int) -> Vectors:
    """Query vectors made elsewhere, (q, D) numbers, at unit length; ``dimension`` 0 takes any. Raises InvalidInput."""
    array = numbers(vectors, "query vectors")
    if array.ndim and len(array) == 0:
        return np.empty((0, dimension), np.float32)
    if array.ndim != 2 or not array.shape[1] or (dimension and array.shape[1] != dimension):
        raise InvalidInput(
            f"a query vector has the shape {array.shape[1:]}; the index holds vectors of shape ({dimension},)",
            "Encode the query with index.encoder.encode([text], role='query')[0].",
        )
    wide = widened(array)
    largest = np.abs(wide).max(axis=1, keepdims=True)
    if not np.isfinite(largest).all() or not largest.all():
        raise InvalidInput("a query vector is zero or not finite", "A cosine needs a direction.")
    if not dimension:
        return np.empty((len(array), 0), np.float32)
    return unit_length_of(wide, largest)


def _fetched(view: RecordView, ranking: Ranking) -> tuple[list[Stored], Ranking]:
    return view.fetch(ranking.rows.tolist()), ranking


def _best(view: RecordView, ranking: Ranking, k: int, again: Callable[[int], Ranking]) -> tuple[list[Stored], Ranking]:
    """The k best records; texts without a token that the model knows come last. ``again`` ranks more than k rows.

    The vectors of such texts say nothing about them, and are all alike: if one were near a query by accident, the rest
    would follow, and push the meaningful hits out.
    """
    stored, asked = view.fetch(ranking.rows.tolist()), k
    if any(record.unknown for record in stored):
        while sum(not record.unknown for record in stored) < k and len(stored) == asked:
            asked *= 4
            ranking = again(asked)
            stored = view.fetch(ranking.rows.tolist())
        places = sorted(range(len(stored)), key=lambda place: stored[place].unknown)[:k]
        stored, ranking = [stored[place] for place in places], Ranking(ranking.rows[places], ranking.scores[places])
    return stored, ranking


def _hits(
    view: RecordView,
    stored: list[Stored],
    ranking: Ranking,
    context: int,
    k: int | None = None,
    without: int | None = None,
) -> Hits:
    """Hits of these records, of the first k if there are more, leaving out the one of row ``without``."""
    # Rounding can raise the product of two unit vectors above 1 in the last digit; a cosine is never more than 1.
    cosines = np.clip(ranking.scores, -1, 1).tolist()
    pairs = [(record, score) for record, score in zip(stored, cosines, strict=True) if record.row != without][:k]
    origins = view.origins([record for record, _ in pairs], context)
    return Hits(
        Hit(
            *(rank, record.key, score, record.text, view.metadata(record), record.tokens_lost, record.unknown),
            *(whence or ()),
        )
        for rank, ((record, score), whence) in enumerate(zip(pairs, origins, strict=True), 1)
    )
