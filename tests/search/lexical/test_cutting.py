"""ASCII texts are cut into units together as each is alone."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex.search.lexical import cutting
from vecindex.search.lexical.analysis import Analyzer
from vecindex.search.lexical.cutting import cut
from vecindex.search.lexical.settings import LexicalSettings

from ...support.extent import examples

ANALYZER = Analyzer(LexicalSettings(language=None))
SIGNS = "aZ9_-./:,+#\n\x00\x7f '"


def units(texts: Sequence[str]) -> list[list[str]]:
    found = cut(texts, np.array([len(text) for text in texts], np.int64))
    assert found.others == [place for place, text in enumerate(texts) if not text.isascii()]
    assert len(set(found.units)) == len(found.units)
    assert len(found.sizes) == len(texts)
    words = iter([found.units[number] for number in found.numbers.tolist()])
    cut_up = [[next(words) for _ in range(size)] for size in found.sizes.tolist()]
    assert next(words, None) is None
    return cut_up


@pytest.mark.parametrize(
    "texts",
    [
        [],
        [""],
        ["", "a", ""],
        ["a-", "-b", "c.", "#d", "+", "++"],
        ["c++", "c#", "c#a", "c+++", "c#++", "c++#", "c+", "a++b#-c"],
        ["a--b", "a-b-c", "a.-b", "1,000.5:7/8", "E-1042, foo_bar"],
        ["x" * length for length in range(40)],
        ["a" * 31 + "b", "a" * 32 + "b", "a" * 33, "a" * 32, "a" * 31 + "b"],
        ["one\ntwo", "three", "One TWO three"],
    ],
)
def test_the_units_of_texts_are_those_of_each(texts: list[str]) -> None:
    assert units(texts) == [ANALYZER.units(text) for text in texts]


@examples(600)
@given(texts=st.lists(st.text(st.sampled_from(SIGNS), max_size=40), max_size=8))
def test_texts_of_few_signs_are_cut_as_each_alone(texts: list[str]) -> None:
    assert units(texts) == [ANALYZER.units(text) for text in texts]


@examples(300)
@given(texts=st.lists(st.text(st.characters(codec="ascii"), max_size=60), max_size=8))
def test_any_ascii_texts_are_cut_as_each_alone(texts: list[str]) -> None:
    assert units(texts) == [ANALYZER.units(text) for text in texts]


@examples(300)
@given(texts=st.lists(st.text(st.sampled_from("aB-1 \u00e9\u0130\U0001f600\ud800\n"), max_size=12), max_size=8))
def test_texts_that_are_not_ascii_are_left_out(texts: list[str]) -> None:
    assert units(texts) == [ANALYZER.units(text) if text.isascii() else [] for text in texts]


def test_units_that_share_a_place_in_the_table_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = random.Random(4)
    texts = ["".join(drawn.choices("abc", k=drawn.randrange(20))) for _ in range(300)]
    expected = [ANALYZER.units(text) for text in texts]
    for rounds in (0, 1, 2):
        monkeypatch.setattr(cutting, "_ROUNDS", rounds)
        assert units(texts) == expected
    monkeypatch.setattr(cutting, "_MIX", cutting._MIX * 0)
    assert units(texts) == expected
