"""Asks a server without blocking: `AsyncRemoteIndex`, for programs that use asyncio."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from ...encoders.explain import Explanation
from ...index.adding.long_texts import OnLong
from ...index.adding.repeats import OnDuplicate
from ...search.fusion import Fusion
from ...search.options import RERANK_MS, Mode, Rerank
from ...search.run import SearchReport
from ...values.facets import Facets
from ...values.hits import Hits
from ...values.records import AddReport, EncodeReport, Hit, IndexInfo, Record
from ...values.sources import SourceInfo
from . import questions
from .checks import checked, checked_delete, checked_similar
from .questions import HITS_A_PAGE, RECORDS_A_PAGE, Question, Where
from .transport import Server, answered, asking, request_of

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")


class AsyncRemoteIndex:
    """An index that ``vecindex serve`` serves, for asyncio; get one with `vecindex.connect_async`.

    It has the methods of `RemoteIndex`, which are awaited; ``list`` and ``search_all`` are asynchronous iterators. Any
    number of tasks may use it at once. Close it, or use ``async with``.
    """

    def __init__(self, server: Server, client: httpx.AsyncClient) -> None:
        self._server = server
        self._client = client

    async def __aenter__(self) -> AsyncRemoteIndex:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncRemoteIndex({self._server.url!r})"

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    @checked
    async def search(
        self,
        query: str | Any,
        k: int = 5,
        where: Where | None = None,
        *,
        vector: Any = None,
        mode: Mode = "dense",
        fusion: Fusion = "convex",
        rerank: Rerank | None = None,
        rerank_ms: float = RERANK_MS,
        group_by: str | None = None,
        per_group: int = 1,
        context: int = 0,
        min_score: float | None = None,
        min_percentile: float | None = None,
        exclude: Collection[str] = (),
        diversity: float = 0.0,
        cursor: str | None = None,
    ) -> Hits:
        """The records that answer a text or a vector best; see `Index.search`."""
        return await self._ask(questions.search(locals()))

    @checked
    async def search_many(
        self,
        queries: Sequence[str] | Any,
        k: int = 5,
        where: Where | None = None,
        *,
        vectors: Any = None,
        mode: Mode = "dense",
        fusion: Fusion = "convex",
        rerank: Rerank | None = None,
        rerank_ms: float = RERANK_MS,
        group_by: str | None = None,
        per_group: int = 1,
        context: int = 0,
        min_score: float | None = None,
        min_percentile: float | None = None,
        exclude: Collection[str] = (),
        diversity: float = 0.0,
    ) -> Sequence[Hits]:
        """Searches for several texts, or vectors (n, D), in one snapshot; see `Index.search_many`."""
        return await self._ask(questions.search_many(locals()))

    @checked
    async def explain_search(
        self,
        query: str | Any,
        k: int = 5,
        where: Where | None = None,
        *,
        vector: Any = None,
        mode: Mode = "dense",
        fusion: Fusion = "convex",
        rerank: Rerank | None = None,
        rerank_ms: float = RERANK_MS,
        group_by: str | None = None,
        per_group: int = 1,
        context: int = 0,
        min_score: float | None = None,
        min_percentile: float | None = None,
        exclude: Collection[str] = (),
        diversity: float = 0.0,
        cursor: str | None = None,
    ) -> tuple[Hits, SearchReport]:
        """As `search`, with a report of how the hits were found; see `Index.explain_search`."""
        return await self._ask(questions.explain_search(locals()))

    @checked
    async def search_all(
        self,
        query: str | Any,
        min_score: float | None = None,
        where: Where | None = None,
        *,
        vector: Any = None,
        min_percentile: float | None = None,
        mode: Mode = "dense",
        fusion: Fusion = "convex",
        exclude: Collection[str] = (),
    ) -> AsyncIterator[Hit]:
        """All records that answer a text or a vector with at least this score, the best first; see `Index.search_all`.

        They are asked for 1,000 at a time.

        Raises:
            CursorExpired: the index was changed meanwhile so that the order of the hits is gone; see `Index.search`.
        """
        asked, cursor = dict(locals()), None
        while True:
            hits = await self._ask(questions.search({**asked, "k": HITS_A_PAGE, "cursor": cursor}))
            for hit in hits:
                yield hit
            cursor = hits.cursor
            if cursor is None:
                return

    @checked_similar
    async def similar(
        self,
        key: str | Collection[str],
        k: int = 5,
        where: Where | None = None,
        *,
        not_: Collection[str] = (),
        group_by: str | None = None,
        per_group: int = 1,
        context: int = 0,
        min_score: float | None = None,
        min_percentile: float | None = None,
        exclude: Collection[str] = (),
        diversity: float = 0.0,
    ) -> Hits:
        """The nearest records to stored ones; see `Index.similar`."""
        return await self._ask(questions.similar(locals()))

    @checked
    async def get(self, key: str) -> Record:
        """The record with this key, and its vector; raises RecordNotFound."""
        return await self._ask(questions.get(key))

    @checked
    async def list(
        self,
        where: Where | None = None,
        *,
        source: str | os.PathLike[str] | None = None,
        after: str | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[Record]:
        """The records in the order of insertion; see `Index.list`.

        They are asked for 1,000 at a time, each time in a snapshot of its own.
        """
        left = limit
        while True:
            size = RECORDS_A_PAGE if left is None else min(left, RECORDS_A_PAGE)
            page, after = await self._ask(questions.list_page(where, source, after, size))
            for record in page:
                yield record
            left = None if left is None else left - len(page)
            if after is None or left == 0:
                return

    async def keys(self) -> Sequence[str]:
        """The keys of all records, in insertion order. They come with their records, as from `list`."""
        return [str(record.key) async for record in self.list()]

    @checked
    async def count(self, where: Where | None = None) -> int:
        """How many records a filter selects, or how many there are."""
        return await self._ask(questions.count(where))

    @checked
    async def facets(self, field: str, where: Where | None = None, *, top: int = 20) -> Facets:
        """The values of a field, with how many records have each; see `Index.facets`."""
        return await self._ask(questions.facets(field, where, top))

    @checked
    async def add(
        self,
        records: Iterable[str | Record],
        *,
        keys: Iterable[str] | None = None,
        metadata: Iterable[Mapping[str, Any] | None] | None = None,
        vectors: Iterable[Any] | None = None,
        space: str | None = None,
        encode: bool = True,
        on_long: OnLong = "truncate",
        on_duplicate: OnDuplicate = "error",
        progress: Callable[[AddReport], None] | None = None,
    ) -> AddReport:
        """Adds records; see `Index.add`.

        They are sent 1,000 at a time, or fewer if they are long, and each request is durable once it is answered. If
        one is refused, those before it stay; adding all of them again is safe.

        Args:
            records: texts, or `Record` objects.
            keys: for each text, or None.
            metadata: for each text, or None.
            vectors: for each text (D,), or None.
            space: what made the vectors, as in `Index.add`.
            encode: whether to make vectors, as in `Index.add`.
            on_long: what to do with a text that is longer than the model reads, as in `Index.add`.
            on_duplicate: what to do if two records of one request have the same key, as in `Index.add`.
            progress: called after each request with the report so far.

        Raises:
            InvalidInput, TextTooLong, TextWithoutToken, SpaceMismatch, IndexLocked, StorageError, ServerError.
        """
        options = {"space": space, "encode": encode, "on_long": on_long, "on_duplicate": on_duplicate}
        total = AddReport()
        for question in questions.adds(records, keys, metadata, vectors, options):
            total += await self._ask(question)
            if progress is not None:
                progress(total)
        return total

    @checked_delete
    async def delete(
        self,
        keys: Iterable[str] | None = None,
        *,
        where: Where | None = None,
        source: str | os.PathLike[str] | None = None,
    ) -> int:
        """Deletes records by their keys, by a filter or by their source; returns how many. See `Index.delete`."""
        return await self._ask(questions.delete(keys, where, source))

    async def encode_missing(self) -> EncodeReport:
        """Encodes the records that have no vector; see `Index.encode_missing`."""
        return await self._ask(questions.encode_missing())

    async def sources(self) -> Sequence[SourceInfo]:
        """The files and other sources that were added, and what has become of them."""
        return await self._ask(questions.sources())

    async def info(self) -> IndexInfo:
        """The state of the index."""
        return await self._ask(questions.info())

    @checked
    async def explain(self, text: str, against: str | None = None) -> Explanation:
        """How the index's model makes a vector of a text, and what each token adds to it; see `vecindex.explain`."""
        return await self._ask(questions.explain(text, against))

    async def _ask(self, question: Question[T]) -> T:
        request = request_of(question)
        with asking(self._server, self._client) as received:
            async with self._client.stream(**request) as answer:
                async for piece in answer.aiter_bytes():
                    received.take(piece)
        return answered(self._server, question, answer, received.content)
