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

from collections.abc import Callable, Mapping, Sequence
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
from .exact import ROUNDING, Ranking, Rows, Vectors, best, rank, scan, scores
from .parallel_scan import spread
from .plan import LARGEST_SHARE, RANK_ROWS, Plan, Route, missed, plan

if TYPE_CHECKING:
    from ..explained.hit_explanation import HitExplanation

_SAME = 1e-6  # estimates of equal vectors differ by less
CANDIDATES_A_BLOCK = 1_000_000  # 12 MB of rows and estimates
QUERIES_A_BLOCK = 16
_ROWS_A_BLOCK = 8192


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
    trace = trace or Trace()
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
    return _ROUTES[decided.route](_Job(view, vectors, allowed, queries, decided, trace, codes))


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


def _coded(job: _Job) -> list[Ranking]:
    """The best of the candidates and of the tail where these are complete; else the best of every allowed row."""
    tails, inside = _tail(job)
    found: list[Ranking | None] = list(tails)
    if inside:
        size = max(1, min(QUERIES_A_BLOCK, CANDIDATES_A_BLOCK // job.plan.candidates))
        if len(job.queries) == 1:
            found = _widen(job, job.queries, tails, inside)
        else:
            found = _widen_blocks(job, tails, inside, size)
    left = [i for i, ranking in enumerate(found) if ranking is None]
    if left:
        job.trace.exhaustive = True
        decided = plan(job.plan.rows, job.allowed.count, job.plan.k, job.vectors.shape[1])
        rest = _Job(job.view, job.vectors, job.allowed, job.queries[left], decided, job.trace)
        for i, ranking in zip(left, _ROUTES[decided.route](rest), strict=True):
            found[i] = ranking
    return [ranking for ranking in found if ranking is not None]


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


def _widen_blocks(job: _Job, tails: list[Ranking], inside: int, size: int) -> list[Ranking | None]:
    """As `_widen`, with ``size`` queries at a time in each of several threads."""

    def widen(start: int) -> tuple[list[Ranking | None], Trace]:
        own = replace(job, trace=Trace(plan=job.plan))
        block = slice(start, start + size)
        return _widen(own, job.queries[block], tails[block], inside), own.trace

    blocks = spread(widen, range(0, len(job.queries), size))
    for _, trace in blocks:
        job.trace.add(trace)
    job.trace.lap("candidates")
    return [ranking for found, _ in blocks for ranking in found]


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
        again = []
        for place, rows, guessed in zip(waiting, proposed, estimates, strict=True):
            ranking = _rescore(job, queries[place], rows, guessed, tails[place], inside)
            if ranking is None:
                again.append(place)
            found[place] = ranking
        job.trace.lap("rescore")
        waiting = again
        if waiting:
            times = 2 if count == job.plan.candidates else 4
            count, wider = count * times, wider * times
            bitmap = job.allowed.bitmap  # the filter and the query may disagree: scan allowed rows only
            job.trace.widened += 1
    return found


def _rescore(job: _Job, query: Vectors, rows: Rows, guessed: Vectors, tail: Ranking, inside: int) -> Ranking | None:
    """The ranking of a query, from the candidates and the tail's rows; None if hits may be missing."""
    end, bitmap = float(guessed[-1]), job.allowed.bitmap
    ran_out = bool(rows[-1] < 0)
    if bitmap is not None:
        kept = np.flatnonzero(bitmap[rows >> 3] >> (rows & 7).astype(np.uint8) & 1 & (rows >= 0))
    else:
        kept = np.flatnonzero(rows >= 0)
    if len(kept) < len(rows):
        rows, guessed = rows[kept], guessed[kept]
    k = job.plan.k
    if len(rows) < (inside if ran_out else min(k, inside)):
        return None
    job.view.check(rows)
    found = [
        scores(job.vectors[rows[start : start + _ROWS_A_BLOCK]], query) for start in range(0, len(rows), _ROWS_A_BLOCK)
    ]
    score = found[0] if len(found) == 1 else np.concatenate(found)
    job.trace.rescored += len(rows)
    if len(tail.rows):
        ranking = best(np.concatenate([rows, tail.rows]), np.concatenate([score, tail.scores]), k)
    else:
        ranking = best(rows, score, k)
    if len(rows) == inside:
        return ranking
    last = float(ranking.scores[-1])
    at_end = guessed <= end + _SAME
    if not np.isfinite(end) or bool((score[at_end] >= last - 2 * ROUNDING).any()):
        return None
    assert job.codes is not None
    doubt = job.codes.settings.doubt
    if doubt < 1 and missed(score, guessed, end, last, inside - len(rows)) > doubt * k:
        return None
    return ranking


_ROUTES: dict[Route, Callable[[_Job], list[Ranking]]] = {
    Route.NONE: _none,
    Route.RANK: _rank,
    Route.SCAN: _scan,
    Route.CODES: _coded,
    Route.MASKED: _coded,
}
