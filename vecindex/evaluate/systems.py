"""The ways to search that are measured side by side, and what each of them ranks for many queries."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

from ..search.fusion import Fusion
from ..search.options import RERANK_MS, Mode, Rerank
from ..values.hits import Hits
from ..values.records import Hit, Record

By = Literal["record", "document", "source"]
"""What judgements name: a record by its key; the document that sentences were cut from, by its key; or the file or
other source, as results show it."""
MODES: tuple[Mode, ...] = get_args(Mode)
FUSIONS: tuple[Fusion, ...] = get_args(Fusion)

QUERIES_AT_ONCE = 64
Progress = Callable[[int, int], None]
"""Called with the number of searches that are done, and of all."""


class Searched(Protocol):
    """What is used of an index: its public methods."""

    def __len__(self) -> int: ...
    def keys(self) -> list[str]: ...
    def get(self, key: str) -> Record: ...
    def search_many(
        self,
        queries: Any,
        k: int = 5,
        where: Any = None,
        *,
        mode: Mode = "dense",
        fusion: Fusion = "convex",
        rerank: Rerank | None = None,
        rerank_ms: float = RERANK_MS,
        group_by: str | None = None,
        context: int = 0,
    ) -> list[Hits]: ...


@dataclass(frozen=True, slots=True)
class System:
    """One way to search; see `Index.search`."""

    mode: Mode = "dense"
    fusion: Fusion = "convex"
    rerank: Rerank | None = None

    @property
    def name(self) -> str:
        first = self.mode if self.fusion == "convex" else f"{self.mode} {self.fusion}"
        return first if self.rerank is None else f"{first}+{self.rerank}"


def systems(
    modes: Sequence[Mode], fusions: Sequence[Fusion] = ("convex",), reranks: Sequence[Rerank | None] = (None,)
) -> tuple[System, ...]:
    """Each mode, and "hybrid" with each fusion, with each second stage."""
    return tuple(
        System(mode, fusion, rerank)
        for mode in modes
        for fusion in (fusions if mode == "hybrid" else ("convex",))
        for rerank in reranks
    )


def ranked(
    index: Searched, system: System, texts: Sequence[str], k: int, where: Any, group_by: str | None = None
) -> Iterator[Hits]:
    """The k best hits for each of the texts; a second stage has any time."""
    for start in range(0, len(texts), QUERIES_AT_ONCE):
        some = texts[start : start + QUERIES_AT_ONCE]
        how: dict[str, Any] = {"mode": system.mode, "fusion": system.fusion, "rerank": system.rerank}
        yield from index.search_many(some, k, where, **how, rerank_ms=math.inf, group_by=group_by)


def ranked_names(
    index: Searched, system: System, texts: Sequence[str], k: int, where: Any, by: By
) -> Iterator[tuple[str, ...]]:
    """The names of the k best records, documents or sources for each of the texts; the best hit of each counts."""
    name = _NAMES[by]
    for hits in ranked(index, system, texts, k, where, None if by == "record" else by):
        yield tuple(dict.fromkeys(name(hit) for hit in hits))


_NAMES: Mapping[By, Callable[[Hit], str]] = {
    "record": lambda hit: hit.key,
    "document": lambda hit: hit.document or hit.key,
    "source": lambda hit: hit.source or hit.key,
}
