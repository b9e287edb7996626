"""Switches an index to another embedding space: replaces all vectors at once, and keeps the old index inside it.

The new vectors come from a side index, an ordinary index with the same records in the other space.

1. Killed before the COMMIT: the kept index and the new files are leftovers, which the next writer removes; see
   `side_indexes`.
2. Killed after it: the old files are orphans, likewise; the kept index has its own names (hard links) for them.
3. An error before it: as 1, but the leftovers are removed at once.
4. Interrupted right after it: the switch is done, and nothing of it may be undone.
5. A reader of the old generation keeps its mapping, and sees the new space with its next snapshot.
6. A record that has no vector, or another text, in the side index: nothing changes. This cannot happen, since the side
   index was brought up to date under the lock. A record without a vector stays so, whatever the side index has.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import VecindexError
from ..values.space import Space
from .backup import set_aside
from .compact import Derive
from .disk.files import publish
from .manifest import Manifest
from .side_indexes import kept_path, remove_side
from .snapshot import Snapshot, Snapshots
from .sql.reads import Catalog
from .stored import Stored
from .text_cache import Entry, entry_crc
from .vectors import ROWS_A_BLOCK, Rows, Sums, checksums, map_rows, remove_orphans, vector_file
from .writer import Writer

CatchUp = Callable[[Manifest], Snapshots | None]
"""Brings the side index up to date and returns it, called under the writer's lock; None if that would take long."""


def switch(
    folder: Path,
    snapshots: Snapshots,
    writer: Writer,
    catch_up: CatchUp,
    derive: Derive,
    space: Space,
) -> tuple[Manifest, Path] | None:
    """Gives the index the vectors of the side index, which are in ``space``.

    Returns what was committed and where the old index is kept; None if ``catch_up`` returned None and nothing changed.

    Raises:
        IndexLocked, StorageError, CorruptIndex: the index is unchanged.
    """
    with snapshots.borrow() as catalog, writer.locked() as manifest:
        side = catch_up(manifest)
        if side is None:
            return None
        aside = kept_path(folder, manifest, space)
        try:
            set_aside(snapshots, aside)
            after = _committed(folder, catalog, side, manifest, derive, space)
        except BaseException:
            with contextlib.suppress(VecindexError):
                if catalog.manifest().vectors == manifest.vectors:  # else an interrupt came after the commit
                    remove_orphans(folder, manifest.vectors, manifest.derived)
                    remove_side(aside)
            raise
        remove_orphans(folder, after.vectors, after.derived)
        return after, aside


def _committed(
    folder: Path, catalog: Catalog, side: Snapshots, manifest: Manifest, derive: Derive, space: Space
) -> Manifest:
    """Writes the vectors of the side index in the order of the index's live rows, and commits them."""
    live = catalog.live_rows(manifest.rows)
    sums = np.zeros(len(live), np.uint32)
    digests, lost = np.zeros((len(live), 16), np.uint8), np.full(len(live), -1, np.int64)  # -1: not for the cache
    losses: list[tuple[Stored, int]] = []
    with side.take() as other:
        new = other.manifest
        after = replace(manifest, vectors=manifest.vectors + 1, rows=len(live), dead=0, codes=None, background=None)
        after = replace(after, space=new.space or space, written_by=new.written_by)
        after = replace(after, tokens=manifest.tokens and manifest.tokens.without_segments())  # of the old model
        path = vector_file(folder, after.vectors)

        def pieces() -> Iterator[memoryview]:
            for start in range(0, len(live), ROWS_A_BLOCK):
                every = catalog.fetch(live[start : start + ROWS_A_BLOCK].tolist())
                places = [place for place, record in enumerate(every) if record.has_vector]
                stored = [every[place] for place in places]
                found = other.find(record.key for record in stored)
                same = [_same(record, found) for record in stored]
                rows = np.array([record.row for record in same], np.int64)
                other.check(rows)
                block = np.zeros((len(every), after.dimension), "<f4")
                if places:
                    block[places] = other.vectors[rows]
                sums[start : start + len(every)] = checksums(block)
                for place, entry in zip(places, _usual(same, other), strict=True):
                    if entry is not None:
                        digests[start + place] = np.frombuffer(entry.digest, np.uint8)
                        lost[start + place] = entry.lost
                losses.extend((o, s.lost) for o, s in zip(stored, same, strict=True) if o.lost != s.lost)
                yield block.data.cast("B")

        if len(live):
            publish(path, pieces())
    after = derive(after, map_rows(path, after.rows, after.dimension), live, sums)
    with catalog.changing() as tables:
        tables.forget()
        tables.set_lost(losses)
        tables.renumber(live, sums)
        for start in range(0, len(live), ROWS_A_BLOCK):
            rows = start + np.flatnonzero(lost[start : start + ROWS_A_BLOCK] >= 0)
            tables.remember(_entries(rows, digests, lost, sums))
        tables.commit(after)
    return catalog.manifest()


def _same(record: Stored, found: dict[str, Stored]) -> Stored:
    other = found.get(record.key)
    if other is None or other.text != record.text or not other.has_vector:
        raise AssertionError(f"the side index was not brought up to date: {record.key!r}")
    return other


def _usual(records: Sequence[Stored], side: Snapshot) -> Iterator[Entry | None]:
    """The cache's entry of each record whose vector the model made of its text in the usual way, else None.

    Only the side index's cache knows. Vectors that were given, or are means of parts, must not get into the cache.
    """
    known = side.cached(record.text for record in records)
    for record in records:
        entry = known[record.text][0] if record.text in known else None
        yield entry if entry and (entry.row, entry.lost) == (record.row, record.lost) else None


def _entries(rows: Rows, digests: npt.NDArray[np.uint8], lost: Rows, sums: Sums) -> Iterator[Entry]:
    for row in rows.tolist():
        digest, tokens = digests[row].tobytes(), int(lost[row])
        yield Entry(digest, row, tokens, entry_crc(digest, tokens, int(sums[row])))
