"""How does an index get another model: its texts are encoded anew beside it, compared, and switched to at once.

What is in the side index (see `store.sides`) needs no encoding, so a migration that was killed goes on where it was.
The index as it was is kept likewise: a migration back begins with it, and encodes only what is new.

1. Killed while the side index is filled: whole commits of it stay, see `ingest`.
2. Records come, change and go meanwhile: they are looked for again, the last time under the writer's lock.
3. Killed around the switch: see `store.switch`.
4. Killed after it: the side index is still there, of the space that the index has now; the next migration removes it.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .encoders.encoder import Encoder
from .errors import InvalidInput, RecordNotFound
from .measures import ndcg, overlap
from .records import AddReport, Hit, Record
from .store.compact import PublishCodes
from .store.sides import Side, side_path
from .store.snapshot import Snapshots
from .store.switch import switch
from .store.writer import Writer

SAMPLES = 50
"""Stored texts that are asked for in both spaces where no queries are given."""
K = 10
_RECORDS_A_READ = 1024

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
    is judged. ``kept`` is the directory of the index as it was, None where it was of that model already.
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


class Searched(Protocol):
    """What is asked of an index to compare it."""

    def __len__(self) -> int: ...
    def keys(self) -> list[str]: ...
    def get(self, key: str) -> Record: ...
    def search(self, query: str, k: int) -> list[Hit]: ...
    def similar(self, key: str, k: int) -> list[Hit]: ...


class Filled(Searched, Protocol):
    """What is asked of the side index too."""

    def __enter__(self) -> Filled: ...
    def __exit__(self, *error: Any) -> None: ...
    def add(self, records: Iterable[Record], *, progress: Callable[[AddReport], None]) -> AddReport: ...
    def delete(self, keys: Iterable[str]) -> int: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What a migration needs of an open index in ``folder``."""

    folder: Path
    snapshots: Snapshots
    writer: Callable[[], AbstractContextManager[Writer]]
    publish_codes: PublishCodes
    open_side: Callable[[Path, Encoder], tuple[Filled, Snapshots]]


def migrate(
    old: Searched,
    parts: Parts,
    encoder: Encoder,
    queries: Sequence[str] | Mapping[str, str] = (),
    qrels: Mapping[str, Mapping[str, float]] | None = None,
    progress: Progress | None = None,
) -> MigrationReport:
    """See `Index.migrate`."""
    with parts.snapshots.take() as snapshot:
        before = snapshot.manifest.space
    if before is None:
        raise InvalidInput("the index is empty", "Add texts with --model instead: there is nothing to migrate.")
    path = side_path(parts.folder, encoder.space, Side.NEXT)
    if before.fingerprint == encoder.space.fingerprint:
        shutil.rmtree(path, ignore_errors=True)  # scenario 4
        return MigrationReport(before.describe(), before.describe(), len(old), 0, 0, None, (), None, None, None)
    kept = side_path(parts.folder, before, Side.KEPT)
    returning = side_path(parts.folder, encoder.space, Side.KEPT)
    if returning.is_dir() and not path.exists():
        returning.rename(path)
    side, side_snapshots = parts.open_side(path, encoder)
    with side:
        encoded = _bring_up_to_date(parts.snapshots, side, progress)
        changed, before_ndcg, after_ndcg = _compare(old, side, queries, qrels)

        def catch_up() -> Snapshots:
            nonlocal encoded
            encoded += _bring_up_to_date(parts.snapshots, side, None)
            return side_snapshots

        with parts.writer() as writer:
            after = switch(parts.folder, parts.snapshots, writer, catch_up, parts.publish_codes, kept)
    shutil.rmtree(path, ignore_errors=True)
    return MigrationReport(
        before=before.describe(),
        after=encoder.space.describe(),
        records=after.records,
        encoded=encoded,
        queries=len(changed),
        overlap=float(np.mean([each.overlap for each in changed])) if changed else None,
        changed=tuple(sorted(changed, key=lambda each: each.overlap)),
        ndcg_before=before_ndcg,
        ndcg_after=after_ndcg,
        kept=str(kept),
    )


def _bring_up_to_date(snapshots: Snapshots, side: Filled, progress: Progress | None) -> int:
    """Gives the side index the index's records, no more and no less; returns how many it did not have."""
    with snapshots.take() as snapshot:
        keys = snapshot.keys()

    def records() -> Iterator[Record]:
        for start in range(0, len(keys), _RECORDS_A_READ):
            with snapshots.take() as now:  # a short one each time: a reader of hours would keep the log from shrinking
                found = now.find(keys[start : start + _RECORDS_A_READ])
                window = [Record(each.text, key, now.metadata(each)) for key, each in found.items()]
            yield from window

    def report(done: AddReport) -> None:
        if progress is not None:
            progress(done.added + done.updated + done.unchanged, len(keys))

    added = side.add(records(), progress=report)
    with snapshots.take() as snapshot:
        stale = set(side.keys()).difference(snapshot.keys())
    if stale:
        side.delete(stale)
    return added.added + added.updated


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
    return [hit.key for hit in index.similar(key, K)]
