"""A document store and retrievers for Haystack: an index under Haystack's interfaces."""

from ...machine.extras import extra_errors

with extra_errors("vecindex.integrations.haystack", "haystack"):
    import haystack  # noqa: F401

from .retrievers import VecindexEmbeddingRetriever, VecindexHybridRetriever, VecindexKeywordRetriever
from .store import VecindexDocumentStore

__all__ = [
    "VecindexDocumentStore",
    "VecindexEmbeddingRetriever",
    "VecindexHybridRetriever",
    "VecindexKeywordRetriever",
]
