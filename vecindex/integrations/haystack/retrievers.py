"""Haystack components that retrieve documents from a `VecindexDocumentStore`: by embedding, by words, and by both."""

from __future__ import annotations

import asyncio
import functools
import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, fields, replace
from typing import Any, Literal, TypeVar, get_args

from haystack import component, default_from_dict, default_to_dict
from haystack.dataclasses import Document
from haystack.document_stores.types import FilterPolicy, apply_filter_policy

from ...search.fusion import Fusion
from ...values.scalars import choice, whole
from .store import Scored, VecindexDocumentStore

Self = TypeVar("Self", bound="_Retriever")
_top_k = whole(1, "Pass a number of documents, 1 or more.")
_fusion = choice(get_args(Fusion))
_BM25_SCALE = 8
"""The one that Haystack's own keyword retriever divides by."""


@dataclass(eq=False)
class _Retriever:
    """What the retrievers share: their arguments are its fields."""

    document_store: VecindexDocumentStore
    _: KW_ONLY
    filters: dict[str, Any] | None = None
    top_k: int = 10
    return_embedding: bool = False
    filter_policy: str | FilterPolicy = FilterPolicy.REPLACE

    def __post_init__(self) -> None:
        if not isinstance(self.document_store, VecindexDocumentStore):
            raise TypeError("document_store must be a VecindexDocumentStore")
        _top_k("top_k", self.top_k)
        if isinstance(self.filter_policy, str):
            self.filter_policy = FilterPolicy.from_str(self.filter_policy)

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` makes the same component of."""
        settings = {field.name: getattr(self, field.name) for field in fields(self)}
        found: dict[str, Any] = default_to_dict(self, **{**settings, "filter_policy": str(self.filter_policy)})
        return found

    @classmethod
    def from_dict(cls: type[Self], data: dict[str, Any]) -> Self:
        """The component that `to_dict` described."""
        found: Self = default_from_dict(cls, data)
        return found

    def _search(
        self,
        mode: Scored,
        filters: dict[str, Any] | None,
        top_k: int | None,
        return_embedding: bool | None,
        **asked: Any,
    ) -> list[Document]:
        return self.document_store.search(
            mode,
            filters=apply_filter_policy(self.filter_policy, self.filters, filters),
            top_k=self.top_k if top_k is None else top_k,
            return_embedding=self.return_embedding if return_embedding is None else return_embedding,
            **asked,
        )


@dataclass(eq=False, kw_only=True)
class _Scaled(_Retriever):
    """A retriever whose scores can be brought to the range from 0 to 1."""

    scale_score: bool = False

    def _scaled(
        self, found: list[Document], scale_score: bool | None, scale: Callable[[float], float]
    ) -> dict[str, list[Document]]:
        if self.scale_score if scale_score is None else scale_score:
            found = [replace(document, score=scale(document.score or 0.0)) for document in found]
        return {"documents": found}


@dataclass(eq=False, kw_only=True)
class _Fused(_Retriever):
    """A retriever that joins two sides."""

    fusion: Literal["convex", "rrf"] = "convex"

    def __post_init__(self) -> None:
        super().__post_init__()
        _fusion("fusion", self.fusion)


def _in_thread(run: Any) -> Any:
    """The asynchronous twin of a component's ``run``, with the same arguments."""

    @functools.wraps(run)
    async def run_async(*args: Any, **kwargs: Any) -> dict[str, list[Document]]:
        found: dict[str, list[Document]] = await asyncio.to_thread(run, *args, **kwargs)
        return found

    run_async.__name__, run_async.__doc__ = "run_async", "As `run`, in a thread."
    return run_async


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
        found = self._search("dense", filters, top_k, return_embedding, query_embedding=query_embedding)
        return self._scaled(found, scale_score, lambda cosine: (1 + cosine) / 2)

    run_async = _in_thread(run)


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
        found = self._search("lexical", filters, top_k, return_embedding, query=query)
        return self._scaled(found, scale_score, lambda bm25: 1 / (1 + math.exp(-bm25 / _BM25_SCALE)))

    run_async = _in_thread(run)


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
        return {"documents": self._search("hybrid", filters, top_k, return_embedding, **asked)}

    run_async = _in_thread(run)
