"""Documents in a vector store: added, updated, found by id and deleted."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langchain_core", reason="the extra 'langchain' is not installed")

from langchain_core.documents import Document

import vecindex
from vecindex.errors import IndexNotFound, InvalidInput, SpaceMismatch, StorageError, VecindexError
from vecindex.integrations.langchain import VecindexVectorStore

from ...support.commands import run
from .words import WordEmbeddings

CAT, DOG, RAIN = (
    Document("the cat sleeps", id="cat", metadata={"kind": "animal", "year": 2020}),
    Document("the dog barks", id="dog", metadata={"kind": "animal", "year": 2024}),
    Document("it rains in Rome", id="rain", metadata={"kind": "weather", "year": 2024}),
)


def test_metadata_may_be_anything_that_json_holds(store: VecindexVectorStore) -> None:
    metadata: dict[str, Any] = {
        "a": None,
        "b": True,
        "c": 1,
        "d": 2.5,
        "e": "ü",
        "f": [1, [2]],
        "g": {"h": {"i": []}},
        "": 0,
    }
    (key,) = store.add_documents([Document("text", metadata=metadata)])
    (found,) = store.get_by_ids([key])
    assert found == Document("text", id=key, metadata=metadata)
    assert json.dumps(found.metadata) == json.dumps(metadata)
    assert store.similarity_search("text", k=1) == [found]


def test_what_json_does_not_hold_is_refused_and_nothing_is_stored(store: VecindexVectorStore) -> None:
    with pytest.raises(InvalidInput, match="item 1: "):
        store.add_documents([CAT, Document("text", metadata={"a": {1, 2}})])
    assert len(store.index) == 0


def test_ids_that_are_given_come_before_those_of_the_documents(store: VecindexVectorStore) -> None:
    assert store.add_documents([CAT, DOG]) == ["cat", "dog"]
    assert store.add_documents([CAT, DOG], ids=["1", "2"]) == ["1", "2"]
    assert store.index.keys() == ["cat", "dog", "1", "2"]


def test_documents_without_an_id_get_one_each(store: VecindexVectorStore) -> None:
    same = [Document("text"), Document("text"), Document("text", id="own")]
    ids = store.add_documents(same)
    assert ids[2] == "own"
    assert len(set(ids)) == len(store.index) == 3
    assert len(store.add_texts(["text", "text"], ids=["given", None])) == 2
    assert len(store.index) == 5


def test_a_stored_id_is_updated_as_a_whole(store: VecindexVectorStore) -> None:
    store.add_documents([CAT, DOG])
    store.add_documents([Document("the cat purrs", id="cat")])
    assert store.get_by_ids(["cat"]) == [Document("the cat purrs", id="cat")]
    store.add_documents([Document("the dog barks", id="dog", metadata={"kind": "pet"})])
    assert store.get_by_ids(["dog"])[0].metadata == {"kind": "pet"}
    assert len(store.index) == 2


def test_of_several_documents_with_one_id_the_last_is_stored(store: VecindexVectorStore) -> None:
    assert store.add_documents([CAT, Document("later", id="cat")]) == ["cat", "cat"]
    assert [found.page_content for found in store.get_by_ids(["cat"])] == ["later"]


def test_a_stored_text_is_not_embedded_again(tmp_path: Path) -> None:
    embeddings = WordEmbeddings()
    with VecindexVectorStore(tmp_path / "index", embeddings) as store:
        store.add_documents([CAT, DOG])
        before = list(embeddings.calls)
        store.add_documents([CAT, DOG])
        store.add_texts([CAT.page_content], ids=["other"])
    assert embeddings.calls == before


def test_columns_of_different_lengths_are_value_errors(store: VecindexVectorStore) -> None:
    with pytest.raises(ValueError, match="there are 2 documents and 1 ids"):
        store.add_documents([CAT, DOG], ids=["1"])
    with pytest.raises(ValueError, match="there are 2 texts and 1 ids"):
        store.add_texts(["a", "b"], ids=["1"])
    with pytest.raises(ValueError, match="there are 2 texts and 1 metadatas"):
        store.add_texts(["a", "b"], [{}])
    assert store.add_documents([]) == []
    assert len(store.index) == 0


def test_get_by_ids_keeps_the_order_and_passes_over_what_is_not_there(store: VecindexVectorStore) -> None:
    store.add_documents([CAT, DOG, RAIN])
    assert store.get_by_ids(["rain", "nobody", "cat", "rain"]) == [RAIN, CAT, RAIN]


def test_delete_by_ids_by_filter_and_all(store: VecindexVectorStore) -> None:
    store.add_documents([CAT, DOG, RAIN])
    assert store.delete(["cat", "nobody", "cat"]) is True
    assert store.index.keys() == ["dog", "rain"]
    assert store.delete([]) is True
    assert store.delete(filter={"kind": "weather"}) is True
    assert store.index.keys() == ["dog"]
    with pytest.raises(InvalidInput, match="both ids and a filter"):
        store.delete(["dog"], filter="true")
    with pytest.raises(TypeError, match="where"):
        store.delete(where="false")  # type: ignore[call-arg]
    assert store.delete() is True
    assert store.index.keys() == []


def test_a_single_string_is_no_list_of_ids_or_texts(store: VecindexVectorStore) -> None:
    store.add_texts(["one", "two"], ids=["1", "2"])
    for call in (store.delete, store.get_by_ids):
        with pytest.raises(InvalidInput, match=r"ids is a single str, not a sequence. Pass a list: \[id\]"):
            call("12")
    with pytest.raises(InvalidInput, match="ids is a single str"):
        store.add_texts(["three", "four"], ids="12")
    with pytest.raises(InvalidInput, match="texts is a single str"):
        store.add_texts("three")
    assert store.index.keys() == ["1", "2"]


def test_a_store_is_made_of_texts_or_documents_at_once(tmp_path: Path) -> None:
    embeddings = WordEmbeddings()
    with VecindexVectorStore.from_documents([CAT, DOG, RAIN], embeddings, path=tmp_path / "documents") as store:
        assert store.get_by_ids(["cat"]) == [CAT]
        assert store.embeddings is embeddings
    texts = VecindexVectorStore.from_texts(
        ["a", "b"], embeddings, [{"n": 1}, {"n": 2}], ids=["1", "2"], path=tmp_path / "t"
    )
    with texts as store:
        assert store.similarity_search("b", k=1) == [Document("b", id="2", metadata={"n": 2})]


def test_several_stores_on_one_index_see_each_other(tmp_path: Path) -> None:
    with (
        VecindexVectorStore(tmp_path / "index", WordEmbeddings()) as one,
        VecindexVectorStore(tmp_path / "index", WordEmbeddings()) as two,
        VecindexVectorStore(tmp_path / "index", WordEmbeddings(), readonly=True) as reader,
    ):
        one.add_documents([CAT])
        two.add_documents([DOG])
        for store in (one, two, reader):
            assert store.get_by_ids(["cat", "dog"]) == [CAT, DOG]
        two.delete(["cat"])
        assert one.similarity_search("the cat sleeps") == [DOG]
        with pytest.raises(VecindexError):
            reader.add_documents([CAT])


def test_embeddings_of_another_name_are_refused(tmp_path: Path) -> None:
    with VecindexVectorStore(tmp_path / "index", WordEmbeddings()) as store:
        store.add_documents([CAT])
        assert store.index.info().model == "WordEmbeddings:words"
    with VecindexVectorStore(tmp_path / "index", WordEmbeddings("others")) as store:
        with pytest.raises(SpaceMismatch, match=r"WordEmbeddings:words .*WordEmbeddings:others"):
            store.similarity_search("cat")
        with pytest.raises(SpaceMismatch):
            store.add_documents([DOG])
        with pytest.raises(SpaceMismatch):
            store.max_marginal_relevance_search("cat")
    with VecindexVectorStore(tmp_path / "index", WordEmbeddings("others"), name="WordEmbeddings:words") as store:
        assert store.similarity_search("the cat sleeps") == [CAT]
    with pytest.raises(InvalidInput, match="name= goes with"):
        VecindexVectorStore(tmp_path / "index", name="mine")


def test_a_pickled_store_opens_the_same_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with VecindexVectorStore("index", WordEmbeddings()) as store:
        store.add_documents([CAT])
        content = pickle.dumps(store)
        monkeypatch.chdir("/")
        with pickle.loads(content) as again:
            assert again.similarity_search("the cat sleeps") == [CAT]
            assert repr(again) == f"<VecindexVectorStore {str(tmp_path / 'index')!r}>"


def test_a_closed_store_cannot_be_used(tmp_path: Path) -> None:
    store = VecindexVectorStore(tmp_path / "index", WordEmbeddings())
    store.close()
    store.close()
    with pytest.raises(VecindexError):
        store.similarity_search("cat")


def test_a_readonly_store_needs_an_index(tmp_path: Path) -> None:
    with pytest.raises((IndexNotFound, StorageError)):
        VecindexVectorStore(tmp_path / "nowhere", readonly=True)


def test_an_index_of_the_command_line_is_a_store_with_its_own_model(here: Path, minilm: Path) -> None:
    Path("notes.txt").write_text("My name is Aun\nIt rains all week\nMilk comes last\n")
    assert run("add", "notes.txt", "--metadata", '{"topic": "notes"}')[0] == 0
    assert run("add", "--text", "Tea is hot", "--metadata", '{"topic": "tea"}')[0] == 0
    with VecindexVectorStore(".vecindex") as store:
        assert store.embeddings is None
        (found,) = store.similarity_search("what am I called?", k=1)
        assert found.page_content == "My name is Aun"
        assert found.metadata == {"source": "notes.txt", "line": 1, "span": [0, 14], "topic": "notes"}
        assert store.get_by_ids([str(found.id)]) == [found]
        (tea,) = store.similarity_search("a warm drink", k=1, filter="topic = 'tea'")
        assert tea.page_content == "Tea is hot"
        store.add_texts(["The bus is late"], [{"topic": "travel"}], ids=["bus"])
    assert run("get", "bus", "--format", "json")[1].startswith("{")
    with vecindex.open(".vecindex") as index:
        assert index.search("public transport", k=1)[0].key == "bus"
