"""Dense search: the records whose vectors are nearest to a query vector.

Codes only propose candidates. Each query is checked for hits that may be missing among them, and where some may be, the
query is widened: it is asked again for twice as many candidates, then for four times as many as before, and in the end
every row is scored. That happens when

1. fewer allowed candidates came back than there are hits to find, or fewer than were asked for although more exist;
2. a row as good as the last hit lies at the very end of the candidates. Equal vectors have equal estimates, so either
   all of them were proposed, or the candidates end among them;
3. more hits are expected among the rows that were not proposed than `CodeSettings.doubt` admits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...errors import CorruptIndex, OutOfMemory
from ...errors.warnings import VecindexWarning
from ...store.generation import Allowed
from ...store.stored import Stored
from ..view import View
from .codes import Codes
from .doubt import are_in_doubt
from .exact import ROUNDING, Ranking, Rows, Vectors, best, best_of_each, candidate_scores, rank, scan
from .parallel_scan import spread, spread_in_order
from .plan import LARGEST_SHARE, RANK_ROWS, Plan, Route, plan

if TYPE_CHECKING:
    from ..explained.hit_explanation import HitExplanation

_SAME = 1e-6  # estimates of equal vectors differ by less
CANDIDATES_A_BLOCK = 1_000_000  # 12 MB of rows and estimates
QUERIES_A_BLOCK = 16


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """Rows (n,) with the scores (n,) that order them, and the ``parts`` (n,) that these are the sums of, by side."""

    rows: Rows
    scores: npt.NDArray[Any]
    parts: Mapping[str, npt.NDArray[Any]]


@dataclass(slots=True)
class Trace:
    """What a search has done so far; ``seconds`` by step.

    ``orders`` are those that the search of a single query has made, by name, where it is to be explained; ``hits`` are
    the records that it found, and ``explanations`` say why. ``noticed`` is what users are to
    be warned of, with the number of the query, or None if it is about all.
    """

    plan: Plan | None = None
    candidates: int = 0
    rescored: int = 0
    widened: int = 0
    exhaustive: bool = False
    to_rerank: int = 0
    reranked: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    last: float = field(default_factory=perf_counter)
    orders: dict[str, Order] | None = None
    hits: Sequence[Stored] = ()
    explanations: tuple[HitExplanation, ...] = ()
    noticed: list[tuple[VecindexWarning, int | None]] = field(default_factory=list)

    def ordered(self, name: str, ranking: Ranking, parts: Mapping[str, npt.NDArray[Any]] | None = None) -> Ranking:
        """Keeps an order, which need not be sorted, if any are kept; a later one of this name takes its place."""
        if self.orders is not None:
            self.orders[name] = Order(ranking.rows, ranking.scores, parts or {})
        return ranking

    def notice(self, warning: VecindexWarning, query: int | None = None) -> None:
        self.noticed.append((warning, query))

    def notice_all(self, warnings: Sequence[VecindexWarning]) -> None:
        for warning in warnings:
            self.notice(warning)

    def lap(self, step: str) -> None:
        now = perf_counter()
        self.seconds[step] = self.seconds.get(step, 0.0) + now - self.last
        self.last = now

    def add(self, part: Trace) -> None:
        """Adds what was done beside it, but not the time."""
        self.candidates = max(self.candidates, part.candidates)
        self.rescored += part.rescored
        self.widened += part.widened


@dataclass(frozen=True, slots=True)
class _Job:
    """The input of every route; ``vectors`` are the view's, without numpy's slow class for mapped arrays."""

    view: View
    vectors: Vectors
    allowed: Allowed
    queries: Vectors
    plan: Plan
    trace: Trace
    codes: Codes | None = None

    @property
    def rows(self) -> Rows | None:
        return None if self.allowed.bitmap is None else self.allowed.rows()


def rankings(view: View, queries: Vectors, k: int, allowed: Allowed, trace: Trace | None = None) -> list[Ranking]:
    """The best min(k, allowed) rows for each of ``queries`` (q, D), unit vectors."""
    return list(each_ranking(view, queries, k, allowed, trace or Trace()))


def each_ranking(view: View, queries: Vectors, k: int, allowed: Allowed, trace: Trace) -> Iterator[Ranking]:
    """As `rankings`, one after the other; while one is used, other threads may look for the next."""
    vectors = np.asarray(view.vectors)
    size, dimension = vectors.shape
    decided = plan(size, allowed.count, k, dimension, view.settings, view.coded)
    trace.lap("filter")
    codes = None
    if decided.coded:
        codes = view.codes
        trace.lap("load")
        if codes is None or codes.rows != decided.coded:  # damaged, or newer ones were loaded in the meantime
            usable = codes is not None and codes.rows <= size
            coded, settings = (codes.rows, codes.settings) if codes is not None and usable else (0, None)
            decided = plan(size, allowed.count, k, dimension, settings, coded)
    trace.plan = decided
    yield from _ROUTES[decided.route](_Job(view, vectors, allowed, queries, decided, trace, codes))


def _none(job: _Job) -> list[Ranking]:
    return [Ranking(np.empty(0, np.int64), np.empty(0, np.float32)) for _ in job.queries]


def _rank(job: _Job) -> list[Ranking]:
    rows = job.rows
    if rows is None or len(rows) > RANK_ROWS:
        job.view.check_range(0, job.plan.rows)
    else:
        job.view.check(rows)
    found = spread(lambda query: rank(job.vectors, rows, query, job.plan.k), list(job.queries))
    job.trace.lap("rescore")
    return found


def _scan(job: _Job) -> list[Ranking]:
    job.view.check_range(0, job.plan.rows)
    found = scan(job.vectors, job.rows, job.queries, job.plan.k)
    job.trace.lap("candidates")
    return found


def _coded(job: _Job) -> Iterator[Ranking]:
    """The best of the candidates and of the tail where these are complete; else the best of every allowed row."""
    tails, inside = _tail(job)
    if not inside:
        yield from tails
        return
    start = 0
    for found in _widened(job, tails, inside):
        left = [i for i, ranking in enumerate(found, start) if ranking is None]
        if left:
            job.trace.exhaustive = True
            decided = plan(job.plan.rows, job.allowed.count, job.plan.k, job.vectors.shape[1])
            rest = _Job(job.view, job.vectors, job.allowed, job.queries[left], decided, job.trace)
            for i, ranking in zip(left, _ROUTES[decided.route](rest), strict=True):
                found[i - start] = ranking
        yield from (ranking for ranking in found if ranking is not None)
        start += len(found)


def _tail(job: _Job) -> tuple[list[Ranking], int]:
    """Each query's best rows of the tail, and the number of allowed rows before it."""
    coded, rows, bitmap = job.plan.coded, job.plan.rows, job.allowed.bitmap
    if coded == rows:
        return _none(job), job.allowed.count
    job.view.check_range(coded, rows)
    inside, chosen = coded, None
    if bitmap is not None:
        first = coded // 8
        bits = np.unpackbits(bitmap[first:], bitorder="little")[coded - 8 * first : rows - 8 * first]
        chosen = np.flatnonzero(bits)
        inside = job.allowed.count - len(chosen)
    tail = job.vectors[coded:]
    count = len(tail) if chosen is None else len(chosen)
    if count > RANK_ROWS:
        found = scan(tail, chosen, job.queries, min(job.plan.k, count))
    else:
        found = [rank(tail, chosen, query, job.plan.k) for query in job.queries]
    job.trace.lap("rescore")
    return [Ranking(ranking.rows + coded, ranking.scores) for ranking in found], inside


def _widened(job: _Job, tails: list[Ranking], inside: int) -> Iterator[list[Ranking | None]]:
    """As `_widen`, for some queries at a time, in several threads if there are many queries."""
    if len(job.queries) == 1:
        yield _widen(job, job.queries, tails, inside)
        return
    size = max(1, min(QUERIES_A_BLOCK, CANDIDATES_A_BLOCK // job.plan.candidates))

    def widen(start: int) -> tuple[list[Ranking | None], Trace]:
        own = replace(job, trace=Trace(plan=job.plan))
        block = slice(start, start + size)
        return _widen(own, job.queries[block], tails[block], inside), own.trace

    with closing(spread_in_order(widen, range(0, len(job.queries), size))) as blocks:
        for found, trace in blocks:
            job.trace.add(trace)
            job.trace.lap("candidates")
            yield found


def _widen(job: _Job, queries: Vectors, tails: list[Ranking], inside: int) -> list[Ranking | None]:
    """Asks for more candidates until each query's are complete; None for the queries that never get there."""
    assert job.codes is not None
    bitmap = job.allowed.bitmap if job.plan.route is Route.MASKED else None
    found: list[Ranking | None] = [None] * len(queries)
    waiting = list(range(len(queries)))
    count, wider = job.plan.candidates, 1
    if bitmap is not None:  # few allowed rows are spread over more clusters
        wider = -(-job.plan.coded // inside)
    while waiting and count * LARGEST_SHARE <= job.plan.coded:
        try:
            proposed, estimates = job.codes.propose(queries[waiting], count, bitmap, wider)
        except (CorruptIndex, ValueError) as error:  # this variant was loaded only now
            job.view.refuse(job.codes, error)
            break
        except OutOfMemory:
            break  # exact search needs less
        job.trace.lap("candidates")
        job.trace.candidates = count
        ranked = _rescored(job, queries[waiting], proposed, estimates, [tails[place] for place in waiting], inside)
        for place, ranking in zip(waiting, ranked, strict=True):
            found[place] = ranking
        job.trace.lap("rescore")
        waiting = [place for place in waiting if found[place] is None]
        if waiting:
            times = 2 if count == job.plan.candidates else 4
            count, wider = count * times, wider * times
            bitmap = job.allowed.bitmap  # the filter and the query may disagree: scan allowed rows only
            job.trace.widened += 1
    return found


def _rescored(
    job: _Job, queries: Vectors, rows: Rows, guessed: Vectors, tails: Sequence[Ranking], inside: int
) -> list[Ranking | None]:
    """The ranking of each query, from its candidates (q, c) and its rows of the tail; None if hits may be missing."""
    ends, bitmap = guessed[:, -1], job.allowed.bitmap
    if bitmap is None and rows[:, -1].min() >= 0:
        if rows.shape[1] < min(job.plan.k, inside):
            return [None] * len(rows)
        return _judged(job, queries, rows, guessed, ends, tails, inside)
    found: list[Ranking | None] = []
    for place, ran_out in enumerate((rows[:, -1] < 0).tolist()):
        one, proposed = slice(place, place + 1), rows[place]
        if bitmap is not None:
            are_kept = bitmap[proposed >> 3] >> (proposed & 7).astype(np.uint8) & 1 & (proposed >= 0)
        else:
            are_kept = proposed >= 0
        kept = np.flatnonzero(are_kept)
        if len(kept) < (inside if ran_out else min(job.plan.k, inside)):
            found.append(None)
        else:
            estimates = guessed[one, kept]
            found += _judged(job, queries[one], rows[one, kept], estimates, ends[one], tails[one], inside)
    return found


def _judged(
    job: _Job,
    queries: Vectors,
    rows: Rows,
    guessed: Vectors,
    ends: Vectors,
    tails: Sequence[Ranking],
    inside: int,
) -> list[Ranking | None]:
    """As `_rescored`, of candidates that are allowed, and so many that there may be enough of them.

    Nothing here depends on the queries beside one, so that each gets what it gets alone.
    """
    k = job.plan.k
    job.view.check(rows.ravel())
    score = candidate_scores(job.vectors, rows, queries)
    job.trace.rescored += rows.size
    ranked = best_of_each(rows, score, k)
    for place, tail in enumerate(tails):
        if len(tail.rows):
            near = np.concatenate([rows[place], tail.rows]), np.concatenate([score[place], tail.scores])
            ranked[place] = best(*near, k)
    if rows.shape[1] == inside:
        return list(ranked)
    assert job.codes is not None
    doubt = job.codes.settings.doubt
    lasts = np.array([ranking.scores[-1] for ranking in ranked], np.float32)
    at_end = guessed <= ends[:, None] + np.float32(_SAME)
    are_open = (at_end & (score >= lasts[:, None] - np.float32(2 * ROUNDING))).any(axis=1) | ~np.isfinite(ends)
    if doubt < 1:
        are_open |= are_in_doubt(score, guessed, ends, lasts, inside - rows.shape[1], doubt * k)
    return [None if is_open else ranking for is_open, ranking in zip(are_open.tolist(), ranked, strict=True)]


_ROUTES: dict[Route, Callable[[_Job], Iterable[Ranking]]] = {
    Route.NONE: _none,
    Route.RANK: _rank,
    Route.SCAN: _scan,
    Route.CODES: _coded,
    Route.MASKED: _coded,
}
