"""Reads texts with the reader of their format, and checks what holds for every document."""

from __future__ import annotations

import importlib
import io
from typing import Any

from vecindex.errors import SourceError
from vecindex.sources.documents import Block, Document
from vecindex.sources.formats import LAYOUTS, SUFFIXES, Format
from vecindex.sources.origin import Source


def found(name: str, content: str | bytes, format: Format | None = None) -> list[Document | SourceError]:
    """Whatever the reader of ``format``, by default that of the suffix, yields."""
    format = format or SUFFIXES["." + name.rpartition(".")[2]]
    reader = importlib.import_module(f"vecindex.sources.{LAYOUTS[format].reader}")
    raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return list(reader.read(Source(name, format), io.BytesIO(raw)))


def document(name: str, content: str | bytes, format: Format | None = None) -> Document:
    """The only document of a text, checked."""
    (only,) = found(name, content, format)
    assert isinstance(only, Document)
    check(only)
    return only


def blocks(document: Document) -> list[Block]:
    assert document.blocks is not None
    return list(document.blocks)


def texts(document: Document) -> list[str]:
    return [document.text[block.start : block.end] for block in blocks(document)]


def with_metadata(document: Document) -> list[tuple[str, dict[str, Any]]]:
    """Each block's text and metadata."""
    return [(document.text[block.start : block.end], dict(block.metadata)) for block in blocks(document)]


def check(document: Document) -> None:
    """Blocks are in order, within the text, not empty, and do not overlap."""
    end = 0
    for block in blocks(document):
        assert end <= block.start < block.end <= len(document.text)
        assert document.text[block.start : block.end].strip() == document.text[block.start : block.end]
        end = block.end
