"""Embeddings in both directions: vecindex's models as LangChain's embeddings, and any of LangChain's as a model."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

from langchain_core.embeddings import Embeddings

from ...encoders.foreign import ForeignEncoder
from ...encoders.load import Device, load_encoder
from ...values.space import Precision


class VecindexEmbeddings(Embeddings):
    """The vectors of a model that vecindex runs, for whatever in LangChain takes embeddings.

    The arguments are those of `vecindex.load_encoder`; ``encoder`` is what it returns.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        precision: Precision | None = None,
        device: Device = "auto",
        dimensions: int | None = None,
        threads: int | None = None,
        offline: bool | None = None,
    ) -> None:
        options: dict[str, Any] = {
            **{"precision": precision, "device": device, "dimensions": dimensions},
            **{"threads": threads, "offline": offline},
        }
        self.encoder = load_encoder(model, **options)
        self._again = partial(type(self), model, **options)

    def __reduce__(self) -> tuple[Any, ...]:
        """Unpickled, it loads the model again."""
        return self._again, ()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """A vector of unit length for each text."""
        vectors: list[list[float]] = self.encoder.encode(texts).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """The vector of a query, for which some models have a prompt of its own."""
        vector: list[float] = self.encoder.encode([text], role="query")[0].tolist()
        return vector


class Asked:
    """Embeddings of LangChain as the functions that a `ForeignEncoder` calls.

    Where an async caller waits, texts are embedded in its event loop, by the embeddings' own async method.
    """

    def __init__(self, embeddings: Embeddings) -> None:
        self.embeddings = embeddings
        self._waiting = threading.local()

    def encoder(self, name: str | None) -> ForeignEncoder:
        """The encoder for an index; without a name, that of the embeddings' class and model."""
        return ForeignEncoder(name or name_of(self.embeddings), self._documents, self._queries)

    @contextlib.contextmanager
    def by(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """Embeds what this thread asks for in an event loop that another thread runs."""
        self._waiting.loop = loop
        try:
            yield
        finally:
            self._waiting.loop = None

    def _documents(self, texts: list[str]) -> list[list[float]]:
        loop: asyncio.AbstractEventLoop | None = getattr(self._waiting, "loop", None)
        vectors: list[list[float]]
        if loop is None:
            vectors = self.embeddings.embed_documents(texts)
        else:
            vectors = asyncio.run_coroutine_threadsafe(self.embeddings.aembed_documents(texts), loop).result()
        return vectors

    def _queries(self, texts: list[str]) -> list[list[float]]:
        return [self.embeddings.embed_query(text) for text in texts]


def name_of(embeddings: Embeddings) -> str:
    """What made the vectors: the class of the embeddings, with the name of the model if they tell it.

    Those that only remember what others made (``CacheBackedEmbeddings``) have the name of these others.
    """
    inner = getattr(embeddings, "underlying_embeddings", None)
    if isinstance(inner, Embeddings):
        return name_of(inner)
    told = [getattr(embeddings, attribute, None) for attribute in ("model", "model_name", "model_id")]
    return ":".join([type(embeddings).__name__, *[model for model in told if model and isinstance(model, str)][:1]])
