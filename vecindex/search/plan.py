"""Which way is best to find the k nearest of the allowed rows: a pure decision that can be printed.

The costs are nanoseconds for one query, fitted to medians on two cores with AVX-512 (100,000 rows of 384, 200,000 of
96, 50,000 of 768). They are compared with each other; only their proportions matter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np

from .exact import Vectors
from .settings import Settings

RANK_ROWS = 4096
"""Without codes, up to so many allowed rows are scored one by one, which spares loading FAISS (0.1 s)."""
CODED_ROWS = 20_000
"""Codes of fewer rows gain nothing over the exact scan (0.9 ms)."""
LARGEST_SHARE = 16
"""More candidates than this share of the coded rows cost more than scoring every row."""

_DISTINCT = 16
_STEPS = 16


class Route(str, Enum):
    """How candidates are found."""

    NONE = "none"
    """No row is allowed: there is nothing to find."""
    RANK = "rank"
    """Every allowed row is scored."""
    SCAN = "scan"
    """FAISS scans the vector file for candidates, skipping rows that are not allowed; these are scored."""
    CODES = "codes"
    """All codes propose candidates, more where not every row is allowed; those that are allowed are scored."""
    MASKED = "masked"
    """The codes of allowed rows propose candidates; these are scored."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``k`` hits of ``allowed`` among ``rows`` rows, by ``route``; ``candidates`` are asked for of ``coded`` rows."""

    route: Route
    rows: int
    allowed: int
    k: int
    candidates: int = 0
    coded: int = 0

    @property
    def tail(self) -> int:
        """Rows behind the coded ones; where codes are used, these are scored one by one."""
        return self.rows - self.coded


def plan(
    rows: int, allowed: int, k: int, dimension: int = 384, settings: Settings | None = None, coded: int = 0
) -> Plan:
    """The plan for k hits where ``allowed`` of ``rows`` rows may be found; k is cut to what there is.

    ``coded`` rows, the first, have codes made with ``settings``.
    """
    k = min(k, allowed)
    if k <= 0:
        return Plan(Route.NONE, rows, allowed, 0)
    exact = {Route.RANK: _rank(rows, allowed, dimension), Route.SCAN: _scan(rows, allowed, dimension)}
    if settings is None or coded < CODED_ROWS:
        return Plan(Route.RANK if allowed <= RANK_ROWS else min(exact, key=exact.__getitem__), rows, allowed, k)
    wanted = candidates(k, settings)
    fetched = {Route.MASKED: wanted, Route.CODES: -(-wanted * rows // allowed)}
    costs = {
        **exact,
        Route.MASKED: _masked(coded, allowed, wanted, dimension, settings),
        Route.CODES: _codes(coded, allowed / rows, fetched[Route.CODES], wanted, dimension, settings),
    }
    if settings.lists:
        del costs[Route.CODES if allowed < rows else Route.MASKED]  # clustered codes leave rows out as they go
    tail = 0.32 * dimension * (rows - coded)
    for route, count in fetched.items():
        if route in costs:
            costs[route] += tail
            if count * LARGEST_SHARE > coded:
                del costs[route]
    route = min(costs, key=costs.__getitem__)
    if route in exact:
        return Plan(route, rows, allowed, k)
    return Plan(route, rows, allowed, k, fetched[route], coded)


def candidates(k: int, settings: Settings) -> int:
    """How many allowed candidates to begin with for k hits: at least five hits' worth, to judge the estimates by."""
    return settings.factor * max(k, 5)


def missed(scores: Vectors, estimates: Vectors, end: float, last: float, outside: int) -> float:
    """How many of ``outside`` rows that were not proposed are expected to score more than ``last``.

    ``scores`` and ``estimates`` (c,) are those of the candidates, highest estimate first; ``end`` is the lowest
    estimate that was proposed. The model: given its estimate e, a row's score is normal around a + b e; and below
    ``end`` there are ever more rows, exponentially, as fast as the candidates' own estimates become more frequent.
    Both come from the candidates. Infinite where too few of them differ to tell.
    """
    count = len(estimates)
    # Copies have one estimate and one score: they tell no more than a single row does.
    differ = np.flatnonzero(estimates[:-1] != estimates[1:])
    if len(differ) < _DISTINCT:
        return math.inf
    if len(differ) < count - 1:
        scores, estimates = scores[differ], estimates[differ]
    distinct = len(estimates)
    centre, level = float(estimates.sum()) / distinct, float(scores.sum()) / distinct
    e, s = estimates - np.float32(centre), scores - np.float32(level)
    variance = float(e @ e)
    scale = centre - end
    if not (math.isfinite(end) and variance > 0 and scale > 0):
        return math.inf
    slope = min(max(float(e @ s) / variance, 0.0), 1.0)
    s -= np.float32(slope) * e
    spread = math.sqrt(float(s @ s) / (distinct - 2)) * (1 + 1 / math.sqrt(distinct)) + 1e-9
    gap = last - level - slope * (end - centre)
    step = math.log1p(outside / count) / _STEPS
    grown, found = 1.0, 0.0
    for number in range(_STEPS):
        before, grown = grown, grown * math.exp(step)
        deviations = (gap + slope * scale * step * (number + 0.5)) / spread
        found += (grown - before) * math.erfc(deviations / math.sqrt(2))
    return count * found / 2


def _rank(rows: int, allowed: int, dimension: int) -> float:
    """Rows picked out are copied first; all of them are read where they lie."""
    return 0.32 * dimension * rows if allowed == rows else (20 + 0.45 * dimension) * allowed


def _scan(rows: int, allowed: int, dimension: int) -> float:
    return 100_000 + 3 * rows + 0.2 * dimension * allowed


def _codes(coded: int, share: float, fetched: int, wanted: int, dimension: int, settings: Settings) -> float:
    """A candidate costs more than a row of codes: it is sorted, and with two bits and more estimated anew."""
    if settings.lists:
        return _masked(coded, coded, wanted, dimension, settings)
    row = (2.5 + 0.006 * dimension) * (1 if settings.bits == 1 else 1.7)
    candidate = 450 if settings.bits == 1 else 1300
    # Fewer than hoped for are allowed where the filter and the query disagree; then everything is done twice.
    return (row * coded + candidate * fetched) * (1 if share == 1 else 1.3) + 0.45 * dimension * wanted


def _masked(coded: int, allowed: int, wanted: int, dimension: int, settings: Settings) -> float:
    """A row costs most where it cannot be foreseen whether the next is allowed."""
    row = (8 + 0.006 * dimension) * (1 if settings.bits == 1 else 1.3)
    looked: float = row * min(allowed, coded) + row * max(0, min(allowed, coded - allowed)) + 2 * coded
    if settings.lists:
        share = min(1.0, settings.probes * coded / allowed / settings.lists)  # as `run` looks into more of them
        looked = looked * share + 0.25 * dimension * settings.lists
    return looked + (500 + 0.45 * dimension) * wanted
