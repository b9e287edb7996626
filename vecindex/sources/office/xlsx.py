"""Reads Excel workbooks (xlsx): the first row of each sheet is a header, and each further row is a record.

Sheets that are hidden are left out. Where several are not, their records have the name of the sheet as metadata.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import IO, Any

from ...errors import Advice, InvalidInput, SourceError
from ...values.records import Origin, Record
from ..documents import EmptyText
from ..fields import is_blank, listed
from ..options import ReadOptions
from ..origin import Source
from ..rows.columns import ABSENT, Columns, table_columns
from ..rows.rejects import fields_of
from .ooxml import opened
from .sheets import NOT_CALCULATED, Sheet, Workbook

SHEET = "sheet"
"""The field with the sheet's name."""

_NOT_CALCULATED = Advice(
    "Open the file in a spreadsheet program and save it, or choose other columns with metadata_columns=.",
    typed="Open the file in a spreadsheet program and save it, or choose other columns with --metadata-columns.",
)


def read(source: Source, stream: IO[bytes]) -> Iterator[Record | EmptyText | SourceError]:
    """The rows of all sheets; raises SourceError if no sheet can be used."""
    with opened(source, stream, "an Excel workbook") as package:
        workbook = Workbook(package)
        several = len(workbook.sheets) > 1
        headers = [_header(source, workbook, sheet, several) for sheet in workbook.sheets]
        refused = next((header for header in headers if isinstance(header, SourceError)), None)
        if refused is not None and not any(isinstance(header, Columns) for header in headers):
            raise refused
        for sheet in workbook.sheets:
            yield from _records(source, workbook, sheet, several)


def _header(source: Source, workbook: Workbook, sheet: Sheet, several: bool) -> Columns | SourceError | None:
    """The columns of a sheet, or why its header cannot be used; None if it is empty."""
    for number, cells in workbook.rows(sheet):
        if not _is_blank(cells):
            try:
                return _table(cells, source.options)[1]
            except InvalidInput as error:
                return _error(source, sheet, number, several, error)
    return None


def _error(source: Source, sheet: Sheet, number: int, several: bool, error: InvalidInput) -> SourceError:
    where = f"sheet {sheet.name!r}: " if several else ""
    return Origin(source.name, number, "row").error(where + error.message, error.advice)


def _records(
    source: Source, workbook: Workbook, sheet: Sheet, several: bool
) -> Iterator[Record | EmptyText | SourceError]:
    columns: Columns | None = None
    places: list[int] = []
    for number, cells in workbook.rows(sheet):
        if _is_blank(cells):
            continue
        try:
            if columns is None:
                places, columns = _table(cells, source.options)
                continue
            found = columns.record(_values(cells, places, columns), Origin(source.name, number, "row"))
        except InvalidInput as error:
            refused = _error(source, sheet, number, several, error)
            if columns is None:
                yield refused
                return
            known = {place: value for place, value in cells.items() if value is not NOT_CALCULATED}
            refused.row = fields_of(columns, [known.get(place, ABSENT) for place in places])
            yield refused
            continue
        if several and isinstance(found, Record) and SHEET not in columns.names:
            found = replace(found, metadata={**(found.metadata or {}), SHEET: sheet.name})
        yield found


def _is_blank(cells: dict[int, Any]) -> bool:
    return all(isinstance(value, str) and is_blank(value) for value in cells.values())


def _table(header: dict[int, Any], options: ReadOptions) -> tuple[list[int], Columns]:
    """The places of the columns with a name, and what they are for; raises InvalidInput."""
    if NOT_CALCULATED in header.values():
        raise InvalidInput("a formula in the header has no stored result", _NOT_CALCULATED)
    named = {place: str(value) for place, value in header.items() if not is_blank(str(value))}
    try:
        return list(named), table_columns(list(named.values()), options)
    except InvalidInput as error:
        advice = f"The first row is the header. {error.advice}"
        typed = f"The first row is the header. {error.command_advice}"
        raise InvalidInput(error.message, Advice(advice, typed=typed)) from None


def _values(cells: dict[int, Any], places: list[int], columns: Columns) -> list[Any]:
    """The values of the columns in a row; raises InvalidInput."""
    values = [cells.get(place, ABSENT) for place in places]
    if columns.key is not None and values[columns.key] is ABSENT:
        values[columns.key] = None
    used = {*columns.text, *columns.others, *(() if columns.key is None else (columns.key,))}
    missing = [columns.names[each] for each in sorted(used) if values[each] is NOT_CALCULATED]
    if missing:
        raise InvalidInput(f"the formula in {listed(missing)} has no stored result", _NOT_CALCULATED)
    if len(cells) > len(places) and (nameless := [place for place in cells if place not in places]):
        raise InvalidInput(
            f"column {_letters(min(nameless))} has a value, but no name in the header",
            "The first row must name every column.",
        )
    return values


def _letters(column: int) -> str:
    letters = ""
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters
