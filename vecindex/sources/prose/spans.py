"""Finds lines and trims spans in a text, without losing the offsets of its characters."""

from __future__ import annotations

import re
from collections.abc import Iterator

Span = tuple[int, int]
"""Where a passage begins and ends, in characters of the text."""

LINE_END = re.compile(r"\r\n?|\n")
_NOT_SPACE = re.compile(r"\S")


def line_starts(text: str, start: int = 0) -> list[int]:
    """Where each line begins, from ``start`` on, and, last, the end of the text."""
    return [start, *(found.end() for found in LINE_END.finditer(text, start)), len(text)]


def trimmed(text: str, start: int, end: int) -> Span:
    """The span without whitespace at its sides; empty if there is nothing else."""
    found = _NOT_SPACE.search(text, start, end)
    if found is None:
        return start, start
    while text[end - 1].isspace():
        end -= 1
    return found.start(), end


def pieces(text: str, start: int, end: int, longest: int) -> Iterator[Span]:
    """The span cut into pieces of at most ``longest`` characters, where possible after a line."""
    while end - start > longest:
        cut = max(text.rfind("\n", start, start + longest), text.rfind("\r", start, start + longest - 1)) + 1
        cut = cut if cut > start else start + longest
        yield start, cut
        start = cut
    yield start, end
