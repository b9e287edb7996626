"""What a VecindexVectorStore keeps of nodes, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("llama_index.core", reason="llama-index-core is not installed: pip install 'vecindex[llama-index]'")

from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageNode,
    IndexNode,
    MediaResource,
    MetadataMode,
    Node,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters, VectorStoreQuery
from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict

import vecindex
from vecindex.integrations.llama_index import VecindexVectorStore

from ...support.extent import examples
from .reference import DIMENSION, metadata, node

VECTOR = [1.0] * DIMENSION


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VecindexVectorStore]:
    opened = VecindexVectorStore(tmp_path_factory.mktemp("llama") / "index", space="random")
    yield opened
    opened.client.close()


def kept(store: VecindexVectorStore, given: BaseNode) -> BaseNode:
    """The node as it comes back from a query, and from `get_nodes`, which are the same."""
    store.clear()
    store.add([given])
    found = store.query(VectorStoreQuery(VECTOR, 1)).nodes
    assert found is not None
    assert store.get_nodes() == store.get_nodes([given.node_id]) == [*found]
    return found[0]


RELATIONS = {
    NodeRelationship.SOURCE: RelatedNodeInfo(node_id="document", metadata={"page": 3}, hash="h"),
    NodeRelationship.NEXT: RelatedNodeInfo(node_id="next", node_type="1"),
    NodeRelationship.CHILD: [RelatedNodeInfo(node_id="a"), RelatedNodeInfo(node_id="b")],
}


@pytest.mark.parametrize(
    "given",
    [
        TextNode(text="one", relationships=RELATIONS, start_char_idx=3, end_char_idx=6, mimetype="text/html"),
        TextNode(text="", metadata={"a": 1}, excluded_llm_metadata_keys=["a"], metadata_template="{key}={value}"),
        IndexNode(text="one", index_id="other", relationships=RELATIONS),
        IndexNode(text="one", index_id="other", obj=TextNode(text="two", id_="two")),
        ImageNode(text="one", image_url="https://example.org/a.png", image="aGk="),
        Node(text_resource=MediaResource(text="one", url="https://example.org/"), metadata={"a": ["b"]}),
        Node(image_resource=MediaResource(path=Path("a.png"))),
        Document(text="one", metadata={"a": {"b": None}}),
        Document(text=""),
    ],
    ids=lambda given: given.class_name(),
)
def test_a_node_comes_back_whole(given: BaseNode, store: VecindexVectorStore) -> None:
    given.embedding = VECTOR
    found = kept(store, given)
    assert type(found) is type(given)
    assert found.hash == given.hash
    for mode in MetadataMode:
        assert found.get_content(metadata_mode=mode) == given.get_content(metadata_mode=mode)
    assert found.model_dump(mode="json") == {**given.model_dump(mode="json"), "embedding": None}


def test_nodes_come_back_as_from_the_stores_of_llama_index(store: VecindexVectorStore) -> None:
    @examples(150)
    @given(about=metadata, text=st.text(st.characters(exclude_categories=["Cs"])), document=st.none() | st.just("d"))
    def compare(about: dict[str, object], text: str, document: str | None) -> None:
        given = node(0, about, text, document)
        given.text = text
        expected = metadata_dict_to_node(node_to_metadata_dict(given, remove_text=True), text)
        assert kept(store, given) == expected

    compare()


def test_a_class_of_ones_own_comes_back_as_a_text_node(store: VecindexVectorStore) -> None:
    class Mine(TextNode):
        @classmethod
        def class_name(cls) -> str:
            return "Mine"

    assert type(kept(store, Mine(text="one", embedding=VECTOR))) is TextNode


def test_metadata_is_kept_as_llama_index_writes_it_as_json(store: VecindexVectorStore) -> None:
    about = {"when": datetime(2024, 1, 31), "pair": (1, 2), "unknown": float("nan")}
    found = kept(store, TextNode(text="one", metadata=about, embedding=VECTOR))
    assert found.metadata == {"when": "2024-01-31T00:00:00", "pair": [1, 2], "unknown": None}


def test_a_node_with_a_stored_id_replaces_that_node(store: VecindexVectorStore) -> None:
    store.clear()
    first = TextNode(id_="one", text="first", metadata={"a": 1}, embedding=VECTOR)
    last = TextNode(id_="one", text="last", embedding=[*VECTOR[1:], -1.0])
    assert store.add([first]) == ["one"]
    assert store.add([first, last]) == ["one", "one"]
    (found,) = store.get_nodes()
    assert (found.get_content(), found.metadata) == ("last", {})
    assert store.query(VectorStoreQuery(last.embedding, 1)).similarities == pytest.approx([1])
    assert store.add([]) == []


def test_nodes_are_deleted_by_document_id_and_filter(store: VecindexVectorStore) -> None:
    def left() -> list[str]:
        return [each.node_id for each in store.get_nodes()]

    store.clear()
    store.add([node(n, {"n": n, "tag": "A" if n % 2 else ""}, document=f"d{n % 2}") for n in range(8)])
    assert store.client.info().indexed_fields == ("_llama_index.ref_doc_id",)
    store.delete("d1")
    assert left() == ["node-0", "node-2", "node-4", "node-6"]
    store.delete("unknown")
    store.delete_nodes(["node-0", "unknown", "node-0"])
    assert left() == ["node-2", "node-4", "node-6"]
    few = MetadataFilters(filters=[MetadataFilter(key="n", value=4, operator="<=")])
    store.delete_nodes(["node-4", "node-6"], few)
    assert left() == ["node-2", "node-6"]
    store.delete_nodes([])
    with pytest.raises(vecindex.InvalidInput, match="node_ids is a single str"):
        store.delete_nodes("node-2")  # type: ignore[arg-type]
    store.delete_nodes(filters=few)
    assert left() == ["node-6"]
    empty = MetadataFilters(filters=[MetadataFilter(key="tag", value=None, operator="is_empty")])
    store.delete_nodes(filters=empty)
    assert left() == []


def test_a_deletion_without_a_condition_is_refused(store: VecindexVectorStore) -> None:
    store.add([node(0, {})])
    for filters in (None, MetadataFilters(filters=[]), MetadataFilters(filters=[MetadataFilters(filters=[])])):
        with pytest.raises(vecindex.InvalidInput, match=r"would delete every node. To delete every node, call clear"):
            store.delete_nodes(filters=filters)
    assert len(store.client) == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (TextNode(id_="x", text="one"), "the node 'x' has no embedding"),
        (TextNode(id_="x", text="one", embedding=VECTOR, metadata={"_llama_index": 1}), "Rename it"),
        (TextNode(text="one", embedding=VECTOR, metadata={"a": 2**63}), "at most 64 bits"),
        (TextNode(text="one", embedding=[0.0] * DIMENSION), "zero"),
        (TextNode(text="\ud800", embedding=VECTOR), "surrogate"),
    ],
)
def test_nodes_that_cannot_be_kept_are_refused_and_none_of_their_call_is_stored(
    given: TextNode, said: str, store: VecindexVectorStore
) -> None:
    store.clear()
    with pytest.raises(vecindex.InvalidInput, match=said):
        store.add([node(0, {}), given])
    assert store.get_nodes() == []


def test_another_dimension_is_refused(store: VecindexVectorStore) -> None:
    store.add([node(0, {})])
    with pytest.raises(vecindex.SpaceMismatch, match="7 dimensions"):
        store.add([TextNode(text="one", embedding=[1.0] * 7)])


def test_a_read_only_store_refuses_changes(store: VecindexVectorStore) -> None:
    store.add([node(0, {})])
    reading = VecindexVectorStore(store.path, readonly=True)
    assert reading.query(VectorStoreQuery(VECTOR, 1)).ids == ["node-0"]
    with pytest.raises(vecindex.InvalidInput, match="read"):
        reading.clear()
    reading.client.close()


def test_without_llama_index_the_error_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['llama_index'] = None\n"
        "try:\n    import vecindex.integrations.llama_index\nexcept Exception as error:\n    print(error)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "Run: pip install 'vecindex[llama-index]'" in ran.stdout
