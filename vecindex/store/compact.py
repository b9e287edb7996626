"""Frees the space of dead rows: writes a new vector file without them, then renumbers the rows in one transaction.

1. Killed before the COMMIT: the new files are orphans, which the next writer removes.
2. Killed after it: the old files are orphans, likewise.
3. A reader of the old generation keeps its mapping of the old file, even once that is removed.
4. A row of the old file is damaged: an error, and nothing changes, since a copy would get a valid checksum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import CorruptIndex
from ..values.records import CompactReport
from .disk.files import folder_bytes, remove_files
from .manifest import Manifest
from .sql.reads import Catalog
from .vectors import (
    ROWS_A_BLOCK,
    Rows,
    Sums,
    Vectors,
    checksums,
    copy_rows,
    damaged_rows,
    map_rows,
    remove_orphans,
    vector_file,
)
from .writer import Writer

Derive = Callable[[Manifest, Vectors, Rows, Sums], Manifest]
"""Publishes what is derived from the vectors and texts of a manifest, and returns the manifest that names it.

The rows of the vectors were these before, when the files that the manifest still names were made. The last are the
checksums of the vectors, 0 for a record without one.
"""


def compact(folder: Path, catalog: Catalog, writer: Writer, derive: Derive, empty_cache: bool = False) -> CompactReport:
    """Drops the dead rows and frees their space; readers are not disturbed, writers wait.

    The cache drops the texts of these rows, or all texts with ``empty_cache``.

    Raises:
        IndexLocked, StorageError, CorruptIndex: the index is unchanged.
    """
    with writer.locked() as manifest:
        before, cached = folder_bytes(folder), catalog.count_cached()
        if empty_cache:
            with catalog.changing() as tables:
                tables.forget()
        after = manifest
        if manifest.dead:
            live, sums = catalog.live_rows(manifest.rows), catalog.sums(0, manifest.rows)
            path = vector_file(folder, manifest.vectors)
            old = map_rows(path, manifest.rows, manifest.dimension)
            after = replace(manifest, vectors=manifest.vectors + 1, rows=len(live), dead=0)
            vectors = _copied(old, live, sums[live], path, vector_file(folder, after.vectors))
            after = derive(after, vectors, live, sums[live])
            with catalog.changing() as tables:
                tables.renumber(live, sums[live])
                tables.commit(after)
        remove_orphans(folder, after.vectors, after.derived)
        catalog.vacuum()
        return CompactReport(manifest.dead, before, folder_bytes(folder), cached - catalog.count_cached())


def _copied(old: Vectors, live: Rows, sums: Sums, path: Path, new_path: Path) -> Vectors:
    """Copies the live rows of the file at ``path`` to a new file, and checks them."""
    if old.shape[1]:
        copy_rows(old, live, new_path, like=path)
    vectors = map_rows(new_path, len(live), old.shape[1])
    for start in range(0, len(live), ROWS_A_BLOCK):
        block = slice(start, start + ROWS_A_BLOCK)
        bad = np.flatnonzero(checksums(vectors[block]) != sums[block])
        if len(bad):
            remove_files([new_path])
            raise CorruptIndex(str(path), damaged_rows(live[start + bad]))
    return vectors
