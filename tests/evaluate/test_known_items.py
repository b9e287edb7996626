"""Are queries made from records like those that a person might type, and are they the same again?"""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from vecindex.evaluate.known_items import misspelt, plain, shortened

SENTENCE = "The humidity is so high that the towels never dry"


def test_a_shortened_copy_is_half_of_the_words_in_a_row() -> None:
    made = {shortened(SENTENCE, random.Random(seed)) for seed in range(40)}
    words = SENTENCE.split()
    assert made == {" ".join(words[start : start + 5]) for start in range(len(words) - 4)}


def test_a_long_text_is_shortened_to_what_a_person_would_type() -> None:
    short = shortened("word " * 300, random.Random(0))
    assert short is not None
    assert len(short.split()) == 8


def test_a_misspelt_copy_has_a_few_wrong_letters() -> None:
    made = {misspelt(SENTENCE, random.Random(seed)) for seed in range(20)}
    assert len(made) == 20
    for copy in made:
        assert copy is not None
        assert copy != SENTENCE
        assert len(copy.split()) == 10
        assert 0 < sum(a != b for a, b in zip(copy.split(), SENTENCE.split(), strict=True)) <= 4


def test_what_a_search_by_words_would_take_for_a_command_is_left_out() -> None:
    assert (
        plain('- She said "go on", -- well-known \u201equotes\u201c \u00abhere\u00bb -5')
        == "She said go on , well-known quotes here 5"
    )
    assert plain('"-"') == ""


def test_scripts_without_spaces_are_shortened_by_characters() -> None:
    text = "今日は天気がいいから散歩しましょう"
    short = shortened(text, random.Random(0))
    assert short is not None
    assert short in text
    assert len(short) == 8


def test_texts_that_are_too_short_make_no_query() -> None:
    for text in ("", "one", "one two three", "E-1042", "supercalifragilistic", "天気"):
        assert shortened(text, random.Random(0)) is None
        assert misspelt(text, random.Random(0)) is None
    assert misspelt("1 2 3 4 5", random.Random(0)) is None


@given(st.text(), st.integers(0, 100))
def test_any_text_is_changed_in_the_same_way_again(text: str, seed: int) -> None:
    for change in (shortened, misspelt):
        made = change(text, random.Random(seed))
        assert made == change(text, random.Random(seed))
        assert made is None or made.strip()
