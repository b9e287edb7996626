"""Chooses the cheapest way to find the k nearest of the allowed rows: a pure decision that can be printed.

The costs are nanoseconds for one query, fitted to medians on two cores with AVX-512 (100,000 rows of 384 dimensions,
200,000 of 96, 50,000 of 768). They are only compared with each other, so only their proportions matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from .settings import CodeSettings

RANK_ROWS = 4096
"""Without codes, up to this many allowed rows are scored one by one, which saves loading FAISS (0.1 s)."""
CODED_ROWS = 10_000
"""Below this many rows, codes gain little over the exact scan (0.4 ms)."""
LARGEST_SHARE = 16
"""More candidates than one in this many coded rows cost more than scoring every row."""


class Route(str, Enum):
    """How candidates are found."""

    NONE = "none"
    """No row is allowed, so nothing can be found."""
    RANK = "rank"
    """Every allowed row is scored."""
    SCAN = "scan"
    """FAISS scans the allowed rows of the vector file for candidates, which are scored."""
    CODES = "codes"
    """All codes propose candidates, more where not every row is allowed; the allowed ones are scored."""
    MASKED = "masked"
    """The codes of allowed rows propose candidates, which are scored."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to find ``k`` of the ``allowed`` among ``rows`` rows; ``coded`` rows are asked for ``candidates``."""

    route: Route
    rows: int
    allowed: int
    k: int
    candidates: int = 0
    coded: int = 0

    @property
    def tail(self) -> int:
        """The rows after the coded ones; where codes are used, these are scored one by one."""
        return self.rows - self.coded


@lru_cache(256)
def plan(
    rows: int, allowed: int, k: int, dimension: int = 384, settings: CodeSettings | None = None, coded: int = 0
) -> Plan:
    """The plan for k hits, at most ``allowed``, where ``allowed`` of ``rows`` rows may be found.

    The first ``coded`` rows have codes made with ``settings``.
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
        del costs[Route.CODES if allowed < rows else Route.MASKED]  # clustered codes skip rows as they scan
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


def candidates(k: int, settings: CodeSettings) -> int:
    """How many allowed candidates to begin with for k hits: at least those for 5 hits, to judge the estimates by."""
    return settings.factor * max(k, 5)


def _rank(rows: int, allowed: int, dimension: int) -> float:
    """Selected rows are copied first; if all are, they are read in place."""
    return 0.32 * dimension * rows if allowed == rows else (20 + 0.45 * dimension) * allowed


def _scan(rows: int, allowed: int, dimension: int) -> float:
    return 100_000 + 3 * rows + 0.2 * dimension * allowed


def _codes(coded: int, share: float, fetched: int, wanted: int, dimension: int, settings: CodeSettings) -> float:
    """A candidate costs more than a row of codes: it is estimated again, and sorted."""
    if settings.lists:
        return _masked(coded, coded, wanted, dimension, settings)
    row, candidate = (0.4 + 0.004 * dimension, 200) if settings.bits == 1 else (4.25 + 0.01 * dimension, 1300)
    # Where the filter and the query disagree, fewer candidates are allowed than expected, and a search is done twice.
    return (row * coded + candidate * fetched) * (1 if share == 1 else 1.3) + 0.45 * dimension * wanted


def _masked(coded: int, allowed: int, wanted: int, dimension: int, settings: CodeSettings) -> float:
    """A row costs most where the processor cannot predict whether the next one is allowed."""
    row = (8 + 0.006 * dimension) * (1 if settings.bits == 1 else 1.3)
    looked: float = row * min(allowed, coded) + row * max(0, min(allowed, coded - allowed)) + 2 * coded
    if settings.lists:
        share = min(1.0, settings.probes * coded / allowed / settings.lists)  # `dense` scans more clusters then
        looked = looked * share + 0.25 * dimension * settings.lists
    return looked + (500 + 0.45 * dimension) * wanted
