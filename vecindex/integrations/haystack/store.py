"""Haystack's document store over an index: documents in and out, and the searches that the retrievers ask for."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from haystack import default_from_dict, default_to_dict
from haystack.dataclasses import Document
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy

from ...errors import InvalidInput, RecordNotFound, SpaceMismatch
from ...index.facade import Index
from ...index.facade import open as open_index
from ...search.fusion import Fusion
from ...values.arguments import entrance
from ...values.columns import unordered
from ...values.records import Hit, Record
from ...values.scalars import string, whole
from .documents import Row, document_of, facts_of, meta_of, row_of, with_facts
from .fields import Fields
from .selecting import documents, record_of_hit, select, with_vector
from .twins import AsyncTwins

Scored = Literal["dense", "lexical", "hybrid"]
_top_k = whole(0, "Pass a number of documents, 0 or more.")
_MANY = 100
"""Where more than one of so many records is looked for, all keys are read at once."""


def _named(name: str, value: object) -> str:
    given = string(value, "the name of what makes the embeddings")
    if not given.strip():
        raise InvalidInput("the name of what makes the embeddings is empty", 'Pass embedding_space="my-model", say.')
    return given


class VecindexDocumentStore(Fields, AsyncTwins):
    """Haystack documents in the index at ``path``, which is opened, and created if need be, when it is first used.

    Documents without an embedding are found by their words and by filters. An embedding comes back with the numbers
    that were written, in the precision of float32. Embeddings are compared by their cosine.

    Args:
        path: the directory of the index.
        embedding_space: what makes the embeddings, such as the name of the model. The index remembers it, and another
            store with another name is refused.
    """

    @entrance(embedding_space=_named)
    def __init__(self, path: str | os.PathLike[str], *, embedding_space: str = "haystack") -> None:
        self.path = os.fspath(path)
        self.embedding_space = embedding_space
        self._opened: Index | None = None
        self._opening = threading.Lock()
        self._writing = threading.Lock()

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` makes the same store of."""
        found: dict[str, Any] = default_to_dict(self, path=self.path, embedding_space=self.embedding_space)
        return found

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> VecindexDocumentStore:
        """The store that `to_dict` described."""
        found: VecindexDocumentStore = default_from_dict(cls, data)
        return found

    @property
    def index(self) -> Index:
        """The open index, for all that Haystack has no name for.

        Raises:
            SpaceMismatch: its vectors are of another space than ``embedding_space``.
            CorruptIndex, IncompatibleFormat, StorageError.
        """
        with self._opening:
            if self._opened is None:
                index = open_index(self.path)
                try:
                    self._check_space(index)
                except SpaceMismatch:
                    index.close()
                    raise
                self._opened = index
            return self._opened

    def close(self) -> None:
        """Closes the index, which is opened again when the store is used."""
        with self._opening:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    def _check_space(self, index: Index) -> None:
        found = index.info().model
        if found is not None and found != self.embedding_space:
            raise SpaceMismatch(
                found,
                self.embedding_space,
                "embedding_space",
                f"Pass embedding_space={found!r} if your embeddings are of that model, or use another directory.",
            )

    # --- documents

    def count_documents(self) -> int:
        """The number of documents."""
        return len(self.index)

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """The documents that a filter selects, with their embeddings, in the order in which they were written.

        Raises:
            FilterError: the filter is malformed, or compares a stored value with one of another type.
        """
        return documents(self.index, self._records(filters))

    def write_documents(self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE) -> int:
        """Writes documents, and returns how many.

        ``DuplicatePolicy.NONE`` means ``FAIL``, which writes none if one is stored already.

        Raises:
            DuplicateDocumentError: with ``FAIL``, an id is stored already, or two of the documents have it.
            InvalidInput: something is no document, or its meta is not JSON.
            SpaceMismatch: an embedding has another dimension than those in the index.
        """
        given = _checked(documents)
        with self._writing:
            kept = self._kept(given, policy)
            self._add([row_of(document) for document in kept])
        return len(given) if policy is DuplicatePolicy.OVERWRITE else len(kept)

    def delete_documents(self, document_ids: list[str]) -> None:
        """Deletes the documents with these ids; ids that no document has are left out."""
        with self._writing:
            self._delete(unordered("document_ids", document_ids))

    def delete_all_documents(self, recreate_index: bool = False) -> None:
        """Deletes all documents; with ``recreate_index`` their space on the disk is given back at once."""
        with self._writing:
            self.index.delete(where="true")
            if recreate_index:
                self.index.compact()

    def delete_by_filter(self, filters: dict[str, Any]) -> int:
        """Deletes the documents that a filter selects, and returns how many; raises FilterError."""
        with self._writing:
            return self._delete([record.key or "" for record in self._records(filters)])

    def update_by_filter(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        """Sets these names in the meta of the documents that a filter selects, and returns how many they were.

        Raises:
            FilterError, InvalidInput.
        """
        with self._writing:
            found = list(self._records(filters))
            metadata = [_updated(record, meta) for record in found]
            if found:
                keys = [record.key or "" for record in found]
                self.index.add([record.text for record in found], keys=keys, metadata=metadata, encode=False)
        return len(found)

    # --- searches

    def search(
        self,
        mode: Scored,
        *,
        query: str | None = None,
        query_embedding: Sequence[float] | None = None,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        return_embedding: bool = False,
        fusion: Fusion = "convex",
    ) -> list[Document]:
        """The documents that answer a query best, which the retrievers ask for, each with its score.

        The score is the cosine in the mode "dense", and the BM25 score in "lexical". The order of "hybrid" comes from
        both, and its scores tell the rank alone: 61 / (60 + rank).
        """
        top_k = _top_k("top_k", top_k)
        index = self.index
        selection = select(index, filters)
        if top_k == 0 or not len(index):
            return []
        if mode == "dense":
            hits = selection.search(index, query_embedding, top_k)
        elif mode == "lexical":
            hits = selection.search(index, query, top_k, mode=mode)
        else:
            hits = selection.search(index, query, top_k, vector=query_embedding, mode=mode, fusion=fusion)
        if not return_embedding:
            return [_found(hit, record_of_hit(hit), mode) for hit in hits]
        pairs = ((hit, with_vector(index, record_of_hit(hit))) for hit in hits)
        return [_found(hit, record, mode, with_embedding=True) for hit, record in pairs if record is not None]

    # --- helpers

    def _records(self, filters: dict[str, Any] | None) -> Iterator[Record]:
        return select(self.index, filters).records(self.index)

    def _kept(self, documents: list[Document], policy: DuplicatePolicy) -> list[Document]:
        """The documents to write, each id once; raises DuplicateDocumentError."""
        if policy is DuplicatePolicy.OVERWRITE:
            return list({document.id: document for document in documents}.values())
        seen = self._stored([document.id for document in documents])
        kept = []
        for document in documents:
            if document.id not in seen:
                seen.add(document.id)
                kept.append(document)
            elif policy is not DuplicatePolicy.SKIP:
                raise DuplicateDocumentError(f"ID '{document.id}' already exists. No document was written.")
        return kept

    def _stored(self, ids: Sequence[str]) -> set[str]:
        """Those of the ids that a document has."""
        if len(ids) * _MANY > len(self.index):
            return set(ids).intersection(self.index.keys())
        return {id for id in ids if self._record(id) is not None}

    def _record(self, id: str) -> Record | None:
        try:
            return self.index.get(id)
        except RecordNotFound:
            return None

    def _add(self, rows: list[Row]) -> None:
        if not rows:
            return
        self.index.add(
            [row.text for row in rows],
            keys=[row.key for row in rows],
            metadata=[row.metadata for row in rows],
            vectors=[row.vector for row in rows],
            space=self.embedding_space,
        )

    def _delete(self, ids: Iterable[str]) -> int:
        """Deletes those that are stored, and returns how many."""
        while there := sorted(self._stored(list(ids))):
            try:
                return self.index.delete(there)
            except RecordNotFound:  # another process has deleted one meanwhile
                continue
        return 0


def _checked(documents: Any) -> list[Document]:
    given = list(documents) if isinstance(documents, Iterable) and not isinstance(documents, (str, bytes)) else [None]
    if not all(isinstance(document, Document) for document in given):
        raise InvalidInput("write_documents takes a list of documents", "Pass a list of haystack.Document.")
    return given


def _updated(record: Record, meta: dict[str, Any]) -> dict[str, Any]:
    """A record's metadata with a changed meta."""
    metadata = record.metadata or {}
    facts = facts_of(metadata)
    changed = {**meta_of(metadata), **meta}
    return with_facts(changed, facts) if facts else changed


def _found(hit: Hit, record: Record, mode: Scored, with_embedding: bool = False) -> Document:
    score = 61 / (60 + hit.rank) if mode == "hybrid" else hit.score
    return document_of(record, with_embedding, score)
