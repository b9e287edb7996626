"""The options of a search, checked: `SearchOptions`."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from ..errors import Advice, InvalidInput
from ..filters.parse import parse
from ..filters.tree import Filter, Path, Refused, parse_path
from ..values.paths import expanded
from ..values.scalars import Check, choice, path, shown
from .fusion import Fusion
from .paging.cursor import Cursor

if TYPE_CHECKING:
    from .view import RecordView

Mode = Literal["dense", "lexical", "hybrid"]
"""By what records are found: "dense" by their vectors, "lexical" by their words, and "hybrid" by both."""
Rerank = str | os.PathLike[str]
"""What orders the best records again: `TOKENS`, or the folder or the name of a cross-encoder."""
TOKENS = "tokens"
"""Compares the query's tokens with those of the texts. A folder of this name is ./tokens."""
_CROSS = "cross"
RERANK_MS = 1000.0
"""How many milliseconds the texts of one query may be read for."""


@dataclass(frozen=True, slots=True)
class Grouping:
    """At most ``most`` hits have the same value in the metadata field at ``path``."""

    path: Path
    most: int = 1


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """What `Index.search` was asked for, besides the query; see there.

    An option has its field here, of the name that its parameter has in `Searcher`, and its check in `CHECKS`, here or
    in `values.arguments`. ``group_by`` and ``per_group`` are the field ``by``.
    """

    k: int = 5
    where: Filter | None = None
    by: Grouping | None = None
    context: int = 0
    mode: Mode = "dense"
    fusion: Fusion = "convex"
    rerank: str | None = None
    rerank_ms: float = RERANK_MS
    min_score: float | None = None
    min_percentile: float | None = None
    exclude: tuple[str, ...] = ()
    diversity: float = 0.0
    cursor: Cursor | None = None

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> SearchOptions:
        """The options among the arguments of a search, by name; raises InvalidInput or InvalidFilter."""
        given = {name: arguments[name] for name in cls.__dataclass_fields__ if name in arguments}
        where = arguments.get("where")
        given["where"] = None if where is None else parse(where)
        given["by"] = grouping(arguments.get("group_by"), arguments.get("per_group", 1))
        given["exclude"] = tuple(arguments.get("exclude", ()))
        if (cursor := arguments.get("cursor")) is not None:
            # What a second stage read in its time for the first page, it reads again, however long it takes.
            given |= {"cursor": Cursor.read_from(cursor), "rerank_ms": math.inf}
        options = cls(**given)
        options._check()
        return options

    def _check(self) -> None:
        """Raises InvalidInput for options that contradict each other; `CHECKS` has the check of each."""
        if self.min_score is not None and self.min_score > 1 and self.mode != "lexical":
            reason = f"the least score is {self.min_score:g}, but a cosine is at most 1"
            raise InvalidInput(reason, "Give one from -1 to 1.")
        if self.min_percentile is not None and self.min_percentile > 100:
            raise InvalidInput(f"the least percentile is {self.min_percentile:g}", "Give one from 0 to 100.")
        if self.min_percentile is not None and self.mode == "lexical":
            advice = Advice("Give min_score=.", typed="Give --min-score.")
            raise InvalidInput("a percentile is that of a cosine, and a lexical search has none", advice)
        if self.diversity > 1:
            raise InvalidInput(f"the diversity is {self.diversity:g}", "Give a share from 0 to 1.")
        if self.diversity and self.rerank is not None:
            reason = "hits are to be reranked and to differ from each other, which are two orders"
            raise InvalidInput(reason, "Choose one.")

    def least(self, view: RecordView) -> float | None:
        """The least score of a record that matches, from both thresholds; None without one."""
        if self.min_percentile is None or (background := view.background) is None:
            return self.min_score
        cosine = background.cosine(self.min_percentile)
        return cosine if self.min_score is None else max(cosine, self.min_score)

    @property
    def ranked_by(self) -> str:
        """What orders the hits."""
        if self.rerank is not None:
            return f"{self.mode}+{TOKENS if self.rerank == TOKENS else _CROSS}"
        return f"{self.mode}+diversity" if self.diversity else self.mode


def _rerank(name: str, value: object) -> str:
    """Checks what orders records again; a path is made absolute, so that it is never taken for `TOKENS`."""
    if isinstance(value, str | os.PathLike) and value != "":
        given = path(name, value)
        return given if isinstance(given, str) else os.path.abspath(expanded(given))
    raise InvalidInput(f"{name} is {shown(value)}", 'Give "tokens", or a cross-encoder\'s folder or hub name.')


CHECKS: dict[str, Check] = {
    "mode": choice(get_args(Mode)),
    "fusion": choice(get_args(Fusion)),
    "rerank": _rerank,
}
"""The checks of the options that are choices; those of numbers, keys and fields are in `values.arguments`."""


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
