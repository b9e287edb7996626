"""A text is searched for with a vector that was made elsewhere, beside its words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecindex import Hits, Index, InvalidInput
from vecindex.search.lexical.query import plain_query
from vecindex.search.options import Mode

from ..support.helpers import opened
from ..support.toy import DIMENSION, ToyEncoder

TEXTS = ["my name is Aun", "it rains on the pump", "error E-1042 in the pump", "the pump is named Otto", "rain again"]
QUERIES = ["the pump again", '"the pump" named', "pump -error"]
MODES: list[Mode] = ["dense", "hybrid"]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Index]:
    """An index with a model."""
    with opened(tmp_path / "own") as index:
        index.add(TEXTS)
        yield index


@pytest.fixture
def foreign(own: Index, tmp_path: Path) -> Iterator[Index]:
    """The same records and vectors, without the model that made these."""
    with opened(tmp_path / "foreign", model=None) as index:
        index.add(TEXTS, vectors=[record.vector for record in map(own.get, own.keys())], space="theirs")
        yield index


def vector(query: str, mode: Mode = "hybrid") -> Any:
    """What the model makes of a query: where words count, it reads no signs that are meant for them."""
    return ToyEncoder().encode([query if mode == "dense" else plain_query(query)], role="query")[0]


def plain(hits: Hits) -> list[Any]:
    """Without the keys, and besides rounding: a vector that was given is brought to unit length once more."""
    return [(hit.text, pytest.approx(hit.scores, abs=1e-6)) for hit in hits]


@pytest.mark.parametrize("mode", MODES)
def test_an_index_without_a_model_finds_what_one_with_it_finds(own: Index, foreign: Index, mode: Mode) -> None:
    vectors = np.stack([vector(query, mode) for query in QUERIES])
    for found in (own, foreign):
        many = found.search_many(QUERIES, k=3, vectors=vectors, mode=mode)
        by_text = own.search_many(QUERIES, k=3, mode=mode)
        assert [plain(hits) for hits in many] == [[(hit.text, hit.scores) for hit in hits] for hits in by_text]
        for query, given, hits in zip(QUERIES, vectors, many, strict=True):
            assert found.search(query, 3, vector=given.tolist(), mode=mode) == hits
            assert found.explain_search(query, 3, vector=given, mode=mode)[0] == hits
            assert list(found.search_all(query, vector=given, mode=mode))[: len(hits)] == hits


def test_the_vector_counts_and_not_the_text(own: Index, foreign: Index) -> None:
    (hit,) = foreign.search("my name is Aun", 1, vector=vector("rain again"))
    assert hit.text == "rain again"
    assert hit.score == pytest.approx(1, abs=1e-6)
    hits = foreign.search("Otto", 5, vector=-vector("Otto"), mode="hybrid")
    near = {hit.text: hit.score for hit in own.search("Otto", 5)}
    assert {hit.text: pytest.approx(-hit.score, abs=1e-6) for hit in hits} == near
    assert {hit.text for hit in hits if hit.scores["lexical"]} == {"the pump is named Otto"}


def test_nothing_is_encoded(tmp_path: Path) -> None:
    encoder = ToyEncoder()
    with opened(tmp_path / "i", model=encoder) as index:
        index.add(TEXTS)
        before = encoder.encoded
        index.search("the pump", vector=vector("the pump"), mode="hybrid")
        index.search_many(["the pump"], vectors=[vector("the pump")])
        assert encoder.encoded == before


def test_words_that_only_leave_out_are_enough_beside_a_vector(foreign: Index) -> None:
    found = foreign.search("-pump", 5, vector=vector("rain"), mode="hybrid")
    assert {hit.text for hit in found} == {"my name is Aun", "rain again"}


def test_tokens_are_compared_for_the_text_beside_the_vector(own: Index) -> None:
    asked: dict[str, Any] = {"rerank": "tokens", "rerank_ms": float("inf"), "mode": "hybrid"}
    given = vector("it rains")
    hits, by_text = own.search("the pump", 5, vector=given, **asked), own.search("the pump", 5, **asked)
    dense = {hit.key: hit.score for hit in own.search(given, 5)}
    assert {hit.key: hit.scores["dense"] for hit in hits} == dense
    tokens = [{hit.key: hit.scores["tokens"] for hit in found} for found in (hits, by_text)]
    assert tokens[0] == tokens[1]


def test_pages_go_on_with_the_same_vector(foreign: Index) -> None:
    given, other = vector("the pump"), vector("rain")
    for mode in MODES:
        every = foreign.search("the pump", 5, vector=given, mode=mode)
        first = foreign.search("the pump", 2, vector=given, mode=mode)
        then = foreign.search("the pump", 3, vector=given, mode=mode, cursor=first.cursor)
        assert [hit.key for hit in [*first, *then]] == [hit.key for hit in every]
        for query, changed in (("the pump", other), ("the pumps", given), (given, None)):
            with pytest.raises(InvalidInput, match="the cursor is of another search"):
                foreign.search(query, 3, vector=changed, cursor=first.cursor)


def test_an_empty_index_has_no_hits(tmp_path: Path) -> None:
    with opened(tmp_path / "empty", model=None) as index:
        for mode in MODES:
            assert index.search("one", vector=[1.0, 0.0], mode=mode) == []


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
@pytest.mark.parametrize("rerank", [None, "tokens"])
def test_no_queries_have_no_hits(own: Index, mode: Mode, rerank: str | None) -> None:
    assert own.search_many([], mode=mode, rerank=rerank) == []
    if mode != "lexical":
        assert own.search_many([], mode=mode, rerank=rerank, vectors=np.empty((0, DIMENSION))) == []


@pytest.mark.parametrize(
    ("query", "options", "message"),
    [
        ("one", {"vector": np.ones(3)}, "a query vector has the shape"),
        ("one", {"vector": np.zeros(DIMENSION)}, "zero or not finite"),
        ("one", {"vector": "two"}, "query vectors are strings"),
        (" ", {"vector": np.ones(DIMENSION)}, "the query is blank"),
        (" ", {"vector": np.ones(DIMENSION), "mode": "hybrid"}, "the query is blank"),
        (np.ones(DIMENSION), {"vector": np.ones(DIMENSION)}, "a query that is a vector itself"),
        ("one", {"vector": np.ones(DIMENSION), "mode": "lexical"}, "looks for words alone"),
    ],
)
def test_a_vector_that_cannot_stand_beside_the_query_is_refused(
    foreign: Index, query: Any, options: dict[str, Any], message: str
) -> None:
    for search in (foreign.search, foreign.explain_search, foreign.search_all):
        with pytest.raises(InvalidInput, match=message):
            search(query, **options)


def test_there_is_a_vector_for_each_text(foreign: Index) -> None:
    with pytest.raises(InvalidInput, match="1 vectors are given for 2 queries"):
        foreign.search_many(["one", "two"], vectors=np.ones((1, DIMENSION)))
    assert len(foreign.search_many(["one", "two"], vectors=iter(np.ones((2, DIMENSION))))) == 2


def test_a_text_alone_is_refused_where_no_model_can_encode_it(foreign: Index) -> None:
    with pytest.raises(InvalidInput, match="no text can be encoded into their space") as caught:
        foreign.search("one", mode="hybrid")
    assert "vector= beside the text" in str(caught.value.advice)
