"""Says how alike two rankings are, and how well one answers a query: what a migration reports."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log2
from typing import Protocol

import numpy as np

from ..errors import InvalidInput, RecordNotFound
from ..search.options import SearchOptions
from ..values.records import Hit, Record

SAMPLES = 50
"""Stored records whose neighbours are compared if no queries are given."""
K = 10


@dataclass(frozen=True, slots=True)
class ChangedQuery:
    """A query, the keys that ``left`` its first ten hits, and those that ``came`` instead, best first."""

    query: str
    overlap: float
    left: tuple[str, ...]
    came: tuple[str, ...]


class Searched(Protocol):
    """What comparing two indexes needs of each."""

    def __len__(self) -> int: ...
    def keys(self) -> list[str]: ...
    def get(self, key: str) -> Record: ...
    def search(self, query: str, k: int) -> list[Hit]: ...
    def _similar(self, like: tuple[str, ...], options: SearchOptions) -> list[Hit]: ...


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


def compare(
    old: Searched,
    new: Searched,
    queries: Sequence[str] | Mapping[str, str],
    qrels: Mapping[str, Mapping[str, float]] | None,
) -> tuple[list[ChangedQuery], float | None, float | None]:
    """How the first hits of each query differ, and the mean nDCG of both indexes if there are judgements."""
    changed: list[ChangedQuery] = []
    gains: list[tuple[float, float]] = []
    named = queries.items() if isinstance(queries, Mapping) else ((text, text) for text in queries)
    asked = [(name, text, hits_of(old, text), hits_of(new, text)) for name, text in named]
    if not asked:
        there, keys = set(new.keys()), old.keys()  # other writers may add and delete records meanwhile
        keys = [key for key in keys if key in there]
        for i in np.linspace(0, len(keys) - 1, min(len(keys), SAMPLES)).astype(int).tolist():
            with contextlib.suppress(RecordNotFound, InvalidInput):  # it has lost its vector meanwhile
                asked.append((keys[i], old.get(keys[i]).text, _like(old, keys[i]), _like(new, keys[i])))
    for name, text, before, after in asked:
        left = tuple(key for key in before if key not in after)
        came = tuple(key for key in after if key not in before)
        changed.append(ChangedQuery(text, overlap(before, after), left, came))
        if qrels is not None and name in qrels:
            gains.append((ndcg(before, qrels[name], K), ndcg(after, qrels[name], K)))
    if not gains:
        return changed, None, None
    return changed, float(np.mean([b for b, _ in gains])), float(np.mean([a for _, a in gains]))


def hits_of(index: Searched, text: str) -> list[str]:
    return [hit.key for hit in index.search(text, K)]


def _like(index: Searched, key: str) -> list[str]:
    return [hit.key for hit in index._similar((key,), SearchOptions(K))]
