"""Pieces of documents: they follow blocks, are exact, and know their metadata and place."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex import Record
from vecindex.errors import InvalidInput
from vecindex.sources.documents import Block, Document
from vecindex.sources.split.method import Split
from vecindex.sources.split.pieces import as_document, pieces
from vecindex.values.records import Origin

from ...support.cost import processor_seconds

ORIGIN = Origin("notes.md")


def words(text: str) -> list[tuple[int, int]]:
    return [found.span() for found in re.finditer(r"\S+", text)]


def document(text: str, blocks: Sequence[Block] | None = None, **more: object) -> Document:
    return Document(text, ORIGIN, blocks=blocks, **more)  # type: ignore[arg-type]


def texts(document: Document, written: str, join_short: int = 0) -> list[str]:
    found = pieces(document, Split.parse(written, join_short), words)
    return [document.text[piece.start : piece.end] for piece in found]


PROSE = "One is here. Two\nis there.\n\nThree.\r\n  \r\n  Four goes  \r\n on.\n"


def test_each_way_to_split() -> None:
    assert texts(document(PROSE), "sentence") == ["One is here.", "Two\nis there.", "Three.", "Four goes  \r\n on."]
    assert texts(document(PROSE), "paragraph") == ["One is here. Two\nis there.", "Three.", "Four goes  \r\n on."]
    assert texts(document(PROSE), "line") == ["One is here. Two", "is there.", "Three.", "Four goes", "on."]
    assert texts(document(PROSE), "none") == [PROSE.strip()]
    assert texts(document(PROSE), "tokens:6") == [
        "One is here. Two\nis there.",
        "Three.\r\n  \r\n  Four goes  \r\n on.",
    ]


def test_nothing_comes_of_a_blank_text() -> None:
    for text in ("", "\n \r\n", "\u200b"):
        for written in ("sentence", "paragraph", "line", "none", "tokens:5"):
            assert texts(document(text), written) == []


# --- blocks

TITLED = "# Oil\n\nOil floats. It burns.\n\n    oil = 1. \n    x\n\n# Tar\n\n- a\n- b. c\n"


def blocks() -> list[Block]:
    def block(words: str, whole: bool = False, **metadata: object) -> Block:
        start = TITLED.index(words)
        return Block(start, start + len(words), metadata, whole=whole)

    return [
        block("Oil\n", whole=True, headings=["Oil"]),
        block("Oil floats. It burns.", headings=["Oil"]),
        block("    oil = 1. \n    x\n", whole=True, headings=["Oil"], code=True),
        block("Tar", whole=True, headings=["Tar"]),
        block("a\n", headings=["Tar"]),
        block("b. c", headings=["Tar"]),
    ]


def test_no_piece_crosses_the_border_of_a_block_and_whole_blocks_stay_whole() -> None:
    expected = ["Oil", "Oil floats.", "It burns.", "oil = 1. \n    x", "Tar", "a", "b. c"]
    assert texts(document(TITLED, blocks()), "sentence") == expected
    assert texts(document(TITLED, blocks()), "line") == [
        *("Oil", "Oil floats. It burns.", "oil = 1.", "x", "Tar", "a", "b. c"),
    ]


def test_a_piece_has_the_metadata_of_its_block_and_its_line() -> None:
    found = list(pieces(document(TITLED, blocks(), has_lines=True), Split()))
    assert [piece.place for piece in found] == [1, 3, 3, 5, 8, 10, 11]
    assert found[3].metadata == {"headings": ["Oil"], "code": True}


def test_lines_are_counted_from_the_place_of_the_document() -> None:
    found = pieces(Document(PROSE, Origin("a", 7), has_lines=True), Split("line"))
    assert [piece.place for piece in found] == [7, 8, 10, 12, 13]
    found = pieces(Document("a\rb\r\n\rc\n\rd", ORIGIN, has_lines=True), Split("line"))
    assert [piece.place for piece in found] == [1, 2, 4, 6]


def test_a_page_is_that_of_the_block_and_otherwise_of_the_document() -> None:
    two = [Block(0, 2, place=4), Block(2, 6, place=5)]
    assert [(p.start, p.place) for p in pieces(document("A.B. C", two), Split())] == [(0, 4), (2, 5)]
    assert [p.place for p in pieces(document("A.B. C", two), Split("none"))] == [4]
    assert [p.place for p in pieces(Document("Aa. Bb.", Origin("a.csv", 9, "row")), Split())] == [9, 9]


def test_a_language_of_the_document_counts_unless_it_is_none() -> None:
    text = "Am 3. Oktober kam die Fa. Schmidt."
    assert texts(document(text, language="de-DE"), "sentence") == [text]
    assert len(texts(document(text, language="German language"), "sentence")) > 1


# --- short pieces


def test_short_pieces_are_joined_to_the_next_under_the_same_headings() -> None:
    assert texts(document(TITLED, blocks()), "sentence", join_short=10) == [
        "Oil\n\nOil floats.",
        "It burns.\n\n    oil = 1. \n    x",
        "Tar\n\n- a\n- b. c",
    ]
    found = list(pieces(document(TITLED, blocks(), has_lines=True), Split(join_short=10)))
    assert [(piece.place, piece.metadata) for piece in found] == [
        (1, {"headings": ["Oil"]}),
        (3, {"headings": ["Oil"]}),
        (8, {"headings": ["Tar"]}),
    ]


def test_a_short_piece_without_a_next_one_stays() -> None:
    assert texts(document("A long sentence is here. Short."), "sentence", join_short=10) == [
        "A long sentence is here.",
        "Short.",
    ]


# --- windows of tokens


def test_windows_end_at_sentences_and_fill_up_across_blocks_under_the_same_headings() -> None:
    assert texts(document(TITLED, blocks()), "tokens:7") == [
        "Oil\n\nOil floats. It burns.",
        "oil = 1. \n    x",
        "Tar\n\n- a\n- b. c",
    ]


def test_a_sentence_that_is_too_long_is_cut_between_words() -> None:
    assert texts(document("a b c d e f g. h i."), "tokens:3") == ["a b c", "d e f", "g. h i."]


def test_windows_overlap_by_whole_words() -> None:
    text = "One two three. Four five. Six seven eight nine. Ten. Eleven twelve."
    assert texts(document(text), "tokens:6,overlap:3") == [
        "One two three. Four five.",
        "Four five. Six seven eight nine.",
        "seven eight nine. Ten. Eleven twelve.",
    ]
    # Less is repeated where a whole sentence then fits.
    assert texts(document(text), "tokens:5,overlap:3") == [
        "One two three. Four five.",
        "five. Six seven eight nine.",
        "seven eight nine. Ten.",
        "eight nine. Ten. Eleven twelve.",
    ]
    assert texts(document("a b c d e f g h i."), "tokens:4,overlap:2") == [
        *("a b c d", "c d e f", "f g h i."),
    ]


def test_a_word_of_too_many_tokens_is_cut_between_characters() -> None:
    def letters(text: str) -> list[tuple[int, int]]:
        return [(at, at + 1) for at, letter in enumerate(text) for _ in range(3 if letter == "\u00e9" else 1)]

    found = pieces(document("abcdefg \u00e9\u00e9"), Split("tokens", 3), letters)
    assert [(piece.start, piece.end) for piece in found] == [(0, 3), (3, 6), (6, 7), (8, 9), (9, 10)]
    found = pieces(document("\u00e9a"), Split("tokens", 2), letters)
    assert [(piece.start, piece.end) for piece in found] == [(0, 1), (1, 2)]


def test_tokens_need_a_model() -> None:
    with pytest.raises(InvalidInput, match="tokens are counted by a model"):
        pieces(document("a"), Split("tokens", 3))


# --- any document


@st.composite
def any_document(draw: st.DrawFn) -> Document:
    alphabet = st.sampled_from(["a", "b. ", "C ", "\n", "\r\n", "\r", "\n\n", " ", "! ", "\u4e2d\u3002", "- "])
    text = "".join(draw(st.lists(alphabet, max_size=80)))
    borders = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    found = [
        Block(start, end, {"headings": [draw(st.sampled_from("AB"))]}, whole=draw(st.booleans()))
        for start, end in zip(borders[::2], borders[1::2], strict=False)
    ]
    return Document(text, ORIGIN, blocks=draw(st.sampled_from([None, found])), has_lines=True)


def lines_before(text: str, at: int) -> int:
    return len(re.findall(r"\r\n|\r|\n", text[:at]))


@given(
    any_document(),
    st.sampled_from(["sentence", "paragraph", "line", "tokens:3", "tokens:4,overlap:3", "tokens:1"]),
    st.integers(0, 9),
)
def test_pieces_are_exact_and_cover_the_blocks(document: Document, written: str, join_short: int) -> None:
    found = list(pieces(document, Split.parse(written, join_short), words))
    text = document.text
    covered: set[int] = set()
    for piece, following in zip(found, [*found[1:], None], strict=False):
        assert text[piece.start : piece.end].strip() == text[piece.start : piece.end] != ""
        assert following is None or piece.end < following.end
        assert following is None or piece.start < following.start
        assert following is None or "overlap" in written or piece.end <= following.start
        assert piece.place == 1 + lines_before(text, piece.start)
        if written.startswith("tokens"):
            assert len(words(text[piece.start : piece.end])) <= int(written[7])
        covered |= set(range(piece.start, piece.end))
    needed = [Block(0, len(text))] if document.blocks is None else document.blocks
    assert {at for block in needed for at in range(block.start, block.end) if text[at].isalnum()} <= covered


@pytest.mark.parametrize("written", ["sentence", "paragraph", "line", "none", "tokens:9"])
def test_what_is_nothing_but_marks_is_no_piece(written: str) -> None:
    text = "**\n\n* * *\n\n**Mind the gap.**\n\n|---|---|\n\n}\n\n\u2014\n\n"
    blocks = [Block(found.start(), found.end()) for found in re.finditer(r"\S[^\n]*", text)]
    found = pieces(Document(text, ORIGIN, blocks=blocks), Split.parse(written), words)
    assert [text[piece.start : piece.end] for piece in found] == [
        text.strip() if written == "none" else "**Mind the gap.**"
    ]
    nothing = Document("**\n", ORIGIN)
    assert list(pieces(nothing, Split.parse(written), words)) == []


def test_signs_without_letters_are_pieces() -> None:
    text = "\U0001f600\n\n42\n\n\u4e2d"
    assert [text[piece.start : piece.end] for piece in pieces(document(text), Split())] == text.split()


def test_a_record_can_be_split() -> None:
    record = Record("One. Two.", "k", {"a": 1}, origin=Origin("x.jsonl", 3))
    made = as_document(record)
    assert (made.key, made.metadata, made.origin) == ("k", {"a": 1}, record.origin)
    assert [(piece.start, piece.end, piece.place) for piece in pieces(made, Split())] == [(0, 4, 3), (5, 9, 3)]
    assert as_document(Record("One.")).origin.path == "<record>"


@pytest.mark.parametrize("written", ["sentence", "paragraph", "line", "none", "tokens:50", "tokens:50,overlap:10"])
def test_a_large_document_takes_linear_time(written: str) -> None:
    def seconds(count: int) -> float:
        text = "The kettle is on.\r\nDr. Ames sees patients.\n\n" * count
        own = [Block(at, at + 44) for at in range(0, len(text), 44)]
        made = Document(text, ORIGIN, blocks=own, has_lines=True)
        return processor_seconds(lambda: list(pieces(made, Split.parse(written), words)))

    assert seconds(16_000) < 0.1 + 50 * seconds(1000)  # with the square it would be 256 times
