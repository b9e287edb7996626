"""Is the index sound: every invariant of the database and the vector file, each fault named with its file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import CorruptIndex
from ..records import Fault, VerifyReport
from .catalog import Catalog, Manifest
from .snapshot import TRIES, Snapshots
from .vectors import Vectors, map_rows, vector_file

_ROWS_A_BLOCK = 16_384
_LENGTH_TOLERANCE = 1e-4


def verify(snapshots: Snapshots) -> VerifyReport:
    """Checks one generation whole; reads everything once, in bounded memory."""
    with snapshots.borrow() as catalog:
        if fault := catalog.integrity_fault():
            return VerifyReport(0, 0, (Fault(str(catalog.path), fault),))
        for attempt in range(1, TRIES + 1):
            with catalog.reading() as manifest:
                path = vector_file(catalog.folder, manifest.vectors)
                faults = []
                try:
                    vectors = map_rows(path, manifest.rows, manifest.dimension)
                except CorruptIndex as error:
                    if attempt < TRIES:
                        continue  # a compaction may have removed it after the manifest was read
                    faults.append(Fault(error.path, error.reason))
                    vectors = map_rows(path, 0, manifest.dimension)
                faults += [*_space(catalog, manifest), *_rows(catalog, manifest), *_records(catalog)]
                faults += _vectors(catalog, vectors, path)
                return VerifyReport(catalog.count(), manifest.rows, tuple(faults))
    raise AssertionError("the last try returns")


def _space(catalog: Catalog, manifest: Manifest) -> Iterator[Fault]:
    expected = manifest.space.fingerprint if manifest.space else None
    if catalog.fingerprint() != expected:
        yield Fault(str(catalog.path), f"the fingerprint {catalog.fingerprint()} is not that of its space, {expected}")


def _rows(catalog: Catalog, manifest: Manifest) -> Iterator[Fault]:
    """Every row below the committed count is a record's or dead, and not both."""
    live, dead = catalog.live_rows(), catalog.dead_rows()
    if not np.array_equal(np.sort(np.concatenate([live, dead])), np.arange(manifest.rows)):
        yield Fault(
            str(catalog.path),
            f"{len(live)} records and {len(dead)} dead rows do not make up the {manifest.rows} committed rows",
        )


def _records(catalog: Catalog) -> Iterator[Fault]:
    """Every record can be read, and its metadata is a JSON object."""
    try:
        for record in catalog.records():
            try:
                catalog.metadata(record)
            except CorruptIndex as error:
                yield Fault(error.path, error.reason)
    except CorruptIndex as error:
        yield Fault(error.path, error.reason)


def _vectors(catalog: Catalog, vectors: Vectors, path: Path) -> Iterator[Fault]:
    """Every vector that is not dead is finite and of unit length."""
    dead = catalog.dead_rows()
    for start in range(0, len(vectors), _ROWS_A_BLOCK):
        lengths = np.linalg.norm(vectors[start : start + _ROWS_A_BLOCK].astype(np.float64), axis=1)
        bad = start + np.flatnonzero(~(np.abs(lengths - 1) <= _LENGTH_TOLERANCE))
        for row in np.setdiff1d(bad, dead).tolist():
            yield Fault(str(path), f"the vector of {_key(catalog, row)} (row {row}) is not finite and of unit length")


def _key(catalog: Catalog, row: int) -> str:
    try:
        return repr(catalog.fetch([row])[0].key)
    except CorruptIndex:
        return "no readable record"
