"""How does an index get another model: its texts are encoded anew beside it, compared, and switched to at once.

What is in the side index (see `store.sides`) needs no encoding, so a migration that was killed goes on where it was.
The index as it was is kept likewise: a migration back begins with it, and encodes only what is new.

1. Killed while the side index is filled: whole commits of it stay, see `ingest`.
2. Records come, change and go meanwhile: they are looked for again until they are few, and the last time under the
   writer's lock, so that others wait for the encoding of those few at most.
3. Killed around the switch: see `store.switch`.
4. Killed after it: the side index is still there, of the space that the index has now; the next writer removes it.
5. All is encoded anew with the same model: nothing of it is taken over. Only a text that another process took out of
   the cache before the switch, to add it under another key, may come with its former vector after it.
6. Two migrations at once, or one whose work is dropped by another process: refused, by a lock of its own.
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

from ..encoders.load import INT8, LoadOptions, load_for_space, precision_here
from ..encoders.run.encoder import Encoder
from ..errors import Advice, InvalidInput, RecordNotFound, SpaceMismatch, StorageError
from ..evaluate.measures import ndcg, overlap
from ..store.compact import PublishCodes
from ..store.disk.lock import MIGRATION_LOCK_FILE, WriterLock
from ..store.manifest import Manifest
from ..store.side_indexes import begin_anew, begin_side, remove_side
from ..store.snapshot import Snapshot, Snapshots
from ..store.stored import Stored
from ..store.switch import switch
from ..store.vectors import Rows
from ..store.writer import Writer
from ..values.records import AddReport, Hit, Record, checked_query
from ..values.space import Precision, Space
from .long_texts import OnLong

SAMPLES = 50
"""Stored texts that are asked for in both spaces where no queries are given."""
K = 10
_RECORDS_A_READ = 1024
_FEW = 64
"""Records that came meanwhile and may be encoded while other writers wait: a second, with the slowest models."""
_ROUNDS = 10
"""After so many rounds others add as fast as this encodes: then they wait, or it would never end."""

Progress = Callable[[int, int], None]
"""Called with how many records have their new vector, and how many there are."""


@dataclass(frozen=True, slots=True)
class ChangedQuery:
    """A query with the keys that ``left`` its first ten hits, and those that ``came`` instead, best first."""

    query: str
    overlap: float
    left: tuple[str, ...]
    came: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What a migration did.

    ``before`` and ``after`` describe the spaces, ``encoded`` counts the texts that this run encoded. ``overlap`` is the
    mean share of the first ten hits that stayed, over ``queries`` queries, None without one; ``changed`` are these, the
    most changed first. ``ndcg_before`` and ``ndcg_after`` are the mean nDCG@10 over the judged queries, None where none
    is judged. ``kept`` is the directory of the index as it was, None where it was of that model already. ``truncated``
    texts are longer than the model reads, and ``tokens_lost`` of their tokens are not in their vectors now; the new
    model knows no token of ``unknown`` texts.
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


class Searched(Protocol):
    """What is asked of an index to compare it."""

    def __len__(self) -> int: ...
    def keys(self) -> list[str]: ...
    def get(self, key: str) -> Record: ...
    def search(self, query: str, k: int) -> list[Hit]: ...
    def _similar(self, key: str, k: int) -> list[Hit]: ...


class Filled(Searched, Protocol):
    """What is asked of the side index too."""

    def __enter__(self) -> Filled: ...
    def __exit__(self, *error: Any) -> None: ...
    def add(
        self, records: Iterable[Record], *, on_long: OnLong, progress: Callable[[AddReport], None]
    ) -> AddReport: ...
    def delete(self, keys: Iterable[str]) -> int: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What a migration needs of an open index in ``folder``."""

    folder: Path
    snapshots: Snapshots
    writer: Callable[[], AbstractContextManager[Writer]]
    publish_codes: PublishCodes
    open_side: Callable[[Path, Encoder], tuple[Filled, Snapshots]]


def own_model(space: Space | None, settings: LoadOptions, given: object = None) -> Encoder:
    """The model and revision of ``space``, in the precision and dimensions of ``settings``, where they say any.

    ``given`` is what the index was opened with: an encoder that is of that space needs no loading.

    Raises:
        InvalidInput: the index is empty, or its vectors were made elsewhere.
        SpaceMismatch: the model's files are others by now, or have fewer dimensions.
        ModelNotFound, UnsupportedModel.
    """
    if space is None:
        raise _nothing_to_migrate()
    if space.is_external:
        raise InvalidInput(
            f"the index holds vectors made elsewhere ({space.model})",
            Advice("Name the new model: model=.", typed="Name the new model: --model M."),
        )
    precision = cast(Precision, space.precision)
    if settings.precision and not (settings.precision == "int8" and precision in INT8):
        precision = precision_here(settings.precision) or precision
    asked = replace(space, precision=precision, dimension=settings.dimensions or space.dimension)
    if isinstance(given, Encoder) and given.space.fingerprint == asked.fingerprint:
        return given
    try:
        return load_for_space(asked, settings)
    except SpaceMismatch as error:
        if asked.dimension == space.dimension:
            raise
        what = "It has fewer dimensions than were asked for, or its files have changed: name the model with "
        advice = Advice(f"{what}model=.", typed=f"{what}--model.")
        raise SpaceMismatch(error.expected, error.found, error.differs, advice) from None


def _nothing_to_migrate() -> InvalidInput:
    return InvalidInput(
        "the index is empty",
        Advice(
            "There is nothing to migrate: add texts to a new one with model=.",
            typed="Add texts to a new one with --model: there is nothing to migrate.",
        ),
    )


def migrate(
    old: Searched,
    parts: Parts,
    encoder: Encoder,
    queries: Sequence[str] | Mapping[str, str] = (),
    qrels: Mapping[str, Mapping[str, float]] | None = None,
    progress: Progress | None = None,
    anew: bool = False,
) -> MigrationReport:
    """See `Index.migrate`; ``old`` is what is compared with."""
    with WriterLock(parts.folder, 0, MIGRATION_LOCK_FILE):
        return _migrate(old, parts, encoder, queries, qrels, progress, anew)


def _migrate(
    old: Searched,
    parts: Parts,
    encoder: Encoder,
    queries: Sequence[str] | Mapping[str, str],
    qrels: Mapping[str, Mapping[str, float]] | None,
    progress: Progress | None,
    anew: bool,
) -> MigrationReport:
    with parts.snapshots.take() as snapshot:
        before = snapshot.manifest.space
    if before is None or len(old) == 0:
        raise _nothing_to_migrate()
    if before.fingerprint == encoder.space.fingerprint and not anew:
        with parts.writer() as writer, writer.locked():
            pass  # scenario 4
        return MigrationReport(before.describe(), before.describe(), len(old), 0, 0, None, (), None, None, None)
    if qrels is not None and not (isinstance(queries, Mapping) and queries.keys() & qrels.keys()):
        raise InvalidInput(
            "the judgements (qrels) name none of the queries", "Give queries by the names that are used in them."
        )
    if queries:
        texts = [checked_query(text) for text in (queries.values() if isinstance(queries, Mapping) else queries)]
        _hits(old, texts[0])  # refused now, or never
    space, here = encoder.space, encoder.environment()
    path = begin_anew(parts.folder, space, here) if anew else begin_side(parts.folder, space)
    side, side_snapshots = parts.open_side(path, encoder)
    with side:
        filling = _Filling(parts.snapshots, side, side_snapshots, bool(space.max_tokens))
        filling.run(progress)
        changed, before_ndcg, after_ndcg = _compare(old, side, queries, qrels)
        switched = None
        for left in reversed(range(_ROUNDS)):
            with parts.writer() as writer:
                few = partial(filling.finish, _FEW if left else None)
                switched = switch(parts.folder, parts.snapshots, writer, few, parts.publish_codes, space)
            if switched is not None:
                break
            filling.run(progress)
        assert switched is not None  # the last round takes any number
        after, kept = switched
        with side_snapshots.take() as snapshot:
            truncated, tokens_lost, unknown = snapshot.losses()
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


@dataclass(frozen=True, slots=True, eq=False)
class _Whole:
    """What the index held when all of it was looked at: the ``keys`` of its live ``rows``, ascending."""

    manifest: Manifest
    rows: Rows
    keys: list[str]


class _Filling:
    """Gives the side index the index's records, no more and no less; ``encoded`` counts those that it did not have.

    A text of which the vector covers all is covered by the new one too: where it is too long for the new model, which
    has a ``limit``, by the mean of its parts. One that was truncated is truncated again.
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
        """The same under the writer's lock, when ``manifest`` stays; None if more than ``at_most`` are missing."""
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
        """The keys to look at, those that may be gone, or None for any, and what was looked at whole.

        Whatever is added or changed gets a row behind the others, until a compaction.
        """
        rows, whole = snapshot.allowed(None).rows(), self._whole
        if whole is None or whole.manifest.vectors != snapshot.manifest.vectors:
            whole = _Whole(snapshot.manifest, rows, snapshot.keys())
            return whole.keys, None, whole
        new = snapshot.fetch(rows[rows >= whole.manifest.rows].tolist())
        gone = np.flatnonzero(~np.isin(whole.rows, rows, assume_unique=True))
        return [record.key for record in new], [whole.keys[place] for place in gone.tolist()], whole

    def _stale(self, keys: Sequence[str], gone: Sequence[str] | None) -> set[str]:
        """What the side index holds and the index does not; ``keys`` are all, or all that came, as in `_changed`."""
        if gone is None:
            return set(self._side.keys()).difference(keys)
        with self._old.take() as old, self._new.take() as new:
            return new.find(gone).keys() - old.find(gone).keys()

    def _missing(self, keys: Sequence[str]) -> list[Stored]:
        with self._old.take() as old, self._new.take() as new:
            there = new.find(keys)
            wanted = old.find(keys)
        found = (wanted[key] for key in keys if key in wanted)
        return [each for each in found if each.key not in there or there[each.key].text != each.text]

    def _records(self, keys: Sequence[str]) -> Iterator[Record]:
        for window in _windows(keys):
            with self._old.take() as old:  # a short one each time: a reader of hours would keep the log from shrinking
                found = old.find(window)
            yield from (Record(found[key].text, key) for key in window if key in found)


def _windows(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    return (keys[start : start + _RECORDS_A_READ] for start in range(0, len(keys), _RECORDS_A_READ))


def _compare(
    old: Searched,
    new: Searched,
    queries: Sequence[str] | Mapping[str, str],
    qrels: Mapping[str, Mapping[str, float]] | None,
) -> tuple[list[ChangedQuery], float | None, float | None]:
    """How the first hits differ, by query, and the mean nDCG of both where there are judgements."""
    changed: list[ChangedQuery] = []
    gains: list[tuple[float, float]] = []
    named = queries.items() if isinstance(queries, Mapping) else ((text, text) for text in queries)
    asked = [(name, text, _hits(old, text), _hits(new, text)) for name, text in named]
    if not asked:
        there, keys = set(new.keys()), old.keys()  # others may have added records since, and may delete some now
        keys = [key for key in keys if key in there]
        for i in np.linspace(0, len(keys) - 1, min(len(keys), SAMPLES)).astype(int).tolist():
            with contextlib.suppress(RecordNotFound):
                asked.append((keys[i], old.get(keys[i]).text, _like(old, keys[i]), _like(new, keys[i])))
    for name, text, before, after in asked:
        left = tuple(key for key in before if key not in after)
        came = tuple(key for key in after if key not in before)
        changed.append(ChangedQuery(text, overlap(before, after), left, came))
        if qrels is not None and name in qrels:
            gains.append((ndcg(before, qrels[name], K), ndcg(after, qrels[name], K)))
    if not gains:
        return changed, None, None
    return changed, float(np.mean([b for b, _ in gains])), float(np.mean([a for _, a in gains]))


def _hits(index: Searched, text: str) -> list[str]:
    return [hit.key for hit in index.search(text, K)]


def _like(index: Searched, key: str) -> list[str]:
    return [hit.key for hit in index._similar(key, K)]
