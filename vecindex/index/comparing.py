"""Says how alike two rankings are, and how well one answers a query: what a migration reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log2


def ndcg(ranking: Sequence[str], relevance: Mapping[str, float], k: int = 10) -> float:
    """nDCG@k: the discounted cumulative gain of the first k keys, divided by the best possible one; from 0 to 1.

    DCG is the sum over ranks i, from 1, of relevance / log2(i + 1), as in https://doi.org/10.1145/582415.582418 and
    trec_eval. A key that is not in ``relevance`` counts 0. If nothing is relevant, the result is 0.
    """

    def dcg(gains: Sequence[float]) -> float:
        return sum(gain / log2(rank + 1) for rank, gain in enumerate(gains, 1))

    best = dcg(sorted(relevance.values(), reverse=True)[:k])
    return dcg([relevance.get(key, 0.0) for key in ranking[:k]]) / best if best > 0 else 0.0


def overlap(one: Sequence[str], other: Sequence[str]) -> float:
    """The share of the longer ranking's keys that are in both rankings, in any order; 1 for two empty rankings."""
    longer = max(len(one), len(other))
    return len(set(one) & set(other)) / longer if longer else 1.0
