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

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import RecordNotFound, SpaceMismatch
from ..filters.tree import Filter
from ..values.records import NO_VECTOR, UNKNOWN, AddReport
from ..values.sources import SourceState
from ..values.space import Space
from .changes.legacy_keys import with_legacy_keys
from .changes.reconcile import Changes, Incoming, reconcile
from .changes.replacing import Replacing
from .changes.rows_again import write_again
from .changes.sources import Finished, delete_rows, finish, move_sources, remove_sources
from .disk.files import check_single
from .disk.lock import WriterLock
from .manifest import Manifest
from .side_indexes import is_side, remove_leftovers
from .sql.reads import Catalog
from .sql.schema import keep_out_of_repositories
from .sql.unmatched import warn_of_unmatched
from .stored import Stored
from .text_cache import entries_of
from .vectors import Rows, Vectors, append, checksums, map_rows, remove_orphans, vector_file

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
        self._is_side = is_side(folder)
        self.on_written: Callable[[Manifest, Sequence[Stored]], None] | None = None
        """Told of each commit's new records, and of the manifest with them; the lock is free again then."""

    def add(
        self,
        incoming: Sequence[Incoming],
        vectors: Mapping[str, TextVector],
        space: Space | None,
        block: Vectors | None = None,
        written_by: Mapping[str, str] | None = None,
        whole: bool = False,
        finished: Sequence[Finished] = (),
        merge: bool = False,
        encode: bool = True,
    ) -> AddReport:
        """Adds records with their own vectors or whose texts have one in ``vectors``, all in ``space``.

        ``block`` (n, D) holds the records' own vectors in their order, if they are at hand as one array. ``written_by``
        is the environment of the encoder that made some of ``vectors``, None if none were made now. ``whole`` is as in
        `reconcile`. A text is replaced as a whole: what is stored of it and not among ``incoming`` is removed. The
        sources in ``finished`` end with this commit. With ``merge``, the sentences of a text are added to those
        stored of it, in whatever order and commits they come, and only those with the same keys are replaced. Without
        ``encode``, records that need a vector and have none are stored without; ``space`` may be None if all are.

        Raises:
            MissingVectors: a text to write has no vector; nothing was written.
            InvalidInput: a record would replace one of another text; nothing was written.
            SpaceMismatch, IndexLocked, StorageError: nothing was written.
        """
        with self.locked() as manifest:
            _check_space(manifest, space)
            path = vector_file(self._folder, manifest.vectors)
            if block is not None or not encode or any(item.vector is not None for item in incoming):
                incoming = with_legacy_keys(incoming, self._catalog.find)  # done before for texts to encode
            adding = Replacing(self._catalog, incoming, has_documents=not self._is_side, merge=merge)
            self._catalog.check_within((stored.row for stored in adding.touched), manifest.rows)
            if block is not None and adding.is_new:
                changes = Changes(written=list(incoming), added=len(incoming))
                found = None
            else:
                items = _with_vectors(adding.incoming, block)
                vector_at = _lookup(path, manifest)
                changes = reconcile(items, adding.followed.stored, vector_at, whole, encode, adding.at)
                if manifest.lexical is not None and manifest.lexical.has_fields:
                    changes.renew(vector_at)
                found = _vectors_of(changes, vectors, encode, (manifest.space or space))
                block = np.stack([each.vector for each in found]) if found else np.empty((0, 0), np.float32)
            lost = [0] * len(changes.written) if found is None else [each.lost for each in found]
            if changes.written:
                append(path, manifest.rows, block)
            removed = len(adding.followed.stale)
            written: list[Stored] = []
            if changes.written or finished or adding.changes(changes):
                with self._catalog.changing() as tables:
                    manifest = replace(
                        manifest, space=manifest.space or space, written_by=written_by or manifest.written_by
                    )
                    manifest, written = adding.write(tables, manifest, changes, lost)
                    if written:
                        sums = checksums(block)
                        manifest = tables.insert(manifest, written, sums)
                        tables.remember(entries_of(written, [each.digest for each in found or ()], sums))
                    manifest, pruned, unread = finish(self._catalog, tables, manifest, finished)
                    adding.tidy(tables, unread)
                    removed += pruned
                    tables.commit(manifest)
        if written and self.on_written is not None:
            self.on_written(manifest, written)
        without_vector = sum(tokens >= NO_VECTOR for tokens in lost)
        cut = [tokens % UNKNOWN for tokens in lost if tokens]
        return AddReport(
            changes.added,
            changes.updated,
            changes.unchanged,
            truncated=sum(map(bool, cut)),
            tokens_lost=sum(cut),
            removed=removed,
            unknown=sum(tokens >= UNKNOWN for tokens in lost) - without_vector,
            without_vector=without_vector,
            duplicates=changes.duplicates,
            written=(*(item.key for item in changes.written), *(item.key for _, item in changes.relabelled)),
        )

    def encode(
        self, keys: Iterable[str], vectors: Mapping[str, TextVector], space: Space, written_by: Mapping[str, str]
    ) -> list[TextVector]:
        """Gives those of the records that still have no vector, and whose texts have one in ``vectors``, that vector.

        They get new rows, in one commit. Returns the vectors that were written.

        Raises:
            SpaceMismatch, IndexLocked, StorageError: nothing was written.
        """
        with self.locked() as manifest:
            _check_space(manifest, space)
            found = self._catalog.find(keys).values()
            records = [record for record in found if not record.has_vector and record.text in vectors]
            records.sort(key=lambda record: record.row)
            self._catalog.check_within((record.row for record in records), manifest.rows)
            given = [vectors[record.text] for record in records]
            written: list[Stored] = []
            if records:
                manifest = replace(manifest, space=manifest.space or space, written_by=written_by)
                block = np.stack([each.vector for each in given])
                lost, digests = [each.lost for each in given], [each.digest for each in given]
                manifest, written = write_again(self._catalog, manifest, records, block, lost, digests)
        if written and self.on_written is not None:
            self.on_written(manifest, written)
        return given

    def register(
        self, states: Sequence[SourceState], touched: Sequence[tuple[SourceState, SourceState]] = ()
    ) -> list[SourceState]:
        """Writes sources that are about to be read, in one commit, and returns them with their ids.

        ``touched`` are others, each as it was and as it is to be stored; one that has another state by now keeps that.
        """
        if not states and not touched:
            return []
        with self.locked() as manifest:
            # Another process may have added, moved or removed the same source meanwhile, so ids are looked up again.
            known = {(state.location, state.query): state.id for state in self._catalog.sources()}
            with self._catalog.changing() as tables:
                for _, state in self._as_they_were(touched):
                    tables.put_source(state)
                written = [
                    tables.put_source(replace(state, id=known.get((state.location, state.query), 0)))
                    for state in states
                ]
                tables.annotate(manifest)
        return written

    def adopt(self, states: Sequence[SourceState]) -> list[SourceState]:
        """Registers sources whose records come from elsewhere, and not from reading them.

        Those that are known stay as they are; all are to be read again.
        """
        with self.locked() as manifest, self._catalog.changing() as tables:
            known = {(state.location, state.query): state for state in self._catalog.sources()}
            found = [known.get((state.location, state.query), state) for state in states]
            written = [tables.put_source(replace(state, digest=None)) for state in found]
            tables.annotate(manifest)
        return written

    def move_sources(self, moved: Sequence[tuple[SourceState, SourceState]]) -> None:
        """See `changes.sources.move_sources`; one that has another state by now stays where it is."""
        if not moved:
            return
        with self.locked() as manifest, self._catalog.changing() as tables:
            move_sources(self._catalog, tables, self._as_they_were(moved))
            tables.commit(manifest)

    def remove_sources(self, ids: Collection[int]) -> int:
        """Removes sources with all their records; returns how many records were removed."""
        with self.locked() as manifest, self._catalog.changing() as tables:
            manifest, removed = remove_sources(self._catalog, tables, manifest, ids)
            tables.commit(manifest)
        return removed

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

    def set_derived(self, vectors: int, publish: Callable[[Manifest], Manifest]) -> bool:
        """Publishes files derived of vector file number ``vectors``; returns False if there is a newer file.

        ``publish`` writes them, and returns the manifest that names them.
        """
        with self.locked() as manifest:
            if manifest.vectors != vectors:
                return False
            published = publish(manifest)
            if published != manifest:
                with self._catalog.changing() as tables:
                    tables.annotate(published)
            # A reader that is about to map the old files searches without them this once.
            remove_orphans(self._folder, published.vectors, published.derived)
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
            remove_orphans(self._folder, manifest.vectors if manifest.space else None, manifest.derived)
            remove_leftovers(self._folder, manifest)
            check_single(self._catalog.path)
            if not self._is_side:
                keep_out_of_repositories(self._folder)
            yield manifest
            manifest = self._catalog.manifest()
            lock.note_commit(manifest.generation, manifest.created)

    def _as_they_were(self, pairs: Sequence[tuple[SourceState, SourceState]]) -> list[tuple[SourceState, SourceState]]:
        """Those of the pairs of an old and a new state whose source still has the old one."""
        now = self._catalog.source_ids([old.id for old, _ in pairs])
        return [(old, new) for old, new in pairs if now.get(old.id) == old]

    def _delete(self, manifest: Manifest, rows: Rows) -> int:
        if len(rows):
            self._catalog.check_within((int(rows.min()), int(rows.max())), manifest.rows)
            with self._catalog.changing() as tables:
                tables.commit(delete_rows(self._catalog, tables, manifest, rows))
        return len(rows)


def _check_space(manifest: Manifest, space: Space | None) -> None:
    if space is not None and manifest.space is not None and manifest.space.fingerprint != space.fingerprint:
        raise SpaceMismatch(manifest.space.describe(), space.describe(), manifest.space.differences(space))


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
    return [item.with_vector(vector) for item, vector in zip(incoming, block, strict=True)]


def _vectors_of(
    changes: Changes, vectors: Mapping[str, TextVector], encode: bool, space: Space | None
) -> list[TextVector]:
    """The vector to write for each record, zeros for one without; raises MissingVectors."""
    written, renewed = changes.written, changes.renewed
    missing = [item.text for item in written if item.vector is None and item.text not in vectors]
    if missing and encode:
        raise MissingVectors(missing)
    none = TextVector(np.zeros(space.dimension if space else 0, np.float32), NO_VECTOR)
    return [
        vectors.get(item.text, none)
        if item.vector is None
        else TextVector(item.vector, renewed[item.key].lost if item.key in renewed else 0)
        for item in written
    ]
