"""Estimates how many hits are missing among the candidates that codes proposed. Pure.

The model: the score of a row with the estimate e is normal around a + b e, and the number of rows grows exponentially
below the last estimate, at the rate at which the candidates' estimates become more frequent. Both are fitted to the
candidates of each query alone, so that the answer does not depend on the queries beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .exact import Vectors

_DISTINCT = 16
"""Of fewer different estimates, nothing can be told."""
_STEPS = 16


def are_in_doubt(
    scores: Vectors, estimates: Vectors, ends: Vectors, lasts: Vectors, outside: int, most: float
) -> npt.NDArray[np.bool_]:
    """For which queries (q,) more than ``most`` of ``outside`` rows are expected to score more than the last hit.

    Args:
        scores: the scores of each query's candidates (q, c).
        estimates: their estimates (q, c), the highest first.
        ends: the lowest estimate that was proposed to each query (q,); the rows outside have lower ones.
        lasts: the score of each query's last hit (q,).
        outside: how many rows were not proposed.
        most: how many hits may be missing.
    """
    count = estimates.shape[1]
    # Copies of a row share its estimate and score: they tell no more than a single row does.
    differ = estimates[:, :-1] != estimates[:, 1:]
    parts = np.empty((len(estimates), 3, count), np.float64)
    counted = parts[:, 0]
    counted[:, :-1], counted[:, -1] = differ, differ.all(axis=1)
    np.multiply(estimates, counted, out=parts[:, 1])
    np.multiply(scores, counted, out=parts[:, 2])
    sums = np.einsum("qic,qjc->qij", parts, parts).tolist()
    found = []
    for each, end, last in zip(sums, ends.tolist(), lasts.tolist(), strict=True):
        line = _fitted(each, end, last)
        found.append(line is None or _are_expected(*line, count, outside, most))
    return np.array(found, np.bool_)


def _fitted(sums: Sequence[Sequence[float]], end: float, last: float) -> tuple[float, float] | None:
    """How far below the last hit the scores at the last estimate are, and how fast they fall, in deviations.

    ``sums`` are those of the products of 1, the estimates and the scores with each other. None where they tell nothing.
    """
    (distinct, total, score), (_, squares, products), (*_, of_scores) = sums
    if distinct < _DISTINCT:
        return None
    centre, level = total / distinct, score / distinct
    variance, together = squares - centre * total, products - centre * score
    scale = centre - end
    if not (math.isfinite(end) and variance > 0 and scale > 0):
        return None
    slope = min(max(together / variance, 0.0), 1.0)
    residue = max(of_scores - level * score - 2 * slope * together + slope * slope * variance, 0.0)
    deviation = math.sqrt(residue / (distinct - 2)) * (1 + 1 / math.sqrt(distinct)) + 1e-9
    return (last - level - slope * (end - centre)) / deviation, slope * scale / deviation


def _are_expected(gap: float, fall: float, count: int, outside: int, most: float) -> bool:
    """Whether more than ``most`` rows are expected above the last hit, of ``outside`` beside ``count`` candidates."""
    step = math.log1p(outside / count) / _STEPS
    limit, times, total = 2 * most / count, math.exp(step), 1 + outside / count
    grown, found = 1.0, 0.0
    for number in range(_STEPS):
        before, grown = grown, grown * times
        above = math.erfc((gap + fall * step * (number + 0.5)) / math.sqrt(2))
        found += (grown - before) * above
        if found > limit:
            return True
        if found + (total - grown) * above <= limit:  # rows of lower estimates can only be less likely
            return False
    return False
