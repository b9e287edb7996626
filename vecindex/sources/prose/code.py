"""Reads source code: a block for every few paragraphs of lines, with the programming language as metadata."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import IO, Any

from ...values.records import Origin
from ..documents import Block, Document
from ..opening.detect import suffix_of
from ..origin import Source
from ..texts import whole_text
from .languages import LANGUAGES, language_by_name
from .spans import Span, line_starts, pieces, trimmed

LONGEST = 1_000
"""Characters of a block. A longer run of lines is cut after a line, and a longer line anywhere."""
LONG_ENOUGH = 300
"""Characters from which on a block ends where the next paragraph is not indented."""
LONGEST_WHOLE = 10_000
"""Characters of a block of code within a page. A longer one is cut as source code is."""


def read(source: Source, stream: IO[bytes]) -> Iterator[Document]:
    """The text of the file itself."""
    text = whole_text(source, stream)
    language = LANGUAGES.get(suffix_of(source.path)) or language_by_name(source.path)
    metadata = {"language": language} if language else None
    blocks = list(_blocks(text, 0, len(text), {"code": True}))
    if blocks:
        yield Document(text, Origin(source.name, 1), metadata=metadata, blocks=blocks, has_lines=True)


def code_blocks(text: str, start: int, end: int, metadata: Mapping[str, Any]) -> Iterator[Block]:
    """A piece of code within a page: one block, unless it is very long."""
    start, end = trimmed(text, start, end)
    if end - start > LONGEST_WHOLE:
        yield from _blocks(text, start, end, metadata)
    elif start < end:
        yield Block(start, end, metadata, whole=True)


def _blocks(text: str, start: int, end: int, metadata: Mapping[str, Any]) -> Iterator[Block]:
    for chunk in _chunks(text, start, end):
        for piece in pieces(text, *chunk, LONGEST):
            first, last = trimmed(text, *piece)
            if first < last:
                yield Block(first, last, metadata, whole=True)


def _chunks(text: str, start: int, end: int) -> Iterator[Span]:
    """Paragraphs, joined up to LONGEST characters; a new chunk begins rather at a line that is not indented."""
    begun: Span | None = None
    for first, last in _paragraphs(text, start, end):
        if begun is not None:
            length = begun[1] - begun[0]
            is_indented = text[first] in " \t"
            if last - begun[0] <= LONGEST and (is_indented or length < LONG_ENOUGH):
                begun = begun[0], last
                continue
            yield begun
        begun = first, last
    if begun is not None:
        yield begun


def _paragraphs(text: str, start: int, end: int) -> Iterator[Span]:
    """Runs of lines that are not blank, with the indentation of the first."""
    starts = line_starts(text[:end], start)
    begun: int | None = None
    for here, after in pairwise(starts):
        if text[here:after].isspace() or here == after:
            if begun is not None:
                yield begun, here
                begun = None
        elif begun is None:
            begun = here
    if begun is not None:
        yield begun, end
