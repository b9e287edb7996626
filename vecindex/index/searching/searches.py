"""Does the searches that `index.searcher` offers, each in one snapshot."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from itertools import chain, islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...errors import Advice, InvalidInput, RecordNotFound
from ...errors.warnings import QueryUnknown, RerankUnfinished, VecindexWarning, warn
from ...search import run
from ...search.dense.nearest import Trace
from ...search.dense.pace import SEARCHES
from ...search.listing import Listing
from ...search.options import TOKENS, SearchOptions
from ...search.paging.pages import check_question, first_pages, next_page
from ...search.rankers import Dense, Ranker, ranker
from ...search.rerank.second_stage import SecondStage
from ...search.run import SearchReport
from ...search.shaping.direction import direction
from ...search.shaping.grouping import unmatched
from ...search.together import Together
from ...search.view import Accelerator, SnapshotView
from ...store.manifest import Manifest
from ...store.snapshot import Snapshot
from ...store.stored import Stored
from ...store.vectors import Rows
from ...values.hits import Hits
from ...values.records import Hit
from ...values.space import Space
from ..model import IndexModel, encoded_part, give
from .questions import Questions
from .second_stages import Progress, SecondStages

if TYPE_CHECKING:
    from ...encoders.run.tokenized import FloatArray, Tokens
    from ...search.lexicon import Lexicon
    from ...search.rerank.stored_tokens import TokenStore


class Answer(NamedTuple):
    """The hits of one search, and what its thread has to be warned of."""

    hits: Hits
    warnings: Sequence[VecindexWarning]


class Searches(Listing):
    """The part of an `Index` that does what `Searcher` is asked for."""

    _model: IndexModel
    _accelerator: Accelerator

    @cached_property
    def _together(self) -> Together[Answer]:
        return Together()

    @cached_property
    def _lexicon(self) -> Lexicon:
        from ...search.lexicon import Lexicon  # a dense search needs none of it

        return Lexicon()

    @cached_property
    def _second_stages(self) -> SecondStages:
        return SecondStages(lambda: self._model)

    @property
    def _tokens(self) -> TokenStore:
        return self._second_stages.stored_tokens

    def _search_one(self, asked: Questions, options: SearchOptions, progress: Progress | None = None) -> Hits:
        """As `_search`, of a single question; together with those that other threads ask meanwhile, see `Together`."""
        if options.rerank is not None or options.cursor is not None:
            return self._search(asked, options, progress=progress)[0]
        answer = self._together.ask(asked, (asked.kind, options), partial(self._answers, options=options))
        for warning in answer.warnings:
            warn(warning)
        return answer.hits

    def _answers(self, several: Sequence[Questions], options: SearchOptions) -> list[Answer]:
        trace = Trace()
        every = self._found(Questions.joined(several), options, trace)
        return [
            Answer(hits, [warning for warning, query in trace.noticed if query in (None, number)])
            for number, hits in enumerate(every)
        ]

    def _search(
        self,
        asked: Questions,
        options: SearchOptions,
        trace: Trace | None = None,
        progress: Progress | None = None,
    ) -> list[Hits]:
        trace = trace or Trace()
        hits = self._found(asked, options, trace, progress)
        _warn(trace, len(asked))
        return hits

    def _found(
        self, asked: Questions, options: SearchOptions, trace: Trace, progress: Progress | None = None
    ) -> list[Hits]:
        with SEARCHES, self._ordered(asked, options, trace, progress) as (view, ranker, stage):
            singly = asked.singly()
            if options.cursor is None:
                hits = first_pages(view, ranker, singly, options, trace, stage)
            else:
                check_question(options.cursor, singly[0], options)
                hits = [next_page(view, ranker, singly[0], options, trace, stage)]
            if trace.orders is not None:
                from ...search.explained.explain_hits import explain_hits  # other searches need none of it

                encoder = partial(self._model.encoder, view.space)
                trace.explanations = explain_hits(ranker, stage, trace, encoder, hits[0])
                trace.lap("explain")
            trace.notice_all([*view.unmatched(options.where, options.k), *unmatched(view, options.by, hits)])
        if trace.reranked < trace.to_rerank:
            trace.notice(RerankUnfinished(trace.reranked, trace.to_rerank, options.rerank_ms))
        return hits

    def _explained(self, asked: Questions, options: SearchOptions) -> tuple[Hits, SearchReport]:
        trace = Trace(orders={})
        hits = self._search(asked, options, trace)[0]
        return hits, run.reported(options.mode, trace)

    def _all(self, asked: Questions, options: SearchOptions) -> Iterator[Hit]:
        hits = self._each(asked, options)
        return chain(list(islice(hits, 1)), hits)  # an error is raised now, and not when the hits are read

    def _each(self, asked: Questions, options: SearchOptions) -> Iterator[Hit]:
        trace = Trace()
        with self._ordered(asked, options, trace) as (view, ranker, _):
            trace.notice_all(view.unmatched(options.where))
            _warn(trace)
            yield from run.search_all(view, ranker, options)

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
            _check_vectors(records)
            rows = np.array([record.row for record in records])
            vectors = np.array(snapshot.vectors[rows])
            query = direction(vectors[: len(like)], vectors[len(like) :])
            view = self._accelerator.view(snapshot)
            without = np.union1d(rows, _excluded(snapshot, options))
            allowed = snapshot.allowed(options.where)
            ranker = Dense(view, query[None, :], [allowed], least=options.least(view), without=without)
            hits = run.search(view, ranker, options)[0]
            warnings = [*snapshot.unmatched(options.where, options.k), *unmatched(snapshot, options.by, [hits])]
        for warning in warnings:
            warn(warning)
        return hits

    @contextlib.contextmanager
    def _ordered(
        self, asked: Questions, options: SearchOptions, trace: Trace, progress: Progress | None = None
    ) -> Iterator[tuple[SnapshotView, Ranker, SecondStage | None]]:
        """A snapshot to search, the order of its records for what is asked, and what orders the best of them again."""
        asked.check(options)
        queries, are_texts = asked.queries, asked.are_texts
        is_plain = options.mode == "dense" and options.rerank is None
        texts = [] if is_plain else asked.texts(options)
        by_vectors, compares_tokens = options.mode != "lexical", options.rerank == TOKENS
        is_encoded = are_texts and (compares_tokens or (by_vectors and asked.vectors is None))
        is_read = is_encoded or options.rerank is not None
        encoded = queries if options.mode == "dense" or not is_read else [encoded_part(text) for text in texts]
        stage: SecondStage | None = None
        if options.rerank is not None and not compares_tokens:
            stage = self._second_stages.cross(encoded, options.rerank, options.rerank_ms, progress)
            trace.lap("load")
        while True:
            space, vectors = None, None
            # Texts are encoded before the snapshot is taken, since that takes long; vectors are only checked.
            if is_encoded:
                manifest = self._manifest()
                space = manifest.space
                read: dict[str, tuple[Tokens, FloatArray]] = {}
                keep = (lambda text, *states: read.__setitem__(text, states)) if compares_tokens else None  # noqa: B023
                if by_vectors:
                    vectors = self._model.query_vectors(encoded, space, keep, trace.notice)
                if compares_tokens:
                    has_any = manifest.records > 0
                    stage = self._second_stages.tokens(encoded, space, options, read, has_any)
            with self._snapshots.take() as snapshot:
                if is_encoded and snapshot.manifest.space != space:
                    continue  # the first add or a migration changed it meanwhile: encode again
                if by_vectors and (vectors is None or asked.vectors is not None):
                    vectors = asked.unit_vectors(snapshot.manifest.space)
                view = self._accelerator.view(snapshot)
                allowed, without = snapshot.allowed(options.where), _excluded(snapshot, options)
                words = None if options.mode == "dense" else self._lexicon.of(snapshot)
                if stage is not None:
                    stage.begin(snapshot)
                trace.lap("filter")
                order = ranker(view, vectors, words, texts, allowed, options, trace, without)
                yield view, order, stage
                return

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


def _check_vectors(records: Sequence[Stored]) -> None:
    """Raises InvalidInput if one of the records has no vector to compare others with."""
    for record in records:
        if not record.has_vector:
            raise InvalidInput(
                f"the record {record.key!r} has no vector",
                Advice(
                    "Give it one with index.encode_missing(), or search for its text with mode='lexical'.",
                    typed="Give it one with `vecindex encode-missing`, or search for its text with --mode lexical.",
                ),
            )


def _excluded(snapshot: Snapshot, options: SearchOptions) -> Rows:
    """The rows of the records that are left out; raises RecordNotFound."""
    if options.cursor is not None:  # since the first page, some may have been deleted
        return np.array([record.row for record in snapshot.find(options.exclude).values()], np.int64)
    keys = tuple(dict.fromkeys(options.exclude))
    return np.array([record.row for record in _stored(snapshot, keys)], np.int64)


def _warn(trace: Trace, count: int = 1) -> None:
    """Warns of what was noticed about so many queries."""
    for warning, query in trace.noticed:
        give(warning, query if count > 1 else None)
