"""Finds the best rows of one segment: `top_of_segment`.

MaxScore (Turtle and Flood, Query evaluation: strategies and optimizations, 1995), term by term, the heaviest first:
once the terms that are left cannot lift a row that has none of the terms before into the best k, they are only looked
up for the rows that still can be among these.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .bm25 import Scores
from .segment import Array

Rows = npt.NDArray[np.int64]

_SLACK = 1 + 1e-6
"""Bounds are computed of numbers of 32 bits, and sums in another order than scores."""


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


def top_of_segment(
    parts: list[Part], k: int, size: int, mask: npt.NDArray[np.bool_] | None, threshold: float
) -> tuple[Rows, Scores]:
    """The best rows of a segment of ``size`` rows, counted from its first, best first, ties by row.

    Args:
        parts: the terms, in the order in which scores are summed.
        k: how many rows, at least 1.
        size: how many rows the segment has.
        mask: which rows may be returned; None if all may.
        threshold: a score that a row must reach; fewer than k rows may be returned for that.
    """
    left = [0.0]  # what the parts from each on can add at most
    for part in reversed(parts):
        left.insert(0, left[0] + part.bound * _SLACK)
    sums = _sums.take(size)
    touched: list[npt.NDArray[np.uint32]] = []
    done = 0
    for part in parts:
        if left[done] < threshold:
            break
        rows, gains = part.rows, part.impacts[part.codes] * part.weight
        if mask is not None:
            allowed = mask[rows]
            rows, gains = rows[allowed], gains[allowed]
        if touched:
            before = sums[rows]
            gains += before
            touched.append(rows[before == 0])
        else:
            touched.append(rows)
        sums[rows] = gains
        done += 1
        if len(gains) >= k and done < len(parts):
            threshold = max(threshold, _kth(gains, k))
    candidates = np.concatenate(touched) if touched else np.empty(0, np.uint32)
    scores = sums[candidates]
    sums[candidates] = 0
    _sums.give(sums)
    kept = np.flatnonzero(scores + left[done] >= threshold)
    candidates, scores = candidates[kept], scores[kept]
    if done < len(parts):
        order = np.argsort(candidates)
        candidates, scores = candidates[order], scores[order]
    for number in range(done, len(parts)):
        part = parts[number]
        at = np.searchsorted(part.rows, candidates)
        at[at == len(part.rows)] = 0
        has = np.flatnonzero(part.rows[at] == candidates)
        scores[has] += part.impacts[part.codes[at[has]]] * part.weight
        if len(scores) > k:
            threshold = max(threshold, _kth(scores, k))
            kept = np.flatnonzero(scores + left[number + 1] >= threshold)
            candidates, scores = candidates[kept], scores[kept]
    return best(candidates.astype(np.int64), scores, k)


def _kth(scores: Scores, k: int) -> float:
    """The k-th largest of at least k scores."""
    return float(np.partition(scores, len(scores) - k)[len(scores) - k])
