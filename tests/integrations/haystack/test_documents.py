"""Documents come back as they were written, whatever they hold."""

from __future__ import annotations

import pytest

pytest.importorskip("haystack", reason="Haystack is not installed: pip install 'vecindex[haystack]'")

import threading
from pathlib import Path
from typing import Any

import numpy as np
from haystack.dataclasses import ByteStream, Document, SparseEmbedding
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.errors import FilterError

import vecindex
from vecindex.integrations.haystack import VecindexDocumentStore

from ...support.toy import ToyEncoder

SPACE = "a model of the tests"


def same(one: Document, other: Document) -> bool:
    embeddings = (one.embedding or []), (other.embedding or [])
    rest = [{**each.to_dict(flatten=False), "embedding": each.embedding is None} for each in (one, other)]
    return rest[0] == rest[1] and len(embeddings[0]) == len(embeddings[1]) and np.allclose(*embeddings, rtol=1e-6)


@pytest.mark.parametrize(
    "document",
    [
        Document(content=None),
        Document(content=""),
        Document(content="words", embedding=[3.0, 4.0]),
        Document(content="words", embedding=[0.0, 0.0]),
        Document(content=None, embedding=[1e-30, -2e-30]),
        Document(content="words", embedding=[1e200, 1e200]),
        Document(content="words", embedding=[]),
        Document(content="words", score=0.25),
        Document(content=None, blob=ByteStream(bytes(range(256)), {"page": 1}, "image/png")),
        Document(content="words", sparse_embedding=SparseEmbedding([1, 7], [0.5, 2.0])),
        Document(content="words", meta={"deep": {"list": [1, {"date": "2024-01-01"}, None]}, "": True, 'a "b"': 1.5}),
        Document(content="words", meta={"id": "mine", "content": "mine", "clock": {"a": 1}, "meta": {"meta": 1}}),
    ],
    ids=lambda document: repr(document)[-60:],
)
def test_a_document_comes_back_as_it_was_written(document_store: VecindexDocumentStore, document: Document) -> None:
    assert document_store.write_documents([document]) == 1
    (found,) = document_store.filter_documents()
    assert same(found, document)


@pytest.mark.parametrize(
    "document",
    [
        Document(content="words", meta={"_haystack": 1}),
        Document(content="words", meta={"a": {1, 2}}),
        Document(content="words", meta={"a": float("nan")}),
        Document(content="words", embedding=[1.0, float("inf")]),
        Document(content="words", embedding=["a"]),
    ],
    ids=["reserved name", "set", "NaN", "infinity", "string"],
)
def test_what_cannot_be_kept_is_refused_and_nothing_is_written(
    document_store: VecindexDocumentStore, document: Any
) -> None:
    with pytest.raises(vecindex.InvalidInput):
        document_store.write_documents([Document(content="before"), document])
    assert document_store.count_documents() == 0


def test_an_embedding_of_another_dimension_is_refused(document_store: VecindexDocumentStore) -> None:
    document_store.write_documents([Document(content="a", embedding=[1.0, 2.0])])
    with pytest.raises(vecindex.SpaceMismatch):
        document_store.write_documents([Document(content="b", embedding=[1.0, 2.0, 3.0])])


def test_duplicates_among_the_documents_follow_the_policy(document_store: VecindexDocumentStore) -> None:
    pair = [Document(id="1", content="first"), Document(id="1", content="last")]
    with pytest.raises(DuplicateDocumentError, match="'1'"):
        document_store.write_documents(pair)
    assert document_store.count_documents() == 0
    assert document_store.write_documents(pair, DuplicatePolicy.SKIP) == 1
    assert [document.content for document in document_store.filter_documents()] == ["first"]
    assert document_store.write_documents(pair, DuplicatePolicy.OVERWRITE) == 2
    assert [document.content for document in document_store.filter_documents()] == ["last"]


@pytest.mark.parametrize("embedding", [None, [0.0, 0.0], [5.0, 0.0]], ids=["none", "zeros", "another"])
def test_overwriting_replaces_an_embedding(
    document_store: VecindexDocumentStore, embedding: list[float] | None
) -> None:
    document_store.write_documents([Document(id="1", content="words", embedding=[0.0, 2.0])])
    generation = document_store.index.info().generation
    changed = Document(id="1", content="words", embedding=embedding)
    document_store.write_documents([changed], DuplicatePolicy.OVERWRITE)
    assert document_store.index.info().generation == generation + 1  # a kill leaves the one or the other
    (found,) = document_store.filter_documents()
    assert same(found, changed)
    nearest = document_store.search("dense", query_embedding=[0.0, 1.0])
    assert [document.score for document in nearest] == ([0.0] if embedding == [5.0, 0.0] else [])


def test_overwriting_gives_a_document_its_first_embedding(document_store: VecindexDocumentStore) -> None:
    document_store.write_documents([Document(id="1", content="words")])
    document_store.write_documents([Document(id="1", content="words", embedding=[0.0, 2.0])], DuplicatePolicy.OVERWRITE)
    (found,) = document_store.search("dense", query_embedding=[0.0, 1.0], return_embedding=True)
    assert (found.score, found.embedding) == (1.0, [0.0, 2.0])


def test_a_single_string_is_no_list_of_ids(document_store: VecindexDocumentStore) -> None:
    document_store.write_documents([Document(id="1", content="a"), Document(id="2", content="b")])
    with pytest.raises(vecindex.InvalidInput, match="document_ids is a single str"):
        document_store.delete_documents("12")  # type: ignore[arg-type, unused-ignore]
    assert document_store.count_documents() == 2


def test_an_update_keeps_embeddings_and_dates(document_store: VecindexDocumentStore) -> None:
    document = Document(content="words", meta={"lang": "en"}, embedding=[0.0, 2.0])
    document_store.write_documents([document])
    lang = {"field": "meta.lang", "operator": "==", "value": "en"}
    assert document_store.update_by_filter(lang, {"day": "2024-01-01", "lang": "de"}) == 1
    newer = {"field": "meta.day", "operator": ">", "value": "2023-12-31"}
    (found,) = document_store.filter_documents(newer)
    assert (found.meta, found.embedding) == ({"lang": "de", "day": "2024-01-01"}, [0.0, 2.0])


def test_documents_are_there_when_the_store_is_opened_again(tmp_path: Path) -> None:
    store = VecindexDocumentStore(tmp_path / "index", embedding_space=SPACE)
    store.write_documents([Document(content="words", embedding=[1.0, 0.0])])
    store.close()
    assert VecindexDocumentStore.from_dict(store.to_dict()).count_documents() == 1
    other = VecindexDocumentStore(tmp_path / "index", embedding_space="another model")
    with pytest.raises(vecindex.SpaceMismatch, match=f"^the index holds vectors of {SPACE}, not of another model"):
        other.count_documents()


@pytest.mark.parametrize("wrong", [{"path": 1}, {"embedding_space": 1}, {"embedding_space": " "}], ids=str)
def test_wrong_settings_are_refused_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(vecindex.InvalidInput):
        VecindexDocumentStore(**({"path": "index"} | wrong))


def test_nothing_is_opened_before_the_store_is_used(tmp_path: Path) -> None:
    store = VecindexDocumentStore(tmp_path / "index")
    assert VecindexDocumentStore.from_dict(store.to_dict()).to_dict() == store.to_dict()
    assert not (tmp_path / "index").exists()


def test_records_that_were_not_added_through_haystack_are_documents_too(
    document_store: VecindexDocumentStore,
) -> None:
    index = document_store.index
    records = ["It rains.", "The sun shines."]
    metadata = [{"day": "2024-01-01"}, {"day": "2025-01-01"}]
    index.add(records, keys=["a", "b"], metadata=metadata, vectors=[[1, 0], [0, 1]], space=SPACE)
    assert [document.embedding for document in document_store.filter_documents()] == [[1.0, 0.0], [0.0, 1.0]]
    for condition in (
        {"field": "id", "operator": "==", "value": "b"},
        {"field": "meta.day", "operator": ">", "value": "2024-06-01"},
        {"field": "meta.day", "operator": "==", "value": "2025-01-01T00:00:00"},
        {"field": "content", "operator": "==", "value": "The sun shines."},
        {"field": "embedding", "operator": "==", "value": [0.0, 1.0]},
    ):
        assert [document.id for document in document_store.filter_documents(condition)] == ["b"], condition
    assert document_store.update_by_filter({}, {"seen": True}) == 2
    assert index.get("a").metadata == {"day": "2024-01-01", "seen": True}


@pytest.mark.parametrize(
    "facts",
    [
        *(
            "text",
            ["list"],
            {"empty": "yes"},
            {"length": "long"},
            {"length": -1.0},
            {"zeros": 10**12},
            {"score": "high"},
        ),
        *({"blob": "text"}, {"blob": {"data": 1, "meta": {}, "mime_type": None}}, {"sparse": {"indices": [1]}}),
        *({"sparse": {"indices": [1], "values": []}}, {"id": 1}, {"clock": 1, "utc": [1]}),
    ],
    ids=str,
)
def test_facts_that_a_stranger_wrote_do_no_harm(document_store: VecindexDocumentStore, facts: Any) -> None:
    metadata = [{"_haystack": facts, "a": 1}]
    document_store.index.add(["words"], keys=["x"], metadata=metadata, vectors=[[1, 0]], space=SPACE)
    for condition in (None, {"field": "meta.a", "operator": "==", "value": 1}):
        (found,) = document_store.filter_documents(condition)
        assert (found.id, found.content, found.meta) == ("x", "words", {"a": 1})
    assert len(document_store.search("dense", query_embedding=[1.0, 0.0])) == 1
    assert document_store.update_by_filter({}, {"a": 2}) == 1


def test_a_blob_that_a_stranger_wrote_is_named(document_store: VecindexDocumentStore) -> None:
    blob: dict[str, Any] = {"data": "&&&", "meta": {}, "mime_type": None}
    document_store.index.add(["words"], keys=["x"], metadata=[{"_haystack": {"blob": blob}}], encode=False)
    with pytest.raises(vecindex.InvalidInput, match="blob of the document 'x'"):
        document_store.filter_documents()


def test_an_index_with_a_model_of_its_own_is_searched_and_takes_no_other_embeddings(tmp_path: Path) -> None:
    with vecindex.open(tmp_path / "index", model=ToyEncoder()) as index:
        index.add(["one two", "three"])
        query = index.encoder.encode(["one two"], role="query")[0].tolist()
    store = VecindexDocumentStore(tmp_path / "index", embedding_space="toy")
    assert [document.content for document in store.search("hybrid", query="one", query_embedding=query, top_k=1)] == [
        "one two"
    ]
    assert store.write_documents([Document(content="four")]) == 1
    with pytest.raises(vecindex.SpaceMismatch):
        store.write_documents([Document(content="five", embedding=query)])
    store.close()


def test_the_commands_filters_see_the_meta(document_store: VecindexDocumentStore) -> None:
    document_store.write_documents([Document(content="a", meta={"lang": "en"}), Document(content="b")])
    assert [record.text for record in document_store.index.list("lang = 'en'")] == ["a"]


def test_filters_with_more_conditions_than_a_statement_takes_are_answered(
    document_store: VecindexDocumentStore,
) -> None:
    document_store.write_documents([Document(content="a", meta={"day": "2024-01-01"}), Document(content="b")])
    days = [f"{year:04}-01-01" for year in range(1, 9_999)]
    found = document_store.filter_documents({"field": "meta.day", "operator": "in", "value": days})
    assert [document.content for document in found] == ["a"]
    deep: dict[str, Any] = {"field": "meta.day", "operator": "==", "value": None}
    for _ in range(24):
        deep = {"operator": "NOT", "conditions": [{"operator": "OR", "conditions": [deep]}]}
    assert len(document_store.filter_documents(deep)) == 1
    for _ in range(10):
        deep = {"operator": "AND", "conditions": [deep]}
    with pytest.raises(FilterError, match="nested"):
        document_store.filter_documents(deep)


def test_threads_that_write_the_same_document_write_it_once(document_store: VecindexDocumentStore) -> None:
    written: list[int] = []

    def write() -> None:
        written.append(document_store.write_documents([Document(id="1", content="words")], DuplicatePolicy.SKIP))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(written) == [0, 0, 0, 1]
