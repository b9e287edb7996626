"""Keeps the path of headings above a passage, as metadata for blocks."""

from __future__ import annotations

from typing import Any

LONGEST_HEADING = 500
"""Characters of a heading that are kept in the path."""


class Outline:
    """The headings above the place where a reader is.

    ``metadata`` is ``{"headings": [...]}``, from the top down, or ``{}`` before the first heading. A heading's own
    block has itself in the path, so that a filter finds it together with its text. ``title`` is the first heading.
    """

    def __init__(self) -> None:
        self._levels: list[int] = []
        self._path: list[str] = []
        self.title: str | None = None
        self.metadata: dict[str, Any] = {}

    def enter(self, level: int, heading: str) -> None:
        """Goes below a heading; smaller levels are further up."""
        heading = heading[:LONGEST_HEADING].strip()
        if not heading:
            return
        while self._levels and self._levels[-1] >= level:
            self._levels.pop()
            self._path.pop()
        self._levels.append(level)
        self._path.append(heading)
        self.title = self.title or heading
        self.metadata = {"headings": list(self._path)}

    def code(self, language: str = "") -> dict[str, Any]:
        """The metadata of a block of code."""
        return {**self.metadata, "code": True, **({"language": language.lower()} if language else {})}
