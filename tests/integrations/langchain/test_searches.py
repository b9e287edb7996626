"""Searches of a vector store: filters, scores, diverse documents, retrievers, and the options of an index."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("langchain_core", reason="the extra 'langchain' is not installed")

from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.vectorstores import InMemoryVectorStore

from vecindex import FilterWarning, Index
from vecindex.errors import InvalidFilter, InvalidInput
from vecindex.integrations.langchain import VecindexVectorStore

from .words import vector

TEXTS = {
    "cat": "the cat sleeps",
    "cats": "the cat sleeps a lot",
    "dog": "the dog barks",
    "rain": "it rains in Rome",
    "sun": "the sun shines in Rome",
}


@pytest.fixture
def full(store: VecindexVectorStore) -> VecindexVectorStore:
    metadata = [{"n": n, "kind": "animal" if n < 3 else "weather", "tags": ["a"] * n} for n in range(len(TEXTS))]
    store.add_texts(list(TEXTS.values()), metadata, ids=list(TEXTS))
    return store


def ids(documents: list[Document]) -> list[str | None]:
    return [document.id for document in documents]


# --- filters


@pytest.mark.parametrize(
    ("filter", "found"),
    [
        ({"kind": "weather"}, {"rain", "sun"}),
        ("kind = 'weather'", {"rain", "sun"}),
        ({"n": {"$gte": 1, "$lt": 3}}, {"cats", "dog"}),
        ({"$or": [{"n": 0}, {"kind": {"$ne": "animal"}}]}, {"cat", "rain", "sun"}),
        ("n in (0, 4) and not kind = 'animal'", {"sun"}),
        ({"tags": {"$contains": "a"}}, {"cats", "dog", "rain", "sun"}),
        ({}, set(TEXTS)),
        (None, set(TEXTS)),
    ],
)
def test_filters_are_those_of_an_index(full: VecindexVectorStore, filter: Any, found: set[str]) -> None:
    assert set(ids(full.similarity_search("the cat", k=9, filter=filter))) == found
    assert {document.id for document, _ in full.similarity_search_with_score("the cat", 9, filter)} == found
    assert set(ids(full.similarity_search_by_vector(vector("the cat"), 9, filter))) == found
    assert set(ids(full.max_marginal_relevance_search("the cat", 9, filter=filter))) == found
    assert set(ids(full.as_retriever(search_kwargs={"k": 9, "filter": filter}).invoke("the cat"))) == found


def test_k_documents_are_found_if_so_many_match(full: VecindexVectorStore) -> None:
    assert len(full.similarity_search("the cat", filter={"kind": "weather"}, k=2)) == 2
    assert len(full.similarity_search("the cat")) == 4


def test_a_filter_that_is_a_function_or_matches_nothing_says_so(full: VecindexVectorStore) -> None:
    with pytest.raises(InvalidFilter, match="must be an expression or a dict, not function"):
        full.similarity_search("the cat", filter=lambda document: True)  # type: ignore[arg-type]
    with pytest.warns(FilterWarning, match="kund"):
        assert full.similarity_search("the cat", filter={"kund": "animal"}) == []


# --- scores


def test_scores_are_cosines_and_relevance_scores_are_those_above_zero(full: VecindexVectorStore) -> None:
    scored = full.similarity_search_with_score("the cat sleeps", k=5)
    found = full.similarity_search_with_relevance_scores("the cat sleeps", k=5)
    assert ids([document for document, _ in scored]) == ids([document for document, _ in found])
    unit = {key: np.array(vector(text)) / np.linalg.norm(vector(text)) for key, text in TEXTS.items()}
    for (document, score), (_, relevance) in zip(scored, found, strict=True):
        assert score == pytest.approx(float(unit["cat"] @ unit[str(document.id)]), abs=1e-6)
        assert relevance == min(max(score, 0.0), 1.0)
    assert scored[0][1] == pytest.approx(1, abs=1e-6)


def test_relevance_scores_of_any_vectors_are_between_0_and_1(tmp_path: Path) -> None:
    with VecindexVectorStore(tmp_path / "index", DeterministicFakeEmbedding(size=6)) as store:
        store.add_texts([f"text {n}" for n in range(100)])
        scores = [score for _, score in store.similarity_search_with_relevance_scores("query", k=100)]
    assert len(scores) == 100
    assert scores == sorted(scores, reverse=True)
    assert min(scores) == 0  # some of the cosines are negative
    assert max(scores) <= 1


def test_a_score_threshold_leaves_out_what_is_less_relevant(
    full: VecindexVectorStore, caplog: pytest.LogCaptureFixture
) -> None:
    found = full.similarity_search_with_relevance_scores("the cat sleeps", k=5, score_threshold=0.5)
    assert found
    assert min(score for _, score in found) >= 0.5
    options = {"k": 5, "score_threshold": 0.5}
    retriever = full.as_retriever(search_type="similarity_score_threshold", search_kwargs=options)
    assert retriever.invoke("the cat sleeps") == [document for document, _ in found]
    with caplog.at_level(logging.WARNING):
        assert full.similarity_search_with_relevance_scores("wholly unlike", score_threshold=0.999) == []


def test_relevance_scores_need_cosines(full: VecindexVectorStore) -> None:
    hybrid = full.similarity_search_with_relevance_scores("cat", k=5, mode="hybrid")
    assert all(0 <= score <= 1 for _, score in hybrid)
    with pytest.raises(InvalidInput, match='relevance scores are cosines, and mode="lexical" has none'):
        full.similarity_search_with_relevance_scores("cat", mode="lexical")


# --- the options of an index


def test_words_are_found_alone_and_beside_vectors(full: VecindexVectorStore) -> None:
    assert ids(full.similarity_search("Rome", mode="lexical")) == ["rain", "sun"]
    assert ids(full.similarity_search("rains in Rome", k=1, mode="hybrid")) == ["rain"]
    retriever = full.as_retriever(search_kwargs={"k": 2, "mode": "hybrid", "fusion": "rrf", "filter": {"n": 4}})
    assert ids(retriever.invoke("Rome")) == ["sun"]
    scored = full.similarity_search_with_score("rains", mode="lexical")
    assert scored[0][1] == full.index.search("rains", mode="lexical")[0].score


def test_all_options_of_an_index_may_be_given(full: VecindexVectorStore) -> None:
    options: dict[str, Any]
    for options in (
        {"group_by": "kind"},
        {"min_score": 0.9},
        {"exclude": ["cat"]},
        {"diversity": 0.8},
        {"min_percentile": 90.0},
    ):
        hits = full.index.search("the cat sleeps", k=4, **options)
        assert ids(full.similarity_search("the cat sleeps", **options)) == [hit.key for hit in hits]
        assert ids(full.as_retriever(search_kwargs=options).invoke("the cat sleeps")) == [hit.key for hit in hits]
    assert ids(full.as_retriever().invoke("the cat sleeps", k=1)) == ["cat"]


def test_an_unknown_option_is_a_type_error(full: VecindexVectorStore) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'mood'"):
        full.similarity_search("cat", mood="hybrid")


def test_a_second_look_at_the_hits(tmp_path: Path, minilm: Path) -> None:
    with VecindexVectorStore(tmp_path / "index") as store:
        store.add_texts(["My name is Aun", "The name of the rose", "It rains."], ids=["aun", "rose", "rain"])
        hits = store.index.search("what is my name?", k=3, rerank="tokens")
        found = store.similarity_search("what is my name?", k=3, rerank="tokens")
        assert ids(found) == [hit.key for hit in hits]
        assert ids(store.max_marginal_relevance_search("what is my name?", k=1)) == ["aun"]
        assert ids(store.max_marginal_relevance_search("what is my name?", k=2, lambda_mult=1.0)) == ["aun", "rose"]


def test_embeddings_of_another_library_have_no_tokens_to_look_at(full: VecindexVectorStore) -> None:
    with pytest.raises(InvalidInput, match="gives a vector for a whole text"):
        full.similarity_search("cat", rerank="tokens")


def test_sentences_around_a_hit_are_in_its_metadata(tmp_path: Path, minilm: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Tea\n\nWarm the pot first. Pour the water. Milk comes last.\n")
    index: Index = VecindexVectorStore(tmp_path / "index").index
    index.add_files([page])
    with VecindexVectorStore(tmp_path / "index") as store:
        (found,) = store.similarity_search("pour the water", k=1, context=1)
        assert found.page_content == "Pour the water."
        assert found.metadata["source"] == "page.md"
        assert found.metadata["before"] == ["Warm the pot first."]
        assert found.metadata["after"] == ["Milk comes last."]
        assert page.read_text()[slice(*found.metadata["span"])] == "Pour the water."
    index.close()


# --- diverse documents


@pytest.mark.parametrize("lambda_mult", [0.0, 0.25, 0.5, 0.75, 1.0])
@pytest.mark.parametrize(("k", "fetch_k"), [(4, 20), (10, 10), (5, 40), (8, 3)])
def test_diverse_documents_are_those_of_langchains_own_store(
    tmp_path: Path, k: int, fetch_k: int, lambda_mult: float
) -> None:
    embeddings = DeterministicFakeEmbedding(size=6)
    texts = [f"text {n}" for n in range(60)]
    theirs = InMemoryVectorStore(embeddings)
    theirs.add_texts(texts)
    with VecindexVectorStore(tmp_path / "index", embeddings) as store:
        store.add_texts(texts)
        for query in ("one", "two", "three"):
            ours = store.max_marginal_relevance_search(query, k, fetch_k, lambda_mult)
            expected = theirs.max_marginal_relevance_search(query, k, fetch_k, lambda_mult)
            assert [found.page_content for found in ours] == [found.page_content for found in expected]
            by_vector = store.max_marginal_relevance_search_by_vector(
                embeddings.embed_query(query), k, fetch_k, lambda_mult
            )
            assert by_vector == ours
            options = {"k": k, "fetch_k": fetch_k, "lambda_mult": lambda_mult}
            assert store.as_retriever(search_type="mmr", search_kwargs=options).invoke(query) == ours


def test_diverse_documents_of_other_searches(full: VecindexVectorStore, store: VecindexVectorStore) -> None:
    assert set(ids(full.max_marginal_relevance_search("Rome", k=4, mode="lexical"))) == {"rain", "sun"}
    assert len(full.max_marginal_relevance_search("Rome", k=3, mode="hybrid", lambda_mult=0.1)) == 3
    assert len(full.max_marginal_relevance_search("Rome", k=4, fetch_k=2)) == 2


def test_an_empty_store_finds_nothing(store: VecindexVectorStore, tmp_path: Path) -> None:
    assert store.similarity_search("anything") == []
    assert store.max_marginal_relevance_search("anything") == []
    assert store.similarity_search_with_relevance_scores("anything", score_threshold=0.5) == []
    with VecindexVectorStore(tmp_path / "own") as own:  # loads no model
        assert own.similarity_search("anything") == []
        assert own.max_marginal_relevance_search("anything") == []


def test_records_without_a_vector_are_found_by_their_words(store: VecindexVectorStore) -> None:
    store.add_texts(["one two", "two three"], ids=["a", "b"])
    store.index.add(["two without"], keys=["c"], encode=False)
    assert set(ids(store.similarity_search("two without"))) == {"a", "b"}
    assert ids(store.similarity_search("two without", mode="lexical"))[0] == "c"
    assert set(ids(store.max_marginal_relevance_search("two without", mode="lexical"))) == {"a", "b", "c"}
    relevance = store.similarity_search_with_relevance_scores("two without", mode="hybrid")
    assert [score for document, score in relevance if document.id == "c"] == [0]
    assert store.get_by_ids(["c"]) == [Document("two without", id="c")]
    store.index.encode_missing()
    assert ids(store.similarity_search("two without", k=1)) == ["c"]
