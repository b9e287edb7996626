"""How does an index of an older format become one of this: a function for each, in the transaction that records it.

A killed migration leaves the old format as it was. Format 1 had no checksums, and its dead rows were a table of rows;
format 2 had no cache, and knew of a text only that it was truncated, not how many tokens it lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ...errors import CorruptIndex, IncompatibleFormat
from ..disk.connection import Connection
from ..disk.lock import WriterLock
from ..manifest import Manifest, checksum, from_row
from ..stored import record_crc
from ..vectors import ROWS_A_BLOCK, checksums, map_rows, vector_file
from .schema import CREATE_CACHED, FORMAT, create_manifest, create_tables, write_manifest
from .writes import Tables

_COLUMNS_2 = ("generation", "vectors", "rows", "dead", "space", "created", "codes", "fields")


def to_newest(folder: Path, timeout: float) -> int | None:
    """Brings the index in ``folder`` to this version's format; the one it had, or None if there was nothing to do.

    Raises:
        IncompatibleFormat: it is of a newer version.
        IndexLocked, StorageError, CorruptIndex: it is as it was.
    """
    connection = Connection(folder)
    try:
        if _format(connection) in (FORMAT, None):
            return None  # opening says what is wrong with one that has no format
        with WriterLock(folder, timeout):
            found = _format(connection)
            if found in MIGRATIONS:
                with connection.writing():
                    MIGRATIONS[found](connection)
            reached = _format(connection)
            if reached != FORMAT:
                raise IncompatibleFormat(str(folder), reached or 0, FORMAT)
            return found if found != FORMAT else None
    finally:
        connection.close()


def _format(connection: Connection) -> int | None:
    with connection.errors():
        tables = {row[0] for row in connection.sqlite.execute("select name from sqlite_master where type = 'table'")}
        found = connection.sqlite.execute("select format from manifest").fetchone() if "manifest" in tables else None
    if found is not None and type(found[0]) is not int:
        raise CorruptIndex(str(connection.path), "its manifest is not what was written")
    return None if found is None else found[0]


def from_1(connection: Connection) -> None:
    """Checksums of records and vectors, dead rows as bitmaps, and the tables and columns that came later."""
    execute = connection.sqlite.execute
    written = _only_row(connection, ("generation", "vectors", "rows", "space", "created"))
    buried = [row for (row,) in execute("select row from dead")]
    if not all(type(row) is int for row in buried):
        raise CorruptIndex(str(connection.path), "its list of dead rows is not what was written")
    manifest = _manifest(connection, (*written[:3], len(buried), *written[3:], None, "[]", None))
    dead, rows = np.array(buried, np.int64), manifest.rows
    if len(dead) and not 0 <= dead.min() <= dead.max() < rows:
        raise CorruptIndex(str(connection.path), f"its list of dead rows goes beyond its {rows} rows")
    vectors = map_rows(vector_file(connection.folder, manifest.vectors), rows, manifest.dimension)
    execute("drop table manifest")
    execute("drop table dead")
    execute("drop index idx_records_key")
    execute("alter table records rename to records_1")
    create_tables(connection.sqlite)
    connection.sqlite.create_function("record_crc", 4, record_crc, deterministic=True)
    execute(
        "insert into records (row, key, text, metadata, lost, crc) "
        "select row, key, text, metadata, truncated, record_crc(key, text, metadata, truncated) "
        "from records_1 order by row"
    )
    execute("drop table records_1")
    tables = Tables(connection.sqlite)
    for start in range(0, rows, ROWS_A_BLOCK):
        tables.set_sums(start // ROWS_A_BLOCK, checksums(vectors[start : start + ROWS_A_BLOCK]))
    tables.mark_dead(manifest, dead)
    write_manifest(connection.sqlite, manifest)


def from_2(connection: Connection) -> None:
    """Lost tokens in place of a mark, the cache, and the environment that vectors were written in."""
    execute = connection.sqlite.execute
    *columns, crc = _only_row(connection, (*_COLUMNS_2, "crc"))
    manifest = _manifest(connection, (*columns, None))
    if checksum(columns) != crc:
        raise CorruptIndex(str(connection.path), "its manifest is not what was written")
    execute("drop table manifest")
    create_manifest(connection.sqlite)
    execute("alter table records rename column truncated to lost")
    # A record that was damaged before must not pass for sound afterwards: only sound ones get their new checksum.
    connection.sqlite.create_function("record_crc", 4, record_crc, deterministic=True)
    execute(
        "update records set crc = record_crc(key, text, metadata, lost) "
        "where lost <> 0 and crc = record_crc(key, text, metadata, 0)"
    )
    execute(CREATE_CACHED)
    write_manifest(connection.sqlite, manifest)


def _only_row(connection: Connection, columns: Sequence[str]) -> Sequence[object]:
    """What the table of the manifest says; raises CorruptIndex where it is empty."""
    found: Sequence[object] | None = connection.sqlite.execute(f"select {', '.join(columns)} from manifest").fetchone()
    if found is None:
        raise CorruptIndex(str(connection.path), "its manifest is empty")
    return found


def _manifest(connection: Connection, row: Sequence[object]) -> Manifest:
    try:
        return from_row(row)
    except ValueError as error:
        raise CorruptIndex(str(connection.path), str(error)) from None


MIGRATIONS: dict[int, Callable[[Connection], None]] = {1: from_1, 2: from_2}
"""The way from each older format to this one."""
