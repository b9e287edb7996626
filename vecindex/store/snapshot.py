"""Gives each search the records and vectors of one generation, whatever is committed meanwhile.

1. A writer commits during a search: SQLite's read transaction and the mapping both stay at the old count of rows.
2. A writer overwrites bytes beyond the committed rows: the mapping ends before them.
3. A compaction removes the vector file after the manifest was read and before the file is mapped: the manifest is read
   again. Once mapped, the removed file lives as long as the mapping. The same holds for codes.
4. The index is removed, or replaced by another one: an error, found by device and inode.
5. The process forks: a child must not use its parent's SQLite connections, so it is told to open the index again.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import CorruptIndex, InvalidInput, OutOfMemory
from ..errors.warnings import FilterWarning
from ..filters.tree import Filter
from ..filters.tree import Path as FieldPath
from ..values.nested import on_own_stack
from ..values.sources import SourceState
from .changes.reconcile import Incoming
from .changes.replacing import Replacing
from .derived import CodesFiles
from .disk.connection import replaced
from .generation import Allowed, Generation
from .manifest import Manifest
from .origins import Whence, origins
from .sql.fields import read_fields
from .sql.groups import Groups, read_groups, read_unknown, read_values
from .sql.reads import Catalog
from .stored import Identity, Stored, StoredDocument
from .text_cache import Entry, sound, text_digest
from .vectors import Rows, Vectors

TRIES = 5


class Snapshot:
    """One generation of an index: ``vectors`` (rows, D) mapped, of which only the live rows are records."""

    def __init__(self, catalog: Catalog, generation: Generation) -> None:
        self._catalog = catalog
        self._generation = generation
        self.manifest: Manifest = generation.manifest
        self.vectors: Vectors = generation.vectors

    @property
    def folder(self) -> Path:
        return self._catalog.folder

    @property
    def records(self) -> int:
        return self.manifest.records

    @property
    def codes(self) -> CodesFiles | None:
        return self.manifest.codes

    def codes_file(self, number: int) -> Callable[[], memoryview]:
        """See `Generation.codes_file`."""
        return self._generation.codes_file(number)

    def records_within(self, first: int, stop: int) -> Iterator[Stored]:
        """The records at the live rows from ``first`` up to ``stop``, by row; raises CorruptIndex if one is missing."""
        expected = iter(self._generation.alive.within(first, stop).tolist())
        for record in self._catalog.records_within(first, stop):
            if record.row != next(expected, None):
                raise self._misplaced(record.row)
            yield record
        if (missing := next(expected, None)) is not None:
            raise self._misplaced(missing)

    def _misplaced(self, row: int) -> CorruptIndex:
        return CorruptIndex(str(self._catalog.path), f"the record of row {row} is not where it was written")

    def find(self, keys: Iterable[str]) -> dict[str, Stored]:
        found = self._catalog.find(keys)
        self._catalog.check_within([stored.row for stored in found.values()], self.manifest.rows)
        return found

    def keys(self) -> list[str]:
        """See `Catalog.keys`."""
        return self._catalog.keys()

    def replacing(self, incoming: Sequence[Incoming]) -> Replacing:
        """What adding these records would replace, as far as it can be told before they are committed."""
        return Replacing(self._catalog, incoming, refuse=False)

    def documents(self, identities: Iterable[Identity]) -> dict[Identity, StoredDocument]:
        """See `Documents.documents`."""
        return self._catalog.documents(identities)

    def losses(self) -> tuple[int, int, int, int]:
        """See `Catalog.losses`."""
        return self._catalog.losses()

    def count_cached(self) -> int:
        return self._catalog.count_cached()

    def cached(self, texts: Iterable[str]) -> dict[str, tuple[Entry, Vectors]]:
        """For each of these texts in the cache: its entry and a copy of its vector (D,)."""
        digests = {text_digest(text): text for text in texts}
        found = sound(self._catalog.cached(digests), self.vectors)
        return {digests[entry.digest]: (entry, vector) for entry, vector in found}

    def encoded(self, size: int) -> list[tuple[Stored, Vectors]]:
        """Up to so many records, drawn at random but always the same, whose texts were encoded here in the usual way.

        With each comes a copy of its vector (D,). What is damaged is left out.
        """
        found = sound(self._catalog.cached_records(size), self.vectors)
        records = self.fetch(entry.row for entry, _ in found)
        return [
            (record, vector)
            for record, (entry, vector) in zip(records, found, strict=True)
            if text_digest(record.text) == entry.digest
        ]

    def metadata(self, record: Stored) -> dict[str, Any]:
        return self._catalog.metadata(record)

    def fetch(self, rows: Iterable[int]) -> list[Stored]:
        return self._catalog.fetch(rows)

    def source_ids(self, ids: Iterable[int]) -> dict[int, SourceState]:
        """See `Documents.source_ids`."""
        return self._catalog.source_ids(ids)

    def document_ids(self, ids: Iterable[int]) -> dict[int, StoredDocument]:
        """See `Documents.document_ids`."""
        return self._catalog.document_ids(ids)

    def also_by_hand(self, keys: Iterable[str]) -> set[str]:
        """See `Documents.also_by_hand`."""
        return self._catalog.also_by_hand(keys)

    def has_places(self) -> bool:
        """Whether any record is from a source or a document."""
        return self._catalog.has_places()

    def origins(self, records: Sequence[Stored], context: int = 0) -> list[Whence | None]:
        """See `store.origins`."""
        return origins(self._catalog, records, context)

    def allowed(self, where: Filter | None) -> Allowed:
        """The rows of the records that the filter selects, which a search may return."""
        if where is None:
            return self._generation.alive
        return on_own_stack(
            self._generation.allowed, where, lambda: self._catalog.rows_where(where, self.manifest.fields)
        )

    def with_vectors(self, allowed: Allowed) -> Allowed:
        """Those of the rows that have a vector, which a dense search may return; all at once if all have one."""
        return self._generation.with_vectors(allowed)

    def lack_vectors(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Which of these rows (n,) have no vector."""
        return self._generation.lack_vectors(rows)

    def rows_without_vector(self) -> Rows:
        """The rows of the records without a vector, ascending."""
        rows = self._generation.alive.rows()
        return rows[self.lack_vectors(rows)]

    def groups(self, field: FieldPath, rows: list[int] | None = None) -> Groups:
        """Which of these rows, or of all, have the same value in a field; all are kept for the next search."""
        if rows is None:
            return self._generation.groups(self._catalog, field)
        return read_groups(self._catalog, field, self.manifest.rows, rows)

    def unknown(self, rows: list[int]) -> npt.NDArray[np.bool_]:
        """See `read_unknown`."""
        return read_unknown(self._catalog, rows)

    def values(self, field: FieldPath, rows: list[int]) -> list[Any]:
        """The values of a field of these rows; None for a record without one."""
        return on_own_stack(read_values, self._catalog, field, rows)

    def fields(self, rows: list[int]) -> dict[FieldPath, int]:
        """See `read_fields`."""
        return on_own_stack(read_fields, self._catalog, rows)

    def unmatched(self, where: Filter | None, wanted: int | None = None) -> list[FilterWarning]:
        """Warnings of conditions of a filter that match nothing; see `sql.unmatched`.

        They are looked for if fewer records than ``wanted`` match, or all do, or ``wanted`` is None.
        """
        if where is None:
            return []
        count = self.allowed(where).count
        if wanted is not None and wanted <= count < self.records:
            return []
        return on_own_stack(self._generation.unmatched, self._catalog, where, count > 0)

    def checksum(self, row: int) -> int:
        """The checksum of a row's vector as it was written; 0 if there is no such row."""
        return self._generation.checksum(row)

    def check(self, rows: Rows) -> None:
        """See `Generation.check`."""
        self._generation.check(rows)

    def check_once(self, rows: Rows) -> None:
        """See `Generation.check_once`."""
        self._generation.check_once(rows)

    def check_range(self, start: int, stop: int) -> None:
        """See `Generation.check_range`."""
        self._generation.check_range(start, stop)


class Snapshots:
    """Gives any number of threads snapshots of one index; keeps connections and the mapping between searches."""

    def __init__(self, folder: Path, readonly: bool) -> None:
        self._folder = folder
        self._readonly = readonly
        self._idle: list[Catalog] = []
        self._process = os.getpid()
        self._identity: tuple[int, int] | None = None
        self.closed = False
        self._newest: Generation | None = None
        self._checked = False

    @contextlib.contextmanager
    def borrow(self) -> Iterator[Catalog]:
        """A connection for the caller alone; as many are kept as were ever needed at once."""
        if self.closed:
            raise InvalidInput("the index is closed", "Open it again with vecindex.open(path).")
        if os.getpid() != self._process:
            raise InvalidInput(
                f"the index was opened by process {self._process}, of which this process, {os.getpid()}, is a fork",
                "Open it in each process with vecindex.open(path), after the fork.",
            )
        try:  # `memory_errors` would take a microsecond of every search
            try:
                catalog = self._idle.pop()
            except IndexError:
                catalog = Catalog(self._folder, self._readonly)
                self._identity = self._identity or catalog.identity
                if catalog.identity != self._identity:  # its records and the mapped vectors are of two indexes
                    catalog.close()
                    raise replaced(catalog.path) from None
            try:
                catalog.check_in_place()
                yield catalog
            finally:
                if self.closed:
                    catalog.close()
                else:
                    self._idle.append(catalog)
        except OutOfMemory:
            raise
        except MemoryError as error:
            raise OutOfMemory("an index was used") from error

    @contextlib.contextmanager
    def take(self) -> Iterator[Snapshot]:
        """A snapshot of what is committed now, to use inside a ``with``."""
        with self.borrow() as catalog:
            for attempt in range(1, TRIES + 1):
                with catalog.reading() as manifest:
                    try:
                        generation = self._see(catalog, manifest)
                    except CorruptIndex:
                        catalog.check_in_place()
                        if attempt == TRIES:
                            raise
                        continue
                    yield Snapshot(catalog, generation)
                    return

    def close(self) -> None:
        self.closed = True
        self._newest = None
        if os.getpid() == self._process:
            while self._idle:
                self._idle.pop().close()

    def _see(self, catalog: Catalog, manifest: Manifest) -> Generation:
        if not self._checked:
            catalog.check_small()
            self._checked = True
        newest = self._newest
        if newest is not None and newest.manifest == manifest:
            return newest
        generation = Generation.read(catalog, manifest, newest)
        catalog.check_in_place()  # the file that was mapped by name belongs to what was read
        if self._newest is None or self._newest.manifest.generation <= manifest.generation:
            self._newest = generation
        return generation
