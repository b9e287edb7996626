"""Keeps the state of one generation between searches: mapped vectors, checksums, dead rows, and filters' results.

A generation is read as the difference to an earlier one, so that a commit costs its readers only what it changed.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import CorruptIndex
from ..errors.warnings import FilterWarning
from ..filters.tree import Filter, parse_path
from ..filters.tree import Path as FieldPath
from .derived import map_derived
from .disk.files import DATABASE_FILE
from .manifest import NO_SPACE, Manifest
from .sql.groups import Groups, read_groups
from .sql.reads import Catalog
from .sql.unmatched import Asked, asked, unmatched
from .sql.writes import Bits
from .vectors import (
    ROWS_A_BLOCK,
    Rows,
    Sums,
    Vectors,
    appended,
    check_rows,
    checksums,
    damaged_rows,
    map_rows,
    vector_file,
)

_FILTERS_KEPT = 32
_TESTS_KEPT = 1_000
_GROUPS_KEPT = 4  # fields; 9 bytes a row each


class Allowed:
    """The ``count`` rows that a search may return; ``bitmap``, lowest bit first, is None if all rows are allowed."""

    def __init__(self, count: int, bitmap: Bits | None, total: int) -> None:
        self.count = count
        self.bitmap = bitmap
        self._total = total
        self._rows: Rows | None = None
        self.with_vectors: Allowed | None = None
        """Those of them that have a vector; see `Generation.with_vectors`."""

    def rows(self) -> Rows:
        """The rows, ascending."""
        if self._rows is None:
            if self.bitmap is None:
                self._rows = np.arange(self._total, dtype=np.int64)
            else:
                mask = np.unpackbits(self.bitmap, count=self._total, bitorder="little")
                self._rows = np.flatnonzero(mask).astype(np.int64, copy=False)
        return self._rows

    def without(self, rows: Rows) -> Allowed:
        """The same, but for these rows."""
        if self.bitmap is None:
            mask = np.ones(self._total, np.uint8)
        else:
            mask = np.unpackbits(self.bitmap, count=self._total, bitorder="little")
        mask[rows] = 0
        return Allowed(int(np.count_nonzero(mask)), np.packbits(mask, bitorder="little"), self._total)

    def minus(self, bitmap: Bits) -> Allowed:
        """The same, but for the rows in a bitmap; this one if none of them is in it."""
        if self.bitmap is None:
            left = np.packbits(np.ones(self._total, np.bool_), bitorder="little") & ~bitmap
        else:
            left = self.bitmap & ~bitmap
        count = int(np.count_nonzero(np.unpackbits(left)))
        return self if count == self.count else Allowed(count, left, self._total)

    def count_without(self, rows: Rows) -> int:
        """How many rows there are but for these, which are distinct."""
        if self.bitmap is None:
            return self.count - len(rows)
        return self.count - int(np.count_nonzero(self.bitmap[rows >> 3] >> (rows & 7).astype(np.uint8) & 1))

    def within(self, first: int, stop: int) -> Rows:
        """Those of the rows that are from ``first`` up to ``stop``, ascending."""
        if self.bitmap is None:
            return np.arange(first, stop, dtype=np.int64)
        start = first // 8
        mask = np.unpackbits(self.bitmap[start : -(-stop // 8)], bitorder="little")
        return first + np.flatnonzero(mask[first - 8 * start : stop - 8 * start]).astype(np.int64, copy=False)


class Generation:
    """One committed state, shared by all searches of it; only its caches change later."""

    def __init__(self, folder: Path, manifest: Manifest, vectors: Vectors, sums: Sums, dead: Bits) -> None:
        self.manifest = manifest
        self.vectors = vectors
        self._folder = folder
        self._sums = sums
        self._dead = dead
        self._path = vector_file(folder, manifest.vectors)
        self._lacking = None if sums.all() else np.packbits(sums == 0, bitorder="little")  # rows without a vector
        # What was found sound once is not read again: how many rows of each block, which is shared with later
        # generations of the same file, and single rows, which are copied to them.
        self._checked: dict[int, int] = {}
        self._sound = np.zeros(manifest.rows, np.bool_)
        self._filters: OrderedDict[Filter, Allowed] = OrderedDict()
        self._unmatched: dict[Asked, FilterWarning | None] = {}
        self._groups: OrderedDict[FieldPath, Groups] = OrderedDict()
        self._lock = threading.Lock()
        if manifest.dead:
            live = ~dead[: -(-manifest.rows // 8)]
            if manifest.rows % 8:
                live[-1] &= (1 << manifest.rows % 8) - 1
            self.alive = Allowed(manifest.records, live, manifest.rows)
        else:
            self.alive = Allowed(manifest.rows, None, manifest.rows)

    @classmethod
    def read(cls, catalog: Catalog, manifest: Manifest, before: Generation | None) -> Generation:
        """Reads the generation of ``manifest`` in its read transaction; ``before`` is an earlier one, if any.

        Raises:
            CorruptIndex: a file contradicts the manifest.
        """
        path = vector_file(catalog.folder, manifest.vectors)
        vectors = map_rows(path, manifest.rows, manifest.dimension)
        follows = (
            before is not None
            and (before.manifest.vectors, before.manifest.created) == (manifest.vectors, manifest.created)
            and before.manifest.generation <= manifest.generation
        )
        known = before.manifest.rows // ROWS_A_BLOCK if follows and before else 0
        sums = catalog.sums(known, manifest.rows)
        if manifest.space is None and sums.any():
            raise CorruptIndex(str(catalog.path), NO_SPACE)
        dead = np.zeros(-(-manifest.rows // ROWS_A_BLOCK) * ROWS_A_BLOCK // 8, np.uint8)
        since = -1
        if follows and before:
            sums = appended(before._sums[: known * ROWS_A_BLOCK], sums)
            dead[: len(before._dead)] = before._dead
            since = before.manifest.generation
        size = ROWS_A_BLOCK // 8
        for block, bits in catalog.dead_since(since):
            if (block + 1) * size > len(dead):
                raise CorruptIndex(str(catalog.path), f"its list of dead rows goes beyond its {manifest.rows} rows")
            dead[block * size : (block + 1) * size] = np.frombuffer(bits, np.uint8)
        if int(np.unpackbits(dead).sum()) != manifest.dead:
            raise CorruptIndex(str(catalog.path), f"its list of dead rows does not hold {manifest.dead} rows")
        generation = cls(catalog.folder, manifest, vectors, sums, dead)
        if follows and before:
            generation._checked = before._checked
            generation._sound[: len(before._sound)] = before._sound
            if before.manifest.generation == manifest.generation:
                # Only derived data has changed. They share caches, so they share the lock too.
                generation._filters, generation._lock = before._filters, before._lock
                generation._unmatched, generation._groups = before._unmatched, before._groups
        return generation

    def allowed(self, where: Filter, select: Callable[[], Rows]) -> Allowed:
        """The rows that a filter allows; calls ``select`` if they are not known yet."""
        with self._lock:
            if where in self._filters:
                self._filters.move_to_end(where)
                return self._filters[where]
        rows = select()
        if len(rows) and not 0 <= rows.min() <= rows.max() < self.manifest.rows:
            raise CorruptIndex(str(self._folder / DATABASE_FILE), "it holds records beyond its rows")
        mask = np.zeros(self.manifest.rows, np.bool_)
        mask[rows] = True
        found = Allowed(len(rows), np.packbits(mask, bitorder="little"), self.manifest.rows)
        with self._lock:
            self._filters[where] = found
            while len(self._filters) > _FILTERS_KEPT:
                self._filters.popitem(last=False)
        return found

    def with_vectors(self, allowed: Allowed) -> Allowed:
        """Those of the rows that have a vector."""
        if self._lacking is None:
            return allowed
        if allowed.with_vectors is None:
            allowed.with_vectors = allowed.minus(self._lacking)
        return allowed.with_vectors

    def lack_vectors(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Which of these rows (n,) have no vector."""
        if self._lacking is None:
            return np.zeros(len(rows), np.bool_)
        return np.asarray(self._sums[rows] == 0)

    def groups(self, catalog: Catalog, field: FieldPath) -> Groups:
        """The groups of all rows; ``catalog`` must be in a read transaction of this generation."""
        with self._lock:
            if field in self._groups:
                self._groups.move_to_end(field)
                return self._groups[field]
        found = read_groups(catalog, field, self.manifest.rows)
        with self._lock:
            self._groups[field] = found
            while len(self._groups) > _GROUPS_KEPT:
                self._groups.popitem(last=False)
        return found

    def unmatched(self, catalog: Catalog, where: Filter, matched: bool) -> list[FilterWarning]:
        """See `sql.unmatched`; ``catalog`` must be in a read transaction of this generation."""
        if not self.manifest.records:
            return []
        found = []
        for what in asked(where, matched):
            if what not in self._unmatched:
                if len(self._unmatched) >= _TESTS_KEPT:
                    self._unmatched.clear()
                indexed = frozenset(parse_path(field) for field in self.manifest.fields)
                self._unmatched[what] = unmatched(catalog, what, indexed)
            found.append(self._unmatched.get(what))
        return [warning for warning in found if warning is not None]

    def checksum(self, row: int) -> int:
        """The checksum of a row's vector as it was written; 0 if there is no such row."""
        return int(self._sums[row]) if 0 <= row < len(self._sums) else 0

    def check(self, rows: Rows) -> None:
        """Raises CorruptIndex if the vector of one of these rows is damaged."""
        check_rows(self.vectors, rows, self._sums, self._path)

    def check_once(self, rows: Rows) -> None:
        """Like `check`, but does not read again what it found sound before."""
        are_sound = self._sound.take(rows)
        if not are_sound.all():
            new = rows[~are_sound]
            self.check(new)
            self._sound[new] = True

    def check_range(self, start: int, stop: int) -> None:
        """Like `check_once` for a range of rows."""
        for block in range(start // ROWS_A_BLOCK, -(-stop // ROWS_A_BLOCK)):
            first = block * ROWS_A_BLOCK
            last = min(first + ROWS_A_BLOCK, self.manifest.rows)
            if self._checked.get(block, 0) >= last - first:
                continue
            bad = np.flatnonzero(checksums(self.vectors[first:last]) != self._sums[first:last])
            # A scan reads the vectors of dead rows but never scores them, so damage there does not matter.
            bad = bad[~np.unpackbits(self._dead[first // 8 : -(-last // 8)], bitorder="little")[bad].astype(bool)]
            if len(bad):
                raise CorruptIndex(str(self._path), damaged_rows(first + bad))
            self._checked[block] = last - first

    @property
    def _most_codes(self) -> int:
        """More bytes than any codes of the vectors can take, clusters included."""
        rows, dimension = self.manifest.rows, self.manifest.dimension
        return 8 * dimension * (rows + dimension) + 256 * rows + 2**20

    def codes_file(self, number: int) -> Callable[[], memoryview]:
        """Maps one of the codes' files now, so that it may be removed; the result checks it and returns its content.

        Raises:
            CorruptIndex: it is missing (newer ones may have replaced it); or, from the result, it is damaged.
        """
        codes = self.manifest.codes
        assert codes is not None
        path = self._folder / codes.names[number]
        content = map_derived(path, self._most_codes)

        def checked() -> memoryview:
            if hashlib.sha256(content).hexdigest() != codes.digests[number]:
                raise CorruptIndex(str(path), "it is not what was published")
            return content

        return checked
