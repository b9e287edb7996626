"""Lexical search finds what BM25 in plain Python finds: dead rows, filters, ties, several segments."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex.search.lexical.analysis import Analyzer
from vecindex.search.lexical.building import build
from vecindex.search.lexical.postings import Postings
from vecindex.search.lexical.query import LexicalQuery, parse_query
from vecindex.search.lexical.segment import dump, load
from vecindex.search.lexical.settings import LexicalSettings

from ...support.bm25_oracle import Oracle, weighed
from ...support.extent import examples

PLAIN = Analyzer(LexicalSettings(language=None))
TITLED = Analyzer(LexicalSettings(fields=(("title", 2.5),)))

words = st.sampled_from(["a", "b", "cell", "cells", "rare", "e-1", "foo_bars", "\u6771\u4eac"])
sentences = st.lists(words, max_size=12).map(" ".join)
documents = st.tuples(sentences, sentences)


def bits(rows: int, chosen: set[int]) -> np.ndarray:
    mask = np.zeros(rows, bool)
    mask[list(chosen)] = True
    return np.packbits(mask, bitorder="little")


def postings(texts: list[tuple[str, str]], cuts: list[int], dead: set[int], loaded: bool) -> Postings:
    edges = sorted({0, *(min(cut, len(texts)) for cut in cuts), len(texts)})
    segments = [build(TITLED, first, stop, list(enumerate(texts))[first:stop]) for first, stop in pairwise(edges)]
    if loaded:
        segments = [load(b"".join(dump(each))) for each in segments]
    alive = set(range(len(texts))) - dead
    return Postings(segments, bits(len(texts), alive) if dead else None)


def oracle(texts: list[tuple[str, str]], dead: set[int]) -> Oracle:
    records = {row: [TITLED.terms(each) for each in fields] for row, fields in enumerate(texts) if row not in dead}
    return Oracle(records, TITLED.settings.weights)


@examples(3000)
@given(data=st.data())
def test_the_best_rows_are_those_of_plain_bm25(data: st.DataObject) -> None:
    texts = data.draw(st.lists(documents, min_size=1, max_size=25))
    rows = st.sets(st.integers(0, len(texts) - 1))
    dead = data.draw(rows)
    allowed = data.draw(st.none() | rows)
    found = postings(texts, data.draw(st.lists(st.integers(0, 25), max_size=3)), dead, data.draw(st.booleans()))
    plain = oracle(texts, dead)
    query = parse_query(data.draw(sentences), TITLED)
    k = data.draw(st.integers(1, 8))
    chosen = None if allowed is None else allowed - dead
    best, scores = found.top(query, k, None if chosen is None else bits(len(texts), chosen))
    expected, expected_scores = plain.top(weighed(query), k, chosen)
    assert best.tolist() == expected
    assert scores.tolist() == pytest.approx(expected_scores, abs=1e-9)
    assert found.scores(query, best).tolist() == scores.tolist()
    for row, score in zip(best.tolist(), scores.tolist(), strict=True):
        shares = found.contributions(query, row)
        assert sum(each.score for each in shares) == pytest.approx(score, abs=1e-12)
        for each in shares:
            term = "=" * each.is_form + each.term
            assert each.in_query == weighed(query)[term]
            assert each.score == pytest.approx(each.in_query * plain.gain(term, row), abs=1e-9)


@examples(1000)
@given(
    texts=st.lists(documents, min_size=1, max_size=12),
    asked=st.lists(words | st.just("zebra"), max_size=8),
    drawn=st.randoms(use_true_random=False),
)
def test_the_whole_of_a_query_is_the_score_of_a_text_of_its_terms(
    texts: list[tuple[str, str]], asked: list[str], drawn: random.Random
) -> None:
    dead = set(drawn.sample(range(len(texts)), drawn.randrange(len(texts))))
    query = parse_query(" ".join(asked), TITLED)
    plain = oracle(texts, dead)
    found = postings(texts, [5], dead, loaded=False).whole(query)
    assert isinstance(found, float)
    assert found == pytest.approx(plain.whole(query), abs=1e-9)


def test_a_record_of_the_query_alone_scores_the_whole() -> None:
    found = postings([("red fox", ""), ("red", ""), ("a hen", "")], [1], set(), loaded=False)
    query = parse_query("Red fox!", PLAIN)
    assert found.scores(query, np.array([0])).tolist() == pytest.approx([found.whole(query)])
    assert found.whole(parse_query("", PLAIN)) == 0.0
    # A term that no record has counts as the rarest.
    assert found.whole(parse_query("zebra", PLAIN)) > found.whole(parse_query("hen", PLAIN))
    assert found.whole(parse_query("red fox zebra", PLAIN)) > found.whole(query)


@pytest.mark.parametrize("seed", range(4))
def test_leaving_rows_out_early_loses_none_of_the_best(seed: int) -> None:
    drawn = random.Random(seed)
    vocabulary = [f"{one}o{other}{end}" for one in "bcdfghjklm" for other in "nprtvwxzqk" for end in ("", "s", "ing")]
    weights = [1 / (i + 1) for i in range(300)]
    texts = [(" ".join(drawn.choices(vocabulary, weights, k=drawn.randrange(1, 15))), "") for _ in range(2000)]
    dead = set(drawn.sample(range(2000), 200 * (seed % 2)))
    found = postings(texts, [900, 1700], dead, loaded=True)
    plain = oracle(texts, dead)
    for _ in range(15):
        some = drawn.choices(vocabulary, k=2) + drawn.choices(vocabulary, weights, k=drawn.randrange(5))
        query = parse_query(" ".join(some), TITLED)
        allowed = set(drawn.sample(range(2000), drawn.choice([20, 400]))) - dead
        for chosen in (None, allowed):
            best, scores = found.top(query, 10, None if chosen is None else bits(2000, chosen))
            expected, expected_scores = plain.top(weighed(query), 10, chosen)
            assert best.tolist() == expected
            assert scores.tolist() == pytest.approx(expected_scores, abs=1e-9)


def test_ties_break_by_row_in_and_between_segments() -> None:
    found = postings([("a b", ""), ("c", ""), ("a b", ""), ("b a", ""), ("a b", "")], [3], set(), loaded=False)
    rows, scores = found.top(parse_query("b a", PLAIN), 3)
    assert rows.tolist() == [0, 2, 3]
    assert len(set(scores.tolist())) == 1


def test_scores_do_not_depend_on_k_or_the_filter() -> None:
    drawn = random.Random(5)
    texts = [(" ".join(drawn.choices("abcdefgh", k=drawn.randrange(1, 20))), "") for _ in range(500)]
    found = postings(texts, [100], set(), loaded=False)
    query = parse_query("a b c d e", PLAIN)
    rows, scores = found.top(query, 500)
    every = dict(zip(rows.tolist(), scores.tolist(), strict=True))
    for k, allowed in ((1, None), (10, None), (10, set(range(0, 500, 7)))):
        some, their = found.top(query, k, None if allowed is None else bits(500, allowed))
        assert their.tolist() == [every[row] for row in some.tolist()]


def test_rows_of_at_least_a_score_are_all_found() -> None:
    drawn = random.Random(6)
    texts = [(" ".join(drawn.choices("abcdefgh", k=drawn.randrange(1, 20))), "") for _ in range(500)]
    found = postings(texts, [100, 300], {1, 150}, loaded=False)
    query = parse_query("a b c", PLAIN)
    rows, scores = found.top(query, 500)
    for least in scores.tolist()[::40]:
        some, their = found.top(query, 500, least=least)
        assert their.tolist() == scores[scores >= least].tolist()
        assert some.tolist() == rows[scores >= least].tolist()


def test_scores_of_rows_without_the_terms_are_0() -> None:
    found = postings([("a", ""), ("b", "")], [1], set(), loaded=False)
    assert found.scores(parse_query("a", PLAIN), np.array([1, 0, 1]))[[0, 2]].tolist() == [0, 0]
    assert found.scores(parse_query("", PLAIN), np.array([1])).tolist() == [0]
    assert found.contributions(parse_query("a", PLAIN), 1) == []


def test_the_exact_word_is_preferred_to_other_forms_in_short_queries() -> None:
    texts = ["cells", "a cell of some size", "cells divide", "cell"]
    found = postings([(each, "") for each in texts], [2], set(), loaded=False)
    assert found.top(parse_query("cell", TITLED), 5)[0].tolist() == [3, 1, 0, 2]
    assert found.top(parse_query("Cells", TITLED), 5)[0].tolist() == [0, 2, 3, 1]
    shares = found.contributions(parse_query("cell", TITLED), 1)
    assert sorted((each.term, each.is_form, each.in_query, each.count) for each in shares) == [
        *(("cell", False, 1, 1), ("cell", True, pytest.approx(5 / 3), 1)),
    ]
    assert [each.is_form for each in found.contributions(parse_query("cell", TITLED), 0)] == [False]
    long = parse_query("cell 1 2 3 4 5", TITLED)
    assert [each.is_form for each in found.contributions(long, 1)] == [False]
    assert found.top(long, 5)[0].tolist() == [0, 3, 2, 1]


def test_words_as_they_are_have_no_forms() -> None:
    found = postings([("cell", ""), ("cells", "")], [], set(), loaded=False)
    query = parse_query("cell E-1 \u6771\u4eac", PLAIN)
    assert query.forms == {}
    assert found.top(parse_query("cell", PLAIN), 5)[0].tolist() == [0, 1]


def test_excluded_words_leave_rows_out() -> None:
    texts = ["red fox", "fox", "fox e-1", "fox e 1", "red"]
    found = postings([(each, "") for each in texts], [2], set(), loaded=False)
    assert found.top(parse_query("fox -red", PLAIN), 5)[0].tolist() == [1, 3, 2]
    assert found.top(parse_query("fox -E-1 -nothing", PLAIN), 5)[0].tolist() == [1, 0, 3]
    assert found.top(parse_query("-red", PLAIN), 5)[0].tolist() == []
    assert found.top(parse_query("fox -red", PLAIN), 5, bits(5, {0, 2, 4}))[0].tolist() == [2]


def test_phrases_are_asked_for_until_there_are_enough() -> None:
    texts = [("fox red " if i % 10 else "red fox ") * (1 + i % 3) for i in range(1000)]
    found = postings([(each, "") for each in texts], [300], {0}, loaded=False)
    query = parse_query('"red fox"', PLAIN)
    asked: list[int] = []

    def holds(rows: np.ndarray) -> np.ndarray:
        asked.extend(rows.tolist())
        return np.array([query.holds_phrases(PLAIN, [texts[row]]) for row in rows.tolist()], bool)

    everything, scores = found.top(LexicalQuery({"red": 1, "fox": 1}), 1000)
    expected = [row for row in everything.tolist() if query.holds_phrases(PLAIN, [texts[row]])]
    for k in (3, 60, 2000):
        asked.clear()
        rows, their = found.top(query, k, holds_phrases=holds)
        assert rows.tolist() == expected[:k]
        assert len(asked) == len(set(asked))
        assert their.tolist() == [scores[everything.tolist().index(row)] for row in rows.tolist()]
    assert found.top(parse_query('"red nothing"', PLAIN), 3, holds_phrases=holds)[0].tolist() == []


def test_many_threads_find_the_same() -> None:
    drawn = random.Random(2)
    texts = [(" ".join(drawn.choices("abcdefghij", k=8)), "") for _ in range(3000)]
    found = postings(texts, [1000], {5, 7}, loaded=True)
    queries = [parse_query(" ".join(drawn.choices("abcdefghij", k=4)), PLAIN) for _ in range(40)]
    alone = [[each.tolist() for each in found.top(query, 10)] for query in queries]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda query: [each.tolist() for each in found.top(query, 10)], queries * 5))
    assert together == alone * 5


def test_too_few_bits_are_refused() -> None:
    made = [build(PLAIN, 0, 9, [])]
    with pytest.raises(ValueError, match="8 bits are too few for 9 rows"):
        Postings(made, np.zeros(1, np.uint8))
    with pytest.raises(ValueError, match="adjacent"):
        Postings([*made, *made])
