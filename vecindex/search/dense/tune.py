"""Finds the fastest settings of the codes that reach a recall, measured on an index's own vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from time import perf_counter

import numpy as np

from ...errors import InvalidInput
from ...filters.tree import Filter
from ...store.generation import Allowed
from .codes import Codes
from .codes import build as build_codes
from .exact import Ranking, Rows, Vectors, scan
from .nearest import rankings
from .plan import CODED_ROWS
from .settings import DOUBT, CodeSettings, default_settings

K = 10
"""Recall is measured at this many hits."""
QUERIES = 200
"""At most this many queries are measured, evenly spaced among those given."""
CLUSTERED_ROWS = 200_000
"""From this many rows on, clusters are tried by default; with fewer they save little."""

_FACTORS = (2, 3, 5, 10, 20, 50)
_STRICT = 0.99  # from this recall on, searches are widened where the estimates leave doubt
_GAIN = 0.002  # where more candidates gain less recall than this, more clusters are needed


@dataclass(frozen=True, slots=True)
class Trial:
    """The measurements of ``settings``: ann_recall@10, and the median and mean milliseconds of a query."""

    settings: CodeSettings
    recall: float
    p50_ms: float
    mean_ms: float


@dataclass(frozen=True, slots=True, eq=False)
class Tuned:
    """The best ``settings``, their measurements, their ``codes`` of all rows, and everything ``tried``."""

    settings: CodeSettings
    chosen: Trial
    codes: Codes
    tried: tuple[Trial, ...]


def tune(
    vectors: Vectors,
    queries: Vectors,
    recall: float,
    latency_ms: float | None = None,
    *,
    clustered: bool | None = None,
    build: Callable[[Vectors, CodeSettings], Codes] = build_codes,
    progress: Callable[[Trial], None] | None = None,
) -> Tuned:
    """The fastest settings for ``vectors`` (n, D) that reach ``recall`` with ``queries`` (q, D), unit vectors.

    For a recall below 0.99, searches are never widened; from there on, they are where hits may be missing.
    ``clustered`` says whether to try clusters too; None decides by the number of rows.

    Raises:
        InvalidInput: no settings reach the recall within ``latency_ms``, if given; or there are too few rows, or no
            queries.
    """
    if not 0 < recall <= 1:
        raise InvalidInput(f"recall is {recall}", "Pass a share of the exact hits: more than 0, at most 1.")
    if len(vectors) < CODED_ROWS:
        raise InvalidInput(
            f"the index has {len(vectors)} rows, and tuning needs at least {CODED_ROWS}",
            "A smaller index needs no tuning: every search is exact.",
        )
    if len(queries) == 0:
        raise InvalidInput("there are no queries to measure", "Pass queries like those you expect.")
    spaced = np.linspace(0, len(queries) - 1, min(QUERIES, len(queries))).astype(np.int64)
    trials = _Trials(vectors, np.ascontiguousarray(queries[spaced], np.float32), recall, progress)
    bits = (default_settings(vectors.shape[1]) or CodeSettings(bits=4, factor=10)).bits
    doubt = DOUBT if recall >= _STRICT else 1.0
    flat = build(vectors, CodeSettings(bits, 1, doubt=doubt))
    _climb(trials, flat, 0)
    if clustered or (clustered is None and len(vectors) >= CLUSTERED_ROWS):
        lists = 2 ** round(np.log2(len(vectors)) / 2)
        _try_clusters(trials, build(vectors, CodeSettings(bits, 1, lists, 1, doubt)))
    return _best(trials, recall, latency_ms)


def _try_clusters(trials: _Trials, codes: Codes) -> None:
    """Scans more clusters until the recall is reached."""
    probes = max(1, codes.settings.lists // 256)
    while probes <= codes.settings.lists // 2 and not _climb(trials, codes, probes):
        probes *= 2


def _climb(trials: _Trials, codes: Codes, probes: int) -> bool:
    """Takes more candidates until the recall is reached, and while that is faster; returns whether it was reached."""
    before: Trial | None = None
    for factor in _FACTORS:
        trial = trials.measure(codes, factor, probes)
        reached = trial.recall >= trials.wanted
        # Asking for more candidates at once can be faster: fewer searches are widened.
        if before and (before.mean_ms <= trial.mean_ms if reached else trial.recall < before.recall + _GAIN):
            return reached or before.recall >= trials.wanted
        before = trial
    return before is not None and before.recall >= trials.wanted


def _best(trials: _Trials, recall: float, latency_ms: float | None) -> Tuned:
    tried = tuple(trial for trial, _ in trials.done)
    reached = [done for done in trials.done if done[0].recall >= recall]
    within = [done for done in reached if latency_ms is None or done[0].p50_ms <= latency_ms]
    if not within:
        best = min((trial for trial, _ in reached), key=lambda trial: trial.p50_ms, default=None)
        best = best or max(tried, key=lambda trial: trial.recall)
        wanted = f"recall {recall:g}" + ("" if latency_ms is None else f" within {latency_ms:g} ms")
        raise InvalidInput(
            f"no settings reach {wanted}; the best reached recall {best.recall:.4f} in {best.p50_ms:.2f} ms",
            "Ask for a lower recall or allow more time; nothing was changed.",
        )
    trial, codes = min(within, key=lambda done: done[0].mean_ms)
    settings = replace(trial.settings, recall=round(trial.recall, 4), measured=date.today().isoformat())
    codes.settings = settings
    return Tuned(settings, replace(trial, settings=settings), codes, tried)


class _Trials:
    def __init__(
        self, vectors: Vectors, queries: Vectors, wanted: float, progress: Callable[[Trial], None] | None
    ) -> None:
        self.wanted = wanted
        self.done: list[tuple[Trial, Codes]] = []
        self._vectors = vectors
        self._queries = queries
        self._progress = progress
        self._worst = [float(ranking.scores[-1]) for ranking in scan(vectors, None, queries, K)]

    def measure(self, codes: Codes, factor: int, probes: int) -> Trial:
        """Measures searches with these settings."""
        codes.settings = replace(codes.settings, factor=factor, probes=probes)
        view = _ArrayView(self._vectors, codes)
        rankings(view, self._queries[:3], K, view.allowed(None))  # warms up
        found: list[Ranking] = []
        seconds = []
        for query in self._queries:
            started = perf_counter()
            found += rankings(view, query[None, :], K, view.allowed(None))
            seconds.append(perf_counter() - started)
        # A row that ties with the last exact hit counts as a hit.
        hits = sum(int((each.scores >= worst).sum()) for each, worst in zip(found, self._worst, strict=True))
        milliseconds = np.array(seconds) * 1e3
        trial = Trial(
            codes.settings, hits / (K * len(found)), float(np.median(milliseconds)), milliseconds.mean().item()
        )
        self.done.append((trial, codes))
        if self._progress:
            self._progress(trial)
        return trial


class _ArrayView:
    """A `View` of vectors and codes in memory: every row is allowed."""

    def __init__(self, vectors: Vectors, codes: Codes) -> None:
        self.vectors = vectors
        self.codes = codes
        self.coded = codes.rows
        self.settings = codes.settings

    def refuse(self, codes: Codes, error: Exception) -> None:
        raise error

    def allowed(self, where: Filter | None) -> Allowed:
        return Allowed(len(self.vectors), None, len(self.vectors))

    def check(self, rows: Rows) -> None: ...

    def check_range(self, start: int, stop: int) -> None: ...
