"""Finds the best rows of one segment: `top_of_segment`.

MaxScore (Turtle and Flood, Query evaluation: strategies and optimizations, 1995), term by term, the heaviest first:
once the terms that are left cannot lift a row that has none of the terms before into the best k, they are only looked
up for the rows that still can be among these. To know early what the best k score at least, the most promising rows so
far are scored in full before each long list of postings.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from .bm25 import Scores
from .segment import Array

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_SLACK = 1 + 1e-6
"""Bounds are computed of numbers of 32 bits, and sums in another order than scores."""
_LONG = 1000
"""Before a term with more postings than this, the most promising rows are scored in full."""
_LOOKUP = 8
"""Looking up a row takes as long as reading so many postings in order."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The postings of a term in a segment; no row's score gains more than ``bound`` from it."""

    weight: float
    rows: npt.NDArray[np.uint32]
    codes: Array
    impacts: Scores
    bound: float


class _Sums(threading.local):
    """Sums of scores by row, one array a thread; all 0 between searches."""

    array: Scores | None = None

    def take(self, rows: int) -> Scores:
        found, self.array = self.array, None
        return found if found is not None and len(found) >= rows else np.zeros(rows, np.float64)

    def give(self, array: Scores) -> None:
        self.array = array


_sums = _Sums()


def best(rows: Rows, scores: Scores, k: int) -> tuple[Rows, Scores]:
    """The k best of ``rows``, distinct and in any order, best first, ties by row."""
    if len(rows) > 4 * k + 100:
        kept = np.flatnonzero(scores >= _kth(scores, k))
        rows, scores = rows[kept], scores[kept]
    order = np.lexsort((rows, -scores))[:k]
    return rows[order], scores[order]


def top_of_segment(parts: list[Part], k: int, size: int, mask: Mask | None, threshold: float) -> tuple[Rows, Scores]:
    """The best rows of a segment of ``size`` rows, counted from its first, best first, ties by row.

    Args:
        parts: the terms, in the order in which scores are summed.
        k: how many rows, at least 1.
        size: how many rows the segment has.
        mask: which rows may be returned; None if all may.
        threshold: a score that a row must reach; fewer than k rows may be returned for that.
    """
    # What the parts from each on can add at most.
    left = list(accumulate((part.bound * _SLACK for part in reversed(parts)), initial=0.0))[::-1]
    sums = _sums.take(size)
    candidates, done, threshold = _read(parts, left, k, mask, threshold, sums)
    scores = sums.take(candidates)
    sums[candidates] = 0
    for number, part in enumerate(parts[done:], done):
        candidates, scores = _promising(candidates, scores, threshold - left[number])
        if len(scores) > 4 * k + 32 and (higher := _kth(scores, k)) > threshold:
            threshold = higher
            candidates, scores = _promising(candidates, scores, threshold - left[number])
        if _LOOKUP * len(candidates) < len(part.rows):
            scores += look_up(part, candidates)
        else:
            rows = part.rows.astype(np.int64)
            sums[rows] = _gains(part)
            scores += sums.take(candidates)
            sums[rows] = 0
    candidates, scores = _promising(candidates, scores, threshold)
    _sums.give(sums)
    return best(candidates, scores, k)


def _read(
    parts: list[Part], left: list[float], k: int, mask: Mask | None, threshold: float, sums: Scores
) -> tuple[Rows, int, float]:
    """Adds postings to ``sums`` as long as a row that has none of the parts before may be among the best.

    Returns:
        The rows that have any of the parts that were added, how many these are, and a threshold that may be higher.
    """
    read = [np.empty(0, np.int64)]
    count = judged = 0
    for number, part in enumerate(parts):
        if len(part.rows) > _LONG and count >= k and count > judged:
            threshold = max(threshold, _reached(np.concatenate(read), sums, parts[number:], k))
            judged = 4 * count  # from then on, other rows are likely to be more promising
        if left[number] < threshold:
            return np.concatenate(read), number, threshold
        rows, gains = part.rows.astype(np.int64), _gains(part)  # other numbers are slow to index with
        if mask is not None:
            allowed = mask.take(rows)
            rows, gains = rows[allowed], gains[allowed]
        if count:
            before = sums.take(rows)
            gains += before
            read.append(rows[before == 0])
        else:
            read.append(rows)
        sums[rows] = gains
        count += len(read[-1])
    return np.concatenate(read), len(parts), threshold


def _reached(rows: Rows, sums: Scores, parts: list[Part], k: int) -> float:
    """A score that k of ``rows`` reach: ``sums`` are their scores without ``parts``."""
    scores = sums.take(rows)
    count = 2 * k + 32
    if len(rows) > count:
        chosen = np.argpartition(scores, len(scores) - count)[-count:]
        rows, scores = rows.take(chosen), scores.take(chosen)
    for part in parts:
        scores += look_up(part, rows)
    return _kth(scores, k)


def _gains(part: Part) -> Scores:
    """What the term adds to the scores of the rows that have it."""
    gains = part.impacts.take(part.codes)
    gains *= part.weight
    return gains


def look_up(part: Part, rows: Rows) -> Scores:
    """What the term adds to the scores of these rows."""
    numbers = rows.astype(np.uint32)  # or numpy would convert all of the part's
    at = part.rows.searchsorted(numbers)
    gains = part.impacts.take(part.codes.take(at, mode="clip"))
    gains *= part.weight
    gains *= part.rows.take(at, mode="clip") == numbers
    return gains


def _promising(rows: Rows, scores: Scores, least: float) -> tuple[Rows, Scores]:
    kept = (scores >= least).nonzero()[0]
    return (rows, scores) if len(kept) == len(scores) else (rows.take(kept), scores.take(kept))


def _kth(scores: Scores, k: int) -> float:
    """The k-th largest of at least k scores."""
    return float(np.partition(scores, len(scores) - k)[len(scores) - k])
