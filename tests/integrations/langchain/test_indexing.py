"""LangChain's indexing keeps a store in step with documents: it adds, skips, replaces and deletes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langchain_core", reason="the extra 'langchain' is not installed")

from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, aindex, index

from vecindex.integrations.langchain import VecindexVectorStore


def pages(**texts: str) -> list[Document]:
    """A document for each word of a page, which is its source."""
    return [
        Document(word, metadata={"source": name, "place": place})
        for name, text in texts.items()
        for place, word in enumerate(text.split())
    ]


def counts(added: int, updated: int, skipped: int, deleted: int) -> dict[str, int]:
    return {"num_added": added, "num_updated": updated, "num_skipped": skipped, "num_deleted": deleted}


Indexing = Callable[..., dict[str, int]]


@pytest.fixture(params=["sync", "async"])
def indexing(request: pytest.FixtureRequest, store: VecindexVectorStore) -> Indexing:
    """Indexes documents into the store, under a record manager of LangChain."""
    manager = InMemoryRecordManager("vecindex/test")
    manager.create_schema()
    known: dict[str, Any] = {"source_id_key": "source", "key_encoder": "blake2b"}

    def run(documents: list[Document], cleanup: str | None, **options: Any) -> dict[str, int]:
        if request.param == "sync":
            result = index(documents, manager, store, cleanup=cleanup, **known, **options)
        else:
            result = asyncio.run(aindex(documents, manager, store, cleanup=cleanup, **known, **options))
        return dict(result)

    return run


def texts(store: VecindexVectorStore) -> list[str]:
    return sorted(record.text for record in store.index.list())


def test_full_cleanup_leaves_exactly_the_documents_that_were_given(
    indexing: Indexing, store: VecindexVectorStore
) -> None:
    assert indexing(pages(a="one two", b="three"), "full") == counts(3, 0, 0, 0)
    assert indexing(pages(a="one two", b="three"), "full") == counts(0, 0, 3, 0)
    assert indexing(pages(a="one four", b="three"), "full") == counts(1, 0, 2, 1)
    assert texts(store) == ["four", "one", "three"]
    assert indexing(pages(b="three"), "full") == counts(0, 0, 1, 2)
    assert texts(store) == ["three"]
    assert indexing([], "full") == counts(0, 0, 0, 1)
    assert texts(store) == []


def test_incremental_cleanup_replaces_the_documents_of_the_sources_that_were_given(
    indexing: Indexing, store: VecindexVectorStore
) -> None:
    indexing(pages(a="one two", b="three"), "incremental")
    assert indexing(pages(a="one four"), "incremental") == counts(1, 0, 1, 1)
    assert texts(store) == ["four", "one", "three"]
    assert indexing([], "incremental") == counts(0, 0, 0, 0)
    assert texts(store) == ["four", "one", "three"]


def test_without_cleanup_nothing_is_deleted(indexing: Indexing, store: VecindexVectorStore) -> None:
    indexing(pages(a="one two"), None)
    assert indexing(pages(a="one four"), None) == counts(1, 0, 1, 0)
    assert texts(store) == ["four", "one", "two"]


def test_documents_come_in_batches_and_may_be_forced(indexing: Indexing, store: VecindexVectorStore) -> None:
    many = pages(a=" ".join(f"word{n}" for n in range(250)))
    assert indexing(many, "full", batch_size=100) == counts(250, 0, 0, 0)
    assert indexing(many, "full", batch_size=100, force_update=True) == counts(0, 250, 0, 0)
    assert len(store.index) == 250


def test_the_documents_are_found_by_what_they_say(
    indexing: Indexing, store: VecindexVectorStore, tmp_path: Path
) -> None:
    indexing(pages(a="one two", b="three"), "full")
    (found,) = store.similarity_search("three", k=1)
    assert (found.page_content, found.metadata) == ("three", {"source": "b", "place": 0})
