"""Which settings of the codes reach a recall, measured with an index's own vectors, at the least time a query."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from time import perf_counter
from typing import Any

import numpy as np

from ..errors import InvalidInput
from ..filters.tree import Filter
from . import codes as coding
from .codes import Codes
from .exact import Ranking, Rows, Vectors, scan
from .plan import CODED_ROWS
from .run import rankings
from .settings import DOUBT, Settings, default_settings

K = 10
"""Recall is measured at so many hits."""
QUERIES = 200
"""So many queries are measured with, evenly spaced among those given."""
CLUSTERED_ROWS = 200_000
"""From so many rows on clusters are tried unasked: with fewer they save little."""

_FACTORS = (2, 3, 5, 10, 20, 50)
_STRICT = 0.99  # from this recall on, candidates are widened where estimates leave doubt
_GAIN = 0.002  # where more candidates gain less, it is clusters that are missing


@dataclass(frozen=True, slots=True)
class Trial:
    """What was measured with ``settings``: ann_recall@10, and the median and mean of a query's milliseconds."""

    settings: Settings
    recall: float
    p50_ms: float
    mean_ms: float


@dataclass(frozen=True, slots=True, eq=False)
class Tuned:
    """The best ``settings``, what was measured of them, their ``codes`` over all rows, and everything ``tried``."""

    settings: Settings
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
    build: Callable[[Vectors, Settings], Codes] = coding.build,
    progress: Callable[[Trial], None] | None = None,
) -> Tuned:
    """The fastest settings for ``vectors`` (n, D) that reach ``recall`` with ``queries`` (q, D), unit vectors.

    Below a recall of 0.99 a search takes the candidates as they come; from there on, it asks for more where it must.
    ``clustered`` tries clusters too, or leaves them out; None decides by the number of rows.

    Raises:
        InvalidInput: nothing that was tried reaches the recall within ``latency_ms``, if that is given; or there are
            too few rows or no queries.
    """
    if not 0 < recall <= 1:
        raise InvalidInput(f"recall is {recall}", "It is a share of the exact hits: more than 0, at most 1.")
    if len(vectors) < CODED_ROWS:
        raise InvalidInput(
            f"there are {len(vectors)} rows, and codes begin to pay at {CODED_ROWS}",
            "Nothing has to be tuned: every search is exact.",
        )
    if len(queries) == 0:
        raise InvalidInput("there are no queries to measure with", "Give some that are like those to come.")
    spaced = np.linspace(0, len(queries) - 1, min(QUERIES, len(queries))).astype(np.int64)
    trials = _Trials(vectors, np.ascontiguousarray(queries[spaced], np.float32), recall, progress)
    bits = (default_settings(vectors.shape[1]) or Settings(bits=4, factor=10)).bits
    doubt = DOUBT if recall >= _STRICT else 1.0
    flat = build(vectors, Settings(bits, 1, doubt=doubt))
    _climb(trials, flat, 0)
    if clustered or (clustered is None and len(vectors) >= CLUSTERED_ROWS):
        lists = 2 ** round(np.log2(len(vectors)) / 2)
        _try_clusters(trials, build(vectors, Settings(bits, 1, lists, 1, doubt)))
    return _best(trials, recall, latency_ms)


def _try_clusters(trials: _Trials, codes: Codes) -> None:
    """Looks into more clusters until the recall is reached."""
    probes = max(1, codes.settings.lists // 256)
    while probes <= codes.settings.lists // 2 and not _climb(trials, codes, probes):
        probes *= 2


def _climb(trials: _Trials, codes: Codes, probes: int) -> bool:
    """Looks at more candidates until the recall is reached, which is returned, and as long as that makes it faster."""
    before: Trial | None = None
    for factor in _FACTORS:
        trial = trials.measure(codes, factor, probes)
        reached = trial.recall >= trials.wanted
        # More candidates at once can save asking again.
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
            f"nothing that was tried reaches {wanted}; the best found: recall {best.recall:.4f}, {best.p50_ms:.2f} ms",
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
        """One setting: its codes as they are, searched as `run` does."""
        codes.settings = replace(codes.settings, factor=factor, probes=probes)
        view = _View(self._vectors, codes)
        rankings(view, self._queries[:3], K, None)  # not to be measured: first uses of memory and of functions
        found: list[Ranking] = []
        seconds = []
        for query in self._queries:
            started = perf_counter()
            found += rankings(view, query[None, :], K, None)
            seconds.append(perf_counter() - started)
        # A row that ties with the last exact hit is as good as that.
        hits = sum(int((each.scores >= worst).sum()) for each, worst in zip(found, self._worst, strict=True))
        milliseconds = np.array(seconds) * 1e3
        trial = Trial(
            codes.settings, hits / (K * len(found)), float(np.median(milliseconds)), milliseconds.mean().item()
        )
        self.done.append((trial, codes))
        if self._progress:
            self._progress(trial)
        return trial


class _All:
    """Every row is allowed."""

    bitmap = None

    def __init__(self, count: int) -> None:
        self.count = count

    def rows(self) -> Rows:
        return np.arange(self.count, dtype=np.int64)


class _View:
    """Vectors and codes as `run.View`, without a store."""

    def __init__(self, vectors: Vectors, codes: Codes) -> None:
        self.vectors = vectors
        self.codes = codes
        self.coded = codes.rows
        self.settings = codes.settings

    def refuse(self, codes: Codes, error: Exception) -> None:
        raise error  # they were made just now

    def allowed(self, where: Filter | None) -> _All:
        return _All(len(self.vectors))

    def check(self, rows: Rows) -> None: ...

    def check_range(self, start: int, stop: int) -> None: ...

    def fetch(self, rows: list[int]) -> list[Any]:
        return []

    def metadata(self, record: Any) -> dict[str, Any]:
        return {}
