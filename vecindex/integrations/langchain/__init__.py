"""A vector store and embeddings for LangChain: an index, and the models of `load_encoder`, under its interfaces."""

from ...machine.extras import extra_errors

with extra_errors("vecindex.integrations.langchain", "langchain"):
    from .embeddings import VecindexEmbeddings
    from .store import VecindexVectorStore

__all__ = ["VecindexEmbeddings", "VecindexVectorStore"]
