"""Spans of sentences: they are exact, in order, and cover what is visible, in any text and in linear time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import vecindex
from vecindex import split_sentences
from vecindex.sources.split.sentences import LONGEST
from vecindex.values.texts import is_blank

from ...support.cost import processor_seconds

MARKS = " .!?\n\r\t,;:()[]\"'-*\u201c\u201d\u00ab\u00bb\u2026\u3002\uff01\u0964\u061f"
BLANKS = "\u200b\ufeff\u00a0\u2028\u2029\x0b\x0c\x85"
LIKELY = st.sampled_from(
    [
        *(*MARKS, *BLANKS, "\r\n", "\n\n", "Dr.", "1.", "a)", "U.S. ", "He", "said", "\u4e2d\u6587", "\u0928\u092e"),
        *("e.g. ", "x" * 50, "word " * 40, "It rains. ", "... "),
    ]
)
TEXTS = st.one_of(st.text(), st.lists(st.one_of(LIKELY, st.characters(codec="utf-8")), max_size=300).map("".join))


def check(text: str, spans: list[tuple[int, int]]) -> None:
    at = 0
    for start, end in spans:
        assert at <= start < end <= len(text)
        assert text[start:end] == text[start:end].strip()
        assert is_blank(text[at:start])
        at = end
    assert is_blank(text[at:])


@given(TEXTS, st.sampled_from([None, "en", "de", "zh", "ja", "hi", "ar", "el", "my", "qaa"]))
def test_spans_are_in_order_stripped_and_cover_what_is_visible(text: str, language: str | None) -> None:
    check(text, split_sentences(text, language))


@given(TEXTS)
def test_a_blank_line_ends_a_sentence(text: str) -> None:
    joined = f"{text}\r\n \t\r\n{text}"
    assert not any("\n \t\r\n" in joined[start:end] for start, end in split_sentences(joined))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_line_end_alone_does_not_end_a_sentence(end: str) -> None:
    text = f"The heron stood{end}in the water.{end}{end}It waited"
    assert [text[start:stop] for start, stop in split_sentences(text)] == [
        f"The heron stood{end}in the water.",
        "It waited",
    ]


def test_a_text_without_anything_visible_has_no_sentence() -> None:
    for text in ("", " ", "\r\n\r\n", "\u200b", "\ufeff \u200b\n\n\u200b"):
        assert split_sentences(text) == []


def test_a_sentence_is_found_whole_wherever_a_window_ends() -> None:
    sentence = "The man from the U.S. Senate saw Dr. Ames at 10 a.m. only. "
    for shift in range(0, len(sentence), 7):
        text = "x" * shift + ". " + sentence * 400
        spans = split_sentences(text)
        assert {text[start:end] for start, end in spans} == {"x" * shift + ".", sentence.strip()} if shift else spans
        assert len(spans) == 401 or shift == 0


def test_a_sentence_longer_than_a_window_stays_whole() -> None:
    sentence = "word " * 6000 + "end."
    assert split_sentences(f"Short. {sentence} Short.") == [
        (0, 6),
        (7, 7 + len(sentence)),
        (8 + len(sentence), 14 + len(sentence)),
    ]


def test_what_has_no_end_is_cut_between_words() -> None:
    text = "abcd " * 30_000
    spans = split_sentences(text)
    check(text, spans)
    assert max(end - start for start, end in spans) <= LONGEST
    assert {text[start:end].count("abcd") * 5 - 1 - (end - start) for start, end in spans} == {0}
    text = "a" * 100_000
    assert split_sentences(text) == [(at, min(at + LONGEST, len(text))) for at in range(0, len(text), LONGEST)]


HARD = {
    "one line of prose": "The kettle is on. Dr. Ames sees patients at 10 a.m. only. ",
    "short lines": "a\n",
    "list": "1. a\n",
    "no spaces": "Yes.No.",
    "chinese": "我来了。今天的天气真的很好。",
    "open quotes": "\u201cHi. ",
    "chinese open quotes": "\u300c我来了。",
    "letters": "a",
    "full stops": ". ",
    "blank lines": "\n",
    "line ends and spaces": "\r\n  ",
    "spaces": " ",
    "zero-width": "\u200b",
    "abbreviations": "Dr. ",
    "parentheses": "(",
    "parentheses with ends": "(a.) ",
    "markers": "1. ",
}


@pytest.mark.parametrize("unit", HARD.values(), ids=HARD)
def test_time_grows_with_the_length_alone(unit: str) -> None:
    def seconds(characters: int) -> float:
        text = unit * (characters // len(unit))
        return processor_seconds(lambda: check(text, split_sentences(text)), runs=2)

    assert seconds(160_000) < 0.1 + 50 * seconds(10_000)  # with the square it would be 256 times


def test_wrong_arguments_are_refused() -> None:
    for language in ("", "klingon", "english rules", "d", 5):
        with pytest.raises(vecindex.InvalidInput, match=r"^language is") as caught:
            split_sentences("One.", language)  # type: ignore[arg-type]
        assert caught.value.advice == 'Pass a language tag, such as "en" or "pt-BR", or leave it out.'
    with pytest.raises(vecindex.InvalidInput, match="lone surrogate"):
        split_sentences("One. \ud800 Two.")
