"""The vector store: an index that LangChain adds documents to, deletes them from, and retrieves them from."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables.config import run_in_executor
from langchain_core.vectorstores import VectorStore
from langchain_core.vectorstores.utils import maximal_marginal_relevance

from ...encoders.run.encoder import Encoder
from ...errors import InvalidInput, RecordNotFound
from ...index.facade import Index
from ...store.writer import LOCK_SECONDS
from ...values.arrays import numbers
from ...values.hits import Hits
from ...values.records import Hit, Record
from .documents import Scored, document_of, document_of_record, documents_of, keys_of, scored
from .embeddings import Asked, VecindexEmbeddings

_log = logging.getLogger("vecindex")

Store = TypeVar("Store", bound="VecindexVectorStore")
Filter = Mapping[str, Any] | str


class VecindexVectorStore(VectorStore):
    """An index as a vector store of LangChain. A document's ``id`` is its record's key.

    The methods that search, and ``search_kwargs`` of a retriever, take all options of `Index.search`, such as ``mode``,
    ``rerank``, ``group_by`` and ``context``; ``filter`` is its ``where``. A score is a cosine, and with
    ``mode="lexical"`` a BM25 score. Relevance scores are the cosine, and 0 if that is negative.

    Args:
        path: the directory of the index, which is made if it does not exist.
        embedding: what encodes texts. None is the index's own model, or the default for a new index.
            `VecindexEmbeddings` bring theirs. Of any other embeddings the index remembers the name, and takes no
            vectors of another name.
        name: a name for such embeddings. Left out, it is that of their class and of the model they tell.
        readonly: refuse every change.
        lock_timeout: seconds that a change waits for another writer before it raises IndexLocked.

    Attributes:
        index: the open `Index`, for all that LangChain has no method for.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        embedding: Embeddings | None = None,
        *,
        name: str | None = None,
        readonly: bool = False,
        lock_timeout: float = LOCK_SECONDS,
    ) -> None:
        model: Encoder | None = None
        self._asked: Asked | None = None
        if isinstance(embedding, VecindexEmbeddings):
            model = embedding.encoder
        elif embedding is not None:
            self._asked = Asked(embedding)
            model = self._asked.encoder(name)
        if name is not None and self._asked is None:
            raise InvalidInput("name= goes with embeddings that vecindex does not run", "Leave it out.")
        self.index = Index(path, model=model, readonly=readonly, lock_timeout=lock_timeout)
        self._embedding = embedding
        self._adding = ThreadPoolExecutor(1, "vecindex-langchain")
        options: dict[str, Any] = {"name": name, "readonly": readonly, "lock_timeout": lock_timeout}
        self._again = partial(type(self), Path(self.index.path).absolute(), embedding, **options)

    def __reduce__(self) -> tuple[Any, ...]:
        """Unpickled, it opens the index again."""
        return self._again, ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {str(self.index.path)!r}>"

    def __enter__(self: Store) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the index, once what is being added is stored."""
        self._adding.shutdown()
        self.index.close()

    @property
    def embeddings(self) -> Embeddings | None:
        """The embeddings that were given; None if the index has its own model."""
        return self._embedding

    # --- documents

    @classmethod
    def from_texts(
        cls: type[Store],
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        path: str | os.PathLike[str],
        **options: Any,
    ) -> Store:
        """Opens the store in the directory ``path`` and adds the texts; ``options`` are those of the class."""
        store = cls(path, embedding, **options)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    @classmethod
    async def afrom_texts(
        cls: type[Store],
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        path: str | os.PathLike[str],
        **options: Any,
    ) -> Store:
        """As `from_texts`."""
        store: Store = await run_in_executor(None, partial(cls, path, embedding, **options))
        await store.aadd_texts(texts, metadatas, ids=ids)
        return store

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: Sequence[dict[str, Any] | None] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
    ) -> list[str]:
        """Adds texts, or updates those with the same id; returns their ids. See `add_documents`."""
        return self.add_documents(documents_of(texts, metadatas, ids), ids=ids)

    async def aadd_texts(
        self,
        texts: Iterable[str],
        metadatas: Sequence[dict[str, Any] | None] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
    ) -> list[str]:
        """As `add_texts`."""
        return await self.aadd_documents(documents_of(texts, metadatas, ids), ids=ids)

    def add_documents(
        self, documents: list[Document], *, ids: Sequence[str | None] | None = None, batch_size: int | None = None
    ) -> list[str]:
        """Adds documents, or updates those with the same id; returns their ids.

        Args:
            documents: their metadata may be anything that JSON can hold.
            ids: used instead of the documents' own. A document without an id gets a random one, and of several with the
                same id the last one is stored.
            batch_size: LangChain's indexing passes one. It has no effect, since the index sizes its own commits.
        """
        documents = list(documents)
        keys = keys_of(documents, ids)
        texts, metadata = [each.page_content for each in documents], [each.metadata for each in documents]
        report = self.index.add(texts, keys=keys, metadata=metadata, on_duplicate="last")
        if report.truncated:
            _log.warning(
                "%d of %d documents are longer than the model reads, and are not found by their ends. "
                "Split them before you add them.",
                *(report.truncated, len(documents)),
            )
        return keys

    async def aadd_documents(
        self, documents: list[Document], *, ids: Sequence[str | None] | None = None, batch_size: int | None = None
    ) -> list[str]:
        """As `add_documents`; the embeddings' own async method embeds the texts."""
        loop = asyncio.get_running_loop()

        def add() -> list[str]:
            with contextlib.nullcontext() if self._asked is None else self._asked.by(loop):
                return self.add_documents(documents, ids=ids)

        # It waits for the loop, so it must not take up one of the loop's threads, which the embeddings may need.
        return await loop.run_in_executor(self._adding, add)

    def delete(self, ids: Sequence[str] | None = None, *, filter: Filter | None = None) -> bool:
        """Deletes the documents with these ids, or those that a filter selects; all documents if neither is given.

        Ids that are not stored are ignored.
        """
        if ids is not None and filter is not None:
            raise InvalidInput("delete was given both ids and a filter", "Pass one of them.")
        if ids is None:
            self.index.delete(where="true" if filter is None else filter)
            return True
        keys = list(dict.fromkeys(ids))
        while keys:
            try:
                self.index.delete(keys)
                break
            except RecordNotFound:  # another process may delete some meanwhile
                keys = [key for key, _ in self._stored(keys)]
        return True

    async def adelete(self, ids: Sequence[str] | None = None, *, filter: Filter | None = None) -> bool:
        """As `delete`."""
        deleted: bool = await run_in_executor(None, partial(self.delete, ids, filter=filter))
        return deleted

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """The documents with these ids, in this order; ids that are not stored are left out."""
        return [document_of_record(record) for _, record in self._stored(ids)]

    def _stored(self, keys: Sequence[str]) -> Iterator[tuple[str, Record]]:
        for key in keys:
            with contextlib.suppress(RecordNotFound):
                yield key, self.index.get(key)

    # --- searches

    def similarity_search(self, query: str, k: int = 4, filter: Filter | None = None, **options: Any) -> list[Document]:
        """The documents that answer a query best, the best first."""
        return _documents(self._search(query, k, filter, options))

    async def asimilarity_search(
        self, query: str, k: int = 4, filter: Filter | None = None, **options: Any
    ) -> list[Document]:
        """As `similarity_search`."""
        return _documents(await self._asearch(query, k, filter, options))

    def similarity_search_with_score(
        self, query: str, k: int = 4, filter: Filter | None = None, **options: Any
    ) -> Scored:
        """As `similarity_search`, with the score of each document."""
        return scored(self._search(query, k, filter, options))

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, filter: Filter | None = None, **options: Any
    ) -> Scored:
        """As `similarity_search_with_score`."""
        return scored(await self._asearch(query, k, filter, options))

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, filter: Filter | None = None, **options: Any
    ) -> list[Document]:
        """The documents that are nearest to a vector."""
        return _documents(self.index.search(embedding, k, filter, **options))

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,
        **options: Any,
    ) -> list[Document]:
        """Documents that answer a query and differ from each other, chosen by LangChain's own formula.

        Args:
            query: a text.
            k: how many are chosen.
            fetch_k: from how many: the best that a search finds.
            lambda_mult: from 0, for the greatest diversity, to 1, for the order of the cosines.
            filter: as in all searches.
            options: those of `Index.search`. Its own ``diversity`` is another way to the same end; with
                `similarity_search` it works in one snapshot, and heeds the order of a hybrid search.
        """
        vector = None if self._asked is None else self._asked.embeddings.embed_query(query)
        return self._diverse(query, vector, k, fetch_k, lambda_mult, filter, options)

    async def amax_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,
        **options: Any,
    ) -> list[Document]:
        """As `max_marginal_relevance_search`."""
        vector = None if self._asked is None else await self._asked.embeddings.aembed_query(query)
        choose = partial(self._diverse, query, vector, k, fetch_k, lambda_mult, filter, options)
        chosen: list[Document] = await run_in_executor(None, choose)
        return chosen

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,
        **options: Any,
    ) -> list[Document]:
        """As `max_marginal_relevance_search`, of a vector."""
        return self._chosen(self.index.search(embedding, fetch_k, filter, **options), embedding, k, lambda_mult)

    def _select_relevance_score_fn(self) -> Any:
        return _relevance

    def _similarity_search_with_relevance_scores(self, query: str, k: int = 4, **options: Any) -> Scored:
        _check_relevance(options)
        return [(document, _relevance(s)) for document, s in self.similarity_search_with_score(query, k, **options)]

    async def _asimilarity_search_with_relevance_scores(self, query: str, k: int = 4, **options: Any) -> Scored:
        _check_relevance(options)
        found = await self.asimilarity_search_with_score(query, k, **options)
        return [(document, _relevance(score)) for document, score in found]

    def _search(
        self,
        query: str,
        k: int,
        filter: Filter | None,
        options: Mapping[str, Any],
        vector: Sequence[float] | None = None,
    ) -> Hits:
        """What the index finds; ``vector`` is that of the query, if the caller's embeddings made it already."""
        if vector is None or not _is_encoded(options):
            return self.index.search(query, k, filter, **options)
        _ = self.index.encoder  # raises SpaceMismatch if the index has vectors of other embeddings
        return self.index.search(query, k, filter, vector=vector, **options)

    async def _asearch(self, query: str, k: int, filter: Filter | None, options: Mapping[str, Any]) -> Hits:
        vector = None
        if self._asked is not None and _is_encoded(options):
            vector = await self._asked.embeddings.aembed_query(query)
        hits: Hits = await run_in_executor(None, partial(self._search, query, k, filter, options, vector))
        return hits

    def _diverse(
        self,
        query: str,
        vector: Sequence[float] | None,
        k: int,
        fetch_k: int,
        lambda_mult: float,
        filter: Filter | None,
        options: Mapping[str, Any],
    ) -> list[Document]:
        hits = self._search(query, fetch_k, filter, options, vector)
        if vector is None and hits:
            vector = self.index.encoder.encode([query], role="query")[0].tolist()
        return self._chosen(hits, vector or (), k, lambda_mult)

    def _chosen(self, hits: Hits, query: Sequence[float], k: int, lambda_mult: float) -> list[Document]:
        """Those of the hits that are chosen for a query's vector by maximal marginal relevance."""
        stored = {key: record.vector for key, record in self._stored([hit.key for hit in hits])}
        left = [hit for hit in hits if hit.key in stored]  # others were deleted since they were found
        if not left:
            return []
        asked = numbers(query, "the numbers of the query")
        # A record without a vector is unlike everything.
        vectors: list[Any] = [0 * asked if stored[hit.key] is None else stored[hit.key] for hit in left]
        return [document_of(left[place]) for place in maximal_marginal_relevance(asked, vectors, lambda_mult, k)]


def _documents(hits: Sequence[Hit]) -> list[Document]:
    return [document_of(hit) for hit in hits]


def _is_encoded(options: Mapping[str, Any]) -> bool:
    """Whether a search with these options compares vectors."""
    return options.get("mode") != "lexical"


def _relevance(cosine: float) -> float:
    """The cosine, brought to the range from 0 to 1: 0 if it is negative."""
    return min(max(0.0, cosine), 1.0)


def _check_relevance(options: Mapping[str, Any]) -> None:
    if not _is_encoded(options):
        raise InvalidInput(
            'relevance scores are cosines, and mode="lexical" has none',
            'Search with mode="hybrid", or without a score threshold.',
        )
