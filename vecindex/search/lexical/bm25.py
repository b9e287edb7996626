"""BM25's formulas, on arrays.

Robertson and Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond, 2009, https://doi.org/10.1561/1500000019;
the inverse document frequency is Lucene's, which is never negative. With fields, their weighted counts are added before
the formula is applied (BM25F, with one normalisation for all fields).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

K1 = 1.2
"""How much a term gains from being repeated."""
B = 0.75
"""How much a long text loses."""

Scores = npt.NDArray[np.float64]


def idf(records: int, holding: int) -> float:
    """The weight of a term that ``holding`` of ``records`` have."""
    return math.log1p((records - holding + 0.5) / (holding + 0.5))


def impacts(counts: npt.ArrayLike, lengths: npt.ArrayLike, average: float) -> Scores:
    """What a term adds to a score, before its idf: from 0 to K1 + 1.

    Args:
        counts: how often records have the term, weighted by field.
        lengths: how many terms these records have in all, weighted by field.
        average: the mean of the lengths of all records.
    """
    count, length = np.asarray(counts, np.float64), np.asarray(lengths, np.float64)
    return np.asarray(count * (K1 + 1) / (count + K1 * (1 - B + B * length / average)), np.float64)
