"""The async methods of a vector store: the same answers, by the embeddings' own async methods, many at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langchain_core", reason="the extra 'langchain' is not installed")

from langchain_core.documents import Document
from langchain_core.runnables.config import run_in_executor

from vecindex.errors import SpaceMismatch, VecindexError
from vecindex.integrations.langchain import VecindexVectorStore

from .words import AsyncWordEmbeddings, WordEmbeddings, vector

DOCUMENTS = [
    Document(text, id=str(n), metadata={"n": n})
    for n, text in enumerate(["the cat sleeps", "the dog barks", "it rains in Rome", "the sun shines in Rome"])
]


def ran(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 60))


def test_each_search_finds_the_same_as_its_twin(store: VecindexVectorStore) -> None:
    query = "the sun in Rome"

    async def twins() -> None:
        options: dict[str, Any]
        await store.aadd_documents(DOCUMENTS)
        assert await store.aget_by_ids(["2", "nobody"]) == store.get_by_ids(["2"])
        given = {"vector": vector("rain"), "mode": "hybrid"}
        for options in ({}, {"filter": {"n": {"$gt": 1}}}, {"mode": "lexical"}, {"mode": "hybrid", "k": 2}, given):
            found = store.similarity_search(query, **options)
            assert await store.asimilarity_search(query, **options) == found
            scored = store.similarity_search_with_score(query, **options)
            assert await store.asimilarity_search_with_score(query, **options) == scored
            assert await store.as_retriever(search_kwargs=options).ainvoke(query) == found
            diverse = store.max_marginal_relevance_search(query, **options)
            assert await store.amax_marginal_relevance_search(query, **options) == diverse
        relevant = store.similarity_search_with_relevance_scores(query, score_threshold=0.2)
        assert await store.asimilarity_search_with_relevance_scores(query, score_threshold=0.2) == relevant
        by_vector = store.similarity_search_by_vector(vector(query), k=2)
        assert await store.asimilarity_search_by_vector(vector(query), k=2) == by_vector
        diverse = store.max_marginal_relevance_search_by_vector(vector(query), k=2)
        assert await store.amax_marginal_relevance_search_by_vector(vector(query), k=2) == diverse
        assert await store.adelete(["0", "nobody"]) is True
        assert await store.adelete(filter={"n": 1}) is True
        assert store.index.keys() == ["2", "3"]
        assert await store.adelete() is True
        assert store.index.keys() == []

    ran(twins())


def test_stores_are_made_of_texts_or_documents(tmp_path: Path) -> None:
    async def made() -> None:
        embeddings = AsyncWordEmbeddings()
        with await VecindexVectorStore.afrom_documents(DOCUMENTS, embeddings, path=tmp_path / "one") as store:
            assert store.get_by_ids(["0", "3"]) == [DOCUMENTS[0], DOCUMENTS[3]]
        texts = await VecindexVectorStore.afrom_texts(["a"], embeddings, [{"n": 1}], ids=["x"], path=tmp_path / "two")
        with texts as store:
            assert store.get_by_ids(["x"]) == [Document("a", id="x", metadata={"n": 1})]
            with pytest.raises(ValueError, match="there are 2 texts and 1 ids"):
                await store.aadd_texts(["b", "c"], ids=["y"])

    ran(made())


def test_the_embeddings_own_async_methods_are_awaited(tmp_path: Path) -> None:
    embeddings = AsyncWordEmbeddings()

    async def used(store: VecindexVectorStore) -> None:
        await store.aadd_documents(DOCUMENTS[:2])
        assert await store.aadd_texts(["another text"], ids=["x"]) == ["x"]
        await store.asimilarity_search("cat", mode="hybrid")
        await store.amax_marginal_relevance_search("cat")
        await store.asimilarity_search("cat", mode="lexical")

    with VecindexVectorStore(tmp_path / "index", embeddings) as store:
        store.index.encoder  # noqa: B018  # finds the dimension
        embeddings.calls.clear()
        ran(used(store))
    assert embeddings.calls == ["async documents"] * 2 + ["async query"] * 2


class ThreadedEmbeddings(WordEmbeddings):
    """Has async methods that need a thread of the event loop's own."""

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        found: list[list[float]] = await run_in_executor(None, self.embed_documents, texts)
        return found

    async def aembed_query(self, text: str) -> list[float]:
        found: list[float] = await run_in_executor(None, self.embed_query, text)
        return found


@pytest.mark.parametrize("embeddings", [WordEmbeddings(), AsyncWordEmbeddings(), ThreadedEmbeddings()], ids=type)
def test_many_calls_at_once_do_not_wait_for_each_other_forever(tmp_path: Path, embeddings: WordEmbeddings) -> None:
    async def many(store: VecindexVectorStore) -> None:
        adds = [store.aadd_texts([f"text {n}"], ids=[str(n)]) for n in range(40)]
        searches = [store.asimilarity_search(f"text {n}") for n in range(40)]
        await asyncio.gather(*(call for pair in zip(adds, searches, strict=True) for call in pair))
        found = await asyncio.gather(*(store.asimilarity_search(f"text {n}", k=1) for n in range(40)))
        assert [documents[0].id for documents in found] == [str(n) for n in range(40)]

    with VecindexVectorStore(tmp_path / "index", embeddings) as store:
        ran(many(store))


def test_the_event_loop_goes_on_while_texts_are_added_and_searched(tmp_path: Path) -> None:
    class Slow(WordEmbeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            for _ in range(20_000):  # ends early if the loop turns meanwhile
                if self.turns:
                    break
                time.sleep(0.001)
            assert self.turns
            return super().embed_documents(texts)

        turns = 0

    embeddings = Slow()

    async def turn() -> None:
        await asyncio.sleep(0)
        embeddings.turns += 1

    async def beside(store: VecindexVectorStore) -> None:
        await asyncio.gather(store.aadd_texts(["one"]), turn())

    with VecindexVectorStore(tmp_path / "index", embeddings) as store:
        ran(beside(store))
        assert len(store.index) == 1


class Held(AsyncWordEmbeddings):
    """Embeds nothing until ``most`` calls wait for it at the same time."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.waiting, self.most = 0, most
        self.released = asyncio.Event()

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        self.waiting += 1
        if self.waiting == self.most:
            self.released.set()
        await self.released.wait()
        return await super().aembed_documents(texts)


def test_several_adds_wait_for_their_embeddings_together(tmp_path: Path) -> None:
    async def beside() -> None:
        with VecindexVectorStore(tmp_path / "index", Held(3)) as store:
            await asyncio.gather(*(store.aadd_texts([f"text {n}"], ids=[str(n)]) for n in range(3)))
            assert sorted(store.index.keys()) == ["0", "1", "2"]

    ran(beside())


def test_a_store_may_be_closed_while_texts_are_added(tmp_path: Path) -> None:
    async def closed() -> None:
        embeddings = Held(2)
        store = VecindexVectorStore(tmp_path / "index", embeddings)
        adding = asyncio.ensure_future(store.aadd_texts(["one"]))
        while not embeddings.waiting:
            await asyncio.sleep(0.001)
        store.close()
        embeddings.released.set()
        with pytest.raises(VecindexError):
            await adding

    ran(closed())


def test_errors_reach_the_caller(tmp_path: Path) -> None:
    class Refusing(AsyncWordEmbeddings):
        async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
            raise ConnectionError("the service is down")

    async def used() -> None:
        with VecindexVectorStore(tmp_path / "index", Refusing()) as store:
            with pytest.raises(ConnectionError, match="the service is down"):
                await store.aadd_documents(DOCUMENTS)
            assert len(store.index) == 0
            store.add_documents(DOCUMENTS)
        with VecindexVectorStore(tmp_path / "index", AsyncWordEmbeddings()) as store:
            with pytest.raises(SpaceMismatch, match="Refusing:words"):
                await store.asimilarity_search("cat")
            with pytest.raises(SpaceMismatch, match="Refusing:words"):
                await store.aadd_documents(DOCUMENTS)

    ran(used())
