"""Chooses hits that answer the query and differ from each other: maximal marginal relevance. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..dense.exact import Rows, Vectors, scores

_LEAST, _EACH = 50, 5


def candidates(k: int) -> int:
    """Of how many of the best records k are chosen."""
    return max(_LEAST, _EACH * k)


def diverse(relevance: npt.NDArray[Any], vectors: Vectors, k: int, diversity: float) -> Rows:
    """The places (min(k, n),) of the chosen among n candidates, in the order in which they are chosen.

    The next is always the one with the largest ``(1 - diversity) * relevance - diversity * cosine``, where the cosine
    is the largest to one that was chosen already, 0 if none was; ties by place. That is maximal marginal relevance, of
    Carbonell and Goldstein, The Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing Summaries,
    1998, https://doi.org/10.1145/290941.291025, with ``1 - diversity`` as its lambda.

    Args:
        relevance: what orders the candidates (n,), brought here to the range from 0 to 1; 1 if all are equal, and NaN
            counts as the lowest.
        vectors: their unit vectors (n, D).
        k: how many to choose.
        diversity: from 0, which chooses the most relevant, to 1, which chooses by the vectors alone.
    """
    worth = (1 - diversity) * _spread(np.asarray(relevance, np.float64))
    nearest = np.full(len(worth), -np.inf)
    left = np.ones(len(worth), np.bool_)
    chosen: list[int] = []
    while len(chosen) < min(k, len(worth)):
        marginal = worth - diversity * nearest if chosen else worth
        place = int(np.argmax(np.where(left, marginal, -np.inf)))
        chosen.append(place)
        left[place] = False
        # Vectors of earlier versions may hold NaN; they are near to nothing.
        cosines = np.nan_to_num(scores(vectors, vectors[place]).astype(np.float64), nan=-1.0)
        nearest = np.maximum(nearest, np.clip(cosines, -1, 1))
    return np.array(chosen, np.int64)


def _spread(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The scores brought to the range from 0, for the lowest and for NaN, to 1, for the highest; 1 if all are equal."""
    known = ~np.isnan(scores)
    spread = np.zeros(len(scores))
    if known.any():
        low, high = scores[known].min(), scores[known].max()
        spread[known] = (scores[known] - low) / (high - low) if high > low else 1.0
    return spread
