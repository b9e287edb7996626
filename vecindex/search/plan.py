"""Which way is best to find the k nearest of the allowed rows: a pure decision that can be printed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

RANK_ROWS = 4096
"""Up to so many allowed rows, scoring each is as fast as FAISS's scan and spares loading it (0.1 s)."""


class Route(str, Enum):
    """How candidates are found."""

    NONE = "none"
    """No row is allowed: there is nothing to find."""
    RANK = "rank"
    """Every allowed row is scored."""
    SCAN = "scan"
    """FAISS scans the vector file for candidates, skipping rows that are not allowed; these are scored."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``k`` hits wanted of ``allowed`` among ``rows`` rows, by ``route``."""

    route: Route
    rows: int
    allowed: int
    k: int


def plan(rows: int, allowed: int, k: int) -> Plan:
    """The plan for k hits where ``allowed`` of ``rows`` rows may be found; k is cut to what there is."""
    route = Route.NONE if allowed == 0 else Route.RANK if allowed <= RANK_ROWS else Route.SCAN
    return Plan(route, rows, allowed, min(k, allowed))
