"""Reads plain text as prose: a block for each paragraph, whose lines may be wrapped."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby, pairwise
from typing import IO

from ...values.records import Origin
from ..documents import Block, Document
from ..origin import Source
from ..texts import whole_text
from .spans import LINE_END, Span, trimmed

_BLANK_LINES = re.compile(r"(?:\r\n?|\n)(?:[ \t\f\v]*(?:\r\n?|\n))+|\f")
_BULLET = re.compile(r"(?:\A|\r\n?|\n)[ \t]*(?=[-*•‣][ \t]+\S)")

NARROWEST, WIDEST = 40, 160
"""Characters of the longest line of a wrapped text."""
_ENDS_SENTENCE = re.compile(r"[.!?…:;][\"'\u201d\u2019»)\]*_]*$")
_LETTER = re.compile(r"[^\W\d_]")
_ITEM = re.compile(r"\s*(?:[-*+•‣]|\(?\w{1,3}[.)])\s")
_SENTENCE_ENDS_WITHIN = re.compile(r"[^\W\d_A-Z]{4}[.!?][\"'\u201d\u2019»)\]]*[ \t]+[\"'\u201c\u2018«(\[]*[^\W\d_a-z]")


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


def looks_wrapped(sample: str) -> bool:
    """Whether ``sample``, whole lines of a text file, is prose whose lines break off inside sentences.

    It looks at pairs of neighbouring lines with letters, of which the second begins no list item. All of this must
    hold, so that a list with a sentence a line is never taken for prose:

    - most first lines are as full as they can be: with the first word of the next one, they would be longer than all
      but a twentieth of the lines, which is 40 to 160 characters; in 6 of 10 pairs;
    - at least half of these lines do not end a sentence, and after a third of those the next one begins with a
      small letter;
    - half of the paragraphs of several lines are whole: they begin with no small letter and end as a sentence does. Or
      in at least one of 20 lines, and in two, a sentence ends in the middle, after a word of four letters, and the next
      one begins.

    Texts in scripts without small letters or spaces are never recognised.
    """
    lines = [line.rstrip() for line in LINE_END.split(sample)]
    written = [line for line in lines if line]
    lengths = sorted(map(len, written))
    width = lengths[int(len(lengths) * 0.95)] if lengths else 0
    if not NARROWEST <= width <= WIDEST:
        return False
    pairs = [(line, after.lstrip()) for line, after in pairwise(lines) if _may_go_on(line, after)]
    if not pairs:
        return False
    full = [(line, after) for line, after in pairs if len(line) + 1 + len(after.split(maxsplit=1)[0]) > width]
    broken = [after for line, after in full if not _ENDS_SENTENCE.search(line)]
    small = sum(after[0].islower() for after in broken)
    within = sum(_SENTENCE_ENDS_WITHIN.search(line) is not None for line in written)
    return (
        len(full) >= 0.6 * len(pairs)
        and len(broken) >= 0.5 * len(full)
        and small >= max(1, 0.35 * len(broken))
        and (within >= max(2, 0.05 * len(written)) or _are_whole(lines))
    )


def _may_go_on(line: str, after: str) -> bool:
    """Whether a line may go on in the next one: both have letters, so neither is blank or a rule beneath a title."""
    return all(_LETTER.search(each) for each in (line, after)) and not _ITEM.match(after)


def _are_whole(lines: list[str]) -> bool:
    """Whether at least half of the paragraphs of several lines begin and end as sentences do."""
    whole = [
        not paragraph[0].lstrip()[0].islower() and _ENDS_SENTENCE.search(paragraph[-1]) is not None
        for is_blank, group in groupby(lines, lambda line: not line)
        if not is_blank and len(paragraph := list(group)) > 1
    ]
    return 2 * sum(whole) >= len(whole) > 0
