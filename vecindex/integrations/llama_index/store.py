"""An index of vecindex as a vector store of LlamaIndex."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryResult,
)

from ...errors import InvalidInput, RecordNotFound, SpaceMismatch
from ...index.facade import Index, open
from ...values.columns import unordered
from ...values.records import Record
from ...values.space import Space
from .filters import EVERYTHING, both, in_documents, selected_by
from .nodes import REF_DOC_ID, node_of, record_of
from .queries import Asked


class VecindexVectorStore(BasePydanticVectorStore):
    """The nodes of a `VectorStoreIndex` in a directory on disk; whatever returns is durable.

    The records of an index that was made otherwise, such as by ``vecindex add``, are found as nodes too, and nodes are
    found by ``vecindex search``.

    Args:
        path: the directory of the index; an empty one is created if there is none.
        space: what makes the embeddings: a name of your own, such as that of the model, or the ``space`` of a
            `VecindexEmbedding`. Vectors of two spaces never mix. None is the space of the vectors that are stored.
        readonly: refuse every change.
        options: fields of `BasePydanticVectorStore`.

    Raises:
        SpaceMismatch: the index holds vectors of another space.
        IndexNotFound, CorruptIndex, IncompatibleFormat, StorageError.
    """

    stores_text: bool = True
    path: str
    space: str | Space | None = None
    readonly: bool = False
    _index: Any = PrivateAttr()

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        space: str | Space | None = None,
        readonly: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(path=os.fspath(path), space=space, readonly=readonly, **options)
        self._index = open(self.path, readonly=self.readonly)
        if self.space is not None:
            _check_space(self._index, self.space)

    @classmethod
    def class_name(cls) -> str:
        """The name that LlamaIndex stores."""
        return "VecindexVectorStore"

    @property
    def client(self) -> Index:
        """The open index."""
        index: Index = self._index
        return index

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Adds nodes with their embeddings; one whose id is stored replaces it. Returns their ids.

        Raises:
            InvalidInput: a node has no embedding, or its metadata cannot be stored.
            SpaceMismatch, IndexLocked, StorageError.
        """
        for node in nodes:
            if node.embedding is None:
                advice = "Set node.embedding, or add it with a VectorStoreIndex."
                raise InvalidInput(f"the node {node.node_id!r} has no embedding", advice)
        if nodes:
            records, vectors = [record_of(node) for node in nodes], [node.embedding for node in nodes]
            texts, keys = [record.text for record in records], [node.node_id for node in nodes]
            metadata = [record.metadata for record in records]
            self.client.add(texts, keys=keys, metadata=metadata, vectors=vectors, space=self.space, on_duplicate="last")
            self.client.index_field(REF_DOC_ID)  # for `delete`; does nothing if it is indexed already
        return [node.node_id for node in nodes]

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """The nodes that answer a query best, with their scores: cosines, or BM25 scores if only words order them.

        Empty ``node_ids`` and ``doc_ids`` restrict nothing, as `VectorStoreIndex` means it.

        Args:
            query: in one of the modes default, sparse, text_search, hybrid, semantic_hybrid and mmr.
            kwargs: ``mmr_threshold``, if the query does not have it.

        Raises:
            InvalidInput: another mode is asked for, the query lacks what its mode needs, or a filter makes no sense.
            InvalidFilter, CorruptIndex.
        """
        selection = selected_by(query.filters)
        if query.doc_ids:
            selection = both(selection, in_documents(query.doc_ids))
        keys = frozenset(query.node_ids) if query.node_ids else None
        hits = Asked(self.client, query, selection, keys, kwargs.get("mmr_threshold")).hits()
        return VectorStoreQueryResult(
            nodes=[node_of(hit) for hit in hits],
            similarities=[hit.score for hit in hits],
            ids=[hit.key for hit in hits],
        )

    def get_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None) -> list[BaseNode]:
        """The stored nodes with these ids that the filters select, without embeddings; ids of no node are left out."""
        return [node_of(record) for record in self._selected(node_ids, filters)]

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Deletes the nodes of a document."""
        self.client.delete(where={REF_DOC_ID: ref_doc_id})

    def delete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """Deletes the nodes with these ids that the filters select; ids of no node are ignored.

        Raises:
            InvalidInput: there are neither ids nor a filter with a condition.
        """
        selection = selected_by(filters)
        if node_ids is None and selection.where == EVERYTHING and selection.is_exact:
            raise InvalidInput(
                "delete_nodes was called without node_ids and without a condition, and would delete every node",
                "To delete every node, call clear().",
            )
        if node_ids is None and selection.is_exact:
            self.client.delete(where=selection.where)
        else:
            _delete_known(self.client, [record.key for record in self._selected(node_ids, filters) if record.key])

    def clear(self) -> None:
        """Deletes every record of the index. Its embedding space stays."""
        self.client.delete(where="true")

    def persist(self, persist_path: str = "", fs: Any = None) -> None:
        """Does nothing: what is in the index is durable. ``client.backup(destination)`` makes a copy."""

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """As `add`."""
        return await asyncio.to_thread(self.add, nodes, **kwargs)

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """As `query`."""
        return await asyncio.to_thread(self.query, query, **kwargs)

    async def aget_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """As `get_nodes`."""
        return await asyncio.to_thread(self.get_nodes, node_ids, filters)

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """As `delete`."""
        await asyncio.to_thread(self.delete, ref_doc_id, **delete_kwargs)

    async def adelete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """As `delete_nodes`."""
        await asyncio.to_thread(self.delete_nodes, node_ids, filters, **delete_kwargs)

    async def aclear(self) -> None:
        """As `clear`."""
        await asyncio.to_thread(self.clear)

    def _selected(self, node_ids: list[str] | None, filters: MetadataFilters | None) -> Iterator[Record]:
        """The records with these keys, or all, that the filters select."""
        selection = selected_by(filters)
        if node_ids is None:
            records: Iterable[Record] = self.client.list(selection.where)
        else:
            records = _known(self.client, unordered("node_ids", node_ids))
        return (record for record in records if selection.test(record.metadata or {}))


def _known(index: Index, keys: Iterable[str]) -> Iterator[Record]:
    """The records of these keys, of those that there are."""
    for key in dict.fromkeys(keys):
        try:
            yield index.get(key)
        except RecordNotFound:
            continue


def _delete_known(index: Index, keys: list[str]) -> None:
    """Deletes records of which some may have been deleted meanwhile."""
    while keys:
        try:
            index.delete(keys)
        except RecordNotFound as error:
            keys.remove(error.key)
        else:
            return


def _check_space(index: Index, space: str | Space) -> None:
    """Raises SpaceMismatch if an index holds vectors of another space."""
    info = index.info()
    if info.fingerprint is None or info.dimension is None:
        return
    given = Space.external(space, info.dimension) if isinstance(space, str) else space
    if given.fingerprint != info.fingerprint:
        stored = f"{info.model} ({info.dimension} dimensions, fingerprint {info.fingerprint[:12]})"
        raise SpaceMismatch(
            *(stored, given.describe(), ""), "Name the space of the stored vectors with space=, or open another index."
        )
