"""What a reader finds in a source: a `Record` for a row, a `Document` for a text that is still to be split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..values.records import Metadata, Origin


@dataclass(frozen=True, slots=True)
class EmptyText:
    """A row without a text. It is left out and counted, but nothing is wrong with it."""

    origin: Origin


@dataclass(frozen=True, slots=True)
class Block:
    """A passage of a document, such as a paragraph, a heading or a list item: no sentence crosses its borders.

    ``start`` and ``end`` count characters of the document's text. ``metadata`` is for each sentence of the passage, for
    example ``{"headings": ["Installing", "Linux"], "page": 3}``. ``place`` is the page, slide or other unit of the
    document's origin where the passage is; lines are counted, not given. A ``whole`` block, such as code or a
    heading, is not cut into sentences or paragraphs.
    """

    start: int
    end: int
    metadata: Mapping[str, Any] = field(default_factory=dict)
    place: int | None = None
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Document:
    """A text as a reader found it, in one source or one row.

    ``origin`` names the source and, for one of several texts, its place there. ``key`` tells texts of one source apart,
    such as messages of a mailbox; None where there is only one. ``blocks`` are in order and do not overlap; what is
    between them, such as markup or front matter, is not indexed. None is one block with all of the text. ``has_lines``
    says that the text is the file's own, so that the lines of sentences can be counted in it, from ``origin.place``.
    """

    text: str
    origin: Origin
    key: str | None = None
    metadata: Metadata | None = None
    title: str | None = None
    language: str | None = None
    blocks: Sequence[Block] | None = None
    has_lines: bool = False
