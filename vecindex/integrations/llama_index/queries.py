"""Queries of LlamaIndex as searches: each mode, and what it finds."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode

from ...errors import InvalidInput, RecordNotFound
from ...index.facade import Index
from ...values.records import Hit
from .filters import Selection

_DEPTH = 100
"""How many of the best of each side are joined, at least."""
_MMR_LEAST, _MMR_EACH = 100, 10
"""From how many of the best nodes those of the mode ``mmr`` are chosen: at least, and for each that is wanted."""
_MMR_THRESHOLD = 0.5


@dataclass(frozen=True)
class Asked:
    """A query, and the records that it may find.

    ``keys`` are the only records that may be found, None for any.
    """

    index: Index
    query: VectorStoreQuery
    selection: Selection
    keys: frozenset[str] | None
    mmr_threshold: float | None

    def hits(self) -> list[Hit]:
        """What the query finds, the best first.

        Raises:
            InvalidInput: the mode is not supported, or the query lacks what it needs.
        """
        if self.query.mode not in _MODES:
            supported = ", ".join(each.value for each in _MODES)
            raise InvalidInput(f"the query mode {self._mode!r} is not supported", f"Use one of these: {supported}.")
        return _MODES[self.query.mode](self)

    def dense(self) -> list[Hit]:
        """The nearest to the embedding."""
        return self._best(self.embedding, self.query.similarity_top_k, mode="dense")

    def lexical(self) -> list[Hit]:
        """The best by the words of the query."""
        return self._best(self.text, self.query.sparse_top_k or self.query.similarity_top_k, mode="lexical")

    def hybrid(self) -> list[Hit]:
        """The best by both: as `Index.search` joins them, or by the weight ``alpha`` if the query has one."""
        if self.query.alpha is not None:
            return self._weighted(self.query.alpha)
        return self._best(self.text, self._k_of_both, mode="hybrid", vector=self.query.query_embedding)

    def reranked(self) -> list[Hit]:
        """The best by both, of which the best are compared token by token."""
        if not self._is_by_where_alone:
            raise InvalidInput(
                "semantic_hybrid cannot be combined with node_ids, text_match_insensitive or is_empty",
                "Leave these out, or use the mode hybrid.",
            )
        options: dict[str, Any] = {"mode": "hybrid", "rerank": "tokens", "vector": self.query.query_embedding}
        return list(self.index.search(self.text, self._k_of_both, self.selection.where, **options))

    def diverse(self) -> list[Hit]:
        """Those that are near to the embedding and not near to each other: maximal marginal relevance.

        The next is always the one with the largest ``threshold * cosine - (1 - threshold) * nearest``, where
        ``nearest`` is its largest cosine to one that was chosen before.
        """
        threshold = self.query.mmr_threshold if self.mmr_threshold is None else self.mmr_threshold
        threshold = _MMR_THRESHOLD if threshold is None else threshold
        k = self.query.similarity_top_k
        near = self._best(self.embedding, max(_MMR_LEAST, _MMR_EACH * k), mode="dense")
        left = [(hit, vector) for hit in near if (vector := self._vector_of(hit.key)) is not None]
        nearest = [0.0] * len(left)
        chosen: list[Hit] = []
        while left and len(chosen) < k:
            worth = [
                threshold * hit.score - (1 - threshold) * near for (hit, _), near in zip(left, nearest, strict=True)
            ]
            place = worth.index(max(worth))
            hit, vector = left.pop(place)
            nearest.pop(place)
            cosines = [float(other @ vector) for _, other in left]
            nearest = [max(pair) for pair in zip(nearest, cosines, strict=True)] if chosen else cosines
            chosen.append(hit)
        return chosen

    @property
    def embedding(self) -> list[float]:
        """The embedding of the query."""
        if self.query.query_embedding is None:
            raise InvalidInput(f"a query in the mode {self._mode!r} needs an embedding", "Set query_embedding.")
        return list(self.query.query_embedding)

    @property
    def text(self) -> str:
        """The text of the query."""
        if self.query.query_str is None:
            raise InvalidInput(f"a query in the mode {self._mode!r} needs a text", "Set query_str.")
        return str(self.query.query_str)

    @property
    def _mode(self) -> str:
        mode = self.query.mode  # a string, or the member that is equal to it
        return str(getattr(mode, "value", mode))

    @property
    def _k_of_both(self) -> int:
        k: int = self.query.hybrid_top_k or self.query.similarity_top_k
        return k

    @property
    def _is_by_where_alone(self) -> bool:
        return self.selection.is_exact and self.keys is None

    def _weighted(self, alpha: float) -> list[Hit]:
        """The best by ``alpha`` times the cosine and ``1 - alpha`` times the BM25 score, of the best of each side.

        Of these, the lowest cosine counts as 0 and the highest as 1; so does the highest BM25 score, and no word as 0.
        """
        if not 0 <= alpha <= 1:
            raise InvalidInput(f"alpha is {alpha:g}", "Give a weight from 0, words alone, to 1, vectors alone.")
        depth = max(_DEPTH, self.query.similarity_top_k)
        near = {hit.key: hit for hit in self._best(self.embedding, depth, mode="dense")}
        worded = {hit.key: hit for hit in self._best(self.text, self.query.sparse_top_k or depth, mode="lexical")}
        length = math.hypot(*self.embedding)
        found = list(near.values())
        for key, hit in worded.items():
            if key not in near:
                vector = self._vector_of(key)
                cosine = sum(map(operator.mul, vector.tolist(), self.embedding)) / length if vector is not None else 0.0
                found.append(replace(hit, score=cosine))
        if not found:
            return []
        scores = [hit.score for hit in found]
        low, high = min(scores), max(scores)
        most = max((hit.score for hit in worded.values()), default=1.0)

        def fused(hit: Hit) -> float:
            nearness = (hit.score - low) / (high - low) if high > low else 1.0
            words = worded[hit.key].score / most if hit.key in worded else 0.0
            return alpha * nearness + (1 - alpha) * words

        return sorted(found, key=fused, reverse=True)[: self._k_of_both]

    def _best(self, question: Any, k: int, **options: Any) -> list[Hit]:
        """The k best of the records that may be found."""
        if self._is_by_where_alone:
            return list(self.index.search(question, k, self.selection.where, **options))
        every = self.index.search_all(question, where=self.selection.where, **options)
        return list(islice(filter(self._may_be_found, every), k))

    def _vector_of(self, key: str) -> Any:
        """The vector (D,) of a record; None if it has none, or was deleted meanwhile."""
        try:
            return self.index.get(key).vector
        except RecordNotFound:
            return None

    def _may_be_found(self, hit: Hit) -> bool:
        return (self.keys is None or hit.key in self.keys) and self.selection.test(hit.metadata)


_MODES: dict[VectorStoreQueryMode, Callable[[Asked], list[Hit]]] = {
    VectorStoreQueryMode.DEFAULT: Asked.dense,
    VectorStoreQueryMode.SPARSE: Asked.lexical,
    VectorStoreQueryMode.TEXT_SEARCH: Asked.lexical,
    VectorStoreQueryMode.HYBRID: Asked.hybrid,
    VectorStoreQueryMode.SEMANTIC_HYBRID: Asked.reranked,
    VectorStoreQueryMode.MMR: Asked.diverse,
}
