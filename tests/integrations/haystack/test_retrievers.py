"""The retrievers find the right documents, alone and in pipelines, which survive being written as YAML."""

from __future__ import annotations

import pytest

pytest.importorskip("haystack", reason="Haystack is not installed: pip install 'vecindex[haystack]'")

import asyncio
from typing import Any

from haystack import Document, Pipeline, component
from haystack.components.writers import DocumentWriter
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.document_stores.types import DuplicatePolicy, FilterPolicy

import vecindex
from vecindex.integrations.haystack import (
    VecindexDocumentStore,
    VecindexEmbeddingRetriever,
    VecindexHybridRetriever,
    VecindexKeywordRetriever,
)

ALLOWED = ["vecindex.integrations.haystack.*", f"{__name__}"]
DOCUMENTS = [
    Document(id="cat", content="The cat sleeps.", meta={"lang": "en", "year": 2020}, embedding=[1.0, 0.0]),
    Document(id="dog", content="The dog barks at the cat.", meta={"lang": "en", "year": 2021}, embedding=[3.0, 4.0]),
    Document(id="rain", content="Rain falls.", meta={"lang": "en", "year": "2022"}, embedding=[-2.0, 0.0]),
    Document(id="katze", content="Die Katze schläft.", meta={"lang": "de", "year": 2020}, embedding=[0.0, 1.0]),
    Document(id="bare", content="A cat without an embedding.", meta={"lang": "en", "year": 2019}),
    Document(id="zeros", content="Nothing.", meta={"lang": "en", "year": 2019}, embedding=[0.0, 0.0]),
]
ENGLISH = {"field": "meta.lang", "operator": "==", "value": "en"}
GERMAN = {"field": "meta.lang", "operator": "==", "value": "de"}


@pytest.fixture
def filled(document_store: VecindexDocumentStore) -> VecindexDocumentStore:
    document_store.write_documents(DOCUMENTS)
    return document_store


def ids(result: dict[str, list[Document]]) -> list[str]:
    return [document.id for document in result["documents"]]


def scores(result: dict[str, list[Document]]) -> list[float]:
    return [document.score or 0.0 for document in result["documents"]]


def test_an_embedding_finds_the_nearest_documents(filled: VecindexDocumentStore) -> None:
    result = VecindexEmbeddingRetriever(filled).run([2.0, 0.0])
    assert ids(result) == ["cat", "dog", "katze", "rain"]
    assert scores(result) == pytest.approx([1, 0.6, 0, -1])
    assert all(document.embedding is None for document in result["documents"])


def test_scores_agree_with_haystacks_own_store(filled: VecindexDocumentStore) -> None:
    own = InMemoryDocumentStore(embedding_similarity_function="cosine")
    own.write_documents([document for document in DOCUMENTS if document.id in ("cat", "dog", "rain", "katze")])
    for scale in (False, True):
        expected = own.embedding_retrieval([0.5, 1.5], scale_score=scale)
        result = VecindexEmbeddingRetriever(filled, scale_score=scale).run([0.5, 1.5])
        assert ids(result) == [document.id for document in expected]
        assert scores(result) == pytest.approx([document.score for document in expected])


def test_words_find_documents_with_and_without_an_embedding(filled: VecindexDocumentStore) -> None:
    retriever = VecindexKeywordRetriever(filled)
    result = retriever.run("cat")
    assert set(ids(result)) == {"cat", "dog", "bare"}
    assert scores(result) == sorted(scores(result), reverse=True)
    assert all(0.5 < score < 1 for score in scores(retriever.run("cat", scale_score=True)))
    assert ids(retriever.run("elephant")) == []
    assert ids(retriever.run('"cat sleeps"')) == ["cat"]


def test_both_together_find_what_either_finds(filled: VecindexDocumentStore) -> None:
    retriever = VecindexHybridRetriever(filled)
    result = retriever.run("cat", [0.0, 1.0])
    assert {"cat", "dog", "bare", "katze"} <= set(ids(result))
    assert scores(result) == [61 / (60 + rank) for rank in range(1, len(ids(result)) + 1)]
    assert ids(retriever.run("barking dog", [0.6, 0.8]))[0] == "dog"
    assert set(ids(VecindexHybridRetriever(filled, fusion="rrf").run("cat", [0.0, 1.0]))) == set(ids(result))


@pytest.mark.parametrize("top_k", [0, 1, 2, 100])
def test_top_k_is_the_number_of_documents(filled: VecindexDocumentStore, top_k: int) -> None:
    by_embedding = VecindexEmbeddingRetriever(filled).run([1.0, 1.0], top_k=top_k)
    assert len(by_embedding["documents"]) == min(top_k, 4)
    by_both = VecindexHybridRetriever(filled, top_k=3).run("cat", [1.0, 1.0], top_k=top_k)
    assert len(by_both["documents"]) == min(top_k, 5)


def test_embeddings_are_returned_if_asked_for(filled: VecindexDocumentStore) -> None:
    retriever = VecindexKeywordRetriever(filled, return_embedding=True)
    found = {document.id: document.embedding for document in retriever.run("cat")["documents"]}
    assert found == {"cat": [1.0, 0.0], "dog": pytest.approx([3.0, 4.0]), "bare": None}
    assert all(document.embedding is None for document in retriever.run("cat", return_embedding=False)["documents"])


def test_filters_of_the_run_replace_or_join_those_of_the_component(filled: VecindexDocumentStore) -> None:
    recent = {"field": "meta.year", "operator": "==", "value": 2020}
    replacing = VecindexEmbeddingRetriever(filled, filters=GERMAN)
    assert ids(replacing.run([1.0, 0.0])) == ["katze"]
    assert ids(replacing.run([1.0, 0.0], filters=recent)) == ["cat", "katze"]
    joining = VecindexEmbeddingRetriever(filled, filters=GERMAN, filter_policy=FilterPolicy.MERGE)
    assert ids(joining.run([1.0, 0.0], filters=recent)) == ["katze"]


def test_a_filter_that_only_haystack_can_evaluate_still_gives_top_k(filled: VecindexDocumentStore) -> None:
    content = {"field": "content", "operator": "in", "value": ["Rain falls.", "Die Katze schläft.", "Nothing."]}
    assert ids(VecindexEmbeddingRetriever(filled, top_k=2).run([1.0, 0.0], filters=content)) == ["katze", "rain"]
    assert ids(VecindexHybridRetriever(filled, top_k=1).run("rain", [-1.0, 0.0], filters=content)) == ["rain"]


def test_an_empty_store_answers_nothing(document_store: VecindexDocumentStore) -> None:
    assert ids(VecindexEmbeddingRetriever(document_store).run([1.0, 0.0])) == []
    assert ids(VecindexKeywordRetriever(document_store).run("cat")) == []
    assert ids(VecindexHybridRetriever(document_store).run("cat", [1.0, 0.0])) == []
    document_store.write_documents([Document(content="A cat.")])
    assert ids(VecindexEmbeddingRetriever(document_store).run([1.0, 0.0])) == []
    assert len(ids(VecindexHybridRetriever(document_store).run("cat", [1.0, 0.0]))) == 1


def test_wrong_queries_and_settings_are_refused(filled: VecindexDocumentStore) -> None:
    with pytest.raises(ValueError, match="shape"):
        VecindexEmbeddingRetriever(filled).run([1.0, 0.0, 0.0])
    with pytest.raises(ValueError, match="blank"):
        VecindexKeywordRetriever(filled).run(" ")
    with pytest.raises(ValueError, match="top_k"):
        VecindexKeywordRetriever(filled, top_k=0)
    with pytest.raises(ValueError, match="top_k"):
        VecindexKeywordRetriever(filled).run("cat", top_k=-1)
    for wrong in ({"fusion": "sum"}, {"top_k": "3"}, {"top_k": True}):
        with pytest.raises(vecindex.InvalidInput, match=next(iter(wrong))):
            VecindexHybridRetriever(filled, **wrong)  # type: ignore[arg-type, unused-ignore]
    with pytest.raises(TypeError, match="positional"):
        VecindexHybridRetriever(filled, "rrf")  # type: ignore[arg-type, misc, unused-ignore]
    with pytest.raises(TypeError, match="VecindexDocumentStore"):
        VecindexKeywordRetriever(InMemoryDocumentStore())  # type: ignore[arg-type, unused-ignore]


@component
class Letters:
    """An embedder without a model: how often a and t occur."""

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, list[float]]:
        return {"embedding": [float(text.count("a")), float(text.count("t"))]}


def searching(store: VecindexDocumentStore) -> Any:
    pipeline = Pipeline()
    pipeline.add_component("embedder", Letters())
    pipeline.add_component("dense", VecindexEmbeddingRetriever(store, top_k=2))
    pipeline.add_component("words", VecindexKeywordRetriever(store, filters=ENGLISH, scale_score=True))
    pipeline.add_component("both", VecindexHybridRetriever(store, fusion="rrf", filter_policy="merge"))
    pipeline.connect("embedder.embedding", "dense.query_embedding")
    pipeline.connect("embedder.embedding", "both.query_embedding")
    return pipeline


ASKED = {"embedder": {"text": "a cat"}, "words": {"query": "cat"}, "both": {"query": "cat", "top_k": 3}}


def test_pipelines_write_and_search(document_store: VecindexDocumentStore) -> None:
    writing = Pipeline()
    writing.add_component("writer", DocumentWriter(document_store, policy=DuplicatePolicy.OVERWRITE))
    assert writing.run({"writer": {"documents": DOCUMENTS}}) == {"writer": {"documents_written": len(DOCUMENTS)}}
    pipeline = searching(document_store)
    found = {name: ids(result) for name, result in pipeline.run(ASKED).items()}
    assert len(found["dense"]) == 2
    assert set(found["words"]) == {"cat", "dog", "bare"}
    assert len(found["both"]) == 3
    loaded = Pipeline.loads(pipeline.dumps(), allowed_modules=ALLOWED)
    assert loaded.to_dict() == pipeline.to_dict()
    assert {name: ids(result) for name, result in loaded.run(ASKED).items()} == found
    loaded.get_component("words").document_store.close()


def test_pipelines_run_asynchronously(filled: VecindexDocumentStore) -> None:
    pipeline = searching(filled)
    found = asyncio.run(pipeline.run_async(ASKED))
    assert found == searching(filled).run(ASKED)


def test_the_dimension_of_an_index_is_that_of_its_first_embedding(document_store: VecindexDocumentStore) -> None:
    document_store.write_documents([Document(content="bare"), Document(content="a", embedding=[1.0] * 7)])
    assert document_store.index.info().dimension == 7
    assert isinstance(document_store.index, vecindex.Index)
