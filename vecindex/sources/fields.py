"""Checks and wording that the formats with fields share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, get_args

from ..errors import Advice, InvalidInput
from ..values.records import Unit
from ..values.texts import checked_text

_ASCII_WHITESPACE = " \t\n\r\v\f"
_KINDS = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "null",
}


def is_blank(text: str) -> bool:
    """Whether ``text`` is only ASCII whitespace, like the lines that separate sentences in a txt file."""
    return not text.strip(_ASCII_WHITESPACE)


def sentence(text: str) -> str:
    """``text`` itself; raises InvalidInput if it is blank or cannot be stored."""
    if is_blank(text):
        raise InvalidInput(
            "the text is empty",
            Advice(
                "Add a sentence, or leave the row out.",
                typed="Add a sentence, or skip bad rows with --skip-bad.",
            ),
        )
    return checked_text(text)


def metadata_in(others: dict[str, Any]) -> dict[str, Any] | None:
    """The metadata in a row's remaining fields: the object in the field "metadata", and all other fields.

    None, unlike ``{}``, means that the row says nothing: an update then keeps what is stored.
    """
    beside = {name: value for name, value in others.items() if name != "metadata"}
    own = others.get("metadata")
    if own is None:
        return beside or None
    if not isinstance(own, dict):
        raise InvalidInput(
            f"the field 'metadata' must be an object or null, not {kind(own)}", 'Write an object like {"lang": "en"}.'
        )
    if twice := [name for name in beside if name in own]:
        raise InvalidInput(
            f"both beside and inside 'metadata': {listed(twice)}", "Keep one of the two; both would be metadata."
        )
    return {**beside, **own}


OF_HITS = (
    *("rank", "score", "tokens_lost", "truncated", "unknown"),  # earlier versions wrote "truncated"
    *("source", "span", "start", "end", "document", "position", "before", "after", *get_args(Unit)),
    *("ranked_by", "scores", "percentile", "explanation", "cursor"),
)
"""What a result of `vecindex search` has besides the record itself, which is not stored again; see `is_hit`."""


def is_hit(fields: Collection[str], rank: object, score: object, metadata: object) -> bool:
    """Whether a row is a result of `vecindex search`, whose rank and score belong to the query, not to the record."""
    numbers = type(rank) is int and type(score) in (int, float)
    return numbers and isinstance(metadata, dict) and {"rank", "key", "score", "text", "metadata"} <= set(fields)


def is_listed(beside: Mapping[str, Any]) -> bool:
    """Whether the fields beside key and text are those of a record that `vecindex list` printed: its place goes."""
    places = {name: value for name, value in beside.items() if name not in ("metadata", "source")}
    return (
        isinstance(beside.get("metadata"), dict)
        and isinstance(beside.get("source"), str)
        and 0 < len(places) <= 2
        and all(
            type(value) is int if name in get_args(Unit) else name == "span" and isinstance(value, list)
            for name, value in places.items()
        )
    )


def kind(value: object) -> str:
    """What JSON calls ``value``, for an error message."""
    return _KINDS.get(type(value), f"a {type(value).__name__}")


def repeated(names: Sequence[str]) -> list[str]:
    """The names that occur more than once, in order."""
    return [name for name, times in Counter(names).items() if times > 1]


def listed(names: Sequence[str], most: int = 20, longest: int = 40) -> str:
    """``names`` for an error message: quoted, shortened, on one line."""
    shown = [repr(name if len(name) <= longest else name[:longest] + "...") for name in names[:most]]
    more = [f"{len(names) - most} more"] if len(names) > most else []
    return ", ".join(shown + more) or "none"
