"""Excel: rows under a header, the values of their cells, several sheets, and workbooks that cannot be used."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any
from zipfile import ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex.errors import SourceError
from vecindex.sources.documents import EmptyText
from vecindex.sources.formats import Format
from vecindex.sources.office import sheets, xlsx
from vecindex.sources.options import read_options
from vecindex.sources.origin import Source
from vecindex.values.records import Record

from ...support.extent import examples
from ...support.office_files import with_parts
from ...support.office_files import xlsx as workbook

SHEET = "xl/worksheets/sheet1.xml"


def found(raw: bytes, **options: Any) -> list[Any]:
    return list(xlsx.read(Source("a.xlsx", Format.XLSX, read_options(**options)), io.BytesIO(raw)))


def records(rows: Sequence[Sequence[Any]], **options: Any) -> list[tuple[str, str | None, Any]]:
    """Text, key and metadata of every row in a workbook of one sheet."""
    return [(each.text, each.key, each.metadata) for each in found(workbook({"Sheet": rows}), **options)]


def refused(raw: bytes, **options: Any) -> str:
    with pytest.raises(SourceError) as caught:
        found(raw, **options)
    assert caught.value.path == "a.xlsx"
    return caught.value.message


def with_cells(xml: str, **parts: bytes) -> bytes:
    """A workbook with the header text, v, w, and below it these elements, all in one sheet."""
    raw = workbook({"Sheet": [("text", "v", "w")]})
    return with_parts(raw, {SHEET: lambda old: old.replace(b"</sheetData>", xml.encode() + b"</sheetData>"), **parts})


# --- rows and columns


def test_each_row_is_a_record_under_the_header() -> None:
    rows = [("key", "text", "lang"), ("a", "It rains.", "en"), (), ("b", "Es regnet.", "de")]
    first, second = found(workbook({"Sheet": rows}))
    assert first == Record("It rains.", "a", {"lang": "en"})
    assert second == Record("Es regnet.", "b", {"lang": "de"})
    assert [str(each.origin) for each in (first, second)] == ["a.xlsx, row 2", "a.xlsx, row 4"]


def test_columns_are_chosen_by_name() -> None:
    rows = [("Title", "Plot", "ID", "Year", "Note"), ("Mars", "A man is stranded.", 7, 2015, "x")]
    assert records(rows, text_column=["Title", "Plot"], key_column="ID", metadata_columns=["Year"]) == [
        ("Mars\n\nA man is stranded.", "7", {"Year": 2015})
    ]
    assert "no column 'Plott' (did you mean 'Plot'?); the columns are: 'Title', 'Plot'" in refused(
        workbook({"Sheet": rows}), text_column="Plott"
    )
    assert refused(workbook({"Sheet": [("A sentence.",), ("Another.",)]})).startswith("a.xlsx, row 1: no column 'text'")


def test_values_have_their_types_and_dates_are_iso_8601() -> None:
    values = [1, -2.5, True, False, date(2024, 5, 1), datetime(2024, 5, 1, 9, 30, 15), time(9, 30), timedelta(hours=30)]
    rows = [("text", *(f"v{n}" for n in range(len(values)))), ("It rains.", *values)]
    ((_, _, metadata),) = records(rows)
    assert list(metadata.values()) == [
        *(1, -2.5, True, False, "2024-05-01", "2024-05-01T09:30:15", "09:30:00", "30:00:00"),
    ]
    assert [type(value) for value in metadata.values()] == [int, float, bool, bool, str, str, str, str]


def test_digits_are_not_lost() -> None:
    numbers = ("0.30000000000000004", "123456789012345", "1.5E-7")
    cells = "".join(f"<c><v>{number}</v></c>" for number in numbers)
    raw = with_cells(f'<row r="2">{cells}</row>')
    assert found(raw)[0] == Record("0.30000000000000004", None, {"v": 123456789012345, "w": 1.5e-07})
    assert records([("text", "v"), ("It rains.", "00123")])[0][2] == {"v": "00123"}


def test_numbers_can_be_texts_and_empty_cells_are_no_fields() -> None:
    rows = [("text", "n"), (42, None), (1.5, 2), ("It rains.", "")]
    assert records(rows) == [("42", None, {}), ("1.5", None, {"n": 2}), ("It rains.", None, {})]


def test_a_row_without_a_text_is_empty() -> None:
    (empty,) = found(workbook({"Sheet": [("text", "n"), ("", 1)]}))
    assert isinstance(empty, EmptyText)
    assert str(empty.origin) == "a.xlsx, row 2"


def test_the_header_is_the_first_row_that_is_not_blank() -> None:
    assert records([(), ("  ",), (None, "text"), (None, "It rains.")]) == [("It rains.", None, None)]


def test_a_value_without_a_name_in_the_header_is_a_bad_row() -> None:
    first, bad, last = found(workbook({"Sheet": [("text", None, "n"), ("a", None, 1), ("b", 5, 2), ("c",)]}))
    assert (first.text, last.text) == ("a", "c")
    assert bad.message == "a.xlsx, row 3: column B has a value, but no name in the header"


# --- sheets


def test_a_workbook_of_another_writer_is_read() -> None:
    import xlsxwriter

    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        sheet = book.add_worksheet()
        day = book.add_format({"num_format": "d mmm yyyy"})
        for row, values in enumerate([("text", "key", "n"), ("It rains.", "a", 1.5), ("It rains.", "b", "x\ny")]):
            sheet.write_row(row, 0, values)
        sheet.write_row(0, 3, ("day", "sum"))
        sheet.write_datetime(1, 3, datetime(2024, 5, 1), day)
        sheet.write_formula(1, 4, "=C2*2", None, 3)
        sheet.write_rich_string(3, 0, "It ", book.add_format({"bold": True}), "pours", ".")
    assert "xl/sharedStrings.xml" in ZipFile(out).namelist()
    assert [(each.text, each.key, each.metadata) for each in found(out.getvalue())] == [
        ("It rains.", "a", {"n": 1.5, "day": "2024-05-01", "sum": 3}),
        ("It rains.", "b", {"n": "x\ny"}),
        ("It pours.", None, {}),
    ]


def test_several_sheets_have_their_names_as_metadata() -> None:
    raw = workbook({"May": [("text",), ("It rains.",)], "June": [("n", "text"), (1, "It pours.")]})
    assert [(each.text, each.metadata) for each in found(raw)] == [
        ("It rains.", {"sheet": "May"}),
        ("It pours.", {"n": 1, "sheet": "June"}),
    ]
    raw = workbook({"May": [("text", "sheet"), ("It rains.", "own")], "June": [("text",), ("It pours.",)]})
    assert [each.metadata for each in found(raw)] == [{"sheet": "own"}, {"sheet": "June"}]


def test_hidden_sheets_and_charts_are_left_out() -> None:
    def hide(book: Any) -> None:
        book["Lists"].sheet_state = "hidden"
        book["More"].sheet_state = "veryHidden"
        book.create_chartsheet("Chart")

    rows = [("text",), ("It rains.",)]
    raw = workbook({"Lists": rows, "May": rows, "More": rows}, hide)
    assert [(each.text, each.metadata) for each in found(raw)] == [("It rains.", None)]


def test_a_sheet_that_cannot_be_used_is_a_bad_row_unless_none_can() -> None:
    usable, other = [("text",), ("It rains.",)], [("note",), ("By Aun",), ("For Bob",)]
    record, error = found(workbook({"May": usable, "About": other, "Empty": []}))
    assert record.text == "It rains."
    assert error.message == "a.xlsx, row 1: sheet 'About': no column 'text'; the columns are: 'note'"
    assert refused(workbook({"About": other, "Empty": [], "B": other})).startswith(
        "a.xlsx, row 1: sheet 'About': no col"
    )
    assert found(workbook({"Empty": []})) == []


# --- cells as other programs write them


def test_cells_of_every_kind_are_read() -> None:
    raw = with_cells(
        '<row r="2"><c r="A2" t="inlineStr"><is><r><t>In</t></r><r><t xml:space="preserve"> line</t></r>'
        '<rPh><t>aid</t></rPh></is></c><c r="B2" t="str"><f>A1</f><v>of a formula</v></c>'
        '<c r="C2" t="e"><v>#N/A</v></c>'
        '</row><row><c t="str"><v>No names_x000D_\n_xD83D__xDE00_</v></c><c><v>7</v></c><c><v>1E3</v></c></row>'
    )
    assert [(each.text, each.metadata) for each in found(raw)] == [
        ("In line", {"v": "of a formula"}),
        ("No names\r\n\U0001f600", {"v": 7, "w": 1000.0}),
    ]


def test_a_formula_that_was_never_calculated_is_a_bad_row_unless_its_column_is_left_out() -> None:
    rows = [("text", "n"), ("It rains.", "=1+1"), ("It pours.", 2)]
    bad, good = found(workbook({"Sheet": rows}))
    assert bad.message == "a.xlsx, row 2: the formula in 'n' has no stored result"
    assert good.metadata == {"n": 2}
    assert records(rows, metadata_columns=[]) == [("It rains.", None, None), ("It pours.", None, None)]


def test_other_epochs_and_formats_of_dates_are_known() -> None:
    def finish(book: Any) -> None:
        from openpyxl.utils.datetime import MAC_EPOCH

        book.epoch = MAC_EPOCH
        book.active["B2"].number_format = '[$-409]d" day of "mmm\\ yy;@'
        book.active["C2"].number_format = '"hours: "0.00_d'

    raw = workbook({"Sheet": [("text", "a", "b"), ("It rains.", date(2024, 5, 1), 5)]}, finish)
    assert found(raw)[0].metadata == {"a": "2024-05-01", "b": 5}
    kinds = {
        "General": "",
        "0.00%": "",
        "[Red]0;[Blue]-0": "",
        "yyyy-mm-dd;@": "date",
        "mmm": "date",
        "h:mm AM/PM": "time",
        "mm:ss": "time",
        "[h]:mm:ss": "duration",
        "[mm]": "duration",
        "dd.mm.yyyy hh:mm": "date and time",
        '"day" 0': "",
        "#,##0\\ \\d": "",
    }
    assert {code: sheets._kind(code) for code in kinds} == kinds


def test_the_days_around_the_leap_day_that_never_was_are_right() -> None:
    days = {"1": "1900-01-01", "59": "1900-02-28", "61": "1900-03-01", "45413": "2024-05-01", "2958465": "9999-12-31"}
    assert {day: sheets._number(day, "date", starts_1904=False) for day in days} == days
    assert sheets._number("2958466", "date", starts_1904=False) == 2958466
    assert sheets._number("-1", "date", starts_1904=False) == -1
    assert sheets._number("2958465", "date", starts_1904=True) == 2958465
    assert sheets._number("0.5", "time", starts_1904=False) == "12:00:00"
    assert sheets._number("45413.999999999", "date and time", starts_1904=False) == "2024-05-02T00:00:00"


# --- workbooks that cannot be used


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ('<row r="1048577"><c r="A1"><v>1</v></c></row>', "a sheet has more than 1,048,576 rows"),
        ('<row r="2"><c r="XFE2"><v>1</v></c></row>', "a row has more than 16,384 columns"),
        ('<row r="2"><c r="a b"><v>1</v></c></row>', "a cell is called 'a b'"),
        ('<row r="2"><c r="A2" t="s"><v>99</v></c></row>', "a cell refers to a text that is not there, '99'"),
        ('<row r="2"><c r="A2"><v>one</v></c></row>', "a cell has the number 'one'"),
        ('<row r="2"><c r="A2"><v>1e999</v></c></row>', "a cell has the number '1e999'"),
    ],
)
def test_crafted_cells_are_refused(cells: str, reason: str) -> None:
    assert refused(with_cells(cells)) == f"a.xlsx: {reason}"


def test_bombs_and_entities_are_refused() -> None:
    bomb = b'<!DOCTYPE d [<!ENTITY a "b">]>'
    for part in (SHEET, "xl/workbook.xml", "xl/styles.xml", "_rels/.rels"):
        raw = with_parts(
            workbook({"Sheet": [("text",), ("It rains.",)]}), {part: lambda old: bomb + old[old.index(b"<") :]}
        )
        assert refused(raw) == "a.xlsx: its XML declares a document type, which Office files never have"
    assert "at most 200 times are unpacked" in refused(with_cells(" " * 2**25))


def test_other_files_and_damaged_ones_are_refused() -> None:
    raw = workbook({"Sheet": [("text",), ("It rains.",)]})
    assert refused(b"text,n\n") == "a.xlsx: is not an Excel workbook: those are zip archives"
    assert refused(raw[:2_000]).startswith("a.xlsx: cannot be read as an Excel workbook, it is damaged or cut off")
    assert refused(with_parts(raw, {SHEET: b"<worksheet"})).startswith("a.xlsx: cannot be read as an Excel workbook")


def test_a_workbook_without_strings_or_styles_is_read() -> None:
    raw = with_parts(
        workbook({"Sheet": []}),
        {
            "xl/sharedStrings.xml": None,
            "xl/styles.xml": None,
            SHEET: b'<worksheet><sheetData><row><c t="str"><v>text</v></c></row>'
            b'<row><c s="3"><v>45413</v></c></row></sheetData></worksheet>',
        },
    )
    assert found(raw)[0].text == "45413"


# Made once: a workbook holds the time at which it was made, so that two of them are not equally long.
RAINS = workbook({"Sheet": [("text", "n"), ("It rains.", 1)]})


@examples(60)
@given(data=st.data())
def test_damaged_workbooks_are_read_or_refused(data: st.DataObject) -> None:
    raw = bytearray(RAINS)
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(SourceError):
        found(bytes(raw[: data.draw(st.sampled_from([len(raw), len(raw) // 2, len(raw) - 5]))]))
