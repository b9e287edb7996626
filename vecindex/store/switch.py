"""How does an index change its embedding space: all vectors are replaced at once, and the old index is kept beside.

The new vectors come from a side index, an ordinary one with the same records in the other space.

1. Killed before the COMMIT: what is aside and the new files are leftovers; the next writer removes them, see `sides`.
2. Killed after it: the old files are orphans, likewise; the index aside has names of its own for them.
3. Something is refused before it: as 1, and what is left is removed at once.
4. Interrupted right after it: the switch is done, and nothing of it may be taken back.
5. A reader of the old generation keeps its mapping, and sees the new space with its next snapshot.
6. A record without a vector in the side index, or another text there: nothing changes. It was brought up to date under
   the lock, so this cannot be.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..encoders.spec import Space
from ..errors import VecindexError
from .backup import set_aside
from .cache import Entry, entry_crc, text_digest
from .catalog import Catalog
from .compact import PublishCodes
from .files import publish
from .manifest import Manifest
from .sides import aside_path, remove_side
from .snapshot import Snapshot, Snapshots
from .tables import Stored
from .vectors import ROWS_A_BLOCK, Sums, checksums, map_rows, remove_orphans, vector_file
from .writer import Writer

CatchUp = Callable[[Manifest], Snapshots | None]
"""Brings the side index up to date, while no other writer can change the old one, and hands it out; None: not now."""


def switch(
    folder: Path,
    snapshots: Snapshots,
    writer: Writer,
    catch_up: CatchUp,
    publish_codes: PublishCodes,
    space: Space,
) -> tuple[Manifest, Path] | None:
    """Gives the index the vectors of the side index, which are in ``space``.

    Returns what was committed, and where the index as it was is kept; None, and nothing was, where ``catch_up`` says
    so.

    Raises:
        IndexLocked, StorageError, CorruptIndex: the index is as it was.
    """
    with snapshots.borrow() as catalog, writer.locked() as manifest:
        side = catch_up(manifest)
        if side is None:
            return None
        aside = aside_path(folder, manifest, space)
        try:
            set_aside(snapshots, aside)
            after = _committed(folder, catalog, side, manifest, publish_codes)
        except BaseException:
            with contextlib.suppress(VecindexError):
                if catalog.manifest().vectors == manifest.vectors:  # else it was committed, and an interrupt came after
                    remove_orphans(folder, manifest.vectors, manifest.codes.names if manifest.codes else ())
                    remove_side(aside)
            raise
        remove_orphans(folder, after.vectors, after.codes.names if after.codes else ())
        return after, aside


def _committed(
    folder: Path, catalog: Catalog, side: Snapshots, manifest: Manifest, publish_codes: PublishCodes
) -> Manifest:
    """Writes the vectors of the side index in the order of the index's rows, and commits them."""
    live = catalog.live_rows()
    sums = np.zeros(len(live), np.uint32)
    usual = np.zeros(len(live), np.bool_)
    losses: list[tuple[Stored, int]] = []
    with side.take() as other:
        new = other.manifest
        after = replace(manifest, vectors=manifest.vectors + 1, rows=len(live), dead=0, codes=None)
        after = replace(after, space=new.space, written_by=new.written_by)
        path = vector_file(folder, after.vectors)

        def pieces() -> Iterator[memoryview]:
            for start in range(0, len(live), ROWS_A_BLOCK):
                stored = catalog.fetch(live[start : start + ROWS_A_BLOCK].tolist())
                found = other.find(record.key for record in stored)
                same = [_same(record, found) for record in stored]
                rows = np.array([record.row for record in same], np.int64)
                other.check(rows)
                block = np.ascontiguousarray(other.vectors[rows], dtype="<f4")
                sums[start : start + len(rows)] = checksums(block)
                usual[start : start + len(rows)] = _usual(same, other)
                losses.extend((o, s.lost) for o, s in zip(stored, same, strict=True) if o.lost != s.lost)
                yield block.data.cast("B")

        if len(live):
            publish(path, pieces())
    after = replace(after, codes=publish_codes(after, map_rows(path, after.rows, after.dimension)))
    with catalog.changing() as tables:
        tables.forget()
        tables.set_lost(losses)
        tables.renumber(live, sums)
        for start in range(0, len(live), ROWS_A_BLOCK):
            rows = start + np.flatnonzero(usual[start : start + ROWS_A_BLOCK])
            tables.remember(_entries(catalog.fetch(rows.tolist()), sums))
        tables.commit(after)
    return catalog.manifest()


def _same(record: Stored, found: dict[str, Stored]) -> Stored:
    other = found.get(record.key)
    if other is None or other.text != record.text:
        raise AssertionError(f"the side index was not brought up to date: {record.key!r}")  # a mistake of ours
    return other


def _usual(records: Sequence[Stored], side: Snapshot) -> list[bool]:
    """Whether each vector is what the model makes of the text in the usual way: the side index's cache alone knows.

    Others were given, or are means of parts, and the cache must not serve them as the model's own.
    """
    known = side.cached(record.text for record in records)
    entries = (known[record.text][0] if record.text in known else None for record in records)
    return [
        entry is not None and (entry.row, entry.lost) == (record.row, record.lost)
        for record, entry in zip(records, entries, strict=True)
    ]


def _entries(records: Sequence[Stored], sums: Sums) -> Iterator[Entry]:
    for record in records:
        digest = text_digest(record.text)
        yield Entry(digest, record.row, record.lost, entry_crc(digest, record.lost, int(sums[record.row])))
