"""Reads the sheets of an Excel workbook, a row at a time: which there are, and the values of their cells.

It reads the XML itself, with the parser of the standard library: openpyxl takes a cell whose formula was never
calculated for an empty one and finds no rows in strict Open XML, and its memory grows with what a crafted file claims.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ...errors import InvalidInput
from .ooxml import MAX_PART, MAX_XML, Handler, Package

MAX_ROW = 1_048_576
MAX_COLUMN = 16_384
"""Excel's own limits."""

NOT_CALCULATED: Any = object()
"""The value of a cell whose formula has no stored result."""
Row = tuple[int, dict[int, Any]]
"""Its number, and the values of its cells by column, both from 1; empty cells are left out."""

_ERRORS = "e"
_BUILT_IN = {
    **dict.fromkeys((14, 15, 16, 17, *range(27, 32), 36, *range(50, 59)), "date"),
    **dict.fromkeys((18, 19, 20, 21, 32, 33, 34, 35, 45, 47), "time"),
    22: "date and time",
    46: "duration",
}
"""Formats of numbers that stand for dates, by their ids (ECMA-376, part 1, 18.8.30)."""
_NOT_A_FORMAT = re.compile(r'"[^"]*"?|\\.|[_*].|\[(?!h+\]|m+\]|s+\])[^\]]*\]', re.IGNORECASE)
_ESCAPE = re.compile("_x([0-9A-Fa-f]{4})_")
_CELL = re.compile("([A-Z]{1,3})[0-9]{1,7}")
_LONGEST_FORMAT = 1_000


@dataclass(frozen=True, slots=True)
class Sheet:
    name: str
    part: str


class Workbook:
    """A workbook whose list of sheets, strings and styles are read. Methods raise what `ooxml.errors` maps."""

    def __init__(self, package: Package) -> None:
        self._package = package
        main = package.main()
        related = package.related(main)
        found = _Sheets()
        listed = list(package.parsed(main, found))
        self.sheets = [
            Sheet(name, related[id].part) for name, id in listed if id in related and related[id].kind == "worksheet"
        ]
        """Those that are not hidden, in order."""
        parts = {relation.kind: relation.part for relation in related.values()}
        self._strings: list[str] = []
        if "sharedStrings" in parts:
            self._strings = list(package.parsed(parts["sharedStrings"], _Strings(), MAX_XML))
        self._styles: list[str] = []
        if "styles" in parts:
            self._styles = list(package.parsed(parts["styles"], _Styles()))
        self._starts_1904 = found.starts_1904

    def rows(self, sheet: Sheet) -> Iterator[Row]:
        """The rows that hold anything."""
        cells = _Cells(self._strings, self._styles, self._starts_1904)
        return self._package.parsed(sheet.part, cells, MAX_PART)


class _Sheets(Handler[tuple[str, str]]):
    starts_1904 = False

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        if name == "sheet" and attributes.get("state", "visible") == "visible":
            self.found.append((attributes.get("name", ""), attributes.get("r:id", "")))
        elif name == "workbookPr":
            self.starts_1904 = attributes.get("date1904", "0") in ("1", "true")


class _Text(Handler[Any]):
    """Collects the text of one string, without the reading aids of Japanese ones."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[str] = []
        self._is_text = self._is_aid = False

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        if name == "t":
            self._is_text = not self._is_aid
        elif name == "rPh":
            self._is_aid = True

    def data(self, text: str) -> None:
        if self._is_text:
            self._pieces.append(text)
            self.count(len(text))

    def finish(self, name: str) -> None:
        if name == "t":
            self._is_text = False
        elif name == "rPh":
            self._is_aid = False

    def taken(self) -> str:
        """The string, which is then forgotten."""
        text = "".join(self._pieces)
        self._pieces = []
        return _unescaped(text) if "_x" in text else text


class _Strings(_Text):
    """Finds the strings that cells refer to by number."""

    def finish(self, name: str) -> None:
        super().finish(name)
        if name == "si":
            self.found.append(self.taken())
            self.count(50)


class _Styles(Handler[str]):
    """Finds what numbers stand for in cells of each style, "" for themselves."""

    def __init__(self) -> None:
        super().__init__()
        self._formats: dict[str, str] = {}
        self._is_cells = False

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        id = attributes.get("numFmtId", "")
        if name == "numFmt":
            self._formats[id] = _kind(attributes.get("formatCode", ""))
        elif name == "cellXfs":
            self._is_cells = True
        elif name == "xf" and self._is_cells:
            built_in = _BUILT_IN.get(int(id), "") if id.isdecimal() and len(id) < 4 else ""
            self.found.append(self._formats.get(id, built_in))

    def finish(self, name: str) -> None:
        if name == "cellXfs":
            self._is_cells = False


def _kind(format: str) -> str:
    """What numbers in a format such as ``yyyy-mm-dd;@`` stand for."""
    letters = set(_NOT_A_FORMAT.sub("", format[:_LONGEST_FORMAT]).partition(";")[0].lower())
    if "[" in letters:
        return "duration"
    has_time = bool(letters & {"h", "s"})
    has_date = bool(letters & {"d", "y"}) or ("m" in letters and not has_time)
    return "date and time" if has_date and has_time else "date" if has_date else "time" if has_time else ""


class _Cells(_Text):
    """Finds the rows of a sheet."""

    def __init__(self, strings: Sequence[str], styles: Sequence[str], starts_1904: bool) -> None:
        super().__init__()
        self._strings, self._styles, self._starts_1904 = strings, styles, starts_1904
        self._row = self._column = 0
        self._values: dict[int, Any] = {}
        self._type = self._style = ""
        self._has_formula = self._is_value = False

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        if name == "c":
            self._column = _column(attributes["r"]) if "r" in attributes else self._column + 1
            if self._column > MAX_COLUMN:
                raise InvalidInput(f"a row has more than {MAX_COLUMN:,} columns", "Check how the file was made.")
            self._type, self._style = attributes.get("t", "n"), attributes.get("s", "")
            self._has_formula = False
            self._pieces = []
        elif name == "v":
            self._is_text = True
        elif name == "f":
            self._has_formula = True
        elif name == "row":
            number = attributes.get("r", "")
            self._row = int(number) if number.isdecimal() and len(number) < 8 else self._row + 1
            if self._row > MAX_ROW:
                raise InvalidInput(f"a sheet has more than {MAX_ROW:,} rows", "Check how the file was made.")
            self._column, self._values, self._length = 0, {}, 0
        else:
            super().begin(name, attributes)

    def finish(self, name: str) -> None:
        if name == "v":
            self._is_text = False
        elif name == "c":
            value = self._value(self.taken())
            if value is not None:
                self._values[self._column] = value
        elif name == "row":
            if self._values:
                self.found.append((self._row, self._values))
        else:
            super().finish(name)

    def _value(self, written: str) -> Any:
        """None for an empty cell, and for one that shows an error such as ``#N/A``."""
        kind = self._type
        if not written:
            return NOT_CALCULATED if self._has_formula and kind != "str" else None
        if kind == "s":
            return self._string(written)
        if kind in ("str", "inlineStr", "d"):
            return written
        if kind == "b":
            return written.strip() in ("1", "true")
        if kind == "n":
            style = self._styles[int(self._style)] if self._is_known_style() else ""
            return _number(written.strip(), style, self._starts_1904)
        return None

    def _is_known_style(self) -> bool:
        return self._style.isdecimal() and len(self._style) < 8 and int(self._style) < len(self._styles)

    def _string(self, written: str) -> str | None:
        if not written.isdecimal() or len(written) > 9 or int(written) >= len(self._strings):
            raise InvalidInput(f"a cell refers to a text that is not there, {written[:20]!r}", "Save the file again.")
        return self._strings[int(written)] or None


def _column(cell: str) -> int:
    found = _CELL.fullmatch(cell)
    if found is None:
        raise InvalidInput(f"a cell is called {cell[:20]!r}", "Check how the file was made.")
    column = 0
    for letter in found[1]:
        column = column * 26 + ord(letter) - ord("A") + 1
    return column


def _number(written: str, style: str, starts_1904: bool) -> int | float | str:
    """The number, or what it stands for, as ISO 8601 writes it."""
    try:
        value = int(written) if written.lstrip("-").isdecimal() and len(written) < 20 else float(written)
    except ValueError:
        raise InvalidInput(f"a cell has the number {written[:20]!r}", "Check how the file was made.") from None
    if not math.isfinite(value):
        raise InvalidInput(f"a cell has the number {written[:20]!r}", "Numbers must be finite.")
    if not style or not 0 <= value < 2_958_466:  # up to the year 9999
        return value
    elapsed = timedelta(milliseconds=round(value * 86_400_000))
    if style == "duration":
        seconds = int(elapsed.total_seconds())
        return f"{seconds // 3_600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    if style == "time" and value < 1:
        return (datetime.min + elapsed).time().isoformat()
    # The calendar of 1900 has a 29 February that never was.
    start = datetime(1904, 1, 1) if starts_1904 else datetime(1899, 12, 31 if value < 60 else 30)
    try:
        moment = start + elapsed
    except OverflowError:
        return value
    return moment.date().isoformat() if style == "date" else moment.isoformat()


def _unescaped(text: str) -> str:
    """Text in which characters that XML cannot hold are written as ``_x000D_``."""
    text = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
