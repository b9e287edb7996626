"""What is kept of one generation between searches: the mapping, its checksums, dead rows, and rows that filters allow.

A generation is read as the difference to the one before it: a commit costs its readers what it changed.
"""

from __future__ import annotations

import errno
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..errors import CorruptIndex, OutOfMemory
from ..errors.warnings import FilterWarning
from ..filters.tree import Filter, parse_path
from .disk.files import DATABASE_FILE, mapped
from .manifest import Manifest
from .sql.reads import Catalog
from .sql.unmatched import Asked, asked, unmatched
from .sql.writes import Bits
from .vectors import ROWS_A_BLOCK, Rows, Sums, Vectors, check_rows, checksums, damaged_rows, map_rows, vector_file

_FILTERS_KEPT = 32
_TESTS_KEPT = 1_000


class Allowed:
    """The rows that a search may return: ``count`` of them; ``bitmap``, the lowest bit first, is None for all rows."""

    def __init__(self, count: int, bitmap: Bits | None, total: int) -> None:
        self.count = count
        self.bitmap = bitmap
        self._total = total
        self._rows: Rows | None = None

    def rows(self) -> Rows:
        """The rows, ascending."""
        if self._rows is None:
            if self.bitmap is None:
                self._rows = np.arange(self._total, dtype=np.int64)
            else:
                mask = np.unpackbits(self.bitmap, count=self._total, bitorder="little")
                self._rows = np.flatnonzero(mask).astype(np.int64, copy=False)
        return self._rows


class Generation:
    """One committed state, shared by all searches of it; only caches change after it is made."""

    def __init__(self, folder: Path, manifest: Manifest, vectors: Vectors, sums: Sums, dead: Bits) -> None:
        self.manifest = manifest
        self.vectors = vectors
        self._folder = folder
        self._sums = sums
        self._dead = dead
        self._path = vector_file(folder, manifest.vectors)
        # Rows of each block that were found right; shared with the generations that follow on the same file.
        self._checked: dict[int, int] = {}
        self._filters: OrderedDict[Filter, Allowed] = OrderedDict()
        self._unmatched: dict[Asked, FilterWarning | None] = {}
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
        """The generation of ``manifest``, whose read transaction ``catalog`` is in; ``before`` is one seen earlier.

        Raises:
            CorruptIndex: a file is not what the manifest says.
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
        dead = np.zeros(-(-manifest.rows // ROWS_A_BLOCK) * ROWS_A_BLOCK // 8, np.uint8)
        since = -1
        if follows and before:
            sums = np.concatenate([before._sums[: known * ROWS_A_BLOCK], sums])
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
            if before.manifest.generation == manifest.generation:
                # Only what is derived has changed. What they share they guard together.
                generation._filters, generation._lock = before._filters, before._lock
                generation._unmatched = before._unmatched
        return generation

    def allowed(self, where: Filter, select: Callable[[], Rows]) -> Allowed:
        """The rows that a filter allows, by ``select`` when they are not known yet."""
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

    def unmatched(self, catalog: Catalog, where: Filter, matched: bool) -> list[FilterWarning]:
        """See `unmatched`; ``catalog`` is in a read transaction of this generation."""
        if not self.manifest.records:
            return []
        found = []
        for what in dict.fromkeys(asked(where, matched)):
            if what not in self._unmatched:
                if len(self._unmatched) >= _TESTS_KEPT:
                    self._unmatched.clear()
                indexed = frozenset(parse_path(field) for field in self.manifest.fields)
                self._unmatched[what] = unmatched(catalog, what, indexed)
            found.append(self._unmatched.get(what))
        return [warning for warning in found if warning is not None]

    def check(self, rows: Rows) -> None:
        """Raises CorruptIndex if the vector of one of these rows is not what was written."""
        check_rows(self.vectors, rows, self._sums, self._path)

    def check_range(self, start: int, stop: int) -> None:
        """The same for all rows of a range; what was found right once is not read again."""
        for block in range(start // ROWS_A_BLOCK, -(-stop // ROWS_A_BLOCK)):
            first = block * ROWS_A_BLOCK
            last = min(first + ROWS_A_BLOCK, self.manifest.rows)
            if self._checked.get(block, 0) >= last - first:
                continue
            bad = np.flatnonzero(checksums(self.vectors[first:last]) != self._sums[first:last])
            # A dead row's vector is never scored, but a scan passes over it: it says nothing, right or wrong.
            bad = bad[~np.unpackbits(self._dead[first // 8 : -(-last // 8)], bitorder="little")[bad].astype(bool)]
            if len(bad):
                raise CorruptIndex(str(self._path), damaged_rows(first + bad))
            self._checked[block] = last - first

    @property
    def _most_codes(self) -> int:
        """More bytes than any codes of the vectors take, with what is kept of their clusters."""
        rows, dimension = self.manifest.rows, self.manifest.dimension
        return 8 * dimension * (rows + dimension) + 256 * rows + 2**20

    def codes_file(self, part: int) -> Callable[[], memoryview]:
        """One of the codes' files, mapped now, so that it may be removed, and checked when its content is asked for.

        Raises:
            CorruptIndex: it is missing (newer ones may have replaced it); or, when called, is not what was published.
        """
        codes = self.manifest.codes
        assert codes is not None
        path = self._folder / codes.names[part]
        try:
            content = memoryview(mapped(path, at_most=self._most_codes))
        except OSError as error:
            if error.errno == errno.ENOMEM:
                raise OutOfMemory(f"{path} was mapped") from error
            raise CorruptIndex(str(path), error.strerror or str(error)) from None
        except ValueError as error:
            raise CorruptIndex(str(path), f"it cannot be read: {error}") from None

        def checked() -> memoryview:
            if hashlib.sha256(content).hexdigest() != codes.digests[part]:
                raise CorruptIndex(str(path), "it is not what was published")
            return content

        return checked
