"""The search pipeline: an order of the rows, groups, and the records as hits, all in one view of the index."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..encoders.run.pooling import unit_length_of, widened
from ..errors import InvalidInput
from ..store.origins import Whence
from ..store.stored import Stored
from ..values.arrays import numbers
from ..values.hits import Hits
from ..values.records import Hit, hit_of
from .dense.exact import Ranking, Rows, Vectors
from .dense.exact import best as in_order
from .dense.nearest import Trace
from .dense.plan import Route
from .fusion import Scale, Sides
from .options import Mode, SearchOptions
from .rankers import Ranker
from .rerank.second_stage import DEPTH, SecondStage, reordered
from .shaping.diversity import candidates, diverse
from .shaping.grouping import grouped
from .view import RecordView

if TYPE_CHECKING:
    from .explained.hit_explanation import HitExplanation

_RECORDS_A_READ = 512
_NOWHERE = Whence(None, None, None, None, None)


@dataclass(frozen=True, slots=True)
class SearchReport:
    """What one search did; ``milliseconds`` by step.

    The steps are filter, load, candidates, rescore, words, group, diversity, rerank, fetch and explain.
    ``route`` to ``exhaustive`` are of the dense side; ``route`` is None without one.
    """

    mode: Mode
    route: Route | None
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
    to_rerank: int
    """How many records the second stage was to read again."""
    reranked: int
    """How many of them it read in its time; the others are behind them, in the order of the first stage."""
    milliseconds: Mapping[str, float]
    explanations: tuple[HitExplanation, ...] = ()
    """Of the hits, one each."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The best records for one query, in the order in which they are shown.

    Attributes:
        stored: the records (n,): those that were chosen of the pool, or all of it, of which the first are shown.
        ranking: their rows, and the scores that the first stage orders by (n,).
        sides: their scores by the side that gave them.
        pool: the rows of the records that these were chosen from.
        has_more: whether records match that are not in the pool; with groups, whether there may be some.
        read: which of the pool a second stage reached (n,), None without one.
    """

    stored: list[Stored]
    ranking: Ranking
    sides: Sides
    pool: Rows
    has_more: bool
    read: npt.NDArray[np.bool_] | None = None


def search(
    view: RecordView,
    ranker: Ranker,
    options: SearchOptions,
    trace: Trace | None = None,
    stage: SecondStage | None = None,
) -> list[Hits]:
    """The best hits for each query of the ranker: options.k of them, fewer only if fewer records match.

    The second ``stage`` chooses among more records than are wanted.
    """
    trace = trace or Trace()
    with closing(find(view, ranker, options, trace, stage)) as found:
        hits = [shown(view, each, options, trace) for each in found]
    trace.lap("fetch")
    return hits


def find(
    view: RecordView,
    ranker: Ranker,
    options: SearchOptions,
    trace: Trace,
    stage: SecondStage | None = None,
    pool: int | None = None,
    read: npt.NDArray[np.bool_] | None = None,
) -> Generator[Found, None, None]:
    """The records that `search` shows for each query, and those behind them that it knows, one after the other.

    Args:
        view: what is searched.
        ranker: the first stage.
        options: what was asked for.
        trace: gets what is done.
        stage: the second stage.
        pool: how many of the first stage's best records are chosen from, if that was decided before.
        read: the only ones of them that the second stage may read, if not all.
    """
    numbers = range(len(ranker))
    pool = pool or pool_size(options)
    if options.by is not None:
        counts: list[int | None] = [None for _ in numbers]
        limit = view.allowed(options.where).count
        found = grouped(view, ranker, pool, options.by, limit, trace)
        for ranking in found:
            trace.ordered("groups", ranking)
        best = _fetched(view, found)
    else:
        # One more tells whether there are more, where they cannot be counted.
        counts = [ranker.matches(number) for number in numbers]
        asked = pool + (None in counts)
        fetched = zip(numbers, _fetched(view, ranker.each(numbers, asked)), strict=True)
        best = (_best(view, ranker, number, *each, asked) for number, each in fetched)
    for number, (stored, ranking) in zip(numbers, best, strict=True):
        count = len(stored) if (known := counts[number]) is None else known
        stored, ranking = stored[:pool], Ranking(ranking.rows[:pool], ranking.scores[:pool])
        rows, has_read = ranking.rows, None
        if options.diversity:
            stored, ranking = _diverse(view, ranker, number, stored, ranking, options)
            trace.ordered("diversity", ranking)
            trace.lap("diversity")
        sides = ranker.sides(number, ranking)
        if stage is not None and stored:
            last = _are_meaningless(ranker, number, ranking, stored)
            scale = Scale.of(view.background, ranker.whole(number))
            again = reordered(stage, number, stored, sides, last, scale, read)
            places, has_read = again.places, again.was_reached
            if trace.orders is not None:
                parts = {name: part[places] for name, part in again.parts.items()}
                trace.ordered(stage.name, Ranking(ranking.rows, again.scores))
                trace.ordered("rerank", Ranking(ranking.rows[places], again.mixture[places]), parts)
            stored, ranking = [stored[place] for place in places.tolist()], _at(ranking, places)
            sides = {name: scores[places] for name, scores in {**sides, stage.name: again.scores}.items()}
            trace.to_rerank += again.asked
            trace.reranked += again.reached
            trace.lap("rerank")
        # Whether there are more groups is not known without looking at all records.
        has_more = count > len(rows) if options.by is None else len(rows) == pool
        yield Found(stored, ranking, sides, rows, has_more, has_read)


def pool_size(options: SearchOptions) -> int:
    """From how many of the first stage's best records the hits are chosen."""
    if options.rerank is not None:
        return max(options.k, DEPTH)
    return candidates(options.k) if options.diversity else options.k


def shown(
    view: RecordView, found: Found, options: SearchOptions, trace: Trace, start: int = 0, before: int = 0
) -> Hits:
    """Hits of the records that were found, from ``start``, at most as many as are wanted.

    So many hits were ``before`` the first of these, on earlier pages.
    """
    stop = start + options.k
    if trace.orders is not None:
        trace.hits = [*trace.hits, *found.stored[start:stop]]
    sides = {name: scores[start:stop] for name, scores in found.sides.items()}
    return _hits(view, found.stored[start:stop], sides, options, before)


def _at(ranking: Ranking, places: npt.NDArray[np.int64]) -> Ranking:
    return Ranking(ranking.rows[places], ranking.scores[places])


def search_all(view: RecordView, ranker: Ranker, options: SearchOptions) -> Iterator[Hit]:
    """All hits for the only query of the ranker, the best first; read a few at a time."""
    rows, scores = ranker.every(0)
    ranking = in_order(rows, scores, len(rows))
    rank = 0
    meaningless: list[int] = []
    for is_last in (False, True):
        places = np.array(meaningless, np.int64) if is_last else np.arange(len(ranking.rows))
        for start in range(0, len(places), _RECORDS_A_READ):
            some = places[start : start + _RECORDS_A_READ]
            page = Ranking(ranking.rows[some], ranking.scores[some])
            stored = view.fetch(page.rows.tolist())
            if not is_last:
                last = _are_meaningless(ranker, 0, page, stored)
                meaningless += some[last].tolist()
                page = Ranking(page.rows[~last], page.scores[~last])
                stored = [record for record, is_left in zip(stored, ~last, strict=True) if is_left]
            for hit in _hits(view, stored, ranker.sides(0, page), options):
                rank += 1
                yield replace(hit, rank=rank)


def _fetched(view: RecordView, rankings: Iterable[Ranking]) -> Iterator[tuple[list[Stored], Ranking]]:
    """The records of each ranking, with it; those of many rankings are read together."""
    waiting: list[Ranking] = []
    count = 0
    for ranking in rankings:
        waiting.append(ranking)
        count += len(ranking.rows)
        if count >= _RECORDS_A_READ:
            yield from _fetched_together(view, waiting)
            waiting, count = [], 0
    yield from _fetched_together(view, waiting)


def _fetched_together(view: RecordView, rankings: Sequence[Ranking]) -> Iterator[tuple[list[Stored], Ranking]]:
    each_rows = [ranking.rows.tolist() for ranking in rankings]
    if len(rankings) == 1:
        yield view.fetch(each_rows[0]), rankings[0]
        return
    rows = list(dict.fromkeys(chain.from_iterable(each_rows)))
    found = dict(zip(rows, view.fetch(rows), strict=True))
    for some, ranking in zip(each_rows, rankings, strict=True):
        yield [found[row] for row in some], ranking


def reported(mode: Mode, trace: Trace) -> SearchReport:
    """What the search that filled ``trace`` did."""
    did, times = trace.plan, {step: seconds * 1e3 for step, seconds in trace.seconds.items()}
    route, counts = (None, (0, 0, 0, 0)) if did is None else (did.route, (did.rows, did.allowed, did.coded, did.tail))
    return SearchReport(
        *(mode, route, *counts, trace.candidates, trace.rescored, trace.widened, trace.exhaustive),
        *(trace.to_rerank, trace.reranked, times, trace.explanations),
    )


def unit_queries(vectors: Any, dimension: int) -> Vectors:
    """Query vectors made elsewhere, (q, D) numbers, at unit length; ``dimension`` 0 takes any. Raises InvalidInput."""
    array = numbers(vectors, "query vectors")
    if array.ndim and len(array) == 0:
        return np.empty((0, dimension), np.float32)
    if array.ndim != 2 or not array.shape[1] or (dimension and array.shape[1] != dimension):
        raise InvalidInput(
            f"a query vector has the shape {array.shape[1:]}; the index holds vectors of shape ({dimension},)",
            f"Pass vectors of {dimension} numbers, from what made the stored ones."
            if dimension
            else "Pass each vector as a flat list of numbers.",
        )
    wide = widened(array)
    largest = np.abs(wide).max(axis=1, keepdims=True)
    if not all(0 < most < math.inf for most in largest[:, 0].tolist()):
        raise InvalidInput("a query vector is zero or not finite", "A cosine needs a direction.")
    if not dimension:
        return np.empty((len(array), 0), np.float32)
    return unit_length_of(wide, largest)


def _best(
    view: RecordView, ranker: Ranker, number: int, stored: list[Stored], ranking: Ranking, k: int
) -> tuple[list[Stored], Ranking]:
    """The k best records; those of whose text the model knows no token come last, unless the query has a word of it.

    ``stored`` and ``ranking`` are the k best without that rule.
    The vectors of such texts say nothing about them, and are all alike: if one were near a query by accident, the rest
    would follow, and push the meaningful hits out.
    """
    asked = k
    if any(record.unknown for record in stored):
        last = _are_meaningless(ranker, number, ranking, stored)
        while np.count_nonzero(~last) < k and len(stored) == asked:
            asked *= 4
            (ranking,) = ranker.best([number], asked)
            stored = view.fetch(ranking.rows.tolist())
            last = _are_meaningless(ranker, number, ranking, stored)
        places = np.argsort(last, kind="stable")[:k]
        stored = [stored[place] for place in places.tolist()]
        ranking = Ranking(ranking.rows[places], ranking.scores[places])
    return stored, ranking


def _are_meaningless(ranker: Ranker, number: int, ranking: Ranking, stored: Sequence[Stored]) -> npt.NDArray[np.bool_]:
    return np.array([record.unknown for record in stored], np.bool_) & ranker.are_wordless(number, ranking.rows)


def _diverse(
    view: RecordView, ranker: Ranker, number: int, stored: list[Stored], ranking: Ranking, options: SearchOptions
) -> tuple[list[Stored], Ranking]:
    """The k records that are chosen for differing from each other; meaningless ones come last, as they are."""
    if not stored:
        return stored, ranking
    view.check(ranking.rows)
    last = _are_meaningless(ranker, number, ranking, stored)
    known = np.flatnonzero(~last)
    vectors = np.asarray(view.vectors)[ranking.rows[known]]
    chosen = known[diverse(ranking.scores[known], vectors, options.k, options.diversity)]
    places = np.concatenate([chosen, np.flatnonzero(last)])[: options.k]
    return [stored[place] for place in places.tolist()], Ranking(ranking.rows[places], ranking.scores[places])


def _hits(view: RecordView, stored: Sequence[Stored], sides: Sides, options: SearchOptions, before: int = 0) -> Hits:
    """Hits of these records, ``before`` which there were so many; ``sides`` has their scores."""
    origins = view.origins(stored, options.context)
    (first, firsts), *others = ((name, scores.tolist()) for name, scores in sides.items())
    percentiles: list[float | None] = [None] * len(stored)
    if options.min_percentile is not None and (background := view.background) is not None:
        percentiles = background.percentile(sides["dense"]).tolist()
    hits, ranked_by = Hits(), options.ranked_by
    for place, (record, whence) in enumerate(zip(stored, origins, strict=True)):
        score = firsts[place]
        scores = {first: score}
        if math.isnan(score) and not record.has_vector:
            score, scores = 0.0, {}
        for name, values in others:
            if not math.isnan(values[place]):
                scores[name] = values[place]
        lost, unknown = (record.tokens_lost, record.unknown) if record.lost else (0, False)
        facts = before + place + 1, record.key, score, record.text, view.metadata(record), lost, unknown
        percentile = percentiles[place] if record.has_vector else None
        hits.append(hit_of(*facts, *(whence or _NOWHERE), scores, ranked_by, percentile))
    return hits
