"""PowerPoint: titles, texts, tables and notes, slide by slide."""

from __future__ import annotations

from typing import Any

import pytest

from vecindex.errors import SourceError

from ...support.office_files import pptx, with_parts
from ...support.prose import blocks, document, found, texts, with_metadata


def slides(presentation: Any) -> None:
    first = presentation.slides.add_slide(presentation.slide_layouts[1])
    first.shapes.title.text = "Rain"
    first.placeholders[1].text = "It rains.\nIt pours."
    first.notes_slide.notes_text_frame.text = "Say that it rains."
    second = presentation.slides.add_slide(presentation.slide_layouts[5])
    second.shapes.title.text = "Numbers"
    table = second.shapes.add_table(2, 2, 0, 0, 1_000, 1_000).table
    for row, cells in enumerate([("Month", "Days"), ("May", "12")]):
        for column, text in enumerate(cells):
            table.cell(row, column).text = text
    group = second.shapes.add_group_shape()
    group.shapes.add_textbox(0, 0, 1_000, 1_000).text_frame.text = "In a group"
    third = presentation.slides.add_slide(presentation.slide_layouts[6])
    third.shapes.add_textbox(0, 0, 1_000, 1_000).text_frame.text = "No title"


def test_each_slide_has_its_title_texts_table_and_notes() -> None:
    read = document("a.pptx", pptx(slides))
    rain, numbers = {"slide": 1, "headings": ["Rain"]}, {"slide": 2, "headings": ["Numbers"]}
    assert with_metadata(read) == [
        *(("Rain", rain), ("It rains.", rain), ("It pours.", rain)),
        ("Say that it rains.", {**rain, "notes": True}),
        *(("Numbers", numbers), ("Month | Days", numbers), ("May | 12", numbers), ("In a group", numbers)),
        ("No title", {"slide": 3}),
    ]
    assert [block.place for block in blocks(read)] == [1, 1, 1, 1, 2, 2, 2, 2, 3]
    assert [block.whole for block in blocks(read)] == [True, False, False, False, True, False, False, False, False]
    assert (read.title, str(read.origin), read.has_lines) == ("Rain", "a.pptx", False)


def test_a_title_comes_first_wherever_it_is_on_the_slide() -> None:
    def write(presentation: Any) -> None:
        slide = presentation.slides.add_slide(presentation.slide_layouts[5])
        slide.shapes.title.text = "The title"
        slide.shapes.add_textbox(0, 0, 1_000, 1_000).text_frame.text = "A text"
        tree = slide.shapes._spTree
        title = slide.shapes.title._element
        tree.remove(title)
        tree.append(title)

    assert texts(document("a.pptx", pptx(write))) == ["The title", "A text"]


def test_slides_are_in_the_order_of_the_presentation_not_of_their_files() -> None:
    def write(presentation: Any) -> None:
        for word in ("one", "two", "three"):
            slide = presentation.slides.add_slide(presentation.slide_layouts[6])
            slide.shapes.add_textbox(0, 0, 1_000, 1_000).text_frame.text = word
        order = presentation.slides._sldIdLst
        order.insert(0, order[2])

    assert texts(document("a.pptx", pptx(write))) == ["three", "one", "two"]


def test_properties_are_metadata() -> None:
    def write(presentation: Any) -> None:
        slides(presentation)
        properties = presentation.core_properties
        properties.title, properties.author = "On rain", "Aun"

    read = document("a.pptx", pptx(write))
    assert (read.title, (read.metadata or {})["author"]) == ("On rain", "Aun")


def test_a_slide_that_is_not_there_is_left_out_and_a_damaged_one_refused() -> None:
    raw = pptx(slides)
    missing = document("a.pptx", with_parts(raw, {"ppt/slides/slide1.xml": None}))
    assert texts(missing)[0] == "Numbers"
    with pytest.raises(SourceError, match="cannot be read as a PowerPoint presentation, it is damaged"):
        found("a.pptx", with_parts(raw, {"ppt/slides/slide1.xml": b"<p:sld"}))


def test_a_presentation_without_text_holds_nothing() -> None:
    assert found("a.pptx", pptx(lambda presentation: None)) == []
