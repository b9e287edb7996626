"""Checks every invariant of an index's files, and names for each fault the file and what repairs it.

Tables are read directly, since `Catalog` refuses damaged rows.

1. A compaction or new codes come between reading the manifest and opening a file: a fault of a file counts only if it
   is still there after the manifest was read again.
2. Everything else is read in one transaction, of one generation, whatever is committed meanwhile.
"""

from __future__ import annotations

import contextlib
import hashlib
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import CorruptIndex
from ...values.nested import MAX_NESTING, nesting
from ...values.records import NO_VECTOR, VerifyReport
from ..generation import Generation
from ..manifest import NO_SPACE, Manifest
from ..snapshot import TRIES, Snapshot, Snapshots
from ..sql.reads import Catalog
from ..sql.schema import AT_SQL, INDEXES
from ..sql.writes import BYTES_A_BLOCK
from ..stored import metadata_of, place_of
from ..text_cache import entry_crc
from ..vectors import ROWS_A_BLOCK, Sums, Vectors, are_sound, checksums, map_rows, vector_file
from .faults import Examination, Kind
from .places import examine_places

CheckDerived = Callable[[Snapshot], Sequence[CorruptIndex]]
"""What is wrong with the derived files of a snapshot whose other files are sound; see `search.derived`."""

_MANY = 2**24
_RECORDS = (
    f"select row, cast(key as blob), cast(text as blob), cast(metadata as blob), lost, crc, "
    f"typeof(key) || typeof(text) || typeof(metadata) || typeof(lost), {AT_SQL} "
    "from records not indexed where row between ? and ? order by row"
)
_BEYOND_REPAIR = "Restore the directory from a backup, or add the texts to a new index."
_INDEXES = "select name from sqlite_master where type = 'index'"

Mask = npt.NDArray[np.bool_]
Verdicts = npt.NDArray[np.int8]
_VERDICTS = (
    *("is sound", "is not finite and of unit length", "is not what was written", "is not finite and of unit length"),
    "is there, though the record says that it has none",
)
_IS_LOST = -1  # with all others, which is a fault of its own
_IS_WRONG, _IS_OTHER, _IS_MISSING, _IS_THERE = range(1, len(_VERDICTS))


@contextlib.contextmanager
def examining() -> Iterator[None]:
    """Advises a backup where an index cannot even be opened, instead of the verify or repair that was tried."""
    try:
        yield
    except CorruptIndex as error:
        raise CorruptIndex(error.path, error.reason, _BEYOND_REPAIR) from error


@examining()
def verify(snapshots: Snapshots, check_derived: CheckDerived) -> VerifyReport:
    """Checks one generation completely; reads everything once, in bounded memory."""
    with snapshots.borrow() as catalog:
        return examine(catalog, check_derived).report()


def examine(catalog: Catalog, check_derived: CheckDerived, hopeless: Collection[int] = ()) -> Examination:
    """`verify` for `repair`; ``hopeless`` are rows whose texts cannot be encoded again."""
    try:
        structure = catalog.integrity_fault()
    except CorruptIndex as error:
        structure = error.reason
    for attempt in range(1, TRIES + 1):
        found = Examination(catalog.folder)
        try:
            with catalog.reading() as manifest:
                found.manifest = manifest
                vectors = _files(catalog, manifest, check_derived, found)
                if found.faults and attempt < TRIES:
                    continue
                _manifest(catalog, manifest, found)
                _rows(catalog, manifest, vectors, found, hopeless)
                if Kind.LOST not in found.found:
                    examine_places(catalog, found)
        except CorruptIndex as error:
            if found.manifest is None and attempt < TRIES:
                continue
            found.add(Kind.LOST, Path(error.path), error.reason)
        break
    catalog.check_in_place()  # else these may be faults of two indexes mixed together
    if structure is not None:
        # If all records can be read and their number is right, everything else can be made again from them.
        _structure(catalog, structure, found)
    return found


def _structure(catalog: Catalog, reason: str, found: Examination) -> None:
    kind = Kind.LOST if Kind.LOST in found.found or found.manifest is None else Kind.INDEXES
    before, found.faults = found.faults, []
    found.add(kind, catalog.path, " ".join(reason.split()))
    found.faults += before


def _files(catalog: Catalog, manifest: Manifest, check_derived: CheckDerived, found: Examination) -> Vectors | None:
    """Maps the vectors, and checks what is derived, which needs sound checksums."""
    try:
        vectors = map_rows(vector_file(catalog.folder, manifest.vectors), manifest.rows, manifest.dimension)
    except CorruptIndex as error:
        is_external = manifest.space is None or manifest.space.is_external
        found.add(Kind.LOST if is_external else Kind.VECTORS, Path(error.path), error.reason)
        return None
    if manifest.derived:
        try:
            snapshot = Snapshot(catalog, Generation.read(catalog, manifest, None))
        except CorruptIndex:
            return vectors  # reported later
        for fault in check_derived(snapshot):
            found.add(Kind.DERIVED, Path(fault.path), fault.reason)
    return vectors


def _manifest(catalog: Catalog, manifest: Manifest, found: Examination) -> None:
    expected = manifest.space.fingerprint if manifest.space else None
    written = catalog.fingerprint()
    if written != expected:
        reason = f"the fingerprint {written} does not match that of its space, {expected}"
        found.add(Kind.FINGERPRINT, catalog.path, reason)
    with catalog.errors():
        names = {name for (name,) in catalog.sqlite.execute(_INDEXES)}
    for name in INDEXES:
        if name not in names:
            found.add(Kind.INDEXES, catalog.path, f"its SQL index {name} is missing")
    for number, name in enumerate(manifest.fields):
        # An index of another SQLite release is fine here: the next writer makes it again.
        if not any(other.startswith(f"field {name}, SQLite ") for other in names):
            found.add(Kind.FIELD, catalog.path, f"the field {name!r} has no SQL index", number)


def _rows(
    catalog: Catalog, manifest: Manifest, vectors: Vectors | None, found: Examination, hopeless: Collection[int]
) -> None:
    """Checks block by block that each committed row is either a record or dead, and what the records hold."""
    if (reason := _too_few(catalog, manifest)) is not None:
        found.add(Kind.LOST, catalog.path, reason)
        return
    blocks = -(-manifest.rows // ROWS_A_BLOCK)
    listed = mismatched = 0
    dead_is_damaged = lacks_space = False
    known = _Known(manifest.rows)
    for block in range(blocks):
        first = block * ROWS_A_BLOCK
        count = min(ROWS_A_BLOCK, manifest.rows - first)
        bad = np.full(count, _IS_LOST, np.int8)
        if vectors is not None:
            sums = _sums(catalog, block, count, found)
            if manifest.space is None and sums is not None and sums.any():
                lacks_space = True
            else:
                bad = _damaged(np.asarray(vectors[first : first + count]), sums)
            if sums is not None:
                # A damaged vector is a fault of its own.
                known.sums[first : first + count] = np.where(
                    bad == _IS_MISSING, 0, np.where(bad, -1, sums.astype(np.int64))
                )
        live = _records(catalog, manifest, first, bad, found, known.texts, hopeless)
        dead = _dead(catalog, block, count)
        found.records += int(live.sum())
        if dead is None:
            dead_is_damaged = True
        else:
            listed += int(dead.sum())
            mismatched += int((live == dead[:count]).sum())
    with catalog.errors():
        execute = catalog.sqlite.execute
        sql = "select count(*) from records not indexed where row < 0 or row >= ?"
        beyond = execute(sql, (manifest.rows,)).fetchone()[0]
        dead_beyond = execute("select count(*) from dead not indexed where block < 0 or block >= ?", (blocks,))
        dead_is_damaged |= dead_beyond.fetchone()[0] > 0
        sums_beyond = execute("select count(*) from sums where block < 0 or block >= ?", (blocks,)).fetchone()[0]
    if lacks_space:
        found.add(Kind.LOST, catalog.path, NO_SPACE)
    if sums_beyond:
        found.add(Kind.SUMS, catalog.path, f"its checksums go beyond its {manifest.rows} rows", blocks)
    if found.records != manifest.records or beyond:
        reason = f"{found.records + beyond} records and {listed} dead rows do not make up its {manifest.rows} rows"
        found.add(Kind.LOST, catalog.path, reason)
    elif dead_is_damaged or mismatched or listed != manifest.dead:
        found.add(Kind.DEAD, catalog.path, "its list of dead rows is not what was written")
    _cached(catalog, known, found)


def _too_few(catalog: Catalog, manifest: Manifest) -> str | None:
    """What is wrong if the manifest claims far more rows than the tables can have, too many to go through."""
    if manifest.rows <= _MANY:
        return None
    with catalog.errors():
        execute = catalog.sqlite.execute
        records = execute("select count(*) from records not indexed").fetchone()[0]
        dead = execute("select count(*) from dead not indexed").fetchone()[0] * ROWS_A_BLOCK
        sums = execute("select count(*) from sums").fetchone()[0] * ROWS_A_BLOCK
    if manifest.rows <= records + max(dead, sums):
        return None
    return f"{records} records and {dead} dead rows at most do not make up its {manifest.rows} rows"


class _Known:
    """What the cache's entries are compared with, in 16 bytes a row.

    That is the checksum of the row's vector, -1 if it is unknown, and the first 64 bits of the digest of its text, 0 if
    the row is dead.
    """

    def __init__(self, rows: int) -> None:
        self.sums = np.full(rows, -1, np.int64)
        self.texts = np.zeros(rows, np.uint64)


def _cached(catalog: Catalog, known: _Known, found: Examination) -> None:
    """Checks that each entry of the cache matches the vector of its row and, if the row is live, the text."""
    wrong = 0
    try:
        with catalog.errors():
            for digest, row, lost, crc in catalog.sqlite.execute("select digest, row, lost, crc from cached"):
                is_entry = (type(digest), type(row), type(lost)) == (bytes, int, int)
                if not is_entry or not 0 <= row < len(known.sums) or len(digest) != 16 or not 0 <= lost < 2**63:
                    wrong += 1
                    continue
                checksum, text = int(known.sums[row]), int(known.texts[row])
                is_right = checksum < 0 or (checksum and entry_crc(digest, lost, checksum) == crc)
                wrong += not is_right or text not in (0, int.from_bytes(digest[:8], "big"))
        reason = f"{wrong} entries of its cache are not what was written"
    except CorruptIndex as error:
        reason, wrong = f"its cache cannot be read: {error.reason}", 1
    if wrong:
        found.add(Kind.CACHE, catalog.path, reason)


def _sums(catalog: Catalog, block: int, count: int, found: Examination) -> Sums | None:
    """The checksums of a block of ``count`` rows; None if they are damaged."""
    with catalog.errors():
        row = catalog.sqlite.execute("select sums, crc from sums where block = ?", (block,)).fetchone()
    if row is None or not isinstance(row[0], bytes) or zlib.crc32(row[0]) != row[1] or len(row[0]) != 4 * count:
        first = block * ROWS_A_BLOCK
        reason = f"its checksums of the vectors of rows {first} to {first + count - 1} are not what was written"
        found.add(Kind.SUMS, catalog.path, reason, block)
        return None
    return np.frombuffer(row[0], "<u4")


def _dead(catalog: Catalog, block: int, count: int) -> Mask | None:
    """Which rows of a block are dead, rows behind the last one included; None if the list is damaged."""
    sql = "select bits, crc from dead not indexed where block = ?"
    with catalog.errors():
        row = catalog.sqlite.execute(sql, (block,)).fetchone()
    if row is None:
        return np.zeros(count, np.bool_)
    bits, crc = row
    if not isinstance(bits, bytes) or zlib.crc32(bits) != crc or len(bits) != BYTES_A_BLOCK:
        return None
    return np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little").astype(np.bool_)


def _damaged(vectors: Vectors, sums: Sums | None) -> Verdicts:
    """The index into `_VERDICTS` for each of these vectors."""
    verdicts = np.where(are_sound(vectors), 0, _IS_WRONG).astype(np.int8)
    found = checksums(vectors)
    verdicts[found == 0] = _IS_MISSING
    if sums is not None:
        verdicts[found != sums] = _IS_OTHER
    return verdicts


def _records(
    catalog: Catalog,
    manifest: Manifest,
    first: int,
    bad: Verdicts,
    found: Examination,
    texts: npt.NDArray[np.uint64],
    hopeless: Collection[int],
) -> Mask:
    """Checks the records of a block, whose vectors may be ``bad``; returns which rows have a record.

    If a bad vector cannot be made again, as in ``hopeless`` rows, the record must be deleted. Writes the first 64 bits
    of the digest of each text to ``texts`` (rows,).
    """
    path = vector_file(catalog.folder, manifest.vectors)
    external = manifest.space is None or manifest.space.is_external
    live = np.zeros(len(bad), np.bool_)
    for row, key, text, fault, has_vector in _read(catalog, first, first + len(bad) - 1):
        live[row - first] = True
        found.without_vector += not has_vector
        texts[row] = 0 if fault else int.from_bytes(hashlib.sha256(text).digest()[:8], "big")
        name = f"the record at row {row}" if key is None else repr(key)
        kind = Kind.VECTOR
        if fault is not None and key is None:
            kind = Kind.NAMELESS
            found.add(kind, catalog.path, f"{name} {fault}, and neither is its key", row)
        elif fault is not None:
            kind = Kind.RECORD
            found.add(kind, catalog.path, f"the record {name} {fault}", row, key)
        if verdict := _of_record(int(bad[row - first]), has_vector, fault):
            reason = f"the vector of {name} (row {row}) {_VERDICTS[verdict]}"
            found.add(kind, path, reason, row, key if external or kind is Kind.RECORD or row in hopeless else None)
    return live


def _of_record(verdict: int, has_vector: bool, fault: str | None) -> int:
    """The verdict on the vector of a record, which may say that it has none; a damaged one says nothing."""
    if verdict == _IS_LOST or (verdict == _IS_MISSING and (not has_vector or fault is not None)):
        return 0
    return _IS_THERE if verdict == 0 and not has_vector and fault is None else verdict


def _read(catalog: Catalog, first: int, last: int) -> Iterator[tuple[int, str | None, bytes, str | None, bool]]:
    """Row, key (None if it is not text), text, what is wrong, and whether it has a vector, for some records."""
    with catalog.errors():
        for row, key, text, metadata, lost, crc, types, *at in catalog.sqlite.execute(_RECORDS, (first, last)):
            fault = None
            is_written = types == "texttexttextinteger" and lost >= 0 and _crc(key, text, metadata, lost, at) == crc
            if not is_written or not _is_place(at):
                fault = "is not what was written"
            else:
                fault = _metadata_fault(catalog, metadata)
            yield row, _decoded(key), text, fault, not isinstance(lost, int) or lost < NO_VECTOR


def _crc(key: bytes, text: bytes, metadata: bytes, lost: int, at: Sequence[int | None]) -> int:
    """See `stored.record_crc`; the texts may not be UTF-8."""
    is_placed = at != [None] * len(at)
    numbers = [",".join("" if number is None else str(number) for number in at).encode()] if is_placed else []
    return zlib.crc32(b"\0".join((key, text, metadata, *([b"%d" % lost] if lost or is_placed else []), *numbers)))


def _is_place(at: Sequence[Any]) -> bool:
    try:
        place_of(tuple(at))
    except ValueError:
        return False
    return True


def _decoded(key: object) -> str | None:
    try:
        found = key.decode() if isinstance(key, bytes) else ""
    except UnicodeDecodeError:
        return None
    return found if found and "\0" not in found else None


def _metadata_fault(catalog: Catalog, metadata: bytes) -> str | None:
    try:
        metadata_of(metadata.decode())
    except ValueError:
        return "has metadata that is not a JSON object"
    except RecursionError:
        return f"has metadata that is nested {nesting(metadata.decode())} levels deep, more than can be read"
    # Earlier versions accepted metadata that SQLite cannot read, so that every filter fails.
    if metadata.count(b"[") + metadata.count(b"{") > MAX_NESTING:
        sql = "select json_valid(cast(? as text))"
        if not catalog.sqlite.execute(sql, (metadata,)).fetchone()[0]:
            return f"has metadata that is nested {nesting(metadata.decode())} levels deep, more than filters can read"
    return None
