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
from ...search.rankers import Ranker, ranker
from ...search.rerank.second_stage import SecondStage
from ...search.run import SearchReport
from ...search.shaping.direction import direction
from ...search.shaping.grouping import unmatched
from ...search.sides import Dense
from ...search.together import Together
from ...search.view import Accelerator, SnapshotView
from ...store.manifest import Manifest
from ...store.snapshot import Snapshot
from ...store.stored import Stored
from ...store.vectors import Rows
from ...values.hits import Hits
from ...values.records import Hit
from ...values.space import Space
from ..model import IndexModel, give
from .encodings import Encodings
from .questions import Questions
from .second_stages import Progress, SecondStages

if TYPE_CHECKING:
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

    @cached_property
    def _encoded_together(self) -> Together[Encodings]:
        return Together(1)  # one batch uses all cores, and what comes meanwhile is the next one

    def _search_one(self, asked: Questions, options: SearchOptions, progress: Progress | None = None) -> Hits:
        """As `_search`, of a single question; together with those that other threads ask meanwhile, see `Together`.

        Their texts are encoded together whatever their options are, and then those with equal options are searched for.
        """
        asked.check(options)
        if asked.is_encoded(options):
            keeps_tokens = options.rerank == TOKENS
            encode = partial(self._encodings, keeps_tokens=keeps_tokens)
            asked = asked.with_encodings(self._encoded_together.ask(asked.read(options)[0], keeps_tokens, encode))
        if options.rerank is not None or options.cursor is not None:
            return self._search(asked, options, progress=progress)[0]
        answer = self._together.ask(asked, (asked.kind, options), partial(self._answers, options=options))
        for warning in answer.warnings:
            warn(warning)
        return answer.hits

    def _encodings(self, texts: Sequence[str], keeps_tokens: bool) -> list[Encodings]:
        with SEARCHES:
            return Encodings.of(texts, self._model, self._manifest(), keeps_tokens).singly()

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
            if hits:  # of no queries there is nothing to explain
                self._explain(view, ranker, stage, trace, hits[0])
            trace.notice_all([*view.unmatched(options.where, options.k), *unmatched(view, options.by, hits)])
        if trace.reranked < trace.to_rerank:
            trace.notice(RerankUnfinished(trace.reranked, trace.to_rerank, options.rerank_ms))
        return hits

    def _explained(self, asked: Questions, options: SearchOptions) -> tuple[Hits, SearchReport]:
        trace = Trace(orders={})
        hits = self._search(asked, options, trace)[0]
        return hits, run.reported(options.mode, trace)

    def _explain(self, view: SnapshotView, ranker: Ranker, stage: SecondStage | None, trace: Trace, hits: Hits) -> None:
        """Adds to the trace why each hit is there, if it was to keep what that is told from."""
        if trace.orders is not None:
            from ...search.explained.explain_hits import explain_hits  # other searches need none of it

            trace.explanations = explain_hits(ranker, stage, trace, partial(self._model.encoder, view.space), hits)
            trace.lap("explain")

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
        self,
        like: tuple[str, ...],
        options: SearchOptions,
        unlike: tuple[str, ...] = (),
        warns: bool = False,
        trace: Trace | None = None,
    ) -> Hits:
        trace = trace or Trace()
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
            trace.lap("filter")
            ranker = Dense(view, query[None, :], [allowed], trace, options.least(view), without)
            hits = run.search(view, ranker, options, trace)[0]
            self._explain(view, ranker, None, trace, hits)
            warnings = [*snapshot.unmatched(options.where, options.k), *unmatched(snapshot, options.by, [hits])]
        for warning in warnings:
            warn(warning)
        return hits

    def _similar_explained(
        self, like: tuple[str, ...], options: SearchOptions, unlike: tuple[str, ...]
    ) -> tuple[Hits, SearchReport]:
        trace = Trace(orders={})
        hits = self._similar(like, options, unlike, True, trace)
        return hits, run.reported(options.mode, trace)

    @contextlib.contextmanager
    def _ordered(
        self, asked: Questions, options: SearchOptions, trace: Trace, progress: Progress | None = None
    ) -> Iterator[tuple[SnapshotView, Ranker, SecondStage | None]]:
        """A snapshot to search, the order of its records for what is asked, and what orders the best of them again."""
        asked.check(options)
        is_encoded = asked.is_encoded(options)
        compares_tokens = options.rerank == TOKENS and asked.are_texts
        is_plain = options.mode == "dense" and options.rerank is None
        texts = [] if is_plain else asked.texts(options)
        read = asked.read(options) if is_encoded or options.rerank is not None else []
        stage: SecondStage | None = None
        if options.rerank not in (None, TOKENS):
            stage = self._second_stages.cross(read, options.rerank, options.rerank_ms, progress)
            trace.lap("load")
        encodings = asked.encodings
        while True:
            # Texts are encoded before the snapshot is taken, since that takes long; vectors are only checked.
            manifest = encodings.manifest if encodings else None
            if manifest is None and (is_encoded or compares_tokens):
                manifest = self._manifest()
                encodings = Encodings.of(read, self._model, manifest, compares_tokens) if is_encoded else None
            if manifest is not None and compares_tokens:
                known = encodings.read if encodings else {}
                stage = self._second_stages.tokens(read, manifest.space, options, known, manifest.records > 0)
            with self._snapshots.take() as snapshot:
                if manifest is not None and snapshot.manifest.space != manifest.space:
                    encodings = None
                    continue  # the first add or a migration changed it meanwhile: encode again
                vectors = None if encodings is None else encodings.vectors
                if options.mode != "lexical" and (vectors is None or asked.vectors is not None):
                    vectors = asked.unit_vectors(snapshot.manifest.space)
                for warning, place in encodings.noticed if encodings else ():
                    trace.notice(warning, place)
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
