"""Vecindex's models as LangChain's embeddings, and the names under which an index knows LangChain's."""

from __future__ import annotations

import asyncio
import pickle
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("langchain_core", reason="the extra 'langchain' is not installed")

from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_core.vectorstores import InMemoryVectorStore

from vecindex.errors import ModelNotFound, SpaceMismatch
from vecindex.integrations.langchain import VecindexEmbeddings, VecindexVectorStore
from vecindex.integrations.langchain.embeddings import name_of

from ...support.models.small_model import SmallModel
from .words import WordEmbeddings

TEXTS = ["the cat", "the dog and the cat", "the cat"]


@pytest.fixture
def model(small_model: SmallModel, tmp_path: Path) -> Path:
    """A small model with a prompt for queries."""
    folder = tmp_path / "model"
    folder.mkdir()
    return small_model(folder, prompts={"query": "query: ", "document": ""})


def test_embeddings_are_the_vectors_of_the_encoder(model: Path) -> None:
    embeddings = VecindexEmbeddings(model)
    documents = embeddings.embed_documents(TEXTS)
    assert documents == embeddings.encoder.encode(TEXTS).tolist()
    assert all(type(number) is float for number in documents[0])
    query = embeddings.embed_query("the cat")
    assert query == embeddings.encoder.encode(["the cat"], role="query")[0].tolist()
    assert query != documents[0]
    assert embeddings.embed_documents([]) == []
    assert asyncio.run(embeddings.aembed_documents(TEXTS)) == documents
    assert asyncio.run(embeddings.aembed_query("the cat")) == query


def test_embeddings_take_the_options_of_load_encoder(model: Path) -> None:
    assert len(VecindexEmbeddings(model, dimensions=8, threads=1).embed_query("the cat")) == 8
    with pytest.raises(ModelNotFound):
        VecindexEmbeddings(model / "nowhere", offline=True)


def test_pickled_embeddings_load_the_model_again(model: Path) -> None:
    embeddings = VecindexEmbeddings(model, dimensions=8)
    again = pickle.loads(pickle.dumps(embeddings))
    assert np.allclose(again.embed_documents(TEXTS), embeddings.embed_documents(TEXTS), atol=1e-6)


def test_they_serve_other_stores_too(model: Path) -> None:
    theirs = InMemoryVectorStore(VecindexEmbeddings(model))
    theirs.add_texts(TEXTS[:2])
    assert len(theirs.similarity_search("the dog", k=2)) == 2


def test_a_store_with_them_has_their_model(model: Path, tmp_path: Path) -> None:
    with VecindexVectorStore(tmp_path / "index", VecindexEmbeddings(model)) as store:
        store.add_texts(TEXTS[:2], ids=["1", "2"])
        assert store.index.info().model == str(model)
        assert store.similarity_search("the cat", k=1, rerank="tokens", rerank_ms=60_000.0)[0].id
        assert len(store.max_marginal_relevance_search("the cat", k=2)) == 2
    with VecindexVectorStore(tmp_path / "index") as store:  # remembers it
        assert store.get_by_ids(["1"]) == [Document("the cat", id="1")]
        assert len(store.similarity_search("the cat")) == 2
    with VecindexVectorStore(tmp_path / "index", WordEmbeddings()) as store, pytest.raises(SpaceMismatch):
        store.similarity_search("the cat")


def test_texts_that_are_cut_are_told_of(model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with VecindexVectorStore(tmp_path / "index", VecindexEmbeddings(model)) as store:
        store.add_texts(["the cat"])
        assert caplog.messages == []
        store.add_texts(["the cat " * 2000, "the dog"])
    assert caplog.messages == [
        "1 of 2 documents are longer than the model reads, and are not found by their ends. "
        "Split them before you add them."
    ]


def test_a_name_is_that_of_the_class_and_of_the_model_that_it_tells() -> None:
    class Cached(WordEmbeddings):
        def __init__(self, underlying: Embeddings) -> None:
            super().__init__("cached")
            self.underlying_embeddings = underlying

    assert name_of(DeterministicFakeEmbedding(size=6)) == "DeterministicFakeEmbedding"
    assert name_of(WordEmbeddings("small")) == "WordEmbeddings:small"
    assert name_of(Cached(WordEmbeddings("small"))) == "WordEmbeddings:small"
    unnamed = WordEmbeddings()
    unnamed.model = object()  # type: ignore[assignment]
    assert name_of(unnamed) == "WordEmbeddings"
