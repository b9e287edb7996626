"""The commit: how records and vectors become durable and visible together, or not at all.

Add, with the writer's lock held: (1) read the manifest; (2) write vectors behind the committed rows, fsync; (3) in one
SQLite transaction insert the records, bury the rows they replace, raise rows and generation; (4) COMMIT.

1. Killed at (2): bytes beyond the committed rows, which nobody reads and the next writer overwrites.
2. Killed at (3): the same, and SQLite rolls its own part back.
3. Killed after (4): everything is there; the operating system released the lock.
4. Another writer changed a key while its text was encoded: what to write is decided again under the lock; a text that
   then lacks a vector is handed back to be encoded, nothing written.
5. Power lost after (4): vectors were synced before the COMMIT that counts them, the log with it (synchronous = full).
6. The disk is full at (2) or (3): as 1 and 2, with a `StorageError`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..encoders.spec import Space
from ..errors import RecordNotFound, SpaceMismatch
from ..records import AddReport
from .catalog import Catalog, Stored
from .changes import Incoming, reconcile
from .files import WriterLock
from .vectors import Vectors, append, vector_file

LOCK_SECONDS = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class TextVector:
    """A text's vector, (D,) float32 of unit length, and whether the text was truncated."""

    vector: Vectors
    truncated: bool


class MissingVectors(Exception):
    """Another writer was faster: these ``texts`` need vectors after all. Never leaves the package."""

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__(texts)
        self.texts = texts


class Writer:
    """Commits to the index in ``folder``; waits up to ``timeout`` seconds for another writer."""

    def __init__(self, folder: Path, catalog: Catalog, timeout: float = LOCK_SECONDS) -> None:
        self._folder = folder
        self._catalog = catalog
        self._timeout = timeout

    def add(self, incoming: Sequence[Incoming], vectors: Mapping[str, TextVector], space: Space) -> AddReport:
        """Adds records whose texts have ``vectors``, which are in ``space``.

        Raises:
            MissingVectors: a text without a vector must be written; nothing was.
            SpaceMismatch, IndexLocked, StorageError: nothing was written.
        """
        with WriterLock(self._folder, self._timeout):
            self._catalog.check_in_place()
            manifest = self._catalog.manifest()
            if manifest.space is not None and manifest.space.fingerprint != space.fingerprint:
                raise SpaceMismatch(manifest.space.describe(), space.describe(), manifest.space.differences(space))
            stored = self._catalog.find({item.key for item in incoming})
            changes = reconcile(incoming, stored)
            if missing := [item.text for item in changes.written if item.text not in vectors]:
                raise MissingVectors(missing)
            written = [
                Stored(row, item.key, item.text, item.metadata or "{}", vectors[item.text].truncated)
                for row, item in enumerate(changes.written, manifest.rows)
            ]
            if written:
                block = np.stack([vectors[record.text].vector for record in written])
                append(vector_file(self._folder, manifest.vectors), manifest.rows, block)
            if written or changes.relabelled:
                with self._catalog.writing():
                    if manifest.space is None:
                        self._catalog.set_space(space)
                    self._catalog.bury(stored[r.key].row for r in written if r.key in stored)
                    self._catalog.insert(written)
                    self._catalog.set_metadata(changes.relabelled)
                    self._catalog.advance(len(written))
        truncated = sum(record.truncated for record in written)
        return AddReport(changes.added, changes.updated, changes.unchanged, truncated)

    def delete(self, keys: Sequence[str]) -> int:
        """Deletes the records that have these keys, all or none; returns how many.

        Raises:
            RecordNotFound: a key has no record; nothing was deleted.
        """
        with WriterLock(self._folder, self._timeout):
            self._catalog.check_in_place()
            stored = self._catalog.find(keys)
            for key in keys:
                if key not in stored:
                    raise RecordNotFound(key)
            if stored:
                with self._catalog.writing():
                    self._catalog.bury(record.row for record in stored.values())
                    self._catalog.advance(0)
        return len(stored)
