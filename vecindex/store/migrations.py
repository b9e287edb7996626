"""How does an index of an older format become one of this: a function for each, in the transaction that records it.

A killed migration leaves the old format as it was. Format 1 had no checksums, and its dead rows were a table of rows;
format 2 had no cache, and knew of a text only that it was truncated, not how many tokens it lost.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..encoders.spec import Space
from ..errors import CorruptIndex, IncompatibleFormat
from .connection import Connection
from .lock import WriterLock
from .manifest import Manifest, checksum, from_row
from .schema import CREATE_CACHED, FORMAT, create_manifest, create_tables, write_manifest
from .tables import Tables, record_crc
from .vectors import ROWS_A_BLOCK, checksums, map_rows, vector_file

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
        return None if found is None else int(found[0])


def from_1(connection: Connection) -> None:
    """Checksums of records and vectors, dead rows as bitmaps, and the tables and columns that came later."""
    execute = connection.sqlite.execute
    generation, number, rows, space_json, created = execute(
        "select generation, vectors, rows, space, created from manifest"
    ).fetchone()
    dead = np.array([row for (row,) in execute("select row from dead")], np.int64)
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
    space = Space.from_json(space_json) if space_json else None
    manifest = Manifest(generation, number, rows, len(dead), space, created)
    vectors = map_rows(vector_file(connection.folder, number), rows, manifest.dimension)
    tables = Tables(connection.sqlite)
    for start in range(0, rows, ROWS_A_BLOCK):
        tables.set_sums(start // ROWS_A_BLOCK, checksums(vectors[start : start + ROWS_A_BLOCK]))
    tables.mark_dead(manifest, dead)
    write_manifest(connection.sqlite, manifest)


def from_2(connection: Connection) -> None:
    """Lost tokens in place of a mark, the cache, and the environment that vectors were written in."""
    execute = connection.sqlite.execute
    *columns, crc = execute(f"select {', '.join(_COLUMNS_2)}, crc from manifest").fetchone()
    if checksum(tuple(columns)) != crc:
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
    try:
        manifest = from_row((*columns, None))
    except ValueError as error:
        raise CorruptIndex(str(connection.path), str(error)) from None
    write_manifest(connection.sqlite, manifest)


MIGRATIONS: dict[int, Callable[[Connection], None]] = {1: from_1, 2: from_2}
"""The way from each older format to this one."""
