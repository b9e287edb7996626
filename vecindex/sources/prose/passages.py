"""Puts the passages that a reader extracts from a file together to the text of one document, and limits its length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import InvalidInput
from ..documents import Block

MAX_TEXT = 100_000_000
"""Characters of one document, since all of it has to be in memory while it is cut. A long book has a million."""


class Passages:
    """The text so far, with an empty line between passages, and its blocks."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._texts: list[str] = []
        self._length = 0

    def add(self, text: str, metadata: Mapping[str, Any], place: int | None = None, whole: bool = False) -> None:
        """Adds a passage, unless it is blank; raises InvalidInput once the text is too long."""
        text = text.strip()
        if not text:
            return
        if self._texts:
            self._append("\n\n")
        start = self._length
        self._append(text)
        self.blocks.append(Block(start, self._length, metadata, place, whole))

    def text(self) -> str:
        return "".join(self._texts)

    def _append(self, text: str) -> None:
        self._length += len(text)
        if self._length > MAX_TEXT:
            raise too_much_text()
        self._texts.append(text)


def too_much_text() -> InvalidInput:
    """The error for a document with more than `MAX_TEXT` characters."""
    return InvalidInput(f"it holds more than {MAX_TEXT:,} characters of text", "Divide it into several files.")
