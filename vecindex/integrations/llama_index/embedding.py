"""A model of vecindex as an embedding of LlamaIndex."""

from __future__ import annotations

import asyncio
import os
from typing import Any, Literal

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import PrivateAttr

from ...encoders.load import load_encoder, load_for_space
from ...encoders.run.encoder import Encoder
from ...values.space import Space

_LARGEST_BATCH = 2_048
"""Of texts, as LlamaIndex allows. They are put into batches by length within it."""


class VecindexEmbedding(BaseEmbedding):
    """Turns texts into vectors with a model that runs on this machine, as `vecindex.load_encoder` loads it.

    ``space`` is its embedding space; give it to a `VecindexVectorStore`, and texts can be searched for there without
    LlamaIndex too. Queries get the model's prompt for queries, and texts that for documents.

    Args:
        model: a folder, a hub name or an encoder; None is the default model.
        on_long: what to do with a text that is longer than the model reads, as many nodes are that LlamaIndex cuts:
            "mean" encodes its parts and returns their mean, "truncate" encodes the beginning, and "error" raises
            TextTooLong.
        options: fields of `BaseEmbedding`, such as ``embed_batch_size`` and ``callback_manager``.

    Raises:
        ModelNotFound, UnsupportedModel.
    """

    on_long: Literal["mean", "truncate", "error"] = "mean"
    space: Space
    _encoder: Any = PrivateAttr()

    def __init__(
        self,
        model: str | os.PathLike[str] | Encoder | None = None,
        *,
        on_long: Literal["mean", "truncate", "error"] = "mean",
        **options: Any,
    ) -> None:
        # LlamaIndex copies it, and reads it back from JSON, by its fields: then its space says what to load.
        named, space = options.pop("model_name", None), options.pop("space", None)
        if isinstance(model, Encoder):
            encoder = model
        elif space is not None:
            encoder = load_for_space(space if isinstance(space, Space) else Space(**space))
        else:
            encoder = load_encoder(named if model is None else model)
        fields = {"embed_batch_size": _LARGEST_BATCH, **options}
        super().__init__(on_long=on_long, space=encoder.space, model_name=encoder.space.model, **fields)
        self._encoder = encoder

    @classmethod
    def class_name(cls) -> str:
        """The name that LlamaIndex stores."""
        return "VecindexEmbedding"

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = self._encoder.encode_all(texts, on_long=self.on_long).vectors.tolist()
        return vectors

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_query_embedding(self, query: str) -> list[float]:
        encoded = self._encoder.encode_all([query], role="query", on_long=self.on_long)
        vector: list[float] = encoded.vectors[0].tolist()
        return vector

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return await asyncio.to_thread(self._get_text_embedding, text)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await asyncio.to_thread(self._get_query_embedding, query)
