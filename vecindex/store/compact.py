"""How is the space of dead rows given back: a new vector file without them, then one transaction that renumbers.

1. Killed before the COMMIT: the new file is an orphan, which the next compaction removes or overwrites.
2. Killed after it: the old file is an orphan, likewise.
3. A reader of the old generation keeps its mapping of the old file, removed or not.
"""

from __future__ import annotations

from pathlib import Path

from ..records import CompactReport
from .catalog import Catalog
from .files import WriterLock, folder_bytes
from .vectors import copy_rows, map_rows, remove_orphans, vector_file


def compact(folder: Path, catalog: Catalog, timeout: float) -> CompactReport:
    """Drops the dead rows and gives their space back; readers are not disturbed, writers wait.

    Raises:
        IndexLocked, StorageError, CorruptIndex: the index is as it was.
    """
    with WriterLock(folder, timeout):
        catalog.check_in_place()
        before = folder_bytes(folder)
        manifest = catalog.manifest()
        live = catalog.live_rows()
        dropped = manifest.rows - len(live)
        number = manifest.vectors + bool(dropped)
        if dropped:
            vectors = map_rows(vector_file(folder, manifest.vectors), manifest.rows, manifest.dimension)
            copy_rows(vectors, live, vector_file(folder, number))
            with catalog.writing():
                catalog.renumber(live, number)
        remove_orphans(folder, number)
        catalog.vacuum()
        return CompactReport(dropped, before, folder_bytes(folder))
