"""Repairs a damaged index from what is sound in it.

This holds the writer's lock and uses one transaction for each step, so a killed repair leaves each step done or not
begun; the next repair examines the index again. What cannot be repaired is left as it is and reported. If something is
lost, so that a backup is needed, nothing in the database is changed.

1. SQLite's indexes and free pages: removed from the schema and made again from the tables, then the file is rewritten.
   ``reindex`` and ``drop index`` would read the damaged pages to free them. So are the lists of sources and documents,
   if they cannot be read; see `places`.
2. Checksums whose own checksum is wrong: from the vectors, which are probably sound if they have unit length.
3. The list of dead rows: every row without a record, if there are as many records as the manifest counts.
4. The cache: emptied, since it only saves work; in step 1 too, where its pages may be the damaged ones.
5. Sources, documents and repeats: from the records; see `places`.
6. Damaged vectors: the texts are encoded again and get new rows, as if they were added. If the vector file is missing
   or too short, all texts are, but only on request. See `reencode`.
7. What is derived: after the lock is released, as after any change, and only if all vectors are sound. Of stored token
   vectors only those of damaged or missing files are made again, if the model is at hand.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...encoders.run.encoder import Encoder
from ...errors import CorruptIndex
from ...values.records import Fault, VerifyReport
from ..snapshot import Snapshots
from ..sql.reads import Catalog
from ..sql.schema import CREATE_CACHED, CREATE_DOCUMENTS, CREATE_REPEATS, CREATE_SOURCES, INDEXES
from ..sql.writes import Tables
from ..stored import Stored
from ..vectors import ROWS_A_BLOCK, checksums, map_rows, vector_file
from ..writer import Writer
from .faults import Examination, Kind
from .places import mend, salvaged, salvaged_repeats
from .reencode import encode_lost, encode_rows
from .verify import CheckDerived, examine, examining


@examining()
def repair(
    snapshots: Snapshots,
    writer: Callable[[Catalog], Writer],
    check_derived: CheckDerived,
    renew_derived: Callable[[], None],
    encoder: Callable[[], Encoder],
    encode: bool = False,
) -> VerifyReport:
    """Repairs what can be repaired, and verifies again; calls ``encoder`` only if a vector is damaged.

    If the vector file is lost, ``encode`` makes all of it again; without it nothing is changed.

    Raises:
        IndexLocked, StorageError, ModelNotFound, SpaceMismatch: what was repaired until then stays repaired.
    """
    with snapshots.borrow() as catalog:
        before = examine(catalog, check_derived)
        left = _Left()
        if before.faults and _is_repairable(before, encode):
            with writer(catalog).locked():
                # Examined again, since nobody else changes anything now.
                left = _repair(catalog, examine(catalog, check_derived), encoder, encode)
            with contextlib.suppress(CorruptIndex):  # in the report
                if not _is_derived_sound(snapshots, check_derived):
                    renew_derived()
        after = examine(catalog, check_derived, left.rows)
        for record in left.records:
            reason = f"the text of {record.key!r} (row {record.row}) cannot be encoded: the model finds no token in it"
            after.add(Kind.RECORD, catalog.path, reason, record.row, record.key)
    remaining = {_identity(fault) for fault in after.faults}
    after.unrepaired(encode)
    return after.report(tuple(fault for fault in before.faults if _identity(fault) not in remaining))


@dataclass(slots=True)
class _Left:
    """Records whose texts cannot be encoded: ``rows`` of damaged vectors, ``records`` without a vector."""

    rows: list[int] = field(default_factory=list)
    records: list[Stored] = field(default_factory=list)


def _identity(fault: Fault) -> tuple[str, str]:
    # Encoding again changes the row of a record, but if it has the same fault then, that is not repaired.
    return fault.path, re.sub(r" \(row \d+\)", "", fault.reason)


def _is_repairable(found: Examination, encode: bool) -> bool:
    # A database with damaged tables is not written to, which could turn errors into wrong answers.
    return Kind.LOST not in found.found and (encode or Kind.VECTORS not in found.found)


def _is_derived_sound(snapshots: Snapshots, check_derived: CheckDerived) -> bool:
    with snapshots.take() as snapshot:
        return not check_derived(snapshot)


def _repair(catalog: Catalog, found: Examination, encoder: Callable[[], Encoder], encode: bool) -> _Left:
    left = _Left()
    if not _is_repairable(found, encode):
        return left  # this was found only now
    for kind, step in _STEPS.items():
        if kind in found.found:
            with contextlib.suppress(CorruptIndex):  # in the report
                step(catalog, found.found[kind])
    space = catalog.manifest().space
    if space is None or space.is_external:
        return left  # only their maker can make these vectors again
    if Kind.VECTORS in found.found and Kind.RECORD not in found.found:
        left.records = encode_lost(catalog, encoder)
    elif Kind.VECTOR in found.found:
        left.rows = encode_rows(catalog, found.found[Kind.VECTOR], encoder)
    return left


def _make_indexes(catalog: Catalog, numbers: Sequence[int]) -> None:
    execute = catalog.sqlite.execute
    manifest, lost, repeats = catalog.manifest(), salvaged(catalog), salvaged_repeats(catalog)
    names = ("cached", "repeats", *(("sources", "documents", "sqlite_sequence") if lost else ()))
    with catalog.writing():  # `changing` would read the indexes that may be damaged
        execute("pragma writable_schema = on")
        try:
            marks = ", ".join("?" * len(names))
            execute(f"delete from sqlite_master where type = 'index' or name in ({marks})", names)
        finally:
            execute("pragma writable_schema = reset")  # which also reads the schema again
        tables = Tables(catalog.sqlite)
        for sql in (*((CREATE_SOURCES, CREATE_DOCUMENTS) if lost else ()), CREATE_REPEATS, CREATE_CACHED):
            execute(sql)
        for sql in INDEXES.values():
            execute(sql)
        if lost:
            lost.put_back(tables)
        repeats.put_back(catalog, tables)
        tables.create_field_indexes(manifest.fields)
        tables.commit(manifest)  # a new generation, since cached results of filters may be wrong
    catalog.vacuum()  # the pages of the old indexes are in no list of free pages
    if lost:
        mend(catalog)


def _write_manifest_again(catalog: Catalog, numbers: Sequence[int]) -> None:
    manifest = catalog.manifest()
    with catalog.changing() as tables:  # which also makes the SQL indexes of fields that lack one
        tables.annotate(manifest)


def _compute_sums(catalog: Catalog, blocks: Sequence[int]) -> None:
    manifest = catalog.manifest()
    vectors = map_rows(vector_file(catalog.folder, manifest.vectors), manifest.rows, manifest.dimension)
    count = -(-manifest.rows // ROWS_A_BLOCK)
    with catalog.changing() as tables:
        for block in blocks:
            if block < count:
                tables.set_sums(block, checksums(vectors[block * ROWS_A_BLOCK : (block + 1) * ROWS_A_BLOCK]))
        catalog.sqlite.execute("delete from sums where block < 0 or block >= ?", (count,))


def _list_dead(catalog: Catalog, numbers: Sequence[int]) -> None:
    manifest = catalog.manifest()
    dead = np.ones(manifest.rows, np.bool_)
    with catalog.changing() as tables:
        for (row,) in catalog.sqlite.execute("select row from records not indexed"):
            dead[row] = False
        catalog.sqlite.execute("delete from dead")
        tables.mark_dead(manifest, np.flatnonzero(dead))
        tables.commit(manifest)


def _delete_nameless(catalog: Catalog, rows: Sequence[int]) -> None:
    manifest = catalog.manifest()
    with catalog.changing() as tables:
        tables.commit(tables.bury(manifest, np.unique(np.array(rows, np.int64))))


def _mend_places(catalog: Catalog, numbers: Sequence[int]) -> None:
    mend(catalog)


def _empty_cache(catalog: Catalog, numbers: Sequence[int]) -> None:
    with catalog.changing() as tables:
        tables.forget()


_STEPS: dict[Kind, Callable[[Catalog, Sequence[int]], None]] = {
    Kind.INDEXES: _make_indexes,
    Kind.FIELD: _write_manifest_again,
    Kind.FINGERPRINT: _write_manifest_again,
    Kind.SUMS: _compute_sums,
    Kind.DEAD: _list_dead,
    Kind.NAMELESS: _delete_nameless,
    Kind.CACHE: _empty_cache,
    Kind.PLACES: _mend_places,
}
"""In this order, since each step needs what earlier ones repaired."""
