"""The options of a search, checked: `SearchOptions`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import Advice, InvalidInput
from ..filters.parse import parse
from ..filters.tree import Filter, Path, Refused, parse_path
from .fusion import Fusion

Mode = Literal["dense", "lexical", "hybrid"]
"""By what records are found: "dense" by their vectors, "lexical" by their words, and "hybrid" by both."""
Rerank = Literal["tokens"]
"""What orders the best records again: "tokens" compares the query's tokens with those of the texts."""
RERANK_MS = 1000.0
"""How many milliseconds the texts of one query may be encoded for."""


@dataclass(frozen=True, slots=True)
class Grouping:
    """At most ``most`` hits have the same value in the metadata field at ``path``."""

    path: Path
    most: int = 1


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """What `Index.search` was asked for, besides the query; see there."""

    k: int = 5
    where: Filter | None = None
    by: Grouping | None = None
    context: int = 0
    mode: Mode = "dense"
    fusion: Fusion = "convex"
    rerank: Rerank | None = None
    rerank_ms: float = RERANK_MS
    min_score: float | None = None
    exclude: tuple[str, ...] = ()
    diversity: float = 0.0

    @property
    def ranked_by(self) -> str:
        """What orders the hits."""
        if self.rerank is not None:
            return f"{self.mode}+{self.rerank}"
        return f"{self.mode}+diversity" if self.diversity else self.mode


def search_options(
    k: int,
    where: Mapping[str, Any] | str | None,
    group_by: str | None,
    per_group: int,
    context: int,
    mode: Mode = "dense",
    fusion: Fusion = "convex",
    rerank: Rerank | None = None,
    rerank_ms: float = RERANK_MS,
    *,
    min_score: float | None = None,
    exclude: tuple[str, ...] = (),
    diversity: float = 0.0,
) -> SearchOptions:
    """The arguments of a search as options; raises InvalidInput or InvalidFilter."""
    condition = None if where is None else parse(where)
    if min_score is not None and min_score > 1 and mode != "lexical":
        raise InvalidInput(f"the least score is {min_score:g}, but a cosine is at most 1", "Give one from -1 to 1.")
    if diversity > 1:
        raise InvalidInput(f"the diversity is {diversity:g}", "Give a share from 0 to 1.")
    if diversity and rerank is not None:
        raise InvalidInput("hits are to be reranked and to differ from each other, which are two orders", "Choose one.")
    by = grouping(group_by, per_group)
    return SearchOptions(k, condition, by, context, mode, fusion, rerank, rerank_ms, min_score, exclude, diversity)


def grouping(group_by: str | None, per_group: int) -> Grouping | None:
    """The arguments of a search, checked; raises InvalidInput."""
    if group_by is None:
        if per_group != 1:
            advice = Advice("Name the field with group_by=.", typed="Name the field with --group-by.")
            raise InvalidInput("how many hits a group may have is given, but not what to group by", advice)
        return None
    return Grouping(field_path(group_by), per_group)


def field_path(field: str) -> Path:
    """The path of a metadata field, checked; raises InvalidInput."""
    try:
        return parse_path(field)
    except Refused as refused:
        reason = f"{field!r} is not a field name: {refused.reason}"
        raise InvalidInput(reason, "Write it as in a filter, such as author.name.") from None
