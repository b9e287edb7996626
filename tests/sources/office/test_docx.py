"""Word: paragraphs under their headings, lists, tables and notes, and nothing of what was deleted."""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex.errors import SourceError

from ...support.extent import examples
from ...support.office_files import docx, with_parts
from ...support.prose import blocks, document, found, texts, with_metadata

BODY = b"<w:body>"


def with_xml(xml: str, **parts: bytes) -> bytes:
    """A document that begins with these elements."""
    raw = docx(lambda document: document.add_paragraph("The end."))
    main = {"word/document.xml": lambda old: old.replace(BODY, BODY + xml.encode())}
    return with_parts(raw, {**main, **parts})


def paragraph(runs: str) -> str:
    return f"<w:p>{runs}</w:p>"


def run(text: str) -> str:
    return f'<w:r><w:t xml:space="preserve">{text}</w:t></w:r>'


def test_paragraphs_have_the_path_of_headings_above_them() -> None:
    def write(word: Any) -> None:
        word.add_paragraph("Before.")
        word.add_heading("Weather", 0)
        word.add_heading("Rain", 1)
        word.add_paragraph("It rains. It pours.")
        word.add_heading("Drizzle", 2)
        word.add_paragraph("A little.")
        word.add_heading("Snow", 1)
        word.add_paragraph("It snows.")

    read = document("a.docx", docx(write))
    assert read.text == "Before.\n\nWeather\n\nRain\n\nIt rains. It pours.\n\nDrizzle\n\nA little.\n\nSnow\n\nIt snows."
    assert with_metadata(read) == [
        ("Before.", {}),
        ("Weather", {"headings": ["Weather"]}),
        ("Rain", {"headings": ["Weather", "Rain"]}),
        ("It rains. It pours.", {"headings": ["Weather", "Rain"]}),
        ("Drizzle", {"headings": ["Weather", "Rain", "Drizzle"]}),
        ("A little.", {"headings": ["Weather", "Rain", "Drizzle"]}),
        ("Snow", {"headings": ["Weather", "Snow"]}),
        ("It snows.", {"headings": ["Weather", "Snow"]}),
    ]
    assert [block.whole for block in blocks(read)] == [False, True, True, False, True, False, True, False]
    assert (read.title, str(read.origin), read.has_lines) == ("Weather", "a.docx", False)


def test_a_style_that_is_based_on_a_heading_is_one() -> None:
    def write(word: Any) -> None:
        style = word.styles.add_style("Chapter", 1)
        style.base_style = word.styles["Heading 2"]
        word.add_paragraph("Rain", style="Chapter")
        word.add_paragraph("It rains.")

    assert with_metadata(document("a.docx", docx(write)))[1] == ("It rains.", {"headings": ["Rain"]})


def test_title_author_and_date_come_from_the_properties() -> None:
    def write(word: Any) -> None:
        properties = word.core_properties
        properties.title, properties.author, properties.language = "On rain", "Aun", "en-GB"
        properties.created = datetime(2024, 5, 1, 9, 30)
        word.add_heading("Something else", 1)

    read = document("a.docx", docx(write))
    assert (read.title, read.language) == ("On rain", "en-GB")
    assert read.metadata == {"author": "Aun", "date": "2024-05-01T09:30:00Z"}


def test_list_items_are_blocks_and_table_rows_are_read_row_by_row() -> None:
    def write(word: Any) -> None:
        word.add_paragraph("Apples", style="List Bullet")
        word.add_paragraph("Bread", style="List Number")
        table = word.add_table(3, 2)
        for row, cells in enumerate([("Name", "Age"), ("Aun", "30"), ("Only one. Two sentences.", "")]):
            for column, text in enumerate(cells):
                table.cell(row, column).text = text
        table.cell(2, 0).add_paragraph("A second paragraph.")

    assert texts(document("a.docx", docx(write))) == [
        *("Apples", "Bread", "Name | Age", "Aun | 30"),
        *("Only one. Two sentences.", "A second paragraph."),
    ]


def test_a_table_within_a_table_is_read_in_its_cell() -> None:
    def write(word: Any) -> None:
        outer = word.add_table(1, 2)
        outer.cell(0, 0).text = "left"
        inner = outer.cell(0, 1).add_table(1, 2)
        inner.cell(0, 0).text, inner.cell(0, 1).text = "a", "b"

    assert texts(document("a.docx", docx(write))) == ["left | a | b"]


def test_inserted_text_links_text_boxes_and_content_controls_are_read_and_deleted_text_is_not() -> None:
    box = f"<w:r><w:pict><w:txbxContent>{paragraph(run('In a box.'))}</w:txbxContent></w:pict></w:r>"
    again = f"<mc:Choice Requires='x'>{run('Once.')}</mc:Choice><mc:Fallback>{run('Once.')}</mc:Fallback>"
    xml = (
        paragraph(
            f"{run('Kept, ')}<w:ins>{run('inserted')}</w:ins><w:del><w:r><w:delText>gone</w:delText></w:r></w:del>"
        )
        + paragraph(f"<w:hyperlink>{run('A link')}</w:hyperlink><w:moveFrom>{run('moved away')}</w:moveFrom>")
        + f"<w:sdt><w:sdtContent>{paragraph(run('In a control.'))}</w:sdtContent></w:sdt>"
        + paragraph(run("Around a box.") + box)
        + paragraph(
            '<mc:AlternateContent xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006">'
            f"{again}</mc:AlternateContent>"
        )
        + paragraph("<w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t><w:noBreakHyphen/><w:t>d</w:t></w:r>")
        + paragraph("<w:r><w:instrText>PAGE</w:instrText></w:r>" + run("  "))
    )
    assert texts(document("a.docx", with_xml(xml))) == [
        *("Kept, inserted", "A link", "In a control.", "In a box.", "Around a box.", "Once.", "a\tb\nc-d", "The end."),
    ]


def test_footnotes_follow_the_text_in_the_order_of_their_marks() -> None:
    def note(id: int, text: str, kind: str = "") -> str:
        return f'<w:footnote w:id="{id}"{kind}>{paragraph(run(text))}</w:footnote>'

    def relate(old: bytes) -> bytes:
        type = b"http://schemas.openxmlformats.org/officeDocument/2006/relationships/footnotes"
        return old.replace(
            b"</Relationships>", b'<Relationship Id="n" Type="%s" Target="footnotes.xml"/></Relationships>' % type
        )

    notes = note(-1, "a line", ' w:type="separator"') + note(7, "The first.") + note(5, "The second.")
    raw = with_xml(
        paragraph(run("One") + '<w:r><w:footnoteReference w:id="7"/></w:r>' + run(" text."))
        + paragraph(run("Two") + '<w:r><w:footnoteReference w:id="5"/></w:r>')
    )
    raw = with_parts(
        raw,
        {
            "word/_rels/document.xml.rels": relate,
            "word/footnotes.xml": f'<w:footnotes xmlns:w="urn:w">{notes}</w:footnotes>'.encode(),
        },
    )
    assert with_metadata(document("a.docx", raw)) == [
        *(("One text.", {}), ("Two", {}), ("The end.", {})),
        *(("The first.", {"footnote": 1}), ("The second.", {"footnote": 2})),
    ]


def test_strict_open_xml_is_read() -> None:
    strict = {
        b"http://schemas.openxmlformats.org/wordprocessingml/2006/main": b"http://purl.oclc.org/ooxml/wordprocessingml/main",
        b"http://schemas.openxmlformats.org/officeDocument/2006/relationships": (
            b"http://purl.oclc.org/ooxml/officeDocument/relationships"
        ),
    }

    def changed(raw: bytes) -> bytes:
        for old, new in strict.items():
            raw = raw.replace(old, new)
        return raw

    raw = docx(lambda word: [word.add_heading("Rain", 1), word.add_paragraph("It rains.")])
    parts = ("word/document.xml", "word/styles.xml", "_rels/.rels", "word/_rels/document.xml.rels")
    read = document("a.docx", with_parts(raw, dict.fromkeys(parts, changed)))
    assert with_metadata(read)[1] == ("It rains.", {"headings": ["Rain"]})


def test_an_empty_document_holds_nothing() -> None:
    assert found("a.docx", docx(lambda word: None)) == []


def test_a_very_long_document_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("prose.passages", "office.ooxml"):
        monkeypatch.setattr(f"vecindex.sources.{module}.MAX_TEXT", 1_000)
    raw = docx(lambda word: [word.add_paragraph("Words and words.") for _ in range(80)])
    with pytest.raises(SourceError, match="holds more than 1,000 characters of text"):
        found("a.docx", raw)


@examples(60)
@given(data=st.data())
def test_damaged_documents_are_read_or_refused(data: st.DataObject) -> None:
    raw = bytearray(docx(lambda word: [word.add_heading("Rain", 1), word.add_paragraph("It rains.")]))
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    raw = raw[: data.draw(st.sampled_from([len(raw), len(raw) // 2, len(raw) - 5]))]
    with contextlib.suppress(SourceError):
        found("a.docx", bytes(raw))
