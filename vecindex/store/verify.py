"""Is the index sound: every invariant of the database and the vector file, each fault named with its file."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from ..errors import VecindexError
from ..records import Fault, VerifyReport
from .catalog import Catalog, Manifest
from .snapshot import Snapshots
from .vectors import Vectors, map_rows, vector_file

_ROWS_A_BLOCK = 65_536
_LENGTH_TOLERANCE = 1e-4


def verify(snapshots: Snapshots) -> VerifyReport:
    """Checks one generation whole; reads everything once, in bounded memory."""
    catalog = snapshots.catalog
    if fault := catalog.integrity_fault():
        return VerifyReport(0, 0, (Fault(str(catalog.path), fault),))
    with catalog.reading() as manifest:
        checks = (_space, _rows, _records, _vectors)
        faults = tuple(fault for check in checks for fault in check(catalog, manifest))
        return VerifyReport(catalog.count(), manifest.rows, faults)


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


def _records(catalog: Catalog, manifest: Manifest) -> Iterator[Fault]:
    for record in catalog.records():
        try:
            is_object = isinstance(json.loads(record.metadata), dict)
        except ValueError:
            is_object = False
        if not is_object:
            yield Fault(str(catalog.path), f"the metadata of {record.key!r} is not a JSON object")


def _vectors(catalog: Catalog, manifest: Manifest) -> Iterator[Fault]:
    """The committed rows are all there, finite and of unit length."""
    path = vector_file(catalog.folder, manifest.vectors)
    try:
        vectors: Vectors = map_rows(path, manifest.rows, manifest.dimension)
    except VecindexError as error:
        yield Fault(str(path), getattr(error, "reason", error.message))
        return
    dead = set(catalog.dead_rows().tolist())
    for start in range(0, len(vectors), _ROWS_A_BLOCK):
        lengths = np.linalg.norm(vectors[start : start + _ROWS_A_BLOCK], axis=1)
        for row in start + np.flatnonzero(~(np.abs(lengths - 1) <= _LENGTH_TOLERANCE)):
            if int(row) not in dead:
                key = catalog.fetch([int(row)])[0].key
                yield Fault(str(path), f"the vector of {key!r} (row {row}) is not finite and of unit length")
