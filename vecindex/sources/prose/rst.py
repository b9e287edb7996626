"""Reads reStructuredText: a block for each paragraph, list item, table row, title and piece of code.

docutils would run directives, knows none of Sphinx's, gives lines but no characters, and reads 0.5 MB/s; what is needed
here are only the blocks, so they are found line by line. Nothing is included from other files.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import IO, Any

from ...values.records import Origin
from ..documents import Block, Document
from ..origin import Source
from ..texts import whole_text
from .code import code_blocks
from .outline import Outline
from .rst_lines import (
    ADORNMENT,
    ARGUMENT_IS_NAME,
    BORDER,
    BULLET,
    CODE,
    DIRECTIVE,
    FIELD,
    FOOTNOTE,
    GRID,
    NO_TEXT,
    NUMBER,
    Line,
    lines,
    words,
)
from .spans import trimmed

DEEPEST = 40
"""Levels of indentation. What is further in is read as plain paragraphs."""


def read(source: Source, stream: IO[bytes]) -> Iterator[Document]:
    """The text of the file itself; a list of fields at its top is metadata."""
    text = whole_text(source, stream)
    page = _Page(text)
    blocks = list(page.blocks(lines(text), 0))
    if blocks:
        yield Document(
            text,
            Origin(source.name, 1),
            metadata=page.fields or None,
            title=page.outline.title,
            blocks=blocks,
            has_lines=True,
        )


class _Page:
    """What has been seen of a page so far."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.outline = Outline()
        self.fields: dict[str, Any] = {}
        self._adornments: list[str] = []  # of titles, from the top level down
        self._is_top = True  # nothing but the title was seen

    def blocks(self, region: Sequence[Line], depth: int) -> Iterator[Block]:
        """The blocks of lines that belong to one element."""
        at = 0
        while at < len(region):
            line = region[at]
            if line.column < 0:
                at += 1
                continue
            if depth >= DEEPEST:
                end = _until_blank(region, at)
                yield from self._text(region[at].start, region[end - 1].end)
            else:
                end = yield from self._element(region, at, depth)
            at = max(end, at + 1)

    def _element(self, region: Sequence[Line], at: int, depth: int) -> Generator[Block, None, int]:
        """The blocks of the element that begins at a line; returns where the next one begins."""
        line, text = region[at], self.text
        if depth == 0 and (title := self._title(region, at)):
            yield from self._heading(*title[:3])
            return title[3]
        was_top, self._is_top = self._is_top, False
        if ADORNMENT.fullmatch(text, line.start, line.end):
            return at + 1
        if text.startswith("..", line.start, line.end) and text[line.start + 2 : line.end][:1] in ("", " ", "\t"):
            end = _body_end(region, at)
            self._is_top = was_top
            yield from self._explicit(region[at:end], depth)
            return end
        if text.startswith(("__ ", ">>>"), line.start, line.end):
            end = _until_blank(region, at)
            if text.startswith(">>>", line.start):
                yield from code_blocks(text, line.start, region[end - 1].end, self.outline.code("python"))
            return end
        if GRID.fullmatch(text, line.start, line.end):
            end = _until_blank(region, at)
            yield from self._grid(region[at:end])
            return end
        if BORDER.fullmatch(text, line.start, line.end):
            end = self._table_end(region, at)
            yield from self._simple_table(region[at:end])
            return end
        if text.startswith("| ", line.start, line.end):
            yield from self._text(line.start + 2, line.end)
            return at + 1
        if was_top and FIELD.match(text, line.start, line.end):
            end = _body_end(region, at)
            self._is_top = True
            self._field(region[at:end])
            return end
        if marker := self._marker(region, at):
            end = _body_end(region, at)
            first = Line(min(marker, line.end), line.end, line.column + marker - line.start)
            yield from self.blocks(
                [first if marker < line.end else line._replace(column=-1), *region[at + 1 : end]], depth + 1
            )
            return end
        return (yield from self._paragraph(region, at, depth))

    def _paragraph(self, region: Sequence[Line], at: int, depth: int) -> Generator[Block, None, int]:
        line, text = region[at], self.text
        is_field = FIELD.match(text, line.start, line.end)
        end = at + 1
        while end < len(region) and (
            region[end].column > line.column if is_field else region[end].column == line.column
        ):
            end += 1
        last = region[end - 1]
        is_literal = text.endswith("::", last.start, last.end)
        stop = last.end - (2 if text[last.start : last.end].rstrip(":") == "" else 1) if is_literal else last.end
        yield from self._text(line.start, stop)
        body_end = _body_end(region, end - 1)
        if is_literal:
            body = [each for each in region[end:body_end] if each.column >= 0]
            if body:
                yield from code_blocks(text, body[0].start, body[-1].end, self.outline.code())
        elif end < body_end:
            yield from self.blocks(region[end:body_end], depth + 1)  # a definition, or a quote
        return body_end

    # --- titles

    def _title(self, region: Sequence[Line], at: int) -> tuple[str, int, int, int] | None:
        """The adornment of a title, where the title is, and where the next element begins."""
        text = self.text
        line, *after = region[at : at + 3]
        if line.column == 0 and after and after[0].column == 0:
            under = ADORNMENT.fullmatch(text, after[0].start, after[0].end)
            is_long = after[0].end - after[0].start >= min(line.end - line.start, 4)
            if under and is_long and not ADORNMENT.fullmatch(text, line.start, line.end):
                return under[1], line.start, line.end, at + 2
        if len(after) == 2 and after[0].column >= 0 and (over := ADORNMENT.fullmatch(text, line.start, line.end)):
            under = ADORNMENT.fullmatch(text, after[1].start, after[1].end)
            if under and under[1] == over[1] and after[1].column == line.column == 0:
                return f"{over[1]} above", after[0].start, after[0].end, at + 3
        return None

    def _heading(self, adornment: str, start: int, end: int) -> Iterator[Block]:
        if adornment not in self._adornments:
            self._adornments.append(adornment)
        self._is_top = self._is_top and self.outline.title is None
        self.outline.enter(self._adornments.index(adornment) + 1, words(self.text[start:end]))
        yield Block(start, end, self.outline.metadata, whole=True)

    # --- what begins with two dots

    def _explicit(self, region: Sequence[Line], depth: int) -> Iterator[Block]:
        """A directive or a footnote; comments, targets and substitutions are no text."""
        first, text = region[0], self.text
        if footnote := FOOTNOTE.match(text, first.start, first.end):
            start = footnote.end()
            head = Line(start, first.end, first.column + 3) if start < first.end else first._replace(column=-1)
            yield from self.blocks([head, *region[1:]], depth + 1)
            return
        found = DIRECTIVE.match(text, first.start, first.end)
        if found is None or found[1]:
            return
        name = found[2].lower()
        if name in NO_TEXT:
            return
        self._is_top = False
        argument = found.end(), first.end
        body = list(region[1:])
        while body and body[0].column >= 0 and FIELD.match(text, body[0].start, body[0].end):
            del body[: _body_end(body, 0)]  # options
        if name in CODE:
            inner = [each for each in body if each.column >= 0]
            if inner:
                metadata = self.outline.code(text[slice(*argument)].split(" ")[0])
                yield from code_blocks(text, inner[0].start, inner[-1].end, metadata)
            return
        if name not in ARGUMENT_IS_NAME and argument[0] < argument[1]:
            # The text of a note may begin beside its name and go on below.
            end = _until_blank(body, 0) if body and body[0].column >= 0 else 0
            yield from self._text(argument[0], body[end - 1].end if end else argument[1])
            body = body[end:]
        yield from self.blocks(body, depth + 1)

    # --- tables

    def _grid(self, region: Sequence[Line]) -> Iterator[Block]:
        row: list[Line] = []
        for line in region:
            if not GRID.match(self.text, line.start, line.end):
                row.append(line)
            elif row:
                yield from self._row(row)
                row = []
        if row:
            yield from self._row(row)

    def _table_end(self, region: Sequence[Line], at: int) -> int:
        """After the last border before an empty line; or the next empty line, if there is none."""
        for end in range(at + 1, len(region)):
            is_border = BORDER.fullmatch(self.text, region[end].start, region[end].end)
            if is_border and (end + 1 == len(region) or region[end + 1].column < 0):
                return end + 1
        return _until_blank(region, at)

    def _simple_table(self, region: Sequence[Line]) -> Iterator[Block]:
        column = region[0].column
        row: list[Line] = []
        for line in region:
            is_text = line.column >= 0 and self.text[line.start : line.end].strip("=- \t") != ""
            if row and not (is_text and line.column > column):  # the first column of a line that goes on is empty
                yield from self._row(row)
                row = []
            if is_text:
                row.append(line)
        if row:
            yield from self._row(row)

    def _row(self, row: Sequence[Line]) -> Iterator[Block]:
        start, end = row[0].start, row[-1].end
        while start < end and self.text[start] in "| \t":
            start += 1
        while start < end and self.text[end - 1] in "| \t":
            end -= 1
        yield from self._text(start, end)

    # --- the rest

    def _marker(self, region: Sequence[Line], at: int) -> int:
        """Where the text of a list's item begins; 0 if the line is no item."""
        line = region[at]
        if bullet := BULLET.match(self.text, line.start, line.end):
            return bullet.end()
        number = NUMBER.match(self.text, line.start, line.end)
        if number is None:
            return 0
        after = region[at + 1] if at + 1 < len(region) else None
        is_item = after is None or after.column != line.column or NUMBER.match(self.text, after.start, after.end)
        return number.end() if is_item else 0

    def _field(self, region: Sequence[Line]) -> None:
        first = region[0]
        found = FIELD.match(self.text, first.start, first.end)
        inner = [each for each in region if each.column >= 0]
        if found:
            value = " ".join(self.text[found.end() : inner[-1].end].split())
            if value:
                self.fields.setdefault(found[1].strip().lower(), value)

    def _text(self, start: int, end: int) -> Iterator[Block]:
        start, end = trimmed(self.text, start, end)
        if start < end:
            yield Block(start, end, self.outline.metadata)


def _until_blank(region: Sequence[Line], at: int) -> int:
    while at < len(region) and region[at].column >= 0:
        at += 1
    return at


def _body_end(region: Sequence[Line], at: int) -> int:
    """Where the lines end that are further in than the one at ``at``, with the empty ones between them."""
    column = region[at].column
    end = after = at + 1
    while after < len(region) and (region[after].column > column or region[after].column < 0):
        after += 1
        if region[after - 1].column >= 0:
            end = after
    return end
