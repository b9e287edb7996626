"""Queries: words, phrases in quotes, excluded words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex.search.lexical.analysis import Analyzer
from vecindex.search.lexical.query import LexicalQuery, parse_query, plain_query
from vecindex.search.lexical.settings import LexicalSettings

PLAIN = Analyzer(LexicalSettings(language=None))
ENGLISH = Analyzer(LexicalSettings())


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("", LexicalQuery()),
        ("to be or not to be", LexicalQuery({"to": 2, "be": 2, "or": 1, "not": 1})),
        ('a "red fox" b', LexicalQuery({"a": 1, "b": 1, "red": 1, "fox": 1}, (("red", "fox"),))),
        ('"red fox" "red fox"', LexicalQuery({"red": 2, "fox": 2}, (("red", "fox"),))),
        ('"" "!" a', LexicalQuery({"a": 1})),
        ('5" screen', LexicalQuery({"5": 1, "screen": 1})),
        ('"a b" c" d', LexicalQuery({"a": 1, "b": 1, "c": 1, "d": 1}, (("a", "b"),))),
        ("fox -red", LexicalQuery({"fox": 1}, without=(("red",),))),
        ("-red -red", LexicalQuery(without=(("red",),))),
        ("well-known - fox --red -_x", LexicalQuery({"well": 1, "known": 1, "fox": 1, "red": 1, "x": 1})),
        ("a -E-1", LexicalQuery({"a": 1}, without=(("e", "1", "e-1"),))),
        ("\u201cred fox\u201d b", LexicalQuery({"b": 1, "red": 1, "fox": 1}, (("red", "fox"),))),
        ("\u201ered fox\u201c", LexicalQuery({"red": 1, "fox": 1}, (("red", "fox"),))),
        ("\u00abred fox\u00bb", LexicalQuery({"red": 1, "fox": 1}, (("red", "fox"),))),
        ("5\u201d screen", LexicalQuery({"5": 1, "screen": 1})),
        ("fox -\u201cred fox\u201d", LexicalQuery({"fox": 1}, without_phrases=(("red", "fox"),))),
        ('a "-b c"', LexicalQuery({"a": 1, "b": 1, "c": 1}, (("b", "c"),))),
        ("a \u2010b", LexicalQuery({"a": 1, "b": 1})),
        ("\u6771\u4eac", LexicalQuery({"\u6771\u4eac": 1})),
        ('"\u6771\u4eac"', LexicalQuery({"\u6771\u4eac": 1}, (("\u6771", "\u4eac"),))),
    ],
)
def test_queries_are_read(text: str, query: LexicalQuery) -> None:
    assert parse_query(text, PLAIN) == query


def test_phrases_are_looked_for_in_each_text() -> None:
    query = parse_query('"red fox" "E-1"', PLAIN)
    assert query.holds_phrases(PLAIN, ["A Red, fox", "see e-1"])
    assert query.holds_phrases(PLAIN, ["e 1: red fox"])
    assert not query.holds_phrases(PLAIN, ["a red", "fox e-1"])
    assert not query.holds_phrases(PLAIN, ["fox red e-1"])
    assert not query.holds_phrases(PLAIN, ["infrared fox e-1"])
    assert parse_query("a", PLAIN).holds_phrases(PLAIN, [])


def test_an_excluded_phrase_may_stand_in_no_text() -> None:
    query = parse_query('fox -"red fox" -"e-1"', PLAIN)
    assert query == LexicalQuery({"fox": 1}, without_phrases=(("red", "fox"), ("e", "1")))
    assert query.holds_phrases(PLAIN, ["a fox that is red"])
    assert not query.holds_phrases(PLAIN, ["a fox", "a red fox"])
    assert not query.holds_phrases(PLAIN, ["see E-1, fox"])


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        *(
            ("", ""),
            ("to be  or not", "to be  or not"),
            ("well-known - fox", "well-known - fox"),
            ('5" tall', '5" tall'),
        ),
        ('what is "the big one"?', "what is the big one?"),
        ('fox -red "a -b" -"c d" -e-1', "fox a -b"),
        ("fox -\u201cc d\u201d \u201ea b\u201c", "fox a b"),
        *(('-red -"a b"', ""), ('""', ""), ('"a" "b"', "a b")),
    ],
)
def test_the_plain_text_of_a_query_has_neither_quotation_marks_nor_what_it_excludes(text: str, plain: str) -> None:
    assert plain_query(text) == plain


def test_stems_are_looked_for_and_phrases_and_forms_exactly() -> None:
    query = parse_query('Cells "red foxes" -rains -E-12', ENGLISH)
    assert query == LexicalQuery(
        {"cell": 1, "red": 1, "fox": 1},
        (("=red", "=foxes"),),
        (("rain",), ("e", "12", "e-12")),
        {"=cells": 1, "=red": 1, "=foxes": 1},
    )
    assert query.length == 3
    assert query.holds_phrases(ENGLISH, ["Red foxes!"])
    assert not query.holds_phrases(ENGLISH, ["a red fox"])


@pytest.mark.parametrize(("words", "share"), [(1, 5 / 3), (2, 2 / 3), (3, 1 / 3), (5, 1 / 15), (6, 0), (20, 0)])
def test_exact_forms_count_less_the_longer_a_query_is(words: int, share: float) -> None:
    assert parse_query(" ".join(f"w{i}" for i in range(words)), ENGLISH).form_share == pytest.approx(share)
    assert parse_query("", ENGLISH).form_share == 0


@given(text=st.text(st.sampled_from('ab"- \u6771_1')))
def test_any_query_is_read(text: str) -> None:
    query = parse_query(text, PLAIN)
    assert set(query.terms) <= set(PLAIN.terms(text))
    assert all(set(phrase) <= set(PLAIN.terms(text)) for phrase in query.phrases)
    assert not plain_query(text) or query.terms or not PLAIN.terms(plain_query(text))
