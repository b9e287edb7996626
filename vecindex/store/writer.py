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

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..encoders.spec import Space
from ..errors import RecordNotFound, SpaceMismatch
from ..filters import Filter
from ..records import AddReport
from .catalog import Catalog
from .changes import Changes, Incoming, reconcile
from .lock import WriterLock
from .manifest import CodesFiles, Manifest
from .tables import Stored
from .vectors import Rows, Vectors, append, checksums, map_rows, remove_orphans, vector_file

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

    def add(
        self,
        incoming: Sequence[Incoming],
        vectors: Mapping[str, TextVector],
        space: Space,
        block: Vectors | None = None,
    ) -> AddReport:
        """Adds records that have a vector of their own or whose texts have one in ``vectors``, all in ``space``.

        ``block`` (n, D) are the records' own vectors in their order, where they are at hand like that.

        Raises:
            MissingVectors: a text without a vector must be written; nothing was.
            SpaceMismatch, IndexLocked, StorageError: nothing was written.
        """
        with self.locked() as manifest:
            if manifest.space is not None and manifest.space.fingerprint != space.fingerprint:
                raise SpaceMismatch(manifest.space.describe(), space.describe(), manifest.space.differences(space))
            path = vector_file(self._folder, manifest.vectors)
            keys = {item.key for item in incoming}
            stored = self._catalog.find(keys)
            if block is not None and not stored and len(keys) == len(incoming):
                changes = Changes(written=list(incoming), added=len(incoming))
                truncated = [False] * len(incoming)
            else:
                changes = reconcile(_with_vectors(incoming, block), stored, _lookup(path, manifest))
                block, truncated = _vectors_of(changes.written, vectors, space.dimension)
            written = [
                Stored(row, item.key, item.text, item.metadata or "{}", was_cut)
                for row, (item, was_cut) in enumerate(zip(changes.written, truncated, strict=True), manifest.rows)
            ]
            if written:
                append(path, manifest.rows, block)
            if written or changes.relabelled:
                with self._catalog.changing() as tables:
                    manifest = replace(manifest, space=manifest.space or space)
                    replaced = [stored[record.key].row for record in written if record.key in stored]
                    manifest = tables.bury(manifest, np.array(replaced, np.int64))
                    if written:
                        manifest = tables.insert(manifest, written, checksums(block))
                    tables.set_metadata(changes.relabelled)
                    tables.commit(manifest)
        return AddReport(changes.added, changes.updated, changes.unchanged, sum(truncated))

    def delete(self, keys: Sequence[str]) -> int:
        """Deletes the records that have these keys, all or none; returns how many.

        Raises:
            RecordNotFound: a key has no record; nothing was deleted.
        """
        with self.locked() as manifest:
            rows = self._catalog.rows_of(keys)
            for key in keys:
                if key not in rows:
                    raise RecordNotFound(key)
            return self._delete(manifest, np.array(list(rows.values()), np.int64))

    def delete_where(self, where: Filter) -> int:
        """Deletes the records that the filter selects; returns how many."""
        with self.locked() as manifest:
            return self._delete(manifest, self._catalog.rows_where(where, manifest.fields))

    def set_codes(self, vectors: int, publish: Callable[[Manifest], CodesFiles | None]) -> bool:
        """Makes what ``publish`` writes the codes of vector file number ``vectors``; False if that is no longer it."""
        with self.locked() as manifest:
            if manifest.vectors != vectors:
                return False
            codes = publish(manifest)
            with self._catalog.changing() as tables:
                tables.annotate(replace(manifest, codes=codes))
            # A reader that is about to map the codes before does without them, this once.
            remove_orphans(self._folder, manifest.vectors, codes.names if codes else ())
            return True

    def index_field(self, field: str) -> bool:
        """Gives the metadata field an SQL index; False if it has one."""
        with self.locked() as manifest:
            if field in manifest.fields:
                return False
            manifest = replace(manifest, fields=(*manifest.fields, field))
            with self._catalog.changing() as tables:
                tables.create_field_indexes(manifest.fields)
                tables.annotate(manifest)
            return True

    @contextmanager
    def locked(self) -> Iterator[Manifest]:
        """The writer's lock, and what is committed while it is held; what killed writers left behind is gone."""
        with WriterLock(self._folder, self._timeout) as lock:
            self._catalog.check_in_place()
            manifest = self._catalog.manifest()
            remove_orphans(self._folder, manifest.vectors, manifest.codes.names if manifest.codes else ())
            yield manifest
            manifest = self._catalog.manifest()
            lock.note_commit(manifest.generation, manifest.created)

    def _delete(self, manifest: Manifest, rows: Rows) -> int:
        if len(rows):
            with self._catalog.changing() as tables:
                tables.commit(tables.bury(manifest, rows))
        return len(rows)


def _lookup(path: Path, manifest: Manifest) -> Callable[[int], Vectors]:
    """Finds the vector of a stored row; maps the file when it is first asked."""
    mapped: list[Vectors] = []

    def vector_at(row: int) -> Vectors:
        if not mapped:
            mapped.append(map_rows(path, manifest.rows, manifest.dimension))
        vector: Vectors = mapped[0][row]
        return vector

    return vector_at


def _with_vectors(incoming: Sequence[Incoming], block: Vectors | None) -> Sequence[Incoming]:
    if block is None:
        return incoming
    return [replace(item, vector=vector) for item, vector in zip(incoming, block, strict=True)]


def _vectors_of(
    written: Sequence[Incoming], vectors: Mapping[str, TextVector], dimension: int
) -> tuple[Vectors, list[bool]]:
    """The vectors (n, D) to write, and whether each text was truncated; raises MissingVectors."""
    if missing := [item.text for item in written if item.vector is None and item.text not in vectors]:
        raise MissingVectors(missing)
    found = [vectors[i.text] if i.vector is None else TextVector(i.vector, False) for i in written]
    block = np.stack([each.vector for each in found]) if found else np.empty((0, dimension), np.float32)
    return block, [each.truncated for each in found]
