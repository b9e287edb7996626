"""The search pipeline: allowed rows, plan, candidates, exact scores, records; all in one view of the index.

Codes only propose. Whether what they proposed is complete is judged for each query, and where it may not be, the
query is asked again for four times as many candidates, in the end for the exact score of every row:

1. Fewer allowed candidates came back than there are hits to find; or fewer than were asked for, and not all there are.
2. A row as good as the last hit lies at the very end of what was proposed. Equal vectors have equal estimates: either
   all of them were proposed, or they end there.
3. Among the rows that were not proposed, more hits are expected than `Settings.doubt` admits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from ..encoders.run.pooling import unit_length_of, widened
from ..errors import CorruptIndex, InvalidInput, OutOfMemory
from ..filters.tree import Filter
from ..values.arrays import numbers
from ..values.records import Hit
from .codes import Codes
from .exact import ROUNDING, Ranking, Rows, Vectors, best, rank, scan, scores
from .plan import LARGEST_SHARE, RANK_ROWS, Plan, Route, missed, plan
from .settings import Settings

if TYPE_CHECKING:
    from ..store.stored import Stored

_SAME = 1e-6  # estimates of equal vectors differ by less
_CANDIDATES_A_BLOCK = 1_000_000  # 12 MB of rows and estimates
_ROWS_A_BLOCK = 8192


class Allowed(Protocol):
    """The rows that a search may return."""

    @property
    def count(self) -> int: ...
    @property
    def bitmap(self) -> npt.NDArray[np.uint8] | None:
        """A bit for each row, the lowest of a byte first; None: all rows."""

    def rows(self) -> Rows:
        """Ascending."""


class View(Protocol):
    """What a search sees of an index: one generation of it. `check` and `check_range` raise CorruptIndex."""

    @property
    def vectors(self) -> Vectors:
        """(rows, D), usually mapped."""

    @property
    def codes(self) -> Codes | None:
        """Those of the first ``coded`` rows; may be loaded now, and may turn out to be of no use (None)."""

    def refuse(self, codes: Codes, error: CorruptIndex | ValueError) -> None:
        """``codes`` turned out to be of no use when a part of them was first needed: not to be used again."""

    @property
    def coded(self) -> int: ...
    @property
    def settings(self) -> Settings | None: ...
    def allowed(self, where: Filter | None) -> Allowed: ...
    def check(self, rows: Rows) -> None: ...
    def check_range(self, start: int, stop: int) -> None: ...
    def fetch(self, rows: list[int]) -> list[Stored]: ...
    def metadata(self, record: Stored) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Explanation:
    """What one search did; ``milliseconds`` by step: filter, load, candidates, rescore, fetch."""

    route: Route
    rows: int
    allowed: int
    coded: int
    tail: int
    """Rows without codes, scored one by one."""
    candidates: int
    """Asked for at last."""
    rescored: int
    """Exact scores computed of rows that codes or FAISS proposed."""
    widened: int
    """Times that more candidates were asked for."""
    exhaustive: bool
    """Codes were given up: every allowed row was searched."""
    milliseconds: Mapping[str, float]


@dataclass(slots=True)
class _Trace:
    plan: Plan | None = None
    candidates: int = 0
    rescored: int = 0
    widened: int = 0
    exhaustive: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    last: float = field(default_factory=perf_counter)

    def lap(self, step: str) -> None:
        now = perf_counter()
        self.seconds[step] = self.seconds.get(step, 0.0) + now - self.last
        self.last = now


@dataclass(frozen=True, slots=True)
class _Job:
    """What every route is given; ``vectors`` are the view's, without numpy's slow class for mapped arrays."""

    view: View
    vectors: Vectors
    allowed: Allowed
    queries: Vectors
    plan: Plan
    trace: _Trace
    codes: Codes | None = None

    @property
    def rows(self) -> Rows | None:
        return None if self.allowed.bitmap is None else self.allowed.rows()


def search(view: View, queries: Vectors, k: int, where: Filter | None = None) -> list[list[Hit]]:
    """The min(k, records that match) best hits for each of ``queries`` (q, D), unit vectors; see `_hits`."""

    def again(query: Vectors, more: int) -> Ranking:
        return rankings(view, query[None, :], more, where)[0]

    found = rankings(view, queries, k, where)
    return [_hits(view, r, k, partial(again, query)) for query, r in zip(queries, found, strict=True)]


def rankings(view: View, queries: Vectors, k: int, where: Filter | None) -> list[Ranking]:
    """As `search`, rows and scores instead of hits."""
    return _rankings(view, queries, k, where, _Trace())


def explain(view: View, query: Vectors, k: int, where: Filter | None = None) -> tuple[list[Hit], Explanation]:
    """As `search` for one ``query`` (D,), and what was done to find the hits."""
    trace = _Trace()

    def ranked(k: int) -> Ranking:
        return _rankings(view, query[None, :], k, where, trace)[0]

    hits = _hits(view, ranked(k), k, ranked)
    trace.lap("fetch")
    did = trace.plan
    assert did is not None
    return hits, Explanation(
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


def _rankings(view: View, queries: Vectors, k: int, where: Filter | None, trace: _Trace) -> list[Ranking]:
    allowed = view.allowed(where)
    vectors = np.asarray(view.vectors)
    size, dimension = vectors.shape
    decided = plan(size, allowed.count, k, dimension, view.settings, view.coded)
    trace.lap("filter")
    codes = None
    if decided.coded:
        codes = view.codes
        trace.lap("load")
        if codes is None or codes.rows != decided.coded:  # damaged, or others were loaded in the meantime
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
    found = [rank(job.vectors, rows, query, job.plan.k) for query in job.queries]
    job.trace.lap("rescore")
    return found


def _scan(job: _Job) -> list[Ranking]:
    job.view.check_range(0, job.plan.rows)
    found = scan(job.vectors, job.rows, job.queries, job.plan.k)
    job.trace.lap("candidates")
    return found


def _coded(job: _Job) -> list[Ranking]:
    """The hits among coded rows as far as they are certain, and those of the tail; else every row's."""
    tails, inside = _tail(job)
    found: list[Ranking | None] = list(tails)
    if inside:
        block = max(1, _CANDIDATES_A_BLOCK // job.plan.candidates)
        found = [
            ranking
            for start in range(0, len(job.queries), block)
            for ranking in _widen(job, job.queries[start : start + block], tails[start : start + block], inside)
        ]
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
    part = job.vectors[coded:]
    there = len(part) if chosen is None else len(chosen)
    if there > RANK_ROWS:
        found = scan(part, chosen, job.queries, min(job.plan.k, there))
    else:
        found = [rank(part, chosen, query, job.plan.k) for query in job.queries]
    job.trace.lap("rescore")
    return [Ranking(ranking.rows + coded, ranking.scores) for ranking in found], inside


def _widen(job: _Job, queries: Vectors, tails: list[Ranking], inside: int) -> list[Ranking | None]:
    """The rankings of those queries whose candidates are complete, at last; None for the others."""
    assert job.codes is not None
    bitmap = job.allowed.bitmap if job.plan.route is Route.MASKED else None
    found: list[Ranking | None] = [None] * len(queries)
    waiting = list(range(len(queries)))
    count, wider = job.plan.candidates, 1
    if bitmap is not None:  # what few rows are allowed lie in more clusters
        wider = -(-job.plan.coded // inside)
    while waiting and count * LARGEST_SHARE <= job.plan.coded:
        try:
            proposed, estimates = job.codes.propose(queries[waiting], count, bitmap, wider)
        except (CorruptIndex, ValueError) as error:  # a part was loaded only now
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
            count, wider = count * 4, wider * 4
            bitmap = job.allowed.bitmap  # the filter and the query may disagree: look at allowed rows alone
            job.trace.widened += 1
    return found


def _rescore(job: _Job, query: Vectors, rows: Rows, guessed: Vectors, tail: Ranking, inside: int) -> Ranking | None:
    """The ranking of a query, from the rows that codes proposed and the tail's; None if it may be incomplete."""
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


def _hits(view: View, ranking: Ranking, k: int, again: Callable[[int], Ranking]) -> list[Hit]:
    """The k best hits, those of which the model knows the text before all others; ``again`` gives more than k.

    The vectors of texts of which the model knows no token say nothing of them, and all are alike: one that is near a
    query by accident would bring its like, and push out all that is meant.
    """
    stored, asked = view.fetch(ranking.rows.tolist()), k
    if any(record.unknown for record in stored):
        while sum(not record.unknown for record in stored) < k and len(stored) == asked:
            asked *= 4
            ranking = again(asked)
            stored = view.fetch(ranking.rows.tolist())
        places = sorted(range(len(stored)), key=lambda place: stored[place].unknown)[:k]
        stored, ranking = [stored[place] for place in places], Ranking(ranking.rows[places], ranking.scores[places])
    # Rounding can carry the product of two unit vectors past 1 by a digit; a cosine is never more.
    cosines = np.clip(ranking.scores, -1, 1).tolist()
    return [
        Hit(place, record.key, score, record.text, view.metadata(record), record.tokens_lost, record.unknown)
        for place, (record, score) in enumerate(zip(stored, cosines, strict=True), 1)
    ]


_ROUTES: dict[Route, Callable[[_Job], list[Ranking]]] = {
    Route.NONE: _none,
    Route.RANK: _rank,
    Route.SCAN: _scan,
    Route.CODES: _coded,
    Route.MASKED: _coded,
}
