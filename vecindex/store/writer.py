"""Commits records and vectors, so that they become durable and visible together or not at all.

Add, with the writer's lock held: (1) read the manifest; (2) write vectors behind the committed rows, fsync; (3) in one
SQLite transaction insert the records, bury the rows they replace, raise rows and generation; (4) COMMIT.

1. Killed at (2): bytes beyond the committed rows, which nobody reads and the next writer overwrites.
2. Killed at (3): the same, and SQLite rolls its own part back.
3. Killed after (4): everything is there; the operating system released the lock.
4. Another writer changed a key while its text was encoded: what to write is decided again under the lock. If a text
   lacks a vector then, nothing is written and the caller encodes it.
5. Power lost after (4): the vectors were synced before the COMMIT, and SQLite's log with it (synchronous = full).
6. The disk is full at (2) or (3): as 1 and 2, with a `StorageError`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import RecordNotFound, SpaceMismatch
from ..filters.tree import Filter
from ..values.records import UNKNOWN, AddReport
from ..values.space import Space
from .disk.files import check_single
from .disk.lock import WriterLock
from .legacy_keys import with_legacy_keys
from .manifest import CodesFiles, Manifest
from .reconcile import Changes, Incoming, reconcile
from .side_indexes import is_side, remove_leftovers
from .sql.reads import Catalog
from .sql.schema import keep_out_of_repositories
from .sql.unmatched import warn_of_unmatched
from .stored import Stored
from .text_cache import Entry, entry_crc
from .text_parts import owner_of, refuse_clashes, taken_by_a_part
from .vectors import Rows, Sums, Vectors, append, checksums, map_rows, remove_orphans, vector_file

LOCK_SECONDS = 10.0


@dataclass(slots=True, eq=False)  # not frozen: as many are made as texts are added
class TextVector:
    """A text's vector, (D,) float32 of unit length, never changed; ``lost`` is as in `Stored`.

    ``digest`` is the text's if the vector was encoded here in the usual way, so that the cache may serve it again.
    """

    vector: Vectors
    lost: int
    digest: bytes | None = None


class MissingVectors(Exception):
    """These ``texts`` need vectors after all, since another writer was faster. Never leaves the package."""

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__(texts)
        self.texts = texts


class Writer:
    """Commits to the index in ``folder``; waits up to ``timeout`` seconds for another writer."""

    def __init__(self, folder: Path, catalog: Catalog, timeout: float = LOCK_SECONDS) -> None:
        self._folder = folder
        self._catalog = catalog
        self._timeout = timeout
        # A side index is filled with texts alone; old metadata in it does not say which records are parts.
        self._is_side = is_side(folder)

    def add(
        self,
        incoming: Sequence[Incoming],
        vectors: Mapping[str, TextVector],
        space: Space,
        block: Vectors | None = None,
        written_by: Mapping[str, str] | None = None,
        owners: Collection[str] = (),
        whole: bool = False,
    ) -> AddReport:
        """Adds records with their own vectors or whose texts have one in ``vectors``, all in ``space``.

        ``block`` (n, D) holds the records' own vectors in their order, if they are at hand as one array. ``written_by``
        is the environment of the encoder that made some of ``vectors``, None if none were made now. Each of the keys
        ``owners`` is added whole or in parts: everything stored of it that is not among ``incoming`` is removed.
        ``whole`` is as in `reconcile`.

        Raises:
            MissingVectors: a text to write has no vector; nothing was written.
            InvalidInput: a part would take another record's key, or a record that of a part; nothing was written.
            SpaceMismatch, IndexLocked, StorageError: nothing was written.
        """
        with self.locked() as manifest:
            if manifest.space is not None and manifest.space.fingerprint != space.fingerprint:
                raise SpaceMismatch(manifest.space.describe(), space.describe(), manifest.space.differences(space))
            path = vector_file(self._folder, manifest.vectors)
            if block is not None or any(item.vector is not None for item in incoming):
                incoming = with_legacy_keys(incoming, self._catalog.find)  # done before for texts to encode
            keys = {item.key for item in incoming}
            stored = self._catalog.find(keys)
            gone = self._catalog.find(key for key in owners if key not in keys)
            self._check_within([*stored.values(), *gone.values()], manifest)
            if stored or owners or len(keys) < len(incoming):
                self._refuse_clashes(incoming, stored, gone)
            stale = self._stale(keys, owners, gone)
            self._catalog.check_within(stale, manifest.rows)
            if block is not None and not stored and len(keys) == len(incoming):
                changes = Changes(written=list(incoming), added=len(incoming))
                found = None
            else:
                changes = reconcile(_with_vectors(incoming, block), stored, _lookup(path, manifest), whole)
                found = _vectors_of(changes.written, vectors)
                block = np.stack([each.vector for each in found]) if found else np.empty((0, 0), np.float32)
            lost = [0] * len(changes.written) if found is None else [each.lost for each in found]
            written = [
                Stored(row, item.key, item.text, item.metadata or "{}", tokens)
                for row, (item, tokens) in enumerate(zip(changes.written, lost, strict=True), manifest.rows)
            ]
            if written:
                append(path, manifest.rows, block)
            if written or changes.relabelled or stale:
                with self._catalog.changing() as tables:
                    manifest = replace(
                        manifest, space=manifest.space or space, written_by=written_by or manifest.written_by
                    )
                    replaced = [stored[record.key].row for record in written if record.key in stored]
                    manifest = tables.bury(manifest, np.array(replaced + stale, np.int64))
                    if written:
                        sums = checksums(block)
                        manifest = tables.insert(manifest, written, sums)
                        tables.remember(_entries(written, found or (), sums))
                    tables.set_metadata(changes.relabelled)
                    tables.commit(manifest)
        cut = [tokens % UNKNOWN for tokens in lost if tokens]
        return AddReport(
            changes.added,
            changes.updated,
            changes.unchanged,
            truncated=sum(map(bool, cut)),
            tokens_lost=sum(cut),
            removed=len(stale),
            unknown=sum(tokens >= UNKNOWN for tokens in lost),
            duplicates=changes.duplicates,
            written=(*(item.key for item in changes.written), *(record.key for record, _ in changes.relabelled)),
        )

    def _check_within(self, found: Sequence[Stored], manifest: Manifest) -> None:
        self._catalog.check_within((stored.row for stored in found), manifest.rows)

    def _refuse_clashes(
        self, incoming: Sequence[Incoming], stored: Mapping[str, Stored], gone: Mapping[str, Stored]
    ) -> None:
        """See `refuse_clashes`; a record that is ``gone``, now that its text is stored in parts, must not be a part."""
        if self._is_side:
            return
        for key, record in gone.items():
            if (owner := owner_of(record)) is not None:
                raise taken_by_a_part(key, owner)
        new = [item.key for item in incoming if item.part_of is not None and item.key not in stored]
        refuse_clashes(incoming, stored, {str(owner_of(part)) for part in self._catalog.parts_of(new)})

    def _stale(self, keys: Collection[str], owners: Collection[str], gone: Mapping[str, Stored]) -> list[int]:
        """The rows of everything stored of ``owners`` that is not among ``keys``."""
        parts = (part for part in self._catalog.parts_of(owners) if part.key not in keys)
        return list({each.row for each in (*gone.values(), *parts)})

    def delete(self, keys: Sequence[str]) -> int:
        """Deletes the records with these keys, all or none; returns how many.

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
        """Deletes the records that the filter selects; returns how many. Warns of conditions that match nothing."""
        with self.locked() as manifest:
            warn_of_unmatched(self._catalog, manifest, where)
            return self._delete(manifest, self._catalog.rows_where(where, manifest.fields))

    def set_codes(self, vectors: int, publish: Callable[[Manifest], CodesFiles | None]) -> bool:
        """Publishes codes of vector file number ``vectors``; returns False if there is a newer file."""
        with self.locked() as manifest:
            if manifest.vectors != vectors:
                return False
            codes = publish(manifest)
            with self._catalog.changing() as tables:
                tables.annotate(replace(manifest, codes=codes))
            # A reader that is about to map the old codes searches without them this once.
            remove_orphans(self._folder, manifest.vectors, codes.names if codes else ())
            return True

    def index_field(self, field: str) -> bool:
        """Gives the metadata field an SQL index; returns False if it has one."""
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
        """Holds the writer's lock; yields what is committed. What killed writers left behind is removed first."""
        with WriterLock(self._folder, self._timeout) as lock:
            self._catalog.check_in_place()
            manifest = self._catalog.manifest()
            remove_orphans(self._folder, manifest.vectors, manifest.codes.names if manifest.codes else ())
            remove_leftovers(self._folder, manifest)
            check_single(self._catalog.path)
            if not self._is_side:
                keep_out_of_repositories(self._folder)
            yield manifest
            manifest = self._catalog.manifest()
            lock.note_commit(manifest.generation, manifest.created)

    def _delete(self, manifest: Manifest, rows: Rows) -> int:
        if len(rows):
            self._catalog.check_within((int(rows.min()), int(rows.max())), manifest.rows)
            with self._catalog.changing() as tables:
                tables.commit(tables.bury(manifest, rows))
        return len(rows)


def _lookup(path: Path, manifest: Manifest) -> Callable[[int], Vectors]:
    """Returns a function that finds the vector of a stored row, and maps the file when first called."""
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


def _vectors_of(written: Sequence[Incoming], vectors: Mapping[str, TextVector]) -> list[TextVector]:
    """The vector to write for each record; raises MissingVectors."""
    if missing := [item.text for item in written if item.vector is None and item.text not in vectors]:
        raise MissingVectors(missing)
    return [vectors[item.text] if item.vector is None else TextVector(item.vector, 0) for item in written]


def _entries(written: Sequence[Stored], found: Sequence[TextVector], sums: Sums) -> Iterator[Entry]:
    """The cache's entries for the written records that may have one."""
    for record, vector, checksum in zip(written, found, sums.tolist(), strict=False):
        if vector.digest is not None:
            crc = entry_crc(vector.digest, vector.lost, checksum)
            yield Entry(vector.digest, record.row, vector.lost, crc)
