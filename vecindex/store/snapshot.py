"""What does one search see: the records and vectors of one generation, whatever is committed meanwhile.

1. A writer commits during a search: SQLite's read transaction and the mapping both stay at the old count of rows.
2. A writer overwrites bytes beyond the committed rows: the mapping ends before them.
3. A compaction removes the vector file after the manifest was read and before it is mapped: the manifest is read
   again; once mapped, the removed file lives until the mapping goes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CorruptIndex, InvalidInput
from ..filters import Filter
from .catalog import Catalog, Manifest, Rows, Stored
from .vectors import Vectors, map_rows, vector_file

TRIES = 5


class Snapshot:
    """One generation of an index: ``vectors`` (rows, D) mapped, of which only the live rows are records."""

    def __init__(self, catalog: Catalog, manifest: Manifest, vectors: Vectors, dead: Rows) -> None:
        self._catalog = catalog
        self.manifest = manifest
        self.vectors = vectors
        self.dead = dead

    @property
    def records(self) -> int:
        return self.manifest.rows - len(self.dead)

    def find(self, keys: Iterable[str]) -> dict[str, Stored]:
        return self._catalog.find(keys)

    def count_truncated(self) -> int:
        return self._catalog.count_truncated()

    def metadata(self, record: Stored) -> dict[str, Any]:
        return self._catalog.metadata(record)

    def fetch(self, rows: Iterable[int]) -> list[Stored]:
        return self._catalog.fetch(rows)

    def allowed(self, where: Filter | None) -> Rows | None:
        """The rows that a search may return, ascending; None stands for all."""
        if where is not None:
            return self._catalog.rows_where(where)
        if len(self.dead) == 0:
            return None
        return np.delete(np.arange(self.manifest.rows), self.dead)


class Snapshots:
    """Hands out snapshots of one index to any number of threads; keeps connections and the mapping between searches."""

    def __init__(self, folder: Path, readonly: bool) -> None:
        self._folder = folder
        self._readonly = readonly
        self._idle: list[Catalog] = []
        self.closed = False
        # Of the newest generation seen: (generation, vectors, dead rows).
        self._mapped: tuple[int, Vectors, Rows] | None = None

    @contextlib.contextmanager
    def borrow(self) -> Iterator[Catalog]:
        """A connection that nobody else uses meanwhile; there are as many as were ever needed at once."""
        if self.closed:
            raise InvalidInput("the index is closed", "Open it again with vecindex.open(path).")
        try:
            catalog = self._idle.pop()
        except IndexError:
            catalog = Catalog(self._folder, self._readonly)
        try:
            yield catalog
        finally:
            if self.closed:
                catalog.close()
            else:
                self._idle.append(catalog)

    @contextlib.contextmanager
    def take(self) -> Iterator[Snapshot]:
        """A snapshot of what is committed now, to be used inside the ``with``."""
        with self.borrow() as catalog:
            for attempt in range(1, TRIES + 1):
                with catalog.reading() as manifest:
                    try:
                        vectors, dead = self._map(catalog, manifest)
                    except CorruptIndex:
                        if attempt == TRIES:
                            raise
                        continue
                    yield Snapshot(catalog, manifest, vectors, dead)
                    return

    def close(self) -> None:
        self.closed = True
        self._mapped = None
        while self._idle:
            self._idle.pop().close()

    def _map(self, catalog: Catalog, manifest: Manifest) -> tuple[Vectors, Rows]:
        mapped = self._mapped
        if mapped is not None and mapped[0] == manifest.generation:
            return mapped[1], mapped[2]
        path = vector_file(self._folder, manifest.vectors)
        vectors, dead = map_rows(path, manifest.rows, manifest.dimension), catalog.dead_rows()
        self._mapped = (manifest.generation, vectors, dead)
        return vectors, dead
