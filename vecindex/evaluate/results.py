"""What an evaluation found: the measures of each system with their intervals, and how systems differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from . import statistics
from .statistics import Values


@dataclass(frozen=True, slots=True)
class Estimate:
    """The mean of a measure over the queries, and the bounds of its 95 % interval."""

    measure: str
    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class SystemReport:
    """The measures of one system, over so many ``queries``."""

    system: str
    queries: int
    estimates: tuple[Estimate, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """By how much ``system`` is better than ``other`` in a measure, over the ``queries`` that both answered.

    Attributes:
        difference: the mean of the differences of each query; below 0, ``other`` is better.
        low, high: the bounds of its 95 % interval.
        p: how likely a difference of at least this size is if the two are equally good, by a paired randomisation test.
        adjusted_p: the same, raised for the number of pairs that were compared (Holm).
    """

    system: str
    other: str
    measure: str
    queries: int
    difference: float
    low: float
    high: float
    p: float
    adjusted_p: float

    @property
    def is_real(self) -> bool:
        """Whether ``adjusted_p`` is below 0.01; otherwise the difference may be noise."""
        return self.adjusted_p < statistics.SIGNIFICANT


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """The values (queries, measures) of a system, and the names of the queries."""

    system: str
    queries: tuple[str, ...]
    values: Values

    def of(self, queries: Sequence[str]) -> Values:
        """The values of these queries, in their order."""
        places = {query: place for place, query in enumerate(self.queries)}
        return self.values[[places[query] for query in queries]]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How well systems answered judged queries.

    Attributes:
        k: how many hits of each query were looked at.
        by: what the judgements name: "record", "document" or "source".
        judgements: how many records and so on were judged relevant, over all queries.
        missing: how many of these the index does not have, which count as not found; None if that is not known.
        unjudged: how many judged queries have nothing that is relevant, and were left out.
        measures: the names of the measures; the first is what systems are compared by first.
        systems: in the order in which they were asked for; those of a saved evaluation are last.
        differences: of each pair of systems; or, with a saved evaluation, of each system and the saved one.
        queries: the texts of the queries by their names.
        values: the measures of each query: by system, then by query, in the order of ``measures``.
        rankings: what each system found: by system, then by query, the names from the best on.
    """

    k: int
    by: str
    judgements: int
    missing: int | None
    unjudged: int
    measures: tuple[str, ...]
    systems: tuple[SystemReport, ...]
    differences: tuple[Difference, ...]
    queries: Mapping[str, str] = field(repr=False)
    values: Mapping[str, Mapping[str, tuple[float, ...]]] = field(repr=False)
    rankings: Mapping[str, Mapping[str, tuple[str, ...]]] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """What ``vecindex eval --format json`` prints: everything but the single queries."""
        return {
            **{"queries": len(self.queries), "k": self.k, "by": self.by, "judgements": self.judgements},
            **{"missing": self.missing, "unjudged": self.unjudged, "measures": list(self.measures)},
            "systems": [asdict(each) for each in self.systems],
            "differences": differences_as(self.differences),
        }


def differences_as(differences: Iterable[Difference]) -> list[dict[str, Any]]:
    """Differences for JSON."""
    return [{**asdict(each), "is_real": each.is_real} for each in differences]


def reports(runs: Sequence[Run], measures: Sequence[str], seed: int) -> tuple[SystemReport, ...]:
    """The mean of each measure and its interval, for each system."""
    found = []
    for run in runs:
        bounds = statistics.intervals(run.values, seed)
        means = run.values.mean(axis=0)
        estimates = (
            Estimate(name, float(mean), float(low), float(high))
            for name, mean, low, high in zip(measures, means, *bounds, strict=True)
        )
        found.append(SystemReport(run.system, len(run.queries), tuple(estimates)))
    return tuple(found)


def differences(pairs: Sequence[tuple[Run, Run]], measures: Sequence[str], seed: int) -> tuple[Difference, ...]:
    """How each pair differs in each measure: by measure, then by pair. Queries that only one has are left out."""
    shared = [tuple(query for query in run.queries if query in set(other.queries)) for run, other in pairs]
    apart = [
        run.of(queries) - other.of(queries) for (run, other), queries in zip(pairs, shared, strict=True) if queries
    ]
    kept = [pair for pair, queries in zip(pairs, shared, strict=True) if queries]
    bounds = [statistics.intervals(each, seed) for each in apart]
    found = []
    for column, measure in enumerate(measures):
        p_values = [statistics.randomisation_test(np.ascontiguousarray(each[:, column]), seed) for each in apart]
        at_once = zip(kept, apart, bounds, p_values, statistics.adjusted(p_values), strict=True)
        for (run, other), each, (low, high), p, adjusted in at_once:
            mean = float(each[:, column].mean())
            found.append(
                Difference(
                    *(run.system, other.system, measure, len(each)),
                    *(mean, float(low[column]), float(high[column]), p, adjusted),
                )
            )
    return tuple(found)


def pairs_of(runs: Sequence[Run]) -> list[tuple[Run, Run]]:
    """Each later system with each earlier one."""
    return [(run, other) for place, run in enumerate(runs) for other in runs[:place]]
