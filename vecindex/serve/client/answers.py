"""Reads what a server answers: hits, records, warnings and errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast, get_args

import numpy as np

from ...errors import ServerError, VecindexError
from ...errors.warnings import warn
from ...values.hits import Hits
from ...values.records import Hit, Origin, Record, Unit
from .rebuild import error_of, warning_of

_UNITS = get_args(Unit)


def hits_of(page: Mapping[str, Any]) -> Hits:
    """The hits of a page of JSON, with the cursor for those after them."""
    hits = Hits(map(_hit, page["hits"]))
    cursor = page["cursor"]
    if cursor is not None:
        hits.ahead = lambda: cast(str, cursor)
    return hits


def record_of(members: Mapping[str, Any], vector: list[float] | None = None) -> Record:
    place = _place(members)
    source = members.get("source")
    return Record(
        members["text"],
        members["key"],
        members["metadata"],
        None if vector is None else np.array(vector, np.float32),
        None if source is None else Origin(source, place and place[1], place[0] if place else "line"),
        _span(members),
    )


def give_warnings(answer: Mapping[str, Any]) -> None:
    """Issues the warnings that came with an answer."""
    for members in answer.get("warnings", ()):
        warning = warning_of(members)
        if warning is not None:
            warn(warning)


def failure(url: str, status: int, content: Any, retry_after: str | None = None) -> VecindexError:
    """The error that an answer stands for: one of the index, or `ServerError`."""
    members = content.get("error") if isinstance(content, Mapping) else None
    if not isinstance(members, Mapping):
        return not_understood(url, status)
    known = error_of(members)
    if known is not None:
        return known
    kind, message, advice = (str(members.get(name, "")) for name in ("type", "message", "advice"))
    seconds = float(retry_after) if retry_after and retry_after.isdecimal() else None
    return ServerError(url, status, kind, message, advice, seconds)


def not_understood(url: str, status: int) -> ServerError:
    return ServerError(
        *(url, status, "NotUnderstood", f"the answer, of status {status}, is not one of vecindex serve"),
        "Check the URL, and whether a proxy answered; a server of another version may answer otherwise.",
    )


def _hit(members: Mapping[str, Any]) -> Hit:
    scores = members.get("scores")
    return Hit(
        rank=members["rank"],
        key=members["key"],
        score=members["score"],
        text=members["text"],
        metadata=members["metadata"],
        lost=members.get("tokens_lost", 0),
        unknown=members.get("unknown", False),
        source=members.get("source"),
        place=_place(members),
        span=_span(members),
        document=members.get("document"),
        position=members.get("position"),
        before=tuple(members.get("before", ())),
        after=tuple(members.get("after", ())),
        scores={"dense": members["score"]} if scores is None else scores,
        ranked_by=members.get("ranked_by", "dense"),
        percentile=members.get("percentile"),
    )


def _place(members: Mapping[str, Any]) -> tuple[Unit, int] | None:
    return next(((unit, members[unit]) for unit in _UNITS if unit in members), None)


def _span(members: Mapping[str, Any]) -> tuple[int, int] | None:
    return (members["span"][0], members["span"][1]) if "span" in members else None
