"""Reads plain text as prose: a block for each paragraph, whose lines may be wrapped."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO

from ...values.records import Origin
from ..documents import Block, Document
from ..origin import Source
from ..texts import whole_text
from .spans import Span, trimmed

_BLANK_LINES = re.compile(r"(?:\r\n?|\n)(?:[ \t\f\v]*(?:\r\n?|\n))+|\f")
_BULLET = re.compile(r"(?:\A|\r\n?|\n)[ \t]*(?=[-*•‣][ \t]+\S)")


def read(source: Source, stream: IO[bytes]) -> Iterator[Document]:
    """The text of the file itself."""
    text = whole_text(source, stream)
    blocks = [Block(*span) for span in paragraphs(text, 0, len(text))]
    if blocks:
        yield Document(text, Origin(source.name, 1), blocks=blocks, has_lines=True)


def paragraphs(text: str, start: int, end: int) -> Iterator[Span]:
    """What is between blank lines and form feeds; the items of a list with bullets are paragraphs of their own."""
    for gap in _BLANK_LINES.finditer(text, start, end):
        yield from _items(text, start, gap.start())
        start = gap.end()
    yield from _items(text, start, end)


def _items(text: str, start: int, end: int) -> Iterator[Span]:
    start, end = trimmed(text, start, end)
    if start == end:
        return
    bullets = [found.end() for found in _BULLET.finditer(text, start, end)]
    if text[start] in "-*•‣" or len(bullets) > 1:
        for bullet in bullets:
            if bullet > start:
                yield trimmed(text, start, bullet)
            start = bullet
    yield start, end
