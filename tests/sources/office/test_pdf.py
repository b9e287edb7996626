"""PDF: paragraphs with their pages, words and sentences put together, and files that cannot be read refused by name."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex.errors import MissingExtra, SourceError
from vecindex.errors.warnings import PagesWithoutText
from vecindex.sources.documents import Document
from vecindex.sources.formats import Format
from vecindex.sources.office import pdf as reader
from vecindex.sources.office import pdf_pages
from vecindex.sources.office.pdf_layout import DIVIDED, Line, Paragraph, across_pages, paragraphs, undivided
from vecindex.sources.origin import Source
from vecindex.sources.reading import contents

from ...support.extent import examples
from ...support.office_files import pdf, pdf_of
from ...support.prose import blocks, check, document, found, texts, with_metadata


def refused(raw: bytes) -> tuple[str, str]:
    with pytest.raises(SourceError) as caught:
        found("a.pdf", raw)
    assert (caught.value.path, caught.value.line) == ("a.pdf", None)
    return caught.value.reason, caught.value.advice


# --- what is read


def test_each_paragraph_is_a_block_with_its_page() -> None:
    raw = pdf(
        [["A heading", "", "The first paragraph has", "two lines.", "", "The second has one."], ["Another page."]]
    )
    read = document("a.pdf", raw)
    assert read.text == "A heading\n\nThe first paragraph has two lines.\n\nThe second has one.\n\nAnother page."
    assert with_metadata(read) == [
        ("A heading", {"page": 1}),
        ("The first paragraph has two lines.", {"page": 1}),
        ("The second has one.", {"page": 1}),
        ("Another page.", {"page": 2}),
    ]
    assert [block.place for block in blocks(read)] == [1, 1, 1, 2]
    assert (str(read.origin), read.has_lines) == ("a.pdf", False)


def test_title_author_and_date_come_from_the_document() -> None:
    raw = pdf([["Text."]], {"Title": "On  rain", "Author": "Aun", "CreationDate": "D:20240501093000+02'00'"})
    read = document("a.pdf", raw)
    assert (read.title, read.metadata) == ("On rain", {"author": "Aun", "date": "2024-05-01"})
    read = document("a.pdf", pdf([["Text."]]))
    assert (read.title, read.metadata) == (None, None)


def test_words_divided_at_line_ends_are_put_together() -> None:
    read = document(
        "a.pdf", pdf([["It is an ex-", "ample of a well-", "known word, as well-known as", "this in GPT-", "4."]])
    )
    assert texts(read) == ["It is an example of a well-known word, as well-known as this in GPT-4."]


def test_a_sentence_that_goes_on_on_the_next_page_stays_whole_and_the_rest_has_its_own_page() -> None:
    read = document("a.pdf", pdf([["It begins on one", "page and goes"], ["on here. What follows", "is of page two."]]))
    assert with_metadata(read) == [
        ("It begins on one page and goes on here.", {"page": 1}),
        ("What follows is of page two.", {"page": 2}),
    ]


def test_a_sentence_that_goes_on_in_the_next_column_stays_whole() -> None:
    left = [(72, 700 - 13.5 * n, 11, text) for n, text in enumerate(["In the first", "column a sentence"])]
    right = [(320, 700 - 13.5 * n, 11, text) for n, text in enumerate(["goes on to the", "second. It ends."])]
    read = document("a.pdf", pdf([[*left, *right]]))
    assert texts(read) == ["In the first column a sentence goes on to the second. It ends."]


def test_a_larger_line_is_a_paragraph_of_its_own() -> None:
    lines = [(72, 700, 16, "A heading"), (72, 682, 11, "And the text under it."), (72, 668.5, 11, "It goes on.")]
    assert texts(document("a.pdf", pdf([lines]))) == ["A heading", "And the text under it. It goes on."]


def test_items_of_a_list_are_paragraphs() -> None:
    read = document("a.pdf", pdf([["We need:", "\u2022 apples and", "pears", "\u2022 bread", "1. First", "2) Second"]]))
    assert texts(read) == ["We need:", "\u2022 apples and pears", "\u2022 bread", "1. First", "2) Second"]


def test_numbers_of_pages_and_repeated_headers_are_left_out_and_sentences_go_on_around_them() -> None:
    pages = [
        [(72, 800, 9, "A report on rain"), (72, 700, 11, f"Here {word} goes"), (300, 30, 9, f"Page {n} of 4")]
        for n, word in enumerate(["one", "two", "three", "four"], start=7)
    ]
    pages[1][1] = (72, 700, 11, "on. Here two goes")
    assert texts(document("a.pdf", pdf(pages[:4]))) == [
        "Here one goes on.",
        "Here two goes",
        "Here three goes",
        "Here four goes",
    ]


def test_what_only_looks_repeated_stays() -> None:
    pages = [[f"Invoice {n * n} is due.", "", "Thank you.", "", f"Total: {n * 3}"] for n in range(1, 7)]
    read = texts(document("a.pdf", pdf(pages)))
    assert [text for text in read if text != "Thank you."] == [
        each for n in range(1, 7) for each in (f"Invoice {n * n} is due.", f"Total: {n * 3}")
    ]
    counted = [f"Sentence {n}." for n in range(1, 7)]
    assert texts(document("a.pdf", pdf([[each] for each in counted]))) == counted


def test_text_of_many_scripts_is_kept() -> None:
    assert texts(
        document("a.pdf", pdf([["Z\u00fcrich, \u20ac 5 \u2013 \u201cna\u00efve\u201d (caf\u00e9) \\ done."]]))
    ) == ["Z\u00fcrich, \u20ac 5 \u2013 \u201cna\u00efve\u201d (caf\u00e9) \\ done."]


def test_a_file_on_disk_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf([["From the disk."]]))
    (read,) = contents(Source(str(path), Format.PDF))
    assert read.text == "From the disk."


# --- what cannot be read


def test_pages_that_hold_images_only_are_named() -> None:
    with pytest.warns(PagesWithoutText) as caught:
        read = document("a.pdf", pdf([["Text."], [], [], ["More."], [], []], images=[1, 2, 3, 5]))
    assert texts(read) == ["Text.", "More."]
    (warning,) = caught
    assert str(warning.message) == (
        "a.pdf: pages 2-3 and 5 hold images only. To find their text, recognise it first, for example with: "
        "ocrmypdf --skip-text IN.pdf OUT.pdf"
    )


def test_a_document_of_images_alone_is_refused() -> None:
    reason, advice = refused(pdf([[], [], []], images=[1, 2, 3]))
    assert reason == "pages 1-3 hold images only, and no page has text"
    assert "ocrmypdf" in advice
    assert refused(pdf([[]], images=[1]))[0] == "page 1 holds images only, and no page has text"


def test_a_document_of_blank_pages_holds_nothing() -> None:
    assert found("a.pdf", pdf([[], ["   "]])) == []


def test_a_locked_document_is_refused() -> None:
    assert refused(pdf([["Secret."]], locked=True)) == (
        "is locked with a password",
        "Save it without one, for example with qpdf --decrypt.",
    )


def test_other_files_and_damaged_ones_are_refused() -> None:
    assert refused(b"PK\x03\x04 not a PDF")[0] == "is not a PDF: it does not begin with %PDF-"
    assert refused(b"")[0] == "is not a PDF: it does not begin with %PDF-"
    assert refused(b"%PDF-1.7\nnothing more")[0] == "cannot be read as a PDF, it is damaged or cut off"


def test_a_page_that_cannot_be_read_is_a_bad_row_and_the_others_are_read() -> None:
    raw = pdf([["One."], ["Two."], ["Three."]]).replace(b"[5 0 R 7 0 R", b"[5 0 R 0 0 R")
    error, read = found("a.pdf", raw)
    assert isinstance(error, SourceError)
    assert error.message == "a.pdf, page 2: the page cannot be read"
    assert isinstance(read, Document)
    assert with_metadata(read) == [("One.", {"page": 1}), ("Three.", {"page": 3})]


def test_a_document_that_claims_too_many_pages_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_pages, "MAX_PAGES", 2)
    assert refused(pdf([["a"], ["b"], ["c"]]))[0] == "has 3 pages; at most 2 are read"


def inflated(times: int) -> bytes:
    """A small PDF with a page that draws millions of things."""
    packer = zlib.compressobj(9)
    unit = b"0 0 1 1 re f\n" * 80_000
    packed = b"".join(packer.compress(unit) for _ in range(times)) + packer.flush()
    return pdf_of(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R >>",
            b"<< /Length %d /Filter /FlateDecode >>\nstream\n" % len(packed) + packed + b"\nendstream",
        ]
    )


def test_a_page_that_needs_too_much_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_pages, "MEMORY", 2**29)
    raw = inflated(20)
    assert len(raw) < 200_000
    assert refused(raw)[0] == "page 1 cannot be read: PDFium crashed, or needed more than 512 MiB of memory"


def test_a_page_that_takes_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_pages, "SECONDS", 0.1)
    assert refused(inflated(20))[0] == "page 1 takes more than 0.1 seconds of processor time to read"


def test_the_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'vecindex\[docs\]'"):
        found("a.pdf", pdf([["Text."]]))


def test_a_reader_that_stops_early_leaves_no_process() -> None:
    answers = reader._answers(Source("a.pdf", Format.PDF), io.BytesIO(pdf([["Text."]] * 200)))
    next(answers)
    answers.close()


@examples(40)
@given(data=st.data())
def test_damaged_documents_are_read_or_refused(data: st.DataObject) -> None:
    raw = bytearray(pdf([["One line.", "Another."], ["A page."]]))
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    raw = raw[: data.draw(st.sampled_from([len(raw), len(raw) // 2, len(raw) - 5]))]
    try:
        for each in found("a.pdf", bytes(raw)):
            if not isinstance(each, SourceError):
                check(each)
    except SourceError:
        pass


# --- the layout


def test_nothing_is_lost_between_lines_and_paragraphs() -> None:
    lines = [Line(f"word{n}", 700 - 12.0 * n, 700 - 12.0 * n, 72, 300, 10) for n in range(30)]
    assert " ".join(each.text for each in paragraphs(lines, 1)).split() == [line.text for line in lines]
    assert paragraphs([], 1) == []


def test_lines_without_size_or_height_are_read() -> None:
    lines = [Line("one", 0, 0, 0, 0, 0), Line("Two.", 0, 0, 0, 0, 0), Line("three", 5, 5, 0, 0, 0)]
    assert [each.text for each in paragraphs(lines, 1)] == ["one", "Two.", "three"]


def test_pages_without_text_in_between_end_a_paragraph() -> None:
    assert across_pages([[Paragraph("It goes", 1)], [], [Paragraph("on here.", 3)]]) == [
        Paragraph("It goes", 1),
        Paragraph("on here.", 3),
    ]


def test_a_divided_word_keeps_a_hyphen_that_it_has_elsewhere() -> None:
    assert undivided([f"non{DIVIDED}commercially", "a non-commercially run shop", f"exam{DIVIDED}ple"]) == [
        "non-commercially",
        "a non-commercially run shop",
        "example",
    ]
    assert undivided([f"Anna{DIVIDED}Lena", f"SE{DIVIDED}QUENCE", f"COVID{DIVIDED}19"]) == [
        "Anna-Lena",
        "SEQUENCE",
        "COVID-19",
    ]
    assert undivided([f"an old{DIVIDED}fashioned, after{DIVIDED}noon", "An old fashioned afternoon."]) == [
        "an old-fashioned, afternoon",
        "An old fashioned afternoon.",
    ]
