"""Cuts a document into pieces along its blocks: `pieces`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from ...errors import InvalidInput
from ...values.records import Origin, Record
from ...values.texts import is_blank
from ..documents import Block, Document
from .mend import MARKS_ALONE
from .method import Split
from .sentences import Span, document_language, line_spans, paragraph_spans, sentence_spans, stripped_span
from .windows import TokenSpans, windows


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a document: ``text[start:end]`` is its text, exactly.

    ``metadata`` is that of the block where the piece begins; ``place`` is the line, page or other unit where it begins.
    """

    start: int
    end: int
    metadata: Mapping[str, Any]
    place: int | None = None


def pieces(document: Document, how: Split, token_spans: TokenSpans | None = None) -> Iterator[Piece]:
    """The pieces of a document, in order; none of them is blank, or nothing but marks such as ``**``.

    "sentence" and "paragraph" cut each block by itself and leave a ``whole`` block whole; "line" cuts every block. A
    piece that is shorter than ``join_short`` is joined to the next one, and to more until it is long enough, as far as
    the headings are the same; the text in between is then part of the piece. "none" is all of the text in one piece.
    "tokens" fills its windows across blocks under the same headings, and needs ``token_spans``, such as
    ``encoder.token_spans``.
    """
    language = document_language(document.text, document.language)
    blocks = [Block(0, len(document.text))] if document.blocks is None else document.blocks
    if how.method == "none":
        found = _all(document, blocks)
    elif how.method == "tokens":
        if token_spans is None:
            raise InvalidInput(
                "tokens are counted by a model, and there is none here", "Pass token_spans=, or split otherwise."
            )
        found = _windows(document.text, blocks, how, language, token_spans)
    else:
        cut = _CUTS[how.method]
        found = (
            Piece(start, end, block.metadata, block.place)
            for block in blocks
            for start, end in _cut(document.text, block, cut, language, block.whole and how.method != "line")
        )
        if how.join_short:
            found = _joined(found, how.join_short)
    return _placed(document, found)


def as_document(record: Record) -> Document:
    """A record as a document, so that its text can be cut; the pieces have the record's place."""
    return Document(record.text, record.origin or Origin("<record>"), key=record.key, metadata=record.metadata)


Cut = Callable[[str, int, int, str], Iterator[Span]]

_CUTS: dict[str, Cut] = {
    "sentence": sentence_spans,
    "paragraph": lambda text, start, end, _: paragraph_spans(text, start, end),
    "line": lambda text, start, end, _: line_spans(text, start, end),
}


def _cut(text: str, block: Block, cut: Cut, language: str, whole: bool) -> Iterator[Span]:
    if whole:
        span = stripped_span(text, block.start, block.end)
        spans = iter([span] if span else [])
    else:
        spans = cut(text, block.start, block.end, language)
    return (span for span in spans if _says_something(text, *span))


def _says_something(text: str, start: int, end: int) -> bool:
    return MARKS_ALONE.fullmatch(text, start, end) is None and not is_blank(text[start:end])


def _all(document: Document, blocks: Sequence[Block]) -> Iterator[Piece]:
    """The whole text, with the place of its first block and no block's metadata."""
    span = stripped_span(document.text, 0, len(document.text))
    if span and _says_something(document.text, *span):
        yield Piece(*span, {}, blocks[0].place if blocks else None)


def _joined(found: Iterator[Piece], join_short: int) -> Iterator[Piece]:
    held: Piece | None = None
    for piece in found:
        if held is None:
            held = piece
        elif held.end - held.start < join_short and _headings(held) == _headings(piece):
            held = replace(held, end=piece.end)
        else:
            yield held
            held = piece
    if held is not None:
        yield held


def _headings(within: Piece | Block) -> Any:
    return within.metadata.get("headings")


def _windows(text: str, blocks: Sequence[Block], how: Split, language: str, token_spans: TokenSpans) -> Iterator[Piece]:
    for _, group in groupby(blocks, _headings):
        section = list(group)
        sentences = (span for block in section for span in _cut(text, block, sentence_spans, language, block.whole))
        at = 0
        for start, end in windows(text, sentences, how.tokens, how.overlap, token_spans):
            while section[at].end <= start:
                at += 1
            yield Piece(start, end, section[at].metadata, section[at].place)


def _placed(document: Document, found: Iterator[Piece]) -> Iterator[Piece]:
    """The pieces with their places: lines are counted in the text, from one piece to the next."""
    text, line, counted = document.text, document.origin.place or 1, 0
    for piece in found:
        if not document.has_lines:
            yield piece if piece.place is not None else replace(piece, place=document.origin.place)
            continue
        # No piece begins with whitespace, so none begins between CR and LF.
        ends = text.count("\n", counted, piece.start) + text.count("\r", counted, piece.start)
        line += ends - text.count("\r\n", counted, piece.start)
        counted = piece.start
        yield replace(piece, place=line)
