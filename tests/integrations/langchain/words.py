"""Embeddings of LangChain that compare words, and remember how they were called."""

from __future__ import annotations

import hashlib

import numpy as np
from langchain_core.embeddings import Embeddings


def vector(text: str) -> list[float]:
    """Eight numbers: the sum of those of the words."""
    words = [hashlib.sha256(word.encode()).digest()[:8] for word in text.lower().split()]
    sums = sum((np.frombuffer(word, np.uint8).astype(float) / 128 - 1 for word in words), np.full(8, 1e-3))
    return [float(number) for number in sums]


class WordEmbeddings(Embeddings):
    """The ``model`` is part of the name that an index remembers."""

    def __init__(self, model: str = "words") -> None:
        self.model = model
        self.calls: list[str] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.calls.append("documents")
        return [vector(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        self.calls.append("query")
        return vector(text)


class AsyncWordEmbeddings(WordEmbeddings):
    """Has async methods of its own."""

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        self.calls.append("async documents")
        return [vector(text) for text in texts]

    async def aembed_query(self, text: str) -> list[float]:
        self.calls.append("async query")
        return vector(text)
