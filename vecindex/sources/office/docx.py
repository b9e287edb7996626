"""Reads Word documents (docx): a block for each paragraph, heading, list item, table row and footnote.

It reads the XML itself, with the parser of the standard library: python-docx leaves out inserted text that is still
marked as a change, content controls, text boxes and footnotes, and holds all of the document's XML in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

from ...values.records import Origin
from ..documents import Document
from ..origin import Source
from ..prose.outline import Outline
from ..prose.passages import Passages
from .ooxml import MAX_XML, Handler, Package, opened

# Not text: what was deleted or moved away, earlier formats, and the second form of a drawing, for old programs.
_LEFT_OUT = frozenset({"del", "moveFrom", "pPrChange", "rPrChange", "tblPrChange", "Fallback", "sectPr"})
_BREAKS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_CELLS = " | "
_BODY = 10
"""The level of ordinary text."""


def read(source: Source, stream: IO[bytes]) -> Iterator[Document]:
    """One document; raises SourceError."""
    with opened(source, stream, "a Word document") as package:
        passages, outline = Passages(), Outline()
        _add_all(package, passages, outline)
        yield from package.document(passages, Origin(source.name), outline.title)


def _add_all(package: Package, passages: Passages, outline: Outline) -> None:
    main = package.main()
    related = package.related(main).values()
    parts = {relation.kind: relation.part for relation in related}
    levels = _levels(package, parts.get("styles"))
    body = _Body()
    for paragraph in package.parsed(main, body, MAX_XML):
        level = levels.get(paragraph.style, _BODY) if paragraph.level is None else paragraph.level
        is_heading = level < _BODY and not paragraph.is_row
        if is_heading:
            outline.enter(level, " ".join(paragraph.text.split()))
        passages.add(paragraph.text, outline.metadata, whole=is_heading)
    for kind, numbers in body.notes.items():
        if f"{kind}s" in parts:
            for note in package.parsed(parts[f"{kind}s"], _Body(kind), MAX_XML):
                if note.note in numbers:
                    passages.add(note.text, {kind: numbers[note.note]})


def _levels(package: Package, part: str | None) -> dict[str, int]:
    """The levels of the styles that are headings, by their ids; that of the title is 0."""
    styles = {} if part is None else {style.id: style for style in package.parsed(part, _Styles())}
    levels: dict[str, int] = {}
    for id, style in styles.items():
        seen: set[str] = set()
        based: _Style | None = style
        while based is not None and based.id not in seen:
            seen.add(based.id)
            if based.level is not None:
                levels[id] = based.level
                break
            based = styles.get(based.based_on)
    return levels


@dataclass
class _Style:
    id: str
    level: int | None = None
    based_on: str = ""


class _Styles(Handler[_Style]):
    def begin(self, name: str, attributes: dict[str, str]) -> None:
        value = attributes.get("val", "")
        if name == "style":
            self._style = _Style(attributes.get("styleId", ""))
            self._is_open = True
        elif not getattr(self, "_is_open", False):
            return
        elif name == "name":
            words = value.lower().split()
            if words == ["title"]:
                self._style.level = 0
            elif len(words) == 2 and words[0] == "heading" and words[1].isdecimal():
                self._style.level = int(words[1])
        elif name == "basedOn":
            self._style.based_on = value
        elif name == "outlineLvl" and self._style.level is None:
            self._style.level = _level(value)

    def finish(self, name: str) -> None:
        if name == "style":
            self._is_open = False
            self.found.append(self._style)


def _level(outline: str) -> int:
    """The level of a heading, from 1, or `_BODY`."""
    return int(outline) + 1 if outline.isdecimal() and len(outline) == 1 else _BODY


@dataclass
class _Paragraph:
    text: str = ""
    style: str = ""
    level: int | None = None
    is_row: bool = False
    note: str = ""
    pieces: list[str] = field(default_factory=list)


class _Body(Handler[_Paragraph]):
    """Finds paragraphs; a table row with more than one cell that is not empty is one paragraph.

    ``note`` is the name of the elements that hold one note each. ``notes`` numbers the ids of notes, as they are
    referred to.
    """

    def __init__(self, note: str = "") -> None:
        super().__init__()
        self.notes: dict[str, dict[str, int]] = {"footnote": {}, "endnote": {}}
        self._note = note
        self._id = ""
        self._paragraphs: list[_Paragraph] = []  # a text box is within a paragraph
        self._cells: list[list[list[_Paragraph]]] = []  # for each open table, the cells of its row
        self._left_out = 0
        self._is_text = self._is_run = False

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        if self._left_out or name in _LEFT_OUT:
            self._left_out += 1
        elif name == "p":
            self._paragraphs.append(_Paragraph(note=self._id))
        elif name == "tbl":
            self._cells.append([])
        elif name == "tr" and self._cells:
            self._cells[-1] = []
        elif name == "tc" and self._cells:
            self._cells[-1].append([])
            self.count(100)
        elif name == self._note:
            self._id = attributes.get("id", "")
        elif self._paragraphs:
            self._within(name, attributes)

    def _within(self, name: str, attributes: dict[str, str]) -> None:
        """Where an element of a paragraph begins."""
        paragraph = self._paragraphs[-1]
        if name == "t":
            self._is_text = True
        elif name == "r":
            self._is_run = True
        elif name in _BREAKS and self._is_run:
            paragraph.pieces.append(_BREAKS[name])
            self.count(1)
        elif name == "pStyle":
            paragraph.style = attributes.get("val", "")
        elif name == "outlineLvl":
            paragraph.level = _level(attributes.get("val", ""))
        elif name in ("footnoteReference", "endnoteReference"):
            numbers = self.notes[name.removesuffix("Reference")]
            numbers.setdefault(attributes.get("id", ""), len(numbers) + 1)
            self.count(100)

    def data(self, text: str) -> None:
        if self._is_text and self._paragraphs:
            self._paragraphs[-1].pieces.append(text)
            self.count(len(text))

    def finish(self, name: str) -> None:
        if self._left_out:
            self._left_out -= 1
        elif name == "t":
            self._is_text = False
        elif name == "r":
            self._is_run = False
        elif name == "p" and self._paragraphs:
            paragraph = self._paragraphs.pop()
            paragraph.text = "".join(paragraph.pieces)
            self._add(paragraph)
        elif name == "tr" and self._cells:
            self._end_row()
        elif name == "tbl" and self._cells:
            self._cells.pop()

    def _add(self, paragraph: _Paragraph) -> None:
        if not paragraph.text.strip():
            return
        if self._cells and self._cells[-1]:
            self._cells[-1][-1].append(paragraph)
        else:
            self.found.append(paragraph)

    def _end_row(self) -> None:
        cells = [cell for cell in self._cells[-1] if cell]
        self._cells[-1] = []
        outer = self._cells.pop()
        if len(cells) > 1:
            texts = [" ".join(" ".join(each.text for each in cell).split()) for cell in cells]
            rows = [_Paragraph(_CELLS.join(texts), is_row=True, note=self._id)]
        else:
            rows = [paragraph for cell in cells for paragraph in cell]
        for row in rows:
            self._add(row)  # of a table within a table, to the cell around it
        self._cells.append(outer)
