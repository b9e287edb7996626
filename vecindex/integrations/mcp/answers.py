"""What the tools answer: its JSON, bounded in length, and the same as compact text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from typing_extensions import NotRequired, TypedDict

LONGEST_ANSWER = 24_000
"""Characters of an answer as JSON."""
LONGEST_SHOWN = 2_000
"""Characters of a text in a list of hits; `get` returns the rest."""
_ROOM = LONGEST_ANSWER - 2_000
"""Of these, what the items of a list may take: the rest is for notes and the cursor."""
_SHORTEST_SHOWN = 80
_LONGEST_PART = 16_002
_LONGEST_METADATA = 4_000
"""Characters, as JSON, of a part of a text and of the metadata that `get` returns."""
LONGEST_NAME = 300
"""Characters of a key, a source or another name in an answer about one thing."""
_MOST_NOTES = 5


class FoundHit(TypedDict):
    """A record that was found. Its place in the source is a line, page, row or another unit, by its name."""

    rank: int
    key: str
    score: float
    text: str
    metadata: dict[str, Any]
    source: NotRequired[str]
    line: NotRequired[int]
    page: NotRequired[int]
    span: NotRequired[list[int]]
    document: NotRequired[str]
    position: NotRequired[int]
    before: NotRequired[list[str]]
    after: NotRequired[list[str]]
    text_characters: NotRequired[int]
    metadata_characters: NotRequired[int]


class Found(TypedDict):
    """Hits, the best first. ``left_out`` hits did not fit; ask for fewer."""

    hits: list[FoundHit]
    next_cursor: NotRequired[str]
    left_out: NotRequired[int]
    notes: NotRequired[list[str]]


class Got(TypedDict):
    """A record, or the part of its text from ``start``; the next part begins at ``next_start``."""

    key: str
    text: str
    start: int
    text_characters: int
    metadata: dict[str, Any]
    next_start: NotRequired[int]
    source: NotRequired[str]
    line: NotRequired[int]
    page: NotRequired[int]
    span: NotRequired[list[int]]
    metadata_characters: NotRequired[int]
    notes: NotRequired[list[str]]


class SourcesListed(TypedDict):
    """Sources by location, of ``total``; the next ones begin at ``next_offset``."""

    sources: list[dict[str, Any]]
    total: int
    states: dict[str, int]
    next_offset: NotRequired[int]
    notes: NotRequired[list[str]]


class TextExplained(TypedDict):
    """Tokens with their share of the vector and their contribution to the score, in the order of the text."""

    model: str
    pooling: str
    truncated: int
    score: float | None
    tokens: list[dict[str, Any]]
    left_out: NotRequired[int]
    notes: NotRequired[list[str]]


class Added(TypedDict):
    """What was stored, in numbers of records, and the key of each given record."""

    added: int
    updated: int
    unchanged: int
    duplicates: int
    truncated: int
    records: int
    keys: list[str]
    left_out: NotRequired[int]
    notes: NotRequired[list[str]]


class Deleted(TypedDict):
    """How many records were deleted, and how many are left."""

    deleted: int
    records: int
    notes: NotRequired[list[str]]


def fitted_hits(hits: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """The hits with texts that are short enough to fit together, and how many of the last had to be left out."""
    room = _ROOM // max(1, len(hits))
    return fitted([_shortened(hit, room) for hit in hits])


def fitted(items: Sequence[Any]) -> tuple[list[Any], int]:
    """As many of the items as fit into an answer, and how many had to be left out."""
    kept, length = [], 0
    for item in items:
        length += len(as_json(item)) + 2
        if length > _ROOM:
            break
        kept.append(item)
    return kept, len(items) - len(kept)


def _shortened(hit: Mapping[str, Any], room: int) -> dict[str, Any]:
    """The hit with its texts shortened, and without metadata that would take most of the room, which get returns."""
    short = dict(hit)
    told = len(as_json(short["metadata"]))
    if told > max(200, room // 3):
        short |= {"metadata": {}, "metadata_characters": told}
    around = [len(short.get("before", ())), len(short.get("after", ()))]
    bare = len(as_json(short | {"text": "", "before": [], "after": []}))
    # The text gets half of what is free where there are sentences around it.
    free = max(0, room - bare)
    longest = max(_SHORTEST_SHOWN, min(LONGEST_SHOWN, free // 2 if any(around) else free))
    text = short["text"]
    if len(text) > longest:
        short |= {"text": cut(text, longest), "text_characters": len(text)}
    if any(around):
        each = max(_SHORTEST_SHOWN, free // 2 // sum(around))
        short |= {name: [cut(some, each) for some in short[name]] for name in ("before", "after") if name in short}
    return short


def bounded_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The members for the metadata of one record, which are left out where they are too long."""
    told = len(as_json(metadata))
    if told > _LONGEST_METADATA:
        return {"metadata": {}, "metadata_characters": told}
    return {"metadata": dict(metadata)}


def bounded_part(text: str, start: int, length: int) -> str:
    """The part of a text, or less of it where its characters take more room as JSON."""
    part = text[start : start + length]
    while len(as_json(part)) > _LONGEST_PART:
        part = part[: len(part) // 2]
    return part


def bounded_notes(notes: Sequence[str]) -> list[str]:
    """The first few notes, shortened."""
    return [cut(note, LONGEST_NAME) for note in notes[:_MOST_NOTES]]


def cut(text: str, longest: int) -> str:
    """The beginning of a text that is longer, with an ellipsis."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def as_json(value: Any) -> str:
    """JSON in one line, so that no stored text can look like anything but a string."""
    return json.dumps(value, ensure_ascii=False)


def as_text(answer: Mapping[str, Any]) -> str:
    """The answer in lines of names and JSON values: each item of a list is one line."""
    lines = []
    for name, value in answer.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            lines.append(f"{name}:")
            lines += ["- " + " ".join(f"{each}={as_json(item[each])}" for each in item) for item in value]
        else:
            lines.append(f"{name}: {as_json(value)}")
    return "\n".join(lines)
