"""Joins the two sides of hybrid search: one score for each candidate from its cosine and its BM25 score. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]
Fusion = Literal["convex", "rrf"]

DEPTH = 100
"""How many candidates each side proposes, at least."""
_WEIGHT = 0.5
"""The dense side's share. Measured on SciFact: 0.4 to 0.6 give the same quality."""
_RANK = 60


def convex(dense: Scores, lexical: Scores) -> Scores:
    """The weighted mean of both sides' scores, each brought to the range from 0 to 1.

    Cosines, whose range depends on the model, run from the lowest to the highest of the candidates; BM25 scores from 0,
    for a text that has none of the words, to the highest. Bruch, Gai and Ingber, An Analysis of Fusion Functions for
    Hybrid Retrieval, 2023, https://doi.org/10.1145/3596512, found it better than ranks.

    Args:
        dense: the cosines of the candidates (n,).
        lexical: their BM25 scores (n,), at least 0.
    """
    if not len(dense):
        return np.empty(0, np.float64)
    low, high, best = dense.min(), dense.max(), lexical.max()
    near = (dense - low) / (high - low) if high > low else np.ones(len(dense))
    worded = lexical / best if best > 0 else np.zeros(len(lexical))
    return np.asarray(_WEIGHT * near + (1 - _WEIGHT) * worded, np.float64)


def rrf(dense: Scores, lexical: Scores) -> Scores:
    """Reciprocal rank fusion: the sum of 1 / (60 + rank) of both sides, ties by position; 0 for a text without words.

    Cormack, Clarke and Buettcher, Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods,
    2009, https://doi.org/10.1145/1571941.1572114. Arguments are as in `convex`, in the order of insertion.
    """
    return _by_rank(dense) + np.where(lexical > 0, _by_rank(lexical), 0.0)


def _by_rank(scores: Scores) -> Scores:
    found = np.empty(len(scores), np.float64)
    found[np.argsort(-scores, kind="stable")] = 1 / (_RANK + 1 + np.arange(len(scores)))
    return found


FUSIONS: dict[Fusion, Callable[[Scores, Scores], Scores]] = {"convex": convex, "rrf": rrf}
"""The ways of joining the sides."""
