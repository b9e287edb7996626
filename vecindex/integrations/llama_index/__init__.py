"""LlamaIndex: `VecindexVectorStore` keeps the nodes of its indexes, and `VecindexEmbedding` makes their vectors."""

from __future__ import annotations

from ...machine.extras import extra_errors

with extra_errors("vecindex.integrations.llama_index", "llama-index"):
    import llama_index.core as _core  # noqa: F401

from .embedding import VecindexEmbedding
from .store import VecindexVectorStore

__all__ = ["VecindexEmbedding", "VecindexVectorStore"]
