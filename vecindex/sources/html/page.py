"""Reads HTML pages: the main text, with headings as a path, and without scripts, navigation and the like.

lxml (BSD) parses, as events without a tree: 500 kB of nested elements take it 0.1 s, and lexbor, in selectolax and
resiliparse, a minute. trafilatura finds the main text a little better than `main` (see there), but is six times
slower, needs eleven more packages, and gives no offsets.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import IO

from ...machine.extras import extra_errors
from ...values.records import Origin
from ..documents import Block, Document
from ..origin import Source
from ..prose.code import code_blocks
from ..prose.outline import Outline
from ..texts import whole_text
from .main import main_text
from .passages import Passages

PIECE = 2**16
"""Characters that are given to the parser at a time."""


def read(source: Source, stream: IO[bytes]) -> Iterator[Document]:
    """The text that was found in the page."""
    page = passages(whole_text(source, stream))
    outline = Outline()
    parts: list[str] = []
    blocks: list[Block] = []
    end = 0
    for passage in main_text(page.found):
        if passage.kind == "heading":
            outline.enter(passage.level, passage.text)
        if passage.kind == "code":
            found = code_blocks(passage.text, 0, len(passage.text), outline.code(passage.language))
            blocks += (replace(each, start=end + each.start, end=end + each.end) for each in found)
        else:
            is_heading = passage.kind == "heading"
            blocks.append(Block(end, end + len(passage.text), outline.metadata, whole=is_heading))
        parts.append(passage.text)
        end += len(passage.text) + 2
    if blocks:
        yield Document(
            "\n\n".join(parts),
            Origin(source.name),
            metadata=page.metadata or None,
            title=page.title or outline.title,
            language=page.language,
            blocks=blocks,
        )


def passages(text: str) -> Passages:
    """All passages of a page, in order, and what it says about itself."""
    with extra_errors("reading HTML"):
        from lxml import etree
    page = Passages()
    parser = etree.HTMLParser(target=page, encoding="utf-8", huge_tree=True)
    for start in range(0, len(text), PIECE):
        parser.feed(text[start : start + PIECE].encode("utf-8", "surrogatepass"))
    with contextlib.suppress(etree.XMLSyntaxError):  # raised only where there is no element at all
        parser.close()
    return page
