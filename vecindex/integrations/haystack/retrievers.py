"""Haystack components that retrieve documents from a `VecindexDocumentStore`: by embedding, by words, and by both."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import Any, Literal, TypeVar

from haystack import component, default_from_dict, default_to_dict
from haystack.dataclasses import Document
from haystack.document_stores.types import FilterPolicy, apply_filter_policy

from ...errors import InvalidInput
from ...search.fusion import Fusion
from .store import Scored, VecindexDocumentStore

Self = TypeVar("Self", bound="_Retriever")
_BM25_SCALE = 8
"""The one that Haystack's own keyword retriever divides by."""


class _Retriever:
    """What the retrievers share."""

    mode: Scored

    def __init__(
        self,
        document_store: VecindexDocumentStore,
        *,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        return_embedding: bool = False,
        filter_policy: str | FilterPolicy = FilterPolicy.REPLACE,
    ) -> None:
        if not isinstance(document_store, VecindexDocumentStore):
            raise TypeError("document_store must be a VecindexDocumentStore")
        if top_k < 1:
            raise InvalidInput(f"top_k is {top_k}", "Pass a number of documents, 1 or more.")
        self.document_store = document_store
        self.filters = filters
        self.top_k = top_k
        self.return_embedding = return_embedding
        self.filter_policy = FilterPolicy.from_str(filter_policy) if isinstance(filter_policy, str) else filter_policy

    def _settings(self) -> dict[str, Any]:
        """The arguments that the retriever was made with."""
        return {
            "document_store": self.document_store,
            "filters": self.filters,
            "top_k": self.top_k,
            "return_embedding": self.return_embedding,
            "filter_policy": self.filter_policy.value,
        }

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` makes the same component of."""
        found: dict[str, Any] = default_to_dict(self, **self._settings())
        return found

    @classmethod
    def from_dict(cls: type[Self], data: dict[str, Any]) -> Self:
        """The component that `to_dict` described."""
        found: Self = default_from_dict(cls, data)
        return found

    def _search(
        self, filters: dict[str, Any] | None, top_k: int | None, return_embedding: bool | None, **asked: Any
    ) -> list[Document]:
        return self.document_store.search(
            self.mode,
            filters=apply_filter_policy(self.filter_policy, self.filters, filters),
            top_k=self.top_k if top_k is None else top_k,
            return_embedding=self.return_embedding if return_embedding is None else return_embedding,
            **asked,
        )


class _Scaled(_Retriever):
    """A retriever whose scores can be brought to the range from 0 to 1."""

    def __init__(
        self,
        document_store: VecindexDocumentStore,
        *,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        scale_score: bool = False,
        return_embedding: bool = False,
        filter_policy: str | FilterPolicy = FilterPolicy.REPLACE,
    ) -> None:
        super().__init__(
            document_store,
            filters=filters,
            top_k=top_k,
            return_embedding=return_embedding,
            filter_policy=filter_policy,
        )
        self.scale_score = scale_score

    def _settings(self) -> dict[str, Any]:
        return {**super()._settings(), "scale_score": self.scale_score}

    def _scaled(self, found: list[Document], scale_score: bool | None) -> list[Document]:
        if not (self.scale_score if scale_score is None else scale_score):
            return found
        return [replace(document, score=self._scale(document.score or 0.0)) for document in found]

    def _scale(self, score: float) -> float:
        raise NotImplementedError


class _Fused(_Retriever):
    """A retriever that joins two sides. It is apart from its component, since `component` makes a new class of that."""

    def __init__(
        self,
        document_store: VecindexDocumentStore,
        *,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        fusion: Literal["convex", "rrf"] = "convex",
        return_embedding: bool = False,
        filter_policy: str | FilterPolicy = FilterPolicy.REPLACE,
    ) -> None:
        super().__init__(
            document_store,
            filters=filters,
            top_k=top_k,
            return_embedding=return_embedding,
            filter_policy=filter_policy,
        )
        self.fusion: Fusion = fusion

    def _settings(self) -> dict[str, Any]:
        return {**super()._settings(), "fusion": self.fusion}


@component
class VecindexEmbeddingRetriever(_Scaled):
    """Retrieves the documents whose embeddings are nearest to that of a query.

    Documents without an embedding, and those whose embedding is all zeros, are not found.

    Args:
        document_store: where the documents are.
        filters: a filter of Haystack.
        top_k: the largest number of documents.
        scale_score: bring the scores, which are cosines, to the range from 0 to 1.
        return_embedding: return documents with their embeddings.
        filter_policy: whether a filter at run time replaces ``filters`` or is joined with it.
    """

    mode = "dense"

    @component.output_types(documents=list[Document])
    def run(
        self,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        scale_score: bool | None = None,
        return_embedding: bool | None = None,
    ) -> dict[str, list[Document]]:
        """Returns ``{"documents": [...]}``, the best first; what is given replaces the component's own setting."""
        found = self._search(filters, top_k, return_embedding, query_embedding=query_embedding)
        return {"documents": self._scaled(found, scale_score)}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        scale_score: bool | None = None,
        return_embedding: bool | None = None,
    ) -> dict[str, list[Document]]:
        """As `run`, in a thread."""
        found: dict[str, list[Document]] = await asyncio.to_thread(
            self.run, query_embedding, filters, top_k, scale_score, return_embedding
        )
        return found

    def _scale(self, score: float) -> float:
        return (1 + score) / 2


@component
class VecindexKeywordRetriever(_Scaled):
    """Retrieves the documents with the words of a query, by BM25. A phrase in quotation marks is looked for as a whole.

    Args:
        document_store: where the documents are.
        filters: a filter of Haystack.
        top_k: the largest number of documents.
        scale_score: bring the scores, which are BM25, to the range from 0 to 1, as Haystack's own retriever does.
        return_embedding: return documents with their embeddings.
        filter_policy: whether a filter at run time replaces ``filters`` or is joined with it.
    """

    mode = "lexical"

    @component.output_types(documents=list[Document])
    def run(
        self,
        query: str,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        scale_score: bool | None = None,
        return_embedding: bool | None = None,
    ) -> dict[str, list[Document]]:
        """Returns ``{"documents": [...]}``, the best first; what is given replaces the component's own setting."""
        found = self._search(filters, top_k, return_embedding, query=query)
        return {"documents": self._scaled(found, scale_score)}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query: str,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        scale_score: bool | None = None,
        return_embedding: bool | None = None,
    ) -> dict[str, list[Document]]:
        """As `run`, in a thread."""
        found: dict[str, list[Document]] = await asyncio.to_thread(
            self.run, query, filters, top_k, scale_score, return_embedding
        )
        return found

    def _scale(self, score: float) -> float:
        return 1 / (1 + math.exp(-score / _BM25_SCALE))


@component
class VecindexHybridRetriever(_Fused):
    """Retrieves the documents that answer a query best by its embedding and its words together, in one search.

    The scores tell the rank alone: 61 / (60 + rank).

    Args:
        document_store: where the documents are.
        filters: a filter of Haystack.
        top_k: the largest number of documents.
        fusion: "convex" adds the cosine and the share of the query's words; "rrf" adds reciprocal ranks.
        return_embedding: return documents with their embeddings.
        filter_policy: whether a filter at run time replaces ``filters`` or is joined with it.
    """

    mode = "hybrid"

    @component.output_types(documents=list[Document])
    def run(
        self,
        query: str,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        return_embedding: bool | None = None,
    ) -> dict[str, list[Document]]:
        """Returns ``{"documents": [...]}``, the best first; what is given replaces the component's own setting."""
        asked = {"query": query, "query_embedding": query_embedding, "fusion": self.fusion}
        return {"documents": self._search(filters, top_k, return_embedding, **asked)}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query: str,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        return_embedding: bool | None = None,
    ) -> dict[str, list[Document]]:
        """As `run`, in a thread."""
        found: dict[str, list[Document]] = await asyncio.to_thread(
            self.run, query, query_embedding, filters, top_k, return_embedding
        )
        return found
