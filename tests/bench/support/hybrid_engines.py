"""The engines of hybrid.py: those of peers.py that search by words too, asked with a text and its vector."""

from __future__ import annotations

import importlib
import time
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from support.peer_base import Engine, Found, K
from support.peer_engines import Lance, Txtai, Vecindex

Query = tuple[str, np.ndarray]


class ByWords(Engine):
    """An engine with ``modes`` besides the search by vectors alone; its vectors of ``queries`` are ready."""

    modes: tuple[str, ...] = ("hybrid",)

    def know(self, queries: Mapping[str, np.ndarray]) -> None:
        """Gets the vectors of all queries before the first one."""

    def ask(self, query: Query, mode: str) -> list[Found]:
        """The best K rows for a query."""
        raise NotImplementedError


class HybridVecindex(Vecindex, ByWords):
    modes = ("dense", "lexical", "hybrid")

    def ask(self, query: Query, mode: str) -> list[Found]:
        text, vector = query
        hits = self.index.search(text, k=K, mode=cast(Any, mode), vector=None if mode == "lexical" else vector)
        return [(int(hit.key), hit.text, (hit.metadata or {})["bucket"]) for hit in hits]


class HybridLance(Lance, ByWords):
    note = "IVF_PQ and a full-text index, joined by its default, reciprocal ranks"
    modes = ("lexical", "hybrid")

    def fill(self) -> float | None:
        built = super().fill() or 0.0
        began = time.perf_counter()
        self.table.create_fts_index("text")
        return built + time.perf_counter() - began

    def ask(self, query: Query, mode: str) -> list[Found]:
        text, vector = query
        if mode == "lexical":
            search = self.table.search(text, query_type="fts")
        else:
            search = self.table.search(query_type="hybrid").vector(vector).text(text).distance_type("cosine")
        rows = search.select(["key", "text", "lang", "bucket"]).limit(K).to_list()
        return [(int(row["key"]), row["text"], row["bucket"]) for row in rows]


class HybridTxtai(Txtai, ByWords):
    note = "content=True, hybrid=True, vectors by a transform"

    def make(self) -> Any:
        self.waiting: dict[str, np.ndarray] = {}
        waiting = self.waiting

        def transform(texts: list[str]) -> np.ndarray:
            return np.array([waiting[text] for text in texts], dtype=np.float32)

        self.options = {"method": "external", "transform": transform, "content": True, "hybrid": True}
        return importlib.import_module("txtai")

    def know(self, queries: Mapping[str, np.ndarray]) -> None:
        self.waiting.update(queries)

    def ask(self, query: Query, mode: str) -> list[Found]:
        sql = "select id, text, lang, bucket, score from txtai where similar(:query)"
        rows = self.embeddings.search(sql, K, parameters={"query": query[0]})
        return [(int(row["id"]), row["text"], row["bucket"]) for row in rows]


HYBRIDS: dict[str, type[ByWords]] = {"vecindex": HybridVecindex, "lancedb": HybridLance, "txtai": HybridTxtai}
