"""The whole life of a VectorStoreIndex over a directory of vecindex, with a real model."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("llama_index.core", reason="llama-index-core is not installed: pip install 'vecindex[llama-index]'")

from llama_index.core import Document, MockEmbedding, StorageContext, VectorStoreIndex, load_index_from_storage
from llama_index.core.indices.vector_store.retrievers import VectorIndexRetriever
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.llms import MockLLM
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import IndexNode, MetadataMode, TextNode
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters

import vecindex
from vecindex.encoders.run.encoder import Encoder
from vecindex.integrations.llama_index import VecindexEmbedding, VecindexVectorStore

from ...support.commands import run

TEA = "Warm the pot first. Milk comes last."
RAIN = "It rains all week. Take an umbrella."
NAME = "My name is Aun"
GERMAN = MetadataFilters(filters=[MetadataFilter(key="lang", value="de")])


@pytest.fixture(scope="module")
def embed_model(encoder: Encoder) -> VecindexEmbedding:
    return VecindexEmbedding(encoder)


@pytest.fixture
def store(tmp_path: Path, embed_model: VecindexEmbedding) -> Iterator[VecindexVectorStore]:
    opened = VecindexVectorStore(tmp_path / "notes.vecindex", space=embed_model.space)
    yield opened
    opened.client.close()


def documents() -> list[Document]:
    """Three documents; their metadata is not embedded, so that a vector is that of the text."""
    every = {"tea": (TEA, "en"), "rain": (RAIN, "de"), "name": (NAME, "en")}
    return [
        Document(text=text, id_=name, metadata={"lang": lang}, excluded_embed_metadata_keys=["lang"])
        for name, (text, lang) in every.items()
    ]


@pytest.fixture
def index(store: VecindexVectorStore, embed_model: VecindexEmbedding) -> VectorStoreIndex:
    return VectorStoreIndex.from_documents(
        documents(),
        storage_context=StorageContext.from_defaults(vector_store=store),
        embed_model=embed_model,
        transformations=[SentenceSplitter()],
    )


def of(index: VectorStoreIndex) -> set[str | None]:
    """The documents whose nodes an index holds."""
    return {node.ref_doc_id for node in index.vector_store.get_nodes()}


def test_documents_are_found_by_meaning(index: VectorStoreIndex) -> None:
    (found,) = index.as_retriever(similarity_top_k=1).retrieve("my name")
    assert found.node.get_content() == NAME
    assert found.score == pytest.approx(0.5415, abs=1e-4)
    assert found.node.metadata == {"lang": "en"}
    assert found.node.ref_doc_id == "name"


def test_filters_and_modes_of_a_retriever(index: VectorStoreIndex) -> None:
    for mode in ("default", "hybrid", "mmr", "semantic_hybrid"):
        found = index.as_retriever(filters=GERMAN, vector_store_query_mode=mode).retrieve("milk for my umbrella")
        assert [each.node.ref_doc_id for each in found] == ["rain"]
    found = index.as_retriever(vector_store_query_mode="text_search").retrieve("umbrella")
    assert [each.node.ref_doc_id for each in found] == ["rain"]
    found = index.as_retriever(vector_store_query_mode="hybrid", alpha=0.0, hybrid_top_k=1).retrieve("umbrella")
    assert [each.node.ref_doc_id for each in found] == ["rain"]
    found = index.as_retriever(doc_ids=["tea"]).retrieve("my name")
    assert [each.node.ref_doc_id for each in found] == ["tea"]


def test_a_query_engine_reads_what_was_found(index: VectorStoreIndex) -> None:
    engine = index.as_query_engine(llm=MockLLM(), similarity_top_k=1)
    answer = engine.query("my name")
    assert NAME in str(answer)  # it says what it was asked
    assert [each.node.ref_doc_id for each in answer.source_nodes] == ["name"]
    assert NAME in str(asyncio.run(engine.aquery("my name")))


def test_documents_are_deleted_refreshed_updated_and_inserted(index: VectorStoreIndex) -> None:
    index.delete_ref_doc("tea", delete_from_docstore=True)
    assert of(index) == {"rain", "name"}
    changed = [*documents()[1:2], Document(text="My name is Bo.", id_="name"), Document(text="It snows.", id_="snow")]
    assert index.refresh_ref_docs(changed) == [False, True, True]
    texts = {node.get_content() for node in index.vector_store.get_nodes()}
    assert texts == {RAIN, "My name is Bo.", "It snows."}
    index.update_ref_doc(Document(text="It snows today.", id_="snow"))
    index.insert(Document(text="It hails.", id_="hail"))
    index.insert_nodes([TextNode(text="Fog.", id_="fog")])
    texts = {node.get_content() for node in index.vector_store.get_nodes()}
    assert texts == {RAIN, "My name is Bo.", "It snows today.", "It hails.", "Fog."}
    index.delete_nodes(["fog", "unknown"])
    assert of(index) == {"rain", "name", "snow", "hail"}


def test_async_twins(index: VectorStoreIndex, store: VecindexVectorStore) -> None:
    async def live() -> None:
        found = await index.as_retriever(similarity_top_k=1).aretrieve("my name")
        assert [each.node.ref_doc_id for each in found] == ["name"]
        await index.ainsert_nodes([TextNode(text="Fog.", id_="fog")])
        assert [node.get_content() for node in await store.aget_nodes(["fog"])] == ["Fog."]
        await index.adelete_nodes(["fog"])
        await index.adelete_ref_doc("tea")
        assert of(index) == {"rain", "name"}
        assert await index.arefresh_ref_docs(documents()[1:]) == [False, False]
        await store.aclear()
        assert await store.aget_nodes() == []

    asyncio.run(live())


def test_an_index_comes_back_from_its_storage(
    index: VectorStoreIndex, store: VecindexVectorStore, embed_model: VecindexEmbedding, tmp_path: Path
) -> None:
    for _ in range(2):  # what is there already is no obstacle
        index.storage_context.persist(tmp_path / "storage")
    store.client.close()
    again = VecindexVectorStore(store.path, space=embed_model.space)
    context = StorageContext.from_defaults(vector_store=again, persist_dir=str(tmp_path / "storage"))
    loaded = load_index_from_storage(context, embed_model=embed_model)
    assert isinstance(loaded, VectorStoreIndex)
    (found,) = loaded.as_retriever(similarity_top_k=1).retrieve("my name")
    assert found.node.ref_doc_id == "name"
    assert loaded.refresh_ref_docs(documents()) == [False, False, False]
    again.client.close()


def test_what_the_command_added_is_found_by_llama_index(
    here: Path, encoder: Encoder, embed_model: VecindexEmbedding
) -> None:
    (here / "notes.txt").write_text(f"{NAME}\n{TEA}\n")
    run("add", "notes.txt", "--metadata", '{"lang": "en"}', "--split", "sentence", "--index", "cli.vecindex")
    store = VecindexVectorStore("cli.vecindex", space=embed_model.space)
    index = VectorStoreIndex.from_vector_store(store, embed_model=embed_model)
    english = MetadataFilters(filters=[MetadataFilter(key="lang", value="en")])
    (found,) = index.as_retriever(similarity_top_k=1, filters=english, vector_store_query_mode="hybrid").retrieve(
        "milk comes"
    )
    assert found.node.get_content() == "Milk comes last."
    assert found.node.metadata == {"source": "notes.txt", "line": 2, "lang": "en"}
    (node,) = store.get_nodes([found.node.node_id])
    assert node.metadata == found.node.metadata
    assert isinstance(node, TextNode)
    start, end = node.start_char_idx, node.end_char_idx
    assert (here / "notes.txt").read_text()[start:end] == "Milk comes last."
    store.delete_nodes(filters=english)
    assert len(store.client) == 0
    store.client.close()


def test_the_command_finds_what_llama_index_added(index: VectorStoreIndex, store: VecindexVectorStore) -> None:
    _, printed, _ = run(
        "search", "my name", "-k", "1", "--where", "lang = 'en'", "--format", "json", "--index", store.path
    )
    (hit,) = json.loads(printed)
    assert (hit["text"], round(hit["score"], 4), hit["metadata"]["lang"]) == (NAME, 0.5415, "en")


def test_index_nodes_are_found_beside_others(index: VectorStoreIndex) -> None:
    """LlamaIndex keeps these itself, and its own retriever then asks for them alone."""
    index.insert_nodes([IndexNode(text="All about the weather.", index_id="weather", id_="pointer")])
    asked = "an umbrella for the weather"
    assert {each.node.node_id for each in index.as_retriever(similarity_top_k=2).retrieve(asked)} == {"pointer"}
    found = VectorIndexRetriever(index, similarity_top_k=2).retrieve(asked)
    assert {each.node.get_content() for each in found} == {RAIN, "All about the weather."}
    assert {type(each.node) for each in found} == {TextNode, IndexNode}


def test_an_ingestion_pipeline_brings_the_store_up_to_date(
    store: VecindexVectorStore, embed_model: VecindexEmbedding
) -> None:
    pipeline = IngestionPipeline(
        transformations=[SentenceSplitter(), embed_model], docstore=SimpleDocumentStore(), vector_store=store
    )
    pipeline.run(documents=documents())
    changed = [*documents()[:2], Document(text="My name is Bo", id_="name")]
    assert len(pipeline.run(documents=changed)) == 1
    assert {node.get_content() for node in store.get_nodes()} == {TEA, RAIN, "My name is Bo"}
    assert len(asyncio.run(pipeline.arun(documents=[Document(text="It hails.", id_="hail")]))) == 1
    assert len(store.client) == 4


def test_a_foreign_embedding_has_a_space_of_its_own(tmp_path: Path, embed_model: VecindexEmbedding) -> None:
    foreign = MockEmbedding(embed_dim=6)
    store = VecindexVectorStore(tmp_path / "foreign", space="mock")
    context = StorageContext.from_defaults(vector_store=store)
    index = VectorStoreIndex.from_documents(documents(), storage_context=context, embed_model=foreign)
    found = index.as_retriever(vector_store_query_mode="hybrid", similarity_top_k=1).retrieve("umbrella")
    assert [each.node.ref_doc_id for each in found] == ["rain"]
    store.client.close()
    for wrong in ("other", embed_model.space):
        with pytest.raises(vecindex.SpaceMismatch, match="mock"):
            VecindexVectorStore(tmp_path / "foreign", space=wrong)
    VecindexVectorStore(tmp_path / "foreign", space="mock").client.close()


def test_an_embedding_is_the_models_own(embed_model: VecindexEmbedding, encoder: Encoder) -> None:
    texts = [NAME, TEA, "word " * 600]
    wanted = encoder.encode_all(texts, on_long="mean").vectors
    assert np.abs(embed_model.get_text_embedding_batch(texts) - wanted).max() < 1e-6
    assert np.abs(embed_model.get_query_embedding(NAME) - encoder.encode([NAME], role="query")[0]).max() < 1e-6
    assert np.abs(embed_model.get_text_embedding(NAME) - wanted[0]).max() < 1e-6
    node = embed_model([TextNode(text=NAME, metadata={"lang": "en"})])[0]
    with_metadata = encoder.encode([node.get_content(metadata_mode=MetadataMode.EMBED)])[0]
    assert np.abs(node.embedding - with_metadata).max() < 1e-6

    async def live() -> None:
        assert await embed_model.aget_query_embedding(NAME) == embed_model.get_query_embedding(NAME)
        assert await embed_model.aget_text_embedding(NAME) == embed_model.get_text_embedding(NAME)
        many = await embed_model.aget_text_embedding_batch([NAME, TEA])
        assert many == embed_model.get_text_embedding_batch([NAME, TEA])

    asyncio.run(live())


def test_what_an_embedding_does_with_a_long_text_is_chosen(encoder: Encoder) -> None:
    long = "word " * 600
    beginning = VecindexEmbedding(encoder, on_long="truncate").get_text_embedding(long)
    assert np.abs(beginning - encoder.encode([long])[0]).max() < 1e-6
    with pytest.raises(vecindex.InvalidInput, match="reads 256"):
        VecindexEmbedding(encoder, on_long="error").get_text_embedding(long)


def test_stores_and_embeddings_come_back_from_their_dicts(
    store: VecindexVectorStore, embed_model: VecindexEmbedding
) -> None:
    again = VecindexVectorStore.from_json(store.to_json())
    assert (again.path, again.space, len(again.client)) == (store.path, embed_model.space, 0)
    again.client.close()
    short = VecindexEmbedding(embed_model.model_name, on_long="truncate")
    for copied in (VecindexEmbedding.from_json(short.to_json()), pickle.loads(pickle.dumps(short))):
        assert copied.get_query_embedding(NAME) == short.get_query_embedding(NAME)
        assert (copied.space, copied.on_long, copied.embed_batch_size) == (short.space, "truncate", 2_048)
    # It is the model's space that is read back, and not only its name.
    fields = short.to_dict()
    fields["space"] = {**fields["space"], "weights": "0" * 64}
    with pytest.raises(vecindex.VecindexError):
        VecindexEmbedding.from_dict(fields)
    assert VecindexEmbedding(model_name=embed_model.model_name).space == embed_model.space
