"""Reads PowerPoint presentations (pptx): a block for each title, paragraph and table row of a slide, and for its notes.

It reads the XML itself, with the parser of the standard library, one slide at a time: python-pptx holds all slides and
pictures in memory, and leaves out what a program has put into alternate content.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

from ...values.records import Origin
from ..documents import Document
from ..origin import Source
from ..prose.passages import Passages
from .ooxml import MAX_XML, Handler, Package, opened

_TITLES = ("title", "ctrTitle")
_NOT_TEXT = ("dt", "ftr", "hdr", "sldNum", "sldImg")  # dates, footers and numbers, the same on every slide
_CELLS = " | "


def read(source: Source, stream: IO[bytes]) -> Iterator[Document]:
    """One document; raises SourceError."""
    with opened(source, stream, "a PowerPoint presentation") as package:
        main = package.main()
        related = package.related(main)
        passages = Passages()
        slides = [related[id].part for id in package.parsed(main, _Order()) if id in related]
        title = None
        for number, part in enumerate(slides, start=1):
            heading = _add_slide(package, part, number, passages)
            title = title or heading
        yield from package.document(passages, Origin(source.name, unit="slide"), title)


def _add_slide(package: Package, part: str, number: int, passages: Passages) -> str | None:
    """Adds what is on a slide, and returns its title."""
    shapes = list(package.parsed(part, _Shapes(), MAX_XML))
    titles = [text for shape in shapes if shape.kind in _TITLES for text in shape.texts]
    title = " ".join(" ".join(titles).split())
    metadata = {"slide": number, **({"headings": [title]} if title else {})}
    passages.add(title, metadata, number, whole=True)
    for shape in shapes:
        if shape.kind not in (*_TITLES, *_NOT_TEXT):
            for text in shape.texts:
                passages.add(text, metadata, number)
    for relation in package.related(part).values():
        if relation.kind == "notesSlide":
            for shape in package.parsed(relation.part, _Shapes(), MAX_XML):
                if shape.kind == "body":
                    for text in shape.texts:
                        passages.add(text, {**metadata, "notes": True}, number)
    return title or None


class _Order(Handler[str]):
    """Finds the ids of the slides, in order."""

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        if name == "sldId" and "r:id" in attributes:  # lists of sections repeat the slides without it
            self.found.append(attributes["r:id"])


@dataclass
class _Shape:
    kind: str = ""
    texts: list[str] = field(default_factory=list)


class _Shapes(Handler[_Shape]):
    """Finds the shapes with text, also those in groups; a table is one, with a text for each row."""

    def __init__(self) -> None:
        super().__init__()
        self._shape = _Shape()
        self._pieces: list[str] = []
        self._cells: list[list[str]] | None = None  # of the open row of a table
        self._left_out = 0
        self._is_text = False

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        if self._left_out or name == "Fallback":
            self._left_out += 1
        elif name in ("sp", "graphicFrame"):
            self._shape = _Shape()
            self.count(200)
        elif name == "ph":
            self._shape.kind = attributes.get("type", "")
        elif name == "tr":
            self._cells = []
        elif name == "tc" and self._cells is not None:
            self._cells.append([])
            self.count(100)
        elif name == "p":
            self._pieces = []
        elif name == "br":
            self._pieces.append("\n")
            self.count(1)
        elif name == "t":
            self._is_text = True

    def data(self, text: str) -> None:
        if self._is_text:
            self._pieces.append(text)
            self.count(len(text))

    def finish(self, name: str) -> None:
        if self._left_out:
            self._left_out -= 1
        elif name == "t":
            self._is_text = False
        elif name == "p":
            self._add("".join(self._pieces))
        elif name == "tr" and self._cells is not None:
            cells, self._cells = self._cells, None
            self._add(_CELLS.join(" ".join(" ".join(cell).split()) for cell in cells if cell))
        elif name in ("sp", "graphicFrame"):
            self.found.append(self._shape)

    def _add(self, text: str) -> None:
        if not text.strip():
            return
        if self._cells:
            self._cells[-1].append(text)
        else:
            self._shape.texts.append(text)
