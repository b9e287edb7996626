"""Joins the scores that several sides give to candidates. Pure.

A side's score becomes a part that means the same for every query and model, and that depends on no other candidate; the
parts add up. So records stand in the same order whatever the filter, the number of hits and the other records found.

- A cosine: from 0 for the mean of random pairs of records to 1 for equal vectors; 0 where there is no vector. The
  cosines of unrelated texts differ from model to model, 0.05 with one and 0.7 with another; this is the same for both.
- A BM25 score: the share that it is of the score of a text that has the query's words and no others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .background import Background

Scores = npt.NDArray[np.float64]
Sides = Mapping[str, npt.NDArray[Any]]
"""The scores of some rows by the side that gave them: "dense", "lexical"."""
Parts = dict[str, Scores]
"""What each side adds to the scores of candidates (n,), by the side: "dense", "lexical", "tokens"."""
Fusion = Literal["convex", "rrf"]

DEPTHS: dict[Fusion, int] = {"convex": 50, "rrf": 100}
"""How many candidates each side proposes, at least.

"convex" asks for more where a better record might be missing. Measured on 100,000 rows, for ten hits 5 of 6 queries
need no more, and with 100 candidates 24 of 25; but 50 take less time, asking again included.
"""
_MOST_UNRELATED = 0.95
"""In an index of a few texts that are all alike, words must still count."""
_RANK = 60
_BESIDE_TOKENS = {"dense": 1.0, "lexical": 2.0}
_TOKENS = 2.0
_ALONE = 0.5
"""The weights of the sides beside the token scores; one without the other has half of its own.

Measured with all-MiniLM-L6-v2 and 100 candidates, nDCG@10 on SciFact: hybrid 0.734, with these 0.742, and from 0.736 to
0.742 with others near them; in the mode "dense" 0.713, and 0.645 without tokens; in the mode "lexical" 0.726 and 0.686.
On the other sets of tests/bench/relevance.py they are at most 0.005 behind the best of their parts, 0.007 for single
words. A smaller power or more weight of the words is better for these, and much worse for queries without such words.
"""
_SHARE_BESIDE_TOKENS = 0.75
"""The power of the share of words beside token scores, which see most of the same words: it is worth more if small."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What a query's scores are measured by.

    ``unrelated`` is the cosine that stands for nothing; ``whole`` is the BM25 score of the query itself as a text, 0 if
    words play no part.
    """

    unrelated: float = 0.0
    whole: float = 0.0

    @classmethod
    def of(cls, background: Background | None, whole: float) -> Scale:
        """The scale of an index with such a background."""
        mean = 0.0 if background is None else background.mean
        return cls(min(max(mean, 0.0), _MOST_UNRELATED), whole)

    def nearness(self, cosines: npt.NDArray[Any]) -> Scores:
        """The part that cosines (n,) are: 1 for equal vectors, 0 for unrelated ones, and less for opposite ones."""
        return np.asarray((cosines.astype(np.float64) - self.unrelated) / (1 - self.unrelated), np.float64)

    def share(self, lexical: npt.NDArray[Any]) -> Scores:
        """The part that BM25 scores (n,) are, from 0; more than 1 for a text that repeats the query's words."""
        return np.asarray(lexical / self.whole if self.whole > 0 else np.zeros(len(lexical)), np.float64)


def convex(dense: Scores, lexical: Scores, scale: Scale) -> Parts:
    """The parts of both sides, whose sum orders.

    Measured on the sets of tests/bench/relevance.py, any weight of the words from 0.8 to 1.3 is as good. Bruch, Gai and
    Ingber, An Analysis of Fusion Functions for Hybrid Retrieval, 2023, https://doi.org/10.1145/3596512, found sums of
    normalised scores better than ranks.

    Args:
        dense: the cosines of the candidates (n,), NaN for one without a vector.
        lexical: their BM25 scores (n,), at least 0.
        scale: the query's.
    """
    nearness = scale.nearness(dense)
    nearness[np.isnan(nearness)] = 0.0  # faster than np.nan_to_num
    return {"dense": nearness, "lexical": scale.share(lexical)}


def rrf(dense: Scores, lexical: Scores, scale: Scale) -> Parts:
    """Reciprocal rank fusion: 1 / (60 + rank) of each side, ties by position; 0 for a text without words or vector.

    Cormack, Clarke and Buettcher, Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods,
    2009, https://doi.org/10.1145/1571941.1572114. Arguments are as in `convex`, in the order of insertion; ranks are
    among these candidates, so that this alone depends on them.
    """
    return {
        "dense": np.where(np.isnan(dense), 0.0, _by_rank(np.nan_to_num(dense, nan=-2.0))),
        "lexical": np.where(lexical > 0, _by_rank(lexical), 0.0),
    }


def mixed(sides: Sides, tokens: Scores, scale: Scale) -> Parts:
    """The parts of the first stage's sides and of the token scores, whose sum orders again.

    Args:
        sides: the scores of the first stage (n,), by side: "dense", NaN for a record without a vector, "lexical".
        tokens: the mean cosines of the query's tokens (n,), NaN where there is none, which adds nothing.
        scale: the query's.
    """
    parts = {"tokens": _TOKENS * np.nan_to_num(scale.nearness(tokens))}
    for name, scores in sides.items():
        weight = _BESIDE_TOKENS[name] * (1.0 if len(sides) > 1 else _ALONE)
        part = np.nan_to_num(scale.nearness(scores)) if name == "dense" else scale.share(scores) ** _SHARE_BESIDE_TOKENS
        parts[name] = weight * part
    return parts


def total(parts: Parts) -> Scores:
    """The sum of the parts (n,)."""
    first, *others = parts.values()
    return np.asarray(sum(others, start=first), np.float64)


def _by_rank(scores: Scores) -> Scores:
    found = np.empty(len(scores), np.float64)
    found[np.argsort(-scores, kind="stable")] = 1 / (_RANK + 1 + np.arange(len(scores)))
    return found


FUSIONS: dict[Fusion, Callable[[Scores, Scores, Scale], Parts]] = {"convex": convex, "rrf": rrf}
"""The ways of joining the sides."""
