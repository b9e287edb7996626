"""Searching an open index: by a text, a vector or a stored record, each in one snapshot."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InvalidInput, RecordNotFound
from ..errors.warnings import PhraseNotFound, QueryUnknown, RerankUnfinished, VecindexWarning, warn
from ..search import run
from ..search.dense.nearest import Trace
from ..search.dense.pace import SEARCHES
from ..search.fusion import Fusion
from ..search.listing import Listing
from ..search.options import CHECKS, RERANK_MS, TOKENS, Mode, Rerank, SearchOptions
from ..search.paging.pages import check_question, first_pages, next_page
from ..search.rankers import Dense, Ranker, ranker, texts_to_find
from ..search.rerank.second_stage import SecondStage
from ..search.run import SearchReport
from ..search.shaping.direction import direction
from ..search.shaping.grouping import unmatched
from ..search.view import Accelerator, SnapshotView
from ..store.manifest import Manifest
from ..store.snapshot import Snapshot
from ..store.stored import Stored
from ..store.vectors import Rows
from ..values.arguments import entrance
from ..values.columns import one_or_more_keys
from ..values.hits import Hits
from ..values.records import Hit
from ..values.space import Space
from .model import IndexModel, are_texts, encoded_part
from .second_stages import Progress, SecondStages

if TYPE_CHECKING:
    from ..encoders.run.tokenized import FloatArray, Tokens
    from ..search.lexicon import Lexicon
    from ..search.rerank.stored_tokens import TokenStore

Where = Mapping[str, Any] | str


class Searcher(Listing):
    """The part of an `Index` that searches."""

    _model: IndexModel
    _accelerator: Accelerator

    @cached_property
    def _lexicon(self) -> Lexicon:
        from ..search.lexicon import Lexicon  # a dense search needs none of it

        return Lexicon()

    @cached_property
    def _second_stages(self) -> SecondStages:
        return SecondStages(lambda: self._model)

    @property
    def _tokens(self) -> TokenStore:
        return self._second_stages.stored_tokens

    @entrance(**CHECKS)
    def search(
        self,
        query: str | Any,
        k: int = 5,
        where: Where | None = None,
        *,
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
        progress: Progress | None = None,
    ) -> Hits:
        """The records that answer a text or a vector best.

        Args:
            query: a text, or a vector (D,) of finite floats, which is scaled to unit length.
            k: the number of hits; fewer are returned only if fewer records match.
            where: a filter on metadata, e.g. ``{"lang": "en", "year": {"$gte": 2020}}`` or
                ``"lang = 'en' and year >= 2020"``.
            mode: "dense" finds the nearest vectors, that is, texts of the same meaning; "lexical" finds texts with the
                query's words, by BM25; "hybrid" does both. In these two, a phrase in quotation marks has to be in the
                text word for word, and a dash before a word or a phrase leaves out texts with it. If no record that the
                filter allows has all the phrases, their words are looked for like the others.
            fusion: how "hybrid" joins the two: "convex" adds the cosine, of which 0 is that of unrelated texts, and the
                share of the query's words that a text has, by their weights; "rrf" adds reciprocal ranks.
            rerank: reads the best 100 hits again, or the best k if k is larger, and puts them in a better order.
                "tokens" orders them also by how well each token of the query is met by a token of the text, with the
                vectors that the model gives single tokens. Anything else is the folder or the hub name of a
                cross-encoder, a second model that reads the query and each text together: its score alone orders them.
            rerank_ms: for how many milliseconds the texts of a query may be read for this, the best first. Hits that
                were not reached keep their order behind the others. ``math.inf`` stands for any time. Records with
                stored token vectors (`index_tokens`) take none of it.
            group_by: ``source``, ``document``, or a metadata field such as ``topic`` or ``author.name``. At most
                ``per_group`` hits have the same value in it, and others that are less near take the place of the rest.
                A record without the field, or with null in it, is a group by itself.
            per_group: the number of hits that each group may have.
            context: how many sentences of the same document to give before and after each hit, in ``before`` and
                ``after``.
            min_score: records of a lower ``score`` do not match. In the mode "lexical" that is the BM25 score, and else
                the cosine.
            min_percentile: records of a lower ``percentile``, from 0 to 100, do not match; see `Hit`. It means the same
                with every model, and 0 only gives hits their ``percentile``.
            exclude: keys of records that are left out before the search, so that others take their place.
            diversity: from 0 to 1: how much hits should differ from each other. They are chosen one by one from the
                best max(50, 5 k) records, each for its place in their order, and for a low cosine to those that were
                chosen before it (maximal marginal relevance).
            cursor: the ``cursor`` of the hits of a search with the same query and options, for the hits after these;
                ``k``, ``context`` and ``rerank_ms`` may be others.
            progress: called while a cross-encoder reads texts, with how many are read and how many there are.

        Returns:
            min(k, matching records) hits, the best first, ties in insertion order. All records that the filter allows
            match, but in the mode "lexical" only those with a word of the query. ``score`` is the cosine, in the mode
            "lexical" the BM25 score, and ``scores`` has all that are known: "dense", "lexical", "tokens", and "cross",
            a cross-encoder's. The ``cursor`` of the hits stands for the page after them, and is None if there is none;
            with groups, that page may be empty. All pages together have each record that matches once.

        Raises:
            RecordNotFound: ``exclude`` has a key that no record has.
            CursorExpired: the index was changed so that the order of the hits is gone. In the mode "dense", without
                groups, diversity and rerank, only a compaction or another model does that; after other changes, hits
                are of the records as they were at the first page, except for those that were deleted or updated.
            InvalidInput, InvalidFilter, SpaceMismatch, ModelNotFound, UnsupportedModel, CorruptIndex.

        Warns:
            RerankUnfinished: some hits were not reached in ``rerank_ms``.
            PhraseNotFound: no record has the phrases in quotation marks, so that hits have words of them instead.
            FilterWarning: a condition in ``where`` matches no stored record. Checked if fewer than k records match, or
                all do.
            GroupWarning: no record has the field ``group_by``.
        """
        return self._search([query], SearchOptions.of(locals()), progress=progress)[0]

    @entrance(**CHECKS)
    def search_many(
        self,
        queries: Sequence[str] | Any,
        k: int = 5,
        where: Where | None = None,
        *,
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
        progress: Progress | None = None,
    ) -> list[Hits]:
        """Searches for several texts, or vectors (n, D), in one snapshot; returns a list of hits for each.

        The arguments are those of `search`; ``progress`` counts queries. Together, many take less time than one by one.
        """
        return self._search(queries, SearchOptions.of(locals()), progress=progress)

    def _search(
        self,
        queries: Sequence[str] | Any,
        options: SearchOptions,
        trace: Trace | None = None,
        progress: Progress | None = None,
    ) -> list[Hits]:
        trace = trace or Trace()
        if options.cursor is not None:
            check_question(options.cursor, queries[0], options)
        with SEARCHES, self._asked(queries, options, trace, progress) as (view, ranker, stage):
            if options.cursor is None:
                hits = first_pages(view, ranker, queries, options, trace, stage)
            else:
                hits = [next_page(view, ranker, queries[0], options, trace, stage)]
            if trace.orders is not None:
                from ..search.explained.explain_hits import explain_hits  # other searches need none of it

                encoder = partial(self._model.encoder, view.space)
                trace.explanations = explain_hits(ranker, stage, trace, encoder, hits[0])
                trace.lap("explain")
            warnings = [*view.unmatched(options.where, options.k), *unmatched(view, options.by, hits)]
        if trace.reranked < trace.to_rerank:
            warnings.append(RerankUnfinished(trace.reranked, trace.to_rerank, options.rerank_ms))
        _warn(warnings)
        return hits

    @entrance(**CHECKS)
    def explain_search(
        self,
        query: str | Any,
        k: int = 5,
        where: Where | None = None,
        *,
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
        """As `search`, with a report of how the hits were found, and why each is where it is.

        The report has the route, the candidates and the time of each step, and in ``explanations`` one `HitExplanation`
        for each hit: its ranks on the way, what each token of its text adds to the cosine, what each word of the query
        adds to the BM25 score, and which tokens met. For this, the texts of the hits are encoded again, so that it
        takes longer than the search.
        """
        return self._explained(query, SearchOptions.of(locals()))

    def _explained(self, query: str | Any, options: SearchOptions) -> tuple[Hits, SearchReport]:
        trace = Trace(orders={})
        hits = self._search([query], options, trace)[0]
        return hits, run.reported(options.mode, trace)

    @entrance(**CHECKS)
    def search_all(
        self,
        query: str | Any,
        min_score: float | None = None,
        where: Where | None = None,
        *,
        min_percentile: float | None = None,
        mode: Mode = "dense",
        fusion: Fusion = "convex",
        exclude: Collection[str] = (),
    ) -> Iterator[Hit]:
        """All records that answer a text or a vector with at least this score, the best first; see `search`.

        Every record that matches gets its exact score, and the hits are read from one snapshot, a few at a time, while
        others may write. If ``min_score`` is None, they are all that match. They stand in the order that `search` gives
        them; only with ``fusion="rrf"``, whose ranks are here among all records, may it be another.
        """
        return self._all(query, SearchOptions.of(locals()))

    def _all(self, query: str | Any, options: SearchOptions) -> Iterator[Hit]:
        hits = self._each(query, options)
        return chain(list(islice(hits, 1)), hits)  # an error is raised now, and not when the hits are read

    def _each(self, query: str | Any, options: SearchOptions) -> Iterator[Hit]:
        with self._asked([query], options, Trace()) as (view, ranker, _):
            _warn(view.unmatched(options.where))
            yield from run.search_all(view, ranker, options)

    @entrance(key=one_or_more_keys)
    def similar(
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
        """The nearest records to the stored record ``key``, or to several; the other arguments are as in `search`.

        What is near to several is near to the mean of their vectors. If some are named in ``not_``, the mean of theirs
        is subtracted from it (Rocchio's formula). None of these records is among the hits.

        Args:
            key: the key of a record, or of several.
            not_: keys of records that the hits should not be like.

        Raises:
            RecordNotFound: a key is of no record.
            InvalidInput: the records cancel each other out, so that there is no direction to search in.
            InvalidFilter, CorruptIndex.
        """
        return self._similar(tuple(key), SearchOptions.of(locals()), tuple(not_), warns=True)

    def _similar(
        self, like: tuple[str, ...], options: SearchOptions, unlike: tuple[str, ...] = (), warns: bool = False
    ) -> Hits:
        if both := set(like) & set(unlike):
            raise InvalidInput(
                f"the record {min(both)!r} is both an example and a counterexample", "Name it only once."
            )
        like, unlike = tuple(dict.fromkeys(like)), tuple(dict.fromkeys(unlike))
        with SEARCHES, self._snapshots.take() as snapshot:
            records = stored_records(snapshot, like + unlike)
            if warns and any(record.unknown for record in records) and (space := snapshot.manifest.space):
                warn(QueryUnknown(space.model, "the record"))
            rows = np.array([record.row for record in records])
            vectors = np.array(snapshot.vectors[rows])
            query = direction(vectors[: len(like)], vectors[len(like) :])
            view = self._accelerator.view(snapshot)
            without = np.union1d(rows, _excluded(snapshot, options))
            allowed = snapshot.allowed(options.where)
            ranker = Dense(view, query[None, :], [allowed], least=options.least(view), without=without)
            hits = run.search(view, ranker, options)[0]
            warnings = [*snapshot.unmatched(options.where, options.k), *unmatched(snapshot, options.by, [hits])]
        _warn(warnings)
        return hits

    @contextlib.contextmanager
    def _asked(
        self, queries: Sequence[str] | Any, options: SearchOptions, trace: Trace, progress: Progress | None = None
    ) -> Iterator[tuple[SnapshotView, Ranker, SecondStage | None]]:
        """A snapshot to search, the order of its records for these queries, and what orders the best of them again."""
        is_plain = options.mode == "dense" and options.rerank is None
        texts = [] if is_plain else texts_to_find(queries, options)
        compares_tokens = options.rerank == TOKENS
        is_encoded = options.mode != "lexical" or compares_tokens
        is_read = is_encoded or options.rerank is not None
        encoded = queries if options.mode == "dense" or not is_read else [encoded_part(text) for text in texts]
        cross: SecondStage | None = None
        if options.rerank is not None and not compares_tokens:
            cross = self._second_stages.cross(encoded, options.rerank, options.rerank_ms, progress)
            trace.lap("load")
        while True:
            space, vectors, stage = None, None, cross
            # Texts are encoded before the snapshot is taken, since that takes long; vectors are only checked.
            if is_encoded and are_texts(queries):
                space = self._space()
                read: dict[str, tuple[Tokens, FloatArray]] = {}
                keep = (lambda text, *states: read.__setitem__(text, states)) if compares_tokens else None  # noqa: B023
                vectors = None if options.mode == "lexical" else self._model.query_vectors(encoded, space, keep)
                stage = self._second_stages.tokens(encoded, space, options, read) if compares_tokens else cross
            with self._snapshots.take() as snapshot:
                if options.mode == "dense" and vectors is None:
                    space = snapshot.manifest.space
                    vectors = self._model.query_vectors(queries, space)
                needs_none = vectors is None and not compares_tokens
                if needs_none or snapshot.manifest.space == space:
                    view = self._accelerator.view(snapshot)
                    allowed, without = snapshot.allowed(options.where), _excluded(snapshot, options)
                    words = None if options.mode == "dense" else self._lexicon.of(snapshot)
                    if stage is not None:
                        stage.begin(snapshot)
                    trace.lap("filter")
                    order = ranker(view, vectors, words, texts, allowed, options, trace, without)
                    _warn([PhraseNotFound(phrases) for phrases in trace.loosened])
                    yield view, order, stage
                    return
            # The first add or a migration changed the space meanwhile; encode the queries again.

    def _space(self) -> Space | None:
        return self._manifest().space

    def _manifest(self) -> Manifest:
        with self._snapshots.borrow() as catalog:
            return catalog.manifest()


def stored_records(snapshot: Snapshot, keys: Sequence[str]) -> list[Stored]:
    """The records of these keys, whose vectors were checked; raises RecordNotFound."""
    records = _stored(snapshot, keys)
    snapshot.check(np.array([record.row for record in records]))
    return records


def _stored(snapshot: Snapshot, keys: Sequence[str]) -> list[Stored]:
    """The records of these keys; raises RecordNotFound."""
    found = snapshot.find(keys)
    for key in keys:
        if key not in found:
            raise RecordNotFound(key)
    return [found[key] for key in keys]


def _excluded(snapshot: Snapshot, options: SearchOptions) -> Rows:
    """The rows of the records that are left out; raises RecordNotFound."""
    if options.cursor is not None:  # since the first page, some may have been deleted
        return np.array([record.row for record in snapshot.find(options.exclude).values()], np.int64)
    keys = tuple(dict.fromkeys(options.exclude))
    return np.array([record.row for record in _stored(snapshot, keys)], np.int64)


def _warn(warnings: Sequence[VecindexWarning]) -> None:
    for warning in warnings:
        warn(warning)
