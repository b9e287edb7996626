"""Finds what is visible between HTML tags and comments within another text, such as Markdown, by its offsets."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .spans import Span, trimmed

# A tag is bounded, and contains no other, so that time grows with the length of the text alone.
_HIDDEN = re.compile(
    r"<!--.*?(?:-->|\Z)|<(?P<element>script|style|svg)\b.*?(?:</(?P=element)\s*>|\Z)|</?(?P<tag>[a-z][\w-]*)[^<>]{0,4000}>",
    re.DOTALL | re.IGNORECASE,
)
_COMMENT = re.compile(r"(?<!`)<!--.*?(?:-->|\Z)", re.DOTALL)
_WITHIN_SENTENCES = frozenset(
    (
        *("a", "abbr", "b", "bdi", "bdo", "cite", "code", "data", "del", "dfn", "em", "font", "i", "img", "ins", "kbd"),
        *("label", "mark", "q", "rp", "rt", "ruby", "s", "samp", "small", "span", "strike", "strong", "sub", "sup"),
        *("time", "tt", "u", "var", "wbr"),
    )
)


def visible_spans(text: str, start: int, end: int) -> Iterator[Span]:
    """The passages between the tags of blocks; tags within sentences stay in them."""
    begins = ends = at = start
    for found in _HIDDEN.finditer(text, start, end):
        first, last = trimmed(text, at, found.start())
        if first < last:
            begins, ends = (begins if begins < ends else first), last
        at = found.end()
        if begins < ends and (found["tag"] or "").lower() not in _WITHIN_SENTENCES:
            yield begins, ends
            begins = ends = at
    first, last = trimmed(text, at, end)
    if first < last:
        yield (begins if begins < ends else first), last
    elif begins < ends:
        yield begins, ends


def without_comments(text: str, start: int, end: int) -> Iterator[Span]:
    """The passages between the comments."""
    for found in _COMMENT.finditer(text, start, end):
        first, last = trimmed(text, start, found.start())
        if first < last:
            yield first, last
        start = found.end()
    first, last = trimmed(text, start, end)
    if first < last:
        yield first, last
