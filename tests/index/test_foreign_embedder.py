"""An index whose model is another program's embedder: texts are added and found as with any other model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import vecindex
from vecindex import ForeignEncoder, Index
from vecindex.errors import EncodingFailed, InvalidInput, SpaceMismatch

TEXTS = ["the cat sleeps", "the dog barks", "it rains in Rome", "the cat and the dog"]


def words(texts: list[str]) -> list[list[float]]:
    """Six numbers of each text, the sum of those of its words."""
    return [np.sum([_word(word) for word in text.lower().split()], axis=0).tolist() for text in texts]


def _word(word: str) -> np.ndarray:
    digest = hashlib.sha256(word.encode()).digest()[:6]
    return np.frombuffer(digest, np.uint8).astype(float) / 128 - 1


def embedder(name: str = "words") -> ForeignEncoder:
    return ForeignEncoder(name, words)


@pytest.fixture
def index(tmp_path: Path) -> Index:
    opened = vecindex.open(tmp_path / "index", model=embedder())
    opened.add(TEXTS, keys=list("abcd"), metadata=[{"n": n} for n in range(4)])
    return opened


def test_texts_are_encoded_when_they_are_added_and_searched(index: Index) -> None:
    info = index.info()
    assert (info.model, info.dimension, info.records, info.truncated) == ("words", 6, 4, 0)
    hits = index.search("it rains in rome", k=2)
    assert (hits[0].key, len(hits)) == ("c", 2)
    assert hits[0].score == pytest.approx(1, abs=1e-6)
    assert [found[0].key for found in index.search_many(["the dog barks", "the cat sleeps"], k=1)] == ["b", "a"]
    assert index.search(index.get("b").vector, k=1)[0].key == "b"


def test_all_modes_and_options_work(index: Index) -> None:
    assert {hit.key for hit in index.search("cat", mode="lexical")} == {"a", "d"}
    hybrid = index.search("the cat", k=4, mode="hybrid", where={"n": {"$gte": 0}}, diversity=0.5)
    assert len(hybrid) == 4
    assert {"dense", "lexical"} <= hybrid[0].scores.keys()
    assert [hit.key for hit in index.search("the cat sleeps", where="n > 0", k=9, min_score=-1.0)][:1] != ["a"]
    assert len(index.similar("a", k=3)) == 3


def test_a_stored_text_is_not_encoded_again(tmp_path: Path) -> None:
    calls: list[list[str]] = []

    def watched(texts: list[str]) -> list[list[float]]:
        calls.append(texts)
        return words(texts)

    with vecindex.open(tmp_path / "index", model=ForeignEncoder("words", watched, dimension=6)) as index:
        index.add(["one", "two"], keys=["1", "2"])
        index.add(["one", "three"], keys=["1", "3"])
    assert calls == [["one", "two"], ["three"]]


def test_a_new_index_may_be_searched(tmp_path: Path) -> None:
    with vecindex.open(tmp_path / "index", model=embedder()) as index:
        assert list(index.search("anything")) == []
        assert list(index.search("anything", mode="hybrid")) == []


def test_another_name_or_dimension_is_an_error_that_names_both(index: Index) -> None:
    other = ForeignEncoder("others", words)
    with vecindex.open(index.path, model=other) as opened:
        uses: list[Callable[[], object]] = [
            lambda: opened.search("cat"),
            lambda: opened.add(["new"]),
            lambda: opened.add(TEXTS, keys=list("abcd")),
        ]
        for use in uses:
            with pytest.raises(SpaceMismatch, match=r"words \(6 dimensions.*others \(6 dimensions"):
                use()
    wider = ForeignEncoder("words", lambda texts: np.ones((len(texts), 7)))
    with vecindex.open(index.path, model=wider) as opened, pytest.raises(SpaceMismatch) as caught:
        opened.search("cat")
    assert "words (6 dimensions, vectors made elsewhere)" in str(caught.value)
    assert "words (7 dimensions, vectors made elsewhere)" in str(caught.value)


def test_vectors_given_under_the_same_name_are_of_the_same_space(index: Index) -> None:
    index.add(["new"], keys=["e"], vectors=words(["the new one"]), space="words")
    assert index.search("the new one", k=1)[0].key == "e"
    with pytest.raises(SpaceMismatch, match=r"words .*others"):
        index.add(["new"], vectors=words(["the new one"]), space="others")


def test_without_the_embedder_vectors_and_words_are_found_but_no_texts(index: Index) -> None:
    with vecindex.open(index.path) as opened:
        assert opened.search(index.get("b").vector, k=1)[0].key == "b"
        assert opened.search("rains", mode="lexical")[0].key == "c"
        with pytest.raises(InvalidInput, match=r"vectors made elsewhere \(words\)") as caught:
            opened.search("rains")
    assert "model=ForeignEncoder(name, function)" in caught.value.advice


def test_wrong_vectors_store_nothing(index: Index) -> None:
    broken = ForeignEncoder("words", lambda texts: np.ones((1, 6)), dimension=6)
    with (
        vecindex.open(index.path, model=broken) as opened,
        pytest.raises(EncodingFailed, match="'words' returned 1 vectors for 2 texts"),
    ):
        opened.add(["new", "newer"])
    assert len(index) == 4


def test_what_needs_tokens_is_refused(index: Index) -> None:
    with pytest.raises(InvalidInput, match="'words' gives a vector for a whole text"):
        index.search("cat", rerank="tokens")
    with pytest.raises(InvalidInput, match="no model that could compare tokens"):
        index.search("cat", mode="lexical", rerank="tokens")
    with pytest.raises(InvalidInput, match="no model that makes token vectors"):
        index.index_tokens()


def test_a_search_is_explained_without_the_tokens(index: Index) -> None:
    hits, report = index.explain_search("the cat", k=2, mode="hybrid")
    assert [each.key for each in report.explanations] == [hit.key for hit in hits]
    assert {each.tokens for each in report.explanations} == {()}
    assert all("gives a vector for a whole text" in each.notes["tokens"] for each in report.explanations)
    assert any(each.terms for each in report.explanations)


def test_an_index_of_one_model_migrates_to_another_and_back(tmp_path: Path) -> None:
    def doubled(texts: list[str]) -> list[list[float]]:
        return [vector * 2 for vector in words(texts)]

    with vecindex.open(tmp_path / "index", model=embedder()) as index:
        index.add(TEXTS)
        index.migrate(ForeignEncoder("doubled", doubled))
        assert index.info().dimension == 12
        assert index.search(TEXTS[2], k=1)[0].text == TEXTS[2]


def test_long_texts_are_the_embedders_own_affair(tmp_path: Path) -> None:
    for number, policy in enumerate(("truncate", "error", "split", "mean")):
        with vecindex.open(tmp_path / str(number), model=embedder()) as index:
            report = index.add(["word " * 10_000], on_long=policy)  # type: ignore[arg-type]
            assert (report.added, report.truncated) == (1, 0)
