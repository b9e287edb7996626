"""How an index changes its model: a side index encodes the texts with the new one, is compared, and takes its place.

What the side index already holds (see `store.side_indexes`) is not encoded again, so a migration that was killed
continues. The old index is kept in the same way: migrating back starts from it and encodes only what is new.

1. Killed while the side index is filled: whole commits stay; see `add`.
2. Records are added, changed or deleted meanwhile: rounds of catching up repeat until few are left. The last round
   holds the writer's lock, so other writers wait only while those few are encoded.
3. Killed around the switch: see `store.switch`.
4. Killed after it: the side index is still there, with the space that the index has now; the next writer removes it.
5. Everything is encoded again with the same model: no stored vector is reused. Only a text that another process took
   from the cache before the switch, and added under another key after it, keeps its old vector.
6. Two migrations at once, or one whose side index another process wants to drop: a lock of its own refuses the second.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from ..encoders.load import INT8, load_for_space, precision_here
from ..encoders.run.encoder import Encoder
from ..errors import Advice, InvalidInput, SpaceMismatch, StorageError
from ..store.compact import Derive
from ..store.disk.lock import MIGRATION_LOCK_FILE, WriterLock
from ..store.manifest import Manifest
from ..store.side_indexes import begin_anew, begin_side, remove_side
from ..store.snapshot import Snapshot, Snapshots
from ..store.stored import Stored
from ..store.switch import switch
from ..store.vectors import Rows
from ..store.writer import Writer
from ..values.records import AddReport, Record
from ..values.space import Precision, Space
from ..values.texts import checked_query
from .adding.long_texts import OnLong
from .comparing import ChangedQuery, Searched, compare, hits_of
from .model import IndexModel, Model

_RECORDS_A_READ = 1024
_FEW = 64
"""New records that may be encoded while other writers wait: one second with the slowest models."""
_ROUNDS = 10
"""After this many rounds other writers are as fast as this one, and must wait for it to end."""

Progress = Callable[[int, int], None]
"""Called with the number of records that have their new vector, and the number of all records."""


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What a migration did.

    ``before`` and ``after`` describe the spaces; ``encoded`` counts the texts that this run encoded. ``overlap`` is the
    mean share of the first ten hits that stayed, over ``queries`` queries; None without queries. ``changed`` lists the
    queries, the most changed first. ``ndcg_before`` and ``ndcg_after`` are the mean nDCG@10 over the judged queries;
    None without any. ``kept`` is the directory of the old index; None if the index already had that model.
    ``truncated`` counts texts longer than the model reads, ``tokens_lost`` the tokens that their vectors do not cover,
    ``unknown`` the texts in which the new model knows no token.
    """

    before: str
    after: str
    records: int
    encoded: int
    queries: int
    overlap: float | None
    changed: tuple[ChangedQuery, ...]
    ndcg_before: float | None
    ndcg_after: float | None
    kept: str | None
    truncated: int = 0
    tokens_lost: int = 0
    unknown: int = 0


class Filled(Searched, Protocol):
    """What filling the side index needs of it as well."""

    def __enter__(self) -> Filled: ...
    def __exit__(self, *error: Any) -> None: ...
    def add(
        self, records: Iterable[Record], *, on_long: OnLong, progress: Callable[[AddReport], None]
    ) -> AddReport: ...
    def delete(self, keys: Iterable[str]) -> int: ...


def target_encoder(
    current: IndexModel,
    space: Space | None,
    model: Model | None,
    precision: Precision | None,
    dimensions: int | None,
    records: int,
) -> Encoder:
    """The encoder to migrate to; ``space`` is the index's, which has so many ``records``.

    See `Index.migrate` for the other arguments and errors.
    """
    options = replace(
        current.settings,
        precision=precision or current.settings.precision,
        dimensions=dimensions or current.settings.dimensions,
    )
    if model is not None:
        return IndexModel(model, options).encoder(None)
    if space is None:
        raise _empty(records)
    if space.is_external:
        raise InvalidInput(
            f"the index holds vectors made elsewhere ({space.model})",
            Advice("Name the new model: model=.", typed="Name the new model: --model M."),
        )
    own = cast(Precision, space.precision)
    if options.precision and not (options.precision == "int8" and own in INT8):
        own = precision_here(options.precision) or own
    asked = replace(space, precision=own, dimension=options.dimensions or space.dimension)
    if isinstance(current.model, Encoder) and current.model.space.fingerprint == asked.fingerprint:
        return current.model
    try:
        return load_for_space(asked, options)
    except SpaceMismatch as error:
        if asked.dimension == space.dimension:
            raise
        what = "The model has fewer dimensions than that, or its files have changed: name the model with "
        advice = Advice(f"{what}model=.", typed=f"{what}--model.")
        raise SpaceMismatch(error.expected, error.found, error.differs, advice) from None


def _empty(records: int) -> InvalidInput:
    if records:
        return InvalidInput(
            "no record of the index has a vector, and so there is no model to change",
            Advice(
                "Encode them with the new model: vecindex.open(path, model=...).encode_missing().",
                typed="Encode them with the new model: vecindex encode-missing --model M.",
            ),
        )
    return InvalidInput(
        "the index is empty",
        Advice(
            "There is nothing to migrate: add texts to a new index with model=.",
            typed="There is nothing to migrate: add texts to a new index with --model.",
        ),
    )


@dataclass(frozen=True, slots=True)
class Migration:
    """What a migration uses of the open index in ``folder``."""

    folder: Path
    snapshots: Snapshots
    writer: Callable[[], AbstractContextManager[Writer]]
    derive: Derive
    open_side: Callable[[Path, Encoder], tuple[Filled, Snapshots]]

    def run(
        self,
        old: Searched,
        encoder: Encoder,
        queries: Sequence[str] | Mapping[str, str] = (),
        qrels: Mapping[str, Mapping[str, float]] | None = None,
        *,
        progress: Progress | None = None,
        anew: bool = False,
    ) -> MigrationReport:
        """See `Index.migrate`; ``old`` is what the side index is compared with."""
        with WriterLock(self.folder, 0, MIGRATION_LOCK_FILE):
            with self.snapshots.take() as snapshot:
                before = snapshot.manifest.space
            if before is None or len(old) == 0:
                raise _empty(len(old))
            if before.fingerprint == encoder.space.fingerprint and not anew:
                with self.writer() as writer, writer.locked():
                    pass  # scenario 4
                same = before.describe()
                return MigrationReport(same, same, len(old), 0, 0, None, (), None, None, None)
            _check_queries(old, queries, qrels)
            return self._run(old, encoder, before, queries, qrels, progress, anew)

    def _run(
        self,
        old: Searched,
        encoder: Encoder,
        before: Space,
        queries: Sequence[str] | Mapping[str, str],
        qrels: Mapping[str, Mapping[str, float]] | None,
        progress: Progress | None,
        anew: bool,
    ) -> MigrationReport:
        space = encoder.space
        here = encoder.environment()
        path = begin_anew(self.folder, space, here) if anew else begin_side(self.folder, space)
        side, side_snapshots = self.open_side(path, encoder)
        with side:
            filling = _Filling(self.snapshots, side, side_snapshots, bool(space.max_tokens))
            filling.run(progress)
            changed, before_ndcg, after_ndcg = compare(old, side, queries, qrels)
            switched = None
            for left in reversed(range(_ROUNDS)):
                with self.writer() as writer:
                    few = partial(filling.finish, _FEW if left else None)
                    switched = switch(self.folder, self.snapshots, writer, few, self.derive, space)
                if switched is not None:
                    break
                filling.run(progress)
            assert switched is not None  # the last round takes any number
            after, kept = switched
            with side_snapshots.take() as snapshot:
                truncated, tokens_lost, unknown, _ = snapshot.losses()
        with contextlib.suppress(StorageError):  # scenario 4
            remove_side(path)
        return MigrationReport(
            before=before.describe(),
            after=space.describe(),
            records=after.records,
            encoded=filling.encoded,
            queries=len(changed),
            overlap=float(np.mean([each.overlap for each in changed])) if changed else None,
            changed=tuple(sorted(changed, key=lambda each: each.overlap)),
            ndcg_before=before_ndcg,
            ndcg_after=after_ndcg,
            kept=str(kept),
            truncated=truncated,
            tokens_lost=tokens_lost,
            unknown=unknown,
        )


def _check_queries(
    old: Searched, queries: Sequence[str] | Mapping[str, str], qrels: Mapping[str, Mapping[str, float]] | None
) -> None:
    """Raises InvalidInput or SpaceMismatch now rather than after hours of encoding."""
    if qrels is not None and not (isinstance(queries, Mapping) and queries.keys() & qrels.keys()):
        raise InvalidInput(
            "the judgements (qrels) name none of the queries", "Name the queries as the judgements name them."
        )
    if queries:
        texts = [checked_query(text) for text in (queries.values() if isinstance(queries, Mapping) else queries)]
        hits_of(old, texts[0])


@dataclass(frozen=True, slots=True, eq=False)
class _Whole:
    """What the index held when all of it was last read: the ``keys`` of its live ``rows``, ascending."""

    manifest: Manifest
    rows: Rows
    keys: list[str]
    has_places: bool


class _Filling:
    """Gives the side index exactly the index's records; ``encoded`` counts those that it did not have.

    Records without a vector are left out, and stay without one. A text that its old vector covers whole is covered
    whole again: if it is too long for the new model, which has a ``limit``, by the mean of its parts. A text that was
    truncated is truncated again.
    """

    def __init__(self, snapshots: Snapshots, side: Filled, side_snapshots: Snapshots, limit: bool) -> None:
        self._old, self._side, self._new, self._limit = snapshots, side, side_snapshots, limit
        self._seen = -1
        self._whole: _Whole | None = None
        self.encoded = 0

    def run(self, progress: Progress | None) -> None:
        """Brings the side index up to what is committed now."""
        self._run(progress, None)

    def finish(self, at_most: int | None, manifest: Manifest) -> Snapshots | None:
        """As `run`, with the writer's lock on ``manifest``; None if more than ``at_most`` records are missing."""
        if manifest.generation != self._seen and not self._run(None, at_most):
            return None
        return self._new

    def _run(self, progress: Progress | None, at_most: int | None) -> bool:
        with self._old.take() as snapshot:
            generation, records = snapshot.manifest.generation, snapshot.records
            keys, gone, whole = self._changed(snapshot)
        missing: dict[OnLong, list[str]] = {"truncate": [], "mean": []}
        for window in _windows(keys):
            for record in self._missing(window):
                missing["truncate" if record.tokens_lost or not self._limit else "mean"].append(record.key)
        count = sum(map(len, missing.values()))
        if at_most is not None and count > at_most:
            return False
        done = records - count

        def report(added: AddReport) -> None:
            if progress is not None:
                progress(done + added.added + added.updated + added.unchanged, records)

        for on_long, those in missing.items():
            added = self._side.add(self._records(those), on_long=on_long, progress=report)
            self.encoded += added.added + added.updated
            done += len(those)
        if stale := self._stale(keys, gone):
            self._side.delete(stale)
        self._seen, self._whole = generation, whole
        return True

    def _changed(self, snapshot: Snapshot) -> tuple[list[str], list[str] | None, _Whole]:
        """The keys to look at, the keys that may be gone (None: any), and the last full reading.

        Until a compaction, every added or changed record gets a row after all others. Only sentences of documents, and
        what a moved file holds, get other keys and keep their rows.
        """
        rows, whole = snapshot.allowed(None).rows(), self._whole
        if whole is None or whole.manifest.vectors != snapshot.manifest.vectors:
            whole = _Whole(snapshot.manifest, rows, snapshot.keys(), snapshot.has_places())
            return whole.keys, None, whole
        if whole.has_places or snapshot.has_places():
            before = dict(zip(whole.rows.tolist(), whole.keys, strict=True))
            now = dict(zip(rows.tolist(), snapshot.keys(), strict=True))
            left = [key for row, key in before.items() if now.get(row) != key]
            return [key for row, key in now.items() if before.get(row) != key], left, whole
        new = snapshot.fetch(rows[rows >= whole.manifest.rows].tolist())
        gone = np.flatnonzero(~np.isin(whole.rows, rows, assume_unique=True))
        return [record.key for record in new], [whole.keys[place] for place in gone.tolist()], whole

    def _stale(self, keys: Sequence[str], gone: Sequence[str] | None) -> set[str]:
        """The keys that only the side index holds; ``keys`` and ``gone`` are those of `_changed`."""
        if gone is None:
            return set(self._side.keys()).difference(keys)
        with self._old.take() as old, self._new.take() as new:
            return new.find(gone).keys() - old.find(gone).keys()

    def _missing(self, keys: Sequence[str]) -> list[Stored]:
        with self._old.take() as old, self._new.take() as new:
            there = new.find(keys)
            wanted = old.find(keys)
        found = (wanted[key] for key in keys if key in wanted)
        return [each for each in found if each.has_vector and not _has(there, each)]

    def _records(self, keys: Sequence[str]) -> Iterator[Record]:
        for window in _windows(keys):
            with self._old.take() as old:  # briefly: a reader of hours would keep the log from shrinking
                found = old.find(window)
            yield from (Record(found[key].text, key) for key in window if key in found)


def _has(there: Mapping[str, Stored], record: Stored) -> bool:
    other = there.get(record.key)
    return other is not None and other.text == record.text and other.has_vector


def _windows(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    return (keys[start : start + _RECORDS_A_READ] for start in range(0, len(keys), _RECORDS_A_READ))
