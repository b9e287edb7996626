"""The vector store: an index that LangChain adds documents to, deletes them from, and retrieves them from."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables.config import run_in_executor

from ...encoders.run.encoder import Encoder
from ...errors import InvalidInput, RecordNotFound
from ...index.facade import Index
from ...store.writer import LOCK_SECONDS
from ...values.columns import column, unordered
from .documents import document_of_record, documents_of, keys_of
from .embeddings import Asked, VecindexEmbeddings
from .searches import Filter, Searches

_log = logging.getLogger("vecindex")

_ADDS_AT_ONCE = 8
"""How many async adds may wait for their embeddings at the same time."""

Store = TypeVar("Store", bound="VecindexVectorStore")


class VecindexVectorStore(Searches):
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
        self._asked = None
        if isinstance(embedding, VecindexEmbeddings):
            model = embedding.encoder
        elif embedding is not None:
            self._asked = Asked(embedding)
            model = self._asked.encoder(name)
        if name is not None and self._asked is None:
            raise InvalidInput("name= goes with embeddings that vecindex does not run", "Leave it out.")
        self.index = Index(path, model=model, readonly=readonly, lock_timeout=lock_timeout)
        self._embedding = embedding
        self._adding = ThreadPoolExecutor(_ADDS_AT_ONCE, "vecindex-langchain")
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
        """Closes the index; what is being added ends in an error, and is stored as far as it was committed."""
        # Without waiting: an async add may wait for the event loop that this is called in.
        self._adding.shutdown(wait=False, cancel_futures=True)
        self.index.close()

    @property
    def embeddings(self) -> Embeddings | None:
        """The embeddings that were given; None if the index has its own model."""
        return self._embedding

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

        # It waits for the loop, so it must not take one of the loop's own threads, which the embeddings may need.
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
        keys = list(dict.fromkeys(unordered("ids", ids)))
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
        return [document_of_record(record) for _, record in self._stored(column("ids", ids))]
