"""Plain text as prose: paragraphs, and how a text with wrapped lines is told from a list of sentences."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex.sources.documents import Document
from vecindex.sources.formats import Format
from vecindex.sources.prose.wrapped import looks_wrapped

from ...support.extent import examples
from ...support.prose import check, document, found, texts

STORY = (
    "The harbour was quiet when the first boats came back. Nobody on the quay had expected them before noon, and "
    "the women who mended the nets went on with their work. An old man counted the sails twice. He had done so every "
    "morning for forty years, since the winter in which his brother did not return. Then he nodded, took his stick, "
    "and walked home along the wall without looking at the sea again. In the evening the square filled with people. "
    "They talked about the weather, about the price of rope and about a ship that nobody had seen for three weeks."
)
STATED = (
    "Der Hafen war still, als die ersten Boote zurückkamen. Niemand am Kai hatte sie vor dem Mittag erwartet, und die "
    "Frauen, die die Netze flickten, arbeiteten weiter. Ein alter Mann zählte die Segel zweimal. Das tat er seit "
    "vierzig Jahren an jedem Morgen, seit jenem Winter, in dem sein Bruder nicht wiederkam. Dann nickte er, nahm "
    "seinen Stock und ging an der Mauer entlang nach Hause, ohne noch einmal auf das Meer zu sehen. Am Abend füllte "
    "sich der Platz mit Menschen. Sie sprachen über das Wetter, über den Preis von Tauwerk und über ein Schiff."
)


def prose(text: str) -> Document:
    return document("a.txt", text, Format.PROSE)


def test_paragraphs_are_between_blank_lines_and_their_lines_stay_together() -> None:
    assert texts(prose("\n one\ntwo\n\n\nthree\r\n \t\r\nfour\rfive\r\rsix\x0cseven\n")) == [
        *("one\ntwo", "three", "four\rfive", "six", "seven"),
    ]


def test_items_with_bullets_are_paragraphs() -> None:
    assert texts(prose("To do:\n- one\n  goes on\n* two\n• three\n")) == [
        *("To do:", "- one\n  goes on", "* two", "• three"),
    ]
    assert texts(prose("ten minus five\n- that is five - and so on\n")) == [
        "ten minus five\n- that is five - and so on"
    ]


def test_a_text_of_one_line_may_be_long() -> None:
    assert texts(prose("word " * 1_000_000)) == [("word " * 1_000_000).strip()]
    assert found("a.txt", "\n \n", Format.PROSE) == []


@given(st.text(st.sampled_from("ab -*•\t\n\r\x0c\u2028é"), max_size=300))
@examples(800)
def test_blocks_hold_all_that_is_written(text: str) -> None:
    for each in found("a.txt", text, Format.PROSE):
        check(each)  # type: ignore[arg-type]
        assert "".join("".join(texts(each)).split()) == "".join(text.split())  # type: ignore[arg-type]


# --- wrapped lines


@pytest.mark.parametrize("width", [50, 60, 72, 80])
@pytest.mark.parametrize("text", [STORY, STATED])
def test_wrapped_prose_is_recognised(text: str, width: int) -> None:
    wrapped = textwrap.fill(f"{text} {text}", width) + "\n"
    assert looks_wrapped(wrapped)
    assert looks_wrapped(wrapped.replace("\n", "\r\n"))
    assert looks_wrapped("A TITLE\n=======\n" + wrapped + "\n" + wrapped)
    assert looks_wrapped(wrapped + "\n- milk\n- bread and butter\n- tea\n\n" + wrapped)


SHORT = [
    "The shop closes at six on weekdays, and at noon on Sundays and on holidays as well. Bring a bag, because there "
    "are none at the till.",
    "Although the harbour was quiet when the boats came back, nobody on the quay had expected them before noon, and "
    "the women who mended the nets went on with their work as if nothing had happened.",
    "Copyright 2020 A. Ames. Permission is hereby granted, free of charge, to any person obtaining a copy of this work "
    "to use it for any purpose, and to give it to others, if this notice goes with it.",
    "Der Laden schließt an Wochentagen um sechs und am Samstag schon um zwölf Uhr. Bringen Sie eine Tasche mit, denn "
    "an der Kasse gibt es keine, und die Straße ist oft nass.",
]


@pytest.mark.parametrize("width", [44, 60, 72])
@pytest.mark.parametrize("text", SHORT)
def test_a_short_wrapped_paragraph_is_recognised(text: str, width: int) -> None:
    wrapped = textwrap.fill(text, width)
    assert wrapped.count("\n") in (1, 2, 3, 4, 5)
    assert looks_wrapped(wrapped)
    assert looks_wrapped(f"{wrapped}\n")
    assert looks_wrapped(f"The title\n\n{wrapped}\n\n- one\n- two\n")


SHORT_LISTS = [
    "My name is Aun\nIt rains.\nhello world\n",
    "The kettle is on the stove in the small kitchen.\nthe cat sleeps on the chair beside the warm stove.\n",
    "where can I buy a used bicycle in the old town\nwhat does it cost to send a parcel to Norway\n",
    "Where can I buy a used bicycle in the old town\nWhat does it cost to send a parcel to Norway\n",
    "call the bank about the loan for the new house\npick up Anna from school at ten past three\nbuy milk.\n",
    "- a used bicycle that was left in the old town\n- a parcel that somebody sent to Norway once\n",
    "1. wash the rice until the water stays clear\n2. boil the water with a little salt in it.\n",
]


@pytest.mark.parametrize("text", SHORT_LISTS)
def test_a_short_list_is_not(text: str) -> None:
    assert not looks_wrapped(text)


def sentences() -> list[str]:
    return [each.strip() + "." for each in (STORY + " " + STATED).split(".") if each.strip()]


def test_sentences_one_a_line_are_not() -> None:
    lines = sentences()
    for change in (str, str.lower, lambda line: line.rstrip("."), lambda line: line.lower().rstrip(".")):
        assert not looks_wrapped("\n".join(map(change, lines * 5)) + "\n")
        assert not looks_wrapped("\n".join(sorted(map(change, lines * 5), key=len)) + "\n")


@pytest.mark.parametrize(
    "line",
    [
        "sentence number {n:04} of a long list in small letters",
        "Sentence number {n:04} ends here. The next one follows.",
        "sentence number {n:04} by Dr. Ames and Prof. Lee",
        "a question for {n:04} at 10 a.m. and the answer to it",
        "{n:04}\tone field\tanother field\tand the last field of it",
    ],
)
def test_lines_of_equal_length_are_not(line: str) -> None:
    assert not looks_wrapped("".join(line.format(n=n) + "\n" for n in range(100)))


def test_poems_lists_and_short_texts_are_not() -> None:
    assert not looks_wrapped("")
    assert not looks_wrapped(textwrap.fill(STORY, 1000))
    assert not looks_wrapped("apples\npears\nbread\n" * 10)
    assert not looks_wrapped("\n\n".join(sentences()))


@given(st.lists(st.sampled_from(sentences()), min_size=1, max_size=60), st.booleans(), st.booleans())
@examples(300)
def test_no_list_of_sentences_is_taken_for_prose(lines: list[str], small: bool, bare: bool) -> None:
    lines = [line.lower() if small else line for line in lines]
    assert not looks_wrapped("".join((line.rstrip(".") if bare else line) + "\n" for line in lines))
