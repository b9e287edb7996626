"""Each mode of a query: those of SimpleVectorStore agree with it, the others with a search of the index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("llama_index.core", reason="llama-index-core is not installed: pip install 'vecindex[llama-index]'")

from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.simple import SimpleVectorStore
from llama_index.core.vector_stores.types import (
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)

import vecindex
from vecindex.encoders.run.encoder import Encoder
from vecindex.integrations.llama_index import VecindexEmbedding, VecindexVectorStore

from ...support.extent import examples
from .agreement import agrees
from .reference import QUERY, embedding, node

Mode = VectorStoreQueryMode
WORDS = ["tea", "pot", "milk", "rain", "cloud", "wind", "door", "key", "lamp", "roof"]
STORED = [
    node(number, {"even": number % 2, "Name": WORDS[number % 7].title()}, " ".join(WORDS[number % 5 : number % 9 + 1]))
    for number in range(40)
]
EVEN = MetadataFilters(filters=[MetadataFilter(key="even", value=0)])
INSENSITIVE = MetadataFilters(
    filters=[MetadataFilter(key="Name", value="ROOF", operator="text_match_insensitive")], condition="not"
)


def both(stored: list[TextNode], path: Path) -> tuple[VecindexVectorStore, SimpleVectorStore]:
    """Two stores with the same nodes."""
    ours, theirs = VecindexVectorStore(path, space="random"), SimpleVectorStore()
    ours.add(stored)
    theirs.add(stored)
    return ours, theirs


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[VecindexVectorStore, SimpleVectorStore]]:
    ours, theirs = both(STORED, tmp_path_factory.mktemp("llama") / "index")
    yield ours, theirs
    ours.client.close()


Stores = tuple[VecindexVectorStore, SimpleVectorStore]
queries = st.builds(
    VectorStoreQuery,
    query_embedding=st.integers(100, 10_000).map(embedding),
    similarity_top_k=st.integers(1, 50),
    filters=st.sampled_from([None, EVEN, INSENSITIVE]),
    node_ids=st.none() | st.lists(st.integers(0, 45).map("node-{}".format), min_size=1, max_size=20),
)


def test_the_default_mode_agrees(stores: Stores) -> None:
    ours, theirs = stores

    @examples(300)
    @given(query=queries)
    def compare(query: VectorStoreQuery) -> None:
        found, expected = ours.query(query), theirs.query(query)
        assert found.ids == expected.ids
        assert [each.node_id for each in found.nodes or ()] == found.ids
        assert found.similarities == pytest.approx(expected.similarities, abs=1e-6)

    compare()
    agrees("mode", "default")


def marginal(stored: list[TextNode], query: VectorStoreQuery, threshold: float) -> list[str]:
    """The ids by maximal marginal relevance, in float64."""
    vectors = np.array([each.embedding for each in stored]).reshape(len(stored), len(QUERY))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    asked = np.array(query.query_embedding)
    cosines = vectors @ (asked / np.linalg.norm(asked))
    chosen: list[int] = []
    for _ in range(min(query.similarity_top_k, len(stored))):
        nearest = (vectors @ vectors[chosen].T).max(axis=1) if chosen else np.zeros(len(stored))
        worth = threshold * cosines - (1 - threshold) * nearest if chosen else cosines
        worth[chosen] = -np.inf
        chosen.append(int(worth.argmax()))
    return [stored[place].node_id for place in chosen]


def test_the_mode_mmr_agrees(stores: Stores) -> None:
    """For two nodes SimpleVectorStore chooses the same; for more, it forgets all that it chose but the last.

    Its scores are the sums that it chooses by; here, a score is a cosine.
    """
    ours, theirs = stores
    differed = 0

    @examples(200)
    @given(query=queries, threshold=st.sampled_from([0.0, 0.3, 0.5, 0.8, 1.0]))
    def compare(query: VectorStoreQuery, threshold: float) -> None:
        nonlocal differed
        query.mode = Mode.MMR
        may_be_found = VectorStoreQuery(query.query_embedding, 50, filters=query.filters, node_ids=query.node_ids)
        ids = theirs.query(may_be_found).ids or []
        found = ours.query(query, mmr_threshold=threshold).ids or []
        assert found == marginal([each for each in STORED if each.node_id in ids], query, threshold)
        query.mmr_threshold = threshold
        assert ours.query(query).ids == found
        expected = theirs.query(query, mmr_threshold=threshold).ids or []
        if threshold > 0:  # with 0, the first is any
            assert found[:2] == expected[:2]
        differed += found != expected

    compare()
    assert differed > 0
    agrees("mode", "mmr")


def test_mmr_does_not_take_the_twin_of_a_chosen_node(tmp_path: Path) -> None:
    vectors = {"one": [1.0, 0.0, 0.0], "twin": [1.0, 0.01, 0.0], "other": [0.6, 0.8, 0.0], "far": [0.5, 0.0, 0.866]}
    stored = [TextNode(id_=name, text=name, embedding=vector) for name, vector in vectors.items()]
    ours, theirs = both(stored, tmp_path / "index")
    query = VectorStoreQuery([1.0, 0.0, 0.0], 3, mode=Mode.MMR)
    assert ours.query(query, mmr_threshold=0.4).ids == ["one", "far", "other"]
    assert theirs.query(query, mmr_threshold=0.4).ids == ["one", "far", "twin"]


@pytest.mark.parametrize("mode", [Mode.SPARSE, Mode.TEXT_SEARCH])
@pytest.mark.parametrize("filters", [None, EVEN, INSENSITIVE])
def test_modes_by_words_give_what_a_lexical_search_gives(
    mode: VectorStoreQueryMode, filters: MetadataFilters | None, stores: Stores
) -> None:
    ours, theirs = stores
    may = set(theirs.query(VectorStoreQuery(QUERY, 50, filters=filters)).ids or ())
    every = [hit for hit in ours.client.search("milk rain", k=50, mode="lexical") if hit.key in may]
    query = VectorStoreQuery(query_str="milk rain", similarity_top_k=7, mode=mode, filters=filters)
    found = ours.query(query)
    assert found.ids == [hit.key for hit in every][:7]
    assert found.similarities == [hit.score for hit in every][:7]
    query.sparse_top_k = 2
    assert ours.query(query).ids == found.ids[:2]
    with pytest.raises(ValueError, match="Invalid query mode"):
        theirs.query(VectorStoreQuery(QUERY, 5, mode=mode))


@pytest.mark.parametrize("filters", [None, EVEN, INSENSITIVE])
def test_the_mode_hybrid_gives_what_a_hybrid_search_gives(filters: MetadataFilters | None, stores: Stores) -> None:
    ours, theirs = stores
    may = set(theirs.query(VectorStoreQuery(QUERY, 50, filters=filters)).ids or ())
    every = [hit for hit in ours.client.search("milk rain", k=50, mode="hybrid", vector=QUERY) if hit.key in may]
    query = VectorStoreQuery(QUERY, 7, query_str="milk rain", mode=Mode.HYBRID, filters=filters)
    found = ours.query(query)
    assert found.ids == [hit.key for hit in every][:7]
    assert found.similarities == pytest.approx([hit.score for hit in every][:7])
    query.hybrid_top_k = 3
    assert ours.query(query).ids == found.ids[:3]


def weighted(ours: VecindexVectorStore, alpha: float) -> dict[str, float]:
    """The score of each node by both sides, from two searches."""
    near = {hit.key: hit.score for hit in ours.client.search(QUERY, k=50)}
    words = {hit.key: hit.score for hit in ours.client.search("milk rain", k=50, mode="lexical")}
    low, high = min(near.values()), max(near.values())
    return {
        key: alpha * (cosine - low) / (high - low) + (1 - alpha) * words.get(key, 0) / max(words.values())
        for key, cosine in near.items()
    }


@pytest.mark.parametrize("alpha", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_alpha_weighs_the_vector_against_the_words(alpha: float, stores: Stores) -> None:
    ours, _ = stores
    query = VectorStoreQuery(QUERY, 9, query_str="milk rain", mode=Mode.HYBRID, alpha=alpha)
    found, scores = ours.query(query), weighted(ours, alpha)
    cosines = {hit.key: hit.score for hit in ours.client.search(QUERY, k=50)}
    assert [scores[key] for key in found.ids or ()] == pytest.approx(sorted(scores.values(), reverse=True)[:9])
    assert found.similarities == pytest.approx([cosines[key] for key in found.ids or ()], abs=1e-6)
    if alpha == 1:
        assert found.ids == ours.query(VectorStoreQuery(QUERY, 9)).ids


def test_a_node_that_only_its_words_propose_gets_its_cosine(tmp_path: Path) -> None:
    ours, _ = both([node(n, {}, "only this one" if n == 149 else "others") for n in range(150)], tmp_path / "index")
    away = [-number for number in embedding(149)]
    query = VectorStoreQuery(away, 1, query_str="one", mode=Mode.HYBRID, alpha=0.1)
    found = ours.query(query)
    assert found.ids == ["node-149"]
    assert found.similarities == pytest.approx([-1])


def test_records_without_a_vector_are_found_by_their_words(tmp_path: Path) -> None:
    ours, _ = both([node(0, {}, "milk"), node(1, {}, "rain")], tmp_path / "index")
    ours.client.add(["milk tea"], keys=["bare"], encode=False)
    for alpha in (None, 0.0, 0.5):
        found = ours.query(VectorStoreQuery(QUERY, 3, query_str="tea", mode=Mode.HYBRID, alpha=alpha))
        assert dict(zip(found.ids or (), found.similarities or (), strict=True))["bare"] == 0
    for mode in (Mode.DEFAULT, Mode.MMR):
        assert set(ours.query(VectorStoreQuery(QUERY, 3, mode=mode)).ids or ()) == {"node-0", "node-1"}


def test_a_weight_out_of_range_is_refused(stores: Stores) -> None:
    with pytest.raises(vecindex.InvalidInput, match=r"alpha is 1\.5"):
        stores[0].query(VectorStoreQuery(QUERY, 1, query_str="milk", mode=Mode.HYBRID, alpha=1.5))


@pytest.mark.parametrize("mode", [Mode.SVM, Mode.LINEAR_REGRESSION, Mode.LOGISTIC_REGRESSION])
def test_modes_that_fit_a_learner_are_refused(mode: VectorStoreQueryMode, stores: Stores) -> None:
    """SimpleVectorStore fits a support vector machine to the query, whichever of them was asked for."""
    supported = "default, sparse, text_search, hybrid, semantic_hybrid, mmr"
    with pytest.raises(vecindex.InvalidInput, match=f"'{mode.value}' is not supported. Use one of these: {supported}"):
        stores[0].query(VectorStoreQuery(QUERY, 1, mode=mode))


@pytest.mark.parametrize(
    ("query", "missing"),
    [
        (VectorStoreQuery(query_str="milk"), "'default' needs an embedding"),
        (VectorStoreQuery(query_str="milk", mode=Mode.MMR), "'mmr' needs an embedding"),
        (VectorStoreQuery(query_str="milk", mode=Mode.HYBRID, alpha=0.5), "'hybrid' needs an embedding"),
        (VectorStoreQuery(QUERY, mode=Mode.SPARSE), "'sparse' needs a text"),
        (VectorStoreQuery(QUERY, mode=Mode.HYBRID), "'hybrid' needs a text"),
        (VectorStoreQuery(QUERY, mode=Mode.SEMANTIC_HYBRID), "'semantic_hybrid' needs a text"),
        (VectorStoreQuery(QUERY, mode="sparse"), "'sparse' needs a text"),  # a string, as LlamaIndex takes it too
        (VectorStoreQuery(QUERY, mode="svm"), "'svm' is not supported"),
    ],
)
def test_a_query_without_what_its_mode_needs_is_refused(query: VectorStoreQuery, missing: str, stores: Stores) -> None:
    with pytest.raises(vecindex.InvalidInput, match=missing):
        stores[0].query(query)


def test_the_mode_semantic_hybrid_compares_tokens(tmp_path: Path, encoder: Encoder) -> None:
    embed_model = VecindexEmbedding(encoder)
    store = VecindexVectorStore(tmp_path / "index", space=embed_model.space)
    texts = ["Warm the pot first.", "Milk comes last.", "The kettle boils.", "It rains."]
    store.add([
        TextNode(id_=text, text=text, embedding=embed_model.get_text_embedding(text), metadata={"long": len(text) > 10})
        for text in texts
    ])  # fmt: skip
    query: dict[str, Any] = {
        "query_str": "when to add milk",
        "query_embedding": embed_model.get_query_embedding("milk"),
    }
    found = store.query(VectorStoreQuery(**query, similarity_top_k=3, mode=Mode.SEMANTIC_HYBRID))
    hits = store.client.search(query["query_str"], 3, mode="hybrid", rerank="tokens", vector=query["query_embedding"])
    assert found.ids == [hit.key for hit in hits]
    assert found.ids[0] == "Milk comes last."
    with pytest.raises(vecindex.InvalidInput, match="cannot be combined"):
        store.query(VectorStoreQuery(**query, node_ids=texts, mode=Mode.SEMANTIC_HYBRID))


def test_documents_and_ids_restrict_a_query(stores: Stores, tmp_path: Path) -> None:
    ours, theirs = both([node(n, {}, document=f"document-{n % 3}") for n in range(9)], tmp_path / "index")
    found = ours.query(VectorStoreQuery(QUERY, 9, doc_ids=["document-1", "document-2"])).ids or []
    assert set(found) == {f"node-{n}" for n in range(9) if n % 3}
    # SimpleVectorStore does not look at them.
    assert len(theirs.query(VectorStoreQuery(QUERY, 9, doc_ids=["document-1"])).ids or ()) == 9
    both_ways = VectorStoreQuery(QUERY, 9, doc_ids=["document-1"], node_ids=["node-1", "node-2", "node-99"])
    assert ours.query(both_ways).ids == ["node-1"]
    # A VectorStoreIndex over a store that holds texts passes the ids of none, and means all.
    assert len(ours.query(VectorStoreQuery(QUERY, 9, node_ids=[], doc_ids=[])).ids or ()) == 9
