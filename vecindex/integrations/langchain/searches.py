"""The searches of the vector store: by a text or a vector, with scores, diverse, sync and async."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from langchain_core.documents import Document
from langchain_core.runnables.config import run_in_executor
from langchain_core.vectorstores import VectorStore
from langchain_core.vectorstores.utils import maximal_marginal_relevance

from ...errors import InvalidInput, RecordNotFound
from ...index.facade import Index
from ...values.arrays import numbers
from ...values.hits import Hits
from ...values.records import Hit, Record
from .documents import Scored, document_of, scored
from .embeddings import Asked

Filter = Mapping[str, Any] | str


class Searches(VectorStore):
    """The part of a `VecindexVectorStore` that finds documents."""

    index: Index
    _asked: Asked | None
    """The embeddings, if they are not vecindex's own."""

    def similarity_search(self, query: str, k: int = 4, filter: Filter | None = None, **options: Any) -> list[Document]:
        """The documents that answer a query best, the best first."""
        return _documents(self._search(query, k, filter, options))

    async def asimilarity_search(
        self, query: str, k: int = 4, filter: Filter | None = None, **options: Any
    ) -> list[Document]:
        """As `similarity_search`."""
        return _documents(await self._asearch(query, k, filter, options))

    def similarity_search_with_score(
        self, query: str, k: int = 4, filter: Filter | None = None, **options: Any
    ) -> Scored:
        """As `similarity_search`, with the score of each document."""
        return scored(self._search(query, k, filter, options))

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, filter: Filter | None = None, **options: Any
    ) -> Scored:
        """As `similarity_search_with_score`."""
        return scored(await self._asearch(query, k, filter, options))

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, filter: Filter | None = None, **options: Any
    ) -> list[Document]:
        """The documents that are nearest to a vector."""
        return _documents(self.index.search(embedding, k, filter, **options))

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,
        **options: Any,
    ) -> list[Document]:
        """Documents that answer a query and differ from each other, chosen by LangChain's own formula.

        Args:
            query: a text.
            k: how many are chosen.
            fetch_k: from how many: the best that a search finds.
            lambda_mult: from 0, for the greatest diversity, to 1, for the order of the cosines.
            filter: as in all searches.
            options: those of `Index.search`. Its own ``diversity`` is another way to the same end; with
                `similarity_search` it works in one snapshot, and heeds the order of a hybrid search.
        """
        vector = None if self._asked is None else self._asked.embeddings.embed_query(query)
        return self._diverse(query, vector, k, fetch_k, lambda_mult, filter, options)

    async def amax_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,
        **options: Any,
    ) -> list[Document]:
        """As `max_marginal_relevance_search`."""
        vector = None if self._asked is None else await self._asked.embeddings.aembed_query(query)
        choose = partial(self._diverse, query, vector, k, fetch_k, lambda_mult, filter, options)
        chosen: list[Document] = await run_in_executor(None, choose)
        return chosen

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,
        **options: Any,
    ) -> list[Document]:
        """As `max_marginal_relevance_search`, of a vector."""
        return self._chosen(self.index.search(embedding, fetch_k, filter, **options), embedding, k, lambda_mult)

    def _select_relevance_score_fn(self) -> Any:
        return _relevance

    def _similarity_search_with_relevance_scores(self, query: str, k: int = 4, **options: Any) -> Scored:
        _check_relevance(options)
        return [(document, _relevance(s)) for document, s in self.similarity_search_with_score(query, k, **options)]

    async def _asimilarity_search_with_relevance_scores(self, query: str, k: int = 4, **options: Any) -> Scored:
        _check_relevance(options)
        found = await self.asimilarity_search_with_score(query, k, **options)
        return [(document, _relevance(score)) for document, score in found]

    def _search(
        self,
        query: str,
        k: int,
        filter: Filter | None,
        options: Mapping[str, Any],
        vector: Sequence[float] | None = None,
    ) -> Hits:
        """What the index finds; ``vector`` is that of the query, if the caller's embeddings made it already."""
        if vector is None or not _lacks_vector(options):
            return self.index.search(query, k, filter, **options)
        _ = self.index.encoder  # raises SpaceMismatch if the index has vectors of other embeddings
        return self.index.search(query, k, filter, vector=vector, **options)

    async def _asearch(self, query: str, k: int, filter: Filter | None, options: Mapping[str, Any]) -> Hits:
        vector = None
        if self._asked is not None and _lacks_vector(options):
            vector = await self._asked.embeddings.aembed_query(query)
        hits: Hits = await run_in_executor(None, partial(self._search, query, k, filter, options, vector))
        return hits

    def _diverse(
        self,
        query: str,
        vector: Sequence[float] | None,
        k: int,
        fetch_k: int,
        lambda_mult: float,
        filter: Filter | None,
        options: Mapping[str, Any],
    ) -> list[Document]:
        hits = self._search(query, fetch_k, filter, options, vector)
        if vector is None and hits:
            vector = self.index.encoder.encode([query], role="query")[0].tolist()
        return self._chosen(hits, vector or (), k, lambda_mult)

    def _chosen(self, hits: Hits, query: Sequence[float], k: int, lambda_mult: float) -> list[Document]:
        """Those of the hits that are chosen for a query's vector by maximal marginal relevance."""
        stored = {key: record.vector for key, record in self._stored([hit.key for hit in hits])}
        left = [hit for hit in hits if hit.key in stored]  # others were deleted since they were found
        if not left:
            return []
        asked = numbers(query, "the numbers of the query")
        # A record without a vector is unlike everything.
        vectors: list[Any] = [0 * asked if stored[hit.key] is None else stored[hit.key] for hit in left]
        return [document_of(left[place]) for place in maximal_marginal_relevance(asked, vectors, lambda_mult, k)]

    def _stored(self, keys: Iterable[str]) -> Iterator[tuple[str, Record]]:
        for key in keys:
            with contextlib.suppress(RecordNotFound):
                yield key, self.index.get(key)


def _documents(hits: Sequence[Hit]) -> list[Document]:
    return [document_of(hit) for hit in hits]


def _is_encoded(options: Mapping[str, Any]) -> bool:
    """Whether a search with these options compares vectors."""
    return options.get("mode") != "lexical"


def _lacks_vector(options: Mapping[str, Any]) -> bool:
    """Whether a search with these options compares vectors, and was not given that of the query."""
    return _is_encoded(options) and options.get("vector") is None


def _relevance(cosine: float) -> float:
    """The cosine, brought to the range from 0 to 1: 0 if it is negative."""
    return min(max(0.0, cosine), 1.0)


def _check_relevance(options: Mapping[str, Any]) -> None:
    if not _is_encoded(options):
        raise InvalidInput(
            'relevance scores are cosines, and mode="lexical" has none',
            'Search with mode="hybrid", or without a score threshold.',
        )
