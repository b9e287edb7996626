"""Texts become terms: words of any script, codes, numbers, emoji."""

from __future__ import annotations

import unicodedata
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex.search.lexical.analysis import Analyzer
from vecindex.search.lexical.characters import pattern
from vecindex.search.lexical.settings import LexicalSettings

from ...support.extent import examples

PLAIN = Analyzer(LexicalSettings(language=None))
ENGLISH = Analyzer(LexicalSettings())


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", []),
        (" \n\t ", []),
        ("The quick brown fox.", ["the", "quick", "brown", "fox"]),
        ("TO BE or not to be?", ["to", "be", "or", "not", "to", "be"]),
        ("don't", ["don", "t"]),
        ("l\u2019homme", ["l", "homme"]),
        ("well-known state-of-the-art", ["well", "known", "state", "of", "the", "art"]),
        ("Stra\u00dfe \u00dcber", ["strasse", "\u00fcber"]),
        ("U\u0308ber", ["\u00fcber"]),
        ("\u039f\u0394\u039f\u03a3 \u03bf\u03b4\u03cc\u03c2", ["\u03bf\u03b4\u03bf\u03c3", "\u03bf\u03b4\u03cc\u03c3"]),
        ("\uff21\uff22\uff23 \ufb01ne \u338f \u00bd", ["abc", "fine", "kg", "1", "2"]),
        ("so\u00adft \u200bhy\ufeffphen", ["soft", "hyphen"]),
        # Codes: the parts and the whole.
        ("E-1042", ["e", "1042", "e-1042"]),
        ("e\u20111042", ["e", "1042", "e-1042"]),
        ("foo_bar", ["foo", "bar", "foo_bar"]),
        ("v1.2.3,", ["v1", "2", "3", "v1.2.3"]),
        ("covid19", ["covid19"]),
        ("C++, C# and c", ["c", "c++", "c", "c#", "and", "c"]),
        ("#5", ["5"]),
        ("_ __ -_-", []),
        # Numbers.
        ("10,000 is 3.14", ["10", "000", "10,000", "is", "3", "14", "3.14"]),
        ("-5 +7", ["5", "7"]),
        # Whole words with their marks.
        (
            "\u0939\u093f\u0928\u094d\u0926\u0940 \u092e\u0947\u0902",
            ["\u0939\u093f\u0928\u094d\u0926\u0940", "\u092e\u0947\u0902"],
        ),
        ("\u0915\u0964\u0916", ["\u0915", "\u0916"]),
        ("\u0643\u0650\u062a\u064e\u0627\u0628\u064c", ["\u0643\u062a\u0627\u0628"]),
        ("\u0643\u0640\u0640\u062a\u0627\u0628", ["\u0643\u062a\u0627\u0628"]),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", ["\u0645\u06cc\u062e\u0648\u0627\u0647\u0645"]),
        ("\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd", ["\u05e9\u05dc\u05d5\u05dd"]),
        # Scripts without spaces: characters and pairs.
        ("\u732b", ["\u732b"]),
        ("\u6771\u4eac\u90fd", ["\u6771", "\u4eac", "\u90fd", "\u6771\u4eac", "\u4eac\u90fd"]),
        ("\u6771\u30fb\u4eac", ["\u6771", "\u4eac"]),
        ("\uff76\uff9e\u30ae", ["\u30ac", "\u30ae", "\u30ac\u30ae"]),
        ("2020\u5e74", ["2020", "\u5e74"]),
        (
            "\ud55c\uad6d\uc5b4 \ub9d0",
            ["\ud55c", "\uad6d", "\uc5b4", "\ud55c\uad6d", "\uad6d\uc5b4", "\ub9d0"],
        ),
        ("\u1112\u1161\u11ab", ["\ud55c"]),
        ("\u0e17\u0e35\u0e48\u0e1a", ["\u0e17\u0e35\u0e48", "\u0e1a", "\u0e17\u0e35\u0e48\u0e1a"]),
        # Pictures, without the colour of their skin.
        ("ok\U0001f44d\U0001f3fd!", ["ok", "\U0001f44d", "\U0001f3fd"]),
        ("\u2764\ufe0f", ["\u2764"]),
        ("\U0001f468\u200d\U0001f469", ["\U0001f468", "\U0001f469"]),
        ("a\x00b\ud800c", ["a", "b", "c"]),
    ],
)
def test_texts_become_terms(text: str, terms: list[str]) -> None:
    assert PLAIN.terms(text) == terms


def test_words_are_reduced_to_stems_by_language() -> None:
    assert stems(ENGLISH, "Running runners ran") == ["run", "runner", "ran"]
    assert stems(Analyzer(LexicalSettings("german")), "H\u00e4user Haus") == ["haus", "haus"]
    assert stems(Analyzer(LexicalSettings("french")), "maisons") == ["maison"]
    russian = Analyzer(LexicalSettings("russian"))
    one, other = stems(russian, "\u043a\u043d\u0438\u0433\u0438 \u043a\u043d\u0438\u0433\u0430")
    assert one == other
    # Neither codes nor other scripts are touched.
    assert stems(ENGLISH, "files-2 \u6771") == ["file", "2", "files-2", "\u6771"]


def stems(analyzer: Analyzer, text: str) -> list[str]:
    return [term for term in analyzer.terms(text) if not term.startswith("=")]


def test_each_word_that_is_reduced_has_its_exact_form_beside_its_stem() -> None:
    assert ENGLISH.terms("Cells cell") == ["cell", "=cells", "cell", "=cell"]
    assert ENGLISH.terms("well-known foo_bars") == [
        *("well", "=well", "known", "=known", "foo", "=foo", "bar", "=bars", "foo_bars"),
    ]
    assert ENGLISH.terms("covid19 10 \u6771 " + "x" * 65) == ["covid19", "10", "\u6771", "x" * 65]
    assert PLAIN.terms("Cells =a") == ["cells", "a"]
    assert ENGLISH.query_terms("cells \u6771\u4eac") == ["cell", "=cells", "\u6771\u4eac"]
    assert ENGLISH.sequence("Cells of E-12") == ["=cells", "=of", "e", "12"]


def test_a_query_looks_for_pairs_alone_where_there_are_any() -> None:
    assert PLAIN.query_terms("\u6771\u4eac\u90fd") == ["\u6771\u4eac", "\u4eac\u90fd"]
    assert PLAIN.query_terms("\u732b") == ["\u732b"]
    assert PLAIN.query_terms("a \u732b E-1") == ["a", "\u732b", "e", "1", "e-1"]


def test_a_sequence_has_each_smallest_part_once() -> None:
    assert PLAIN.sequence("an E-1042 \u6771\u4eac") == ["an", "e", "1042", "\u6771", "\u4eac"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("An E-1.", [("an", "An"), ("e", "E-1"), ("1", "E-1"), ("e-1", "E-1")]),
        ("so\u00adft \u338f!", [("soft", "so\u00adft"), ("kg", "\u338f")]),
        ("xU\u0308ber", [("x\u00fcber", "xU\u0308ber")]),
        (
            "\uff76\uff9e\u30ae",
            [("\u30ac", "\uff76\uff9e"), ("\u30ae", "\u30ae"), ("\u30ac\u30ae", "\uff76\uff9e\u30ae")],
        ),
    ],
)
def test_words_say_where_they_stand(text: str, words: list[tuple[str, str]]) -> None:
    assert [(word.term, text[word.start : word.end]) for word in PLAIN.words(text)] == words


texts = st.text() | st.text(
    st.sampled_from(
        "aB1_-.,+# \u00df\u0130\u0301\u0308\u1112\u1161\u11ab\u314e\u314f\uff76\uff9e"
        "\u6771\u304b\u3099\u0e35\u0650\u00ad\u200d\ufe0f\u2764\ufdfa"
    )
)


@examples(2000)
@given(text=texts)
def test_words_are_the_terms_at_places_within_the_text(text: str) -> None:
    for analyzer in (PLAIN, ENGLISH):
        words = analyzer.words(text)
        assert [word.term for word in words] == analyzer.terms(text)
        assert all(0 <= word.start < word.end <= len(text) for word in words)
        assert set(analyzer.query_terms(text)) <= set(analyzer.terms(text))
        assert set(analyzer.sequence(text)) <= set(analyzer.terms(text))


@examples(1000)
@given(text=texts)
def test_terms_are_the_same_for_every_way_to_write_a_text(text: str) -> None:
    assert PLAIN.terms(unicodedata.normalize("NFD", text)) == PLAIN.terms(unicodedata.normalize("NFC", text))


@examples(300)
@given(word=st.text(st.characters(categories=["Lu", "Ll"]), min_size=1), other=st.text(st.characters(codec="ascii")))
def test_a_word_is_found_in_upper_case_too(word: str, other: str) -> None:
    assert PLAIN.terms(word.casefold()) == PLAIN.terms(word)
    assert PLAIN.terms(other.upper()) == PLAIN.terms(other)


def test_every_mark_is_part_of_a_word_or_ignored() -> None:
    marks = [chr(code) for code in range(0x3000) if unicodedata.category(chr(code)).startswith("M")]
    word, ignored = pattern("[{MARKS}]"), pattern("[{IGNORED}]")
    assert len(marks) > 1000
    assert [hex(ord(mark)) for mark in marks if not word.match(mark) and not ignored.match(mark)] == []


@pytest.mark.parametrize("text", ["a" * 10_000_000, "ab " * 3_300_000, "\u6771" * 3_000_000, "1-" * 5_000_000])
def test_long_texts_are_read_in_time_that_grows_with_their_length(text: str) -> None:
    assert PLAIN.units(text)


def test_many_threads_get_the_same_terms() -> None:
    analyzer = Analyzer(LexicalSettings())
    words = [f"running{letter} connections{letter}" for letter in "abcdefghij"]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(analyzer.terms, words * 50))
    assert found == [ENGLISH.terms(word) for word in words] * 50
