"""Upgrades indexes of older formats, with one function and one transaction for each format.

A killed upgrade leaves the old format as it was. Format 1 had no checksums and a table of dead rows. Format 2 had no
cache, and of a text only whether it was truncated, not how many tokens it lost. Format 3 had no sources and documents:
the parts of the text KEY were the records KEY#1, KEY#2 and so on, with ``part_of`` and ``span`` in their metadata.
Format 4 had no token vectors and no background; early on, it had no lexical side either. In format 5 each record had a
vector, and the checksum of a vector might be 0, one in four billion.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...errors import CorruptIndex, IncompatibleFormat
from ...values.metadata import checked_metadata
from ..disk.connection import Connection
from ..disk.lock import WriterLock
from ..manifest import COLUMNS, NO_SPACE, Manifest, checksum, from_row
from ..stored import At, NewDocument, metadata_of, record_crc
from ..vectors import ROWS_A_BLOCK, checksums, map_rows, vector_file
from .schema import AT, CREATE_CACHED, FORMAT, create_documents, create_manifest, create_tables, write_manifest
from .writes import Tables

_COLUMNS_2 = ("generation", "vectors", "rows", "dead", "space", "created", "codes", "fields")
_COLUMNS_3 = (*_COLUMNS_2, "written_by")


def to_newest(folder: Path, timeout: float) -> int | None:
    """Upgrades the index in ``folder`` to the newest format; returns the old format, or None if it was the newest.

    Raises:
        IncompatibleFormat: a newer version wrote it.
        IndexLocked, StorageError, CorruptIndex: it is unchanged.
    """
    connection = Connection(folder)
    try:
        if _format(connection) in (FORMAT, None):
            return None  # opening it says what is wrong if it has no format
        with WriterLock(folder, timeout):
            found = _format(connection)
            if found in UPGRADES:
                with connection.writing():
                    UPGRADES[found](connection)
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
    """Adds checksums of records and vectors, bitmaps of dead rows, and everything that format 2 lacked."""
    execute = connection.sqlite.execute
    written = _only_row(connection, ("generation", "vectors", "rows", "space", "created"))
    buried = [row for (row,) in execute("select row from dead")]
    if not all(type(row) is int for row in buried):
        raise CorruptIndex(str(connection.path), "its list of dead rows is not what was written")
    manifest = _manifest(connection, (*written[:3], len(buried), *written[3:], None, "[]", *[None] * 4))
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
    """Adds the number of lost tokens in place of a mark, the cache, and the environment that wrote the vectors."""
    execute = connection.sqlite.execute
    manifest = _taken_manifest(connection, _COLUMNS_2)
    execute("alter table records rename column truncated to lost")
    # Only sound records get a new checksum, so that damaged ones do not pass for sound afterwards.
    connection.sqlite.create_function("record_crc", 4, record_crc, deterministic=True)
    execute(
        "update records set crc = record_crc(key, text, metadata, lost) "
        "where lost <> 0 and crc = record_crc(key, text, metadata, 0)"
    )
    execute(CREATE_CACHED)
    _add_documents(connection)
    _settle_sums(connection, manifest)
    write_manifest(connection.sqlite, manifest)


def from_3(connection: Connection) -> None:
    """Adds sources and documents, and makes documents of texts that are stored in parts."""
    manifest = _taken_manifest(connection, _COLUMNS_3)
    _add_documents(connection)
    _make_documents(connection)
    _settle_sums(connection, manifest)
    write_manifest(connection.sqlite, manifest)


def from_4(connection: Connection) -> None:
    """Adds what the manifest says of token vectors, of the background, and of the lexical side if that is missing."""
    there = {name for _, name, *_ in connection.sqlite.execute("pragma table_info(manifest)")}
    manifest = _taken_manifest(connection, [name for name in COLUMNS if name in there])
    _settle_sums(connection, manifest)
    write_manifest(connection.sqlite, manifest)


def from_5(connection: Connection) -> None:
    """Only checksums of 0 have to change."""
    manifest = _taken_manifest(connection, COLUMNS)
    _settle_sums(connection, manifest)
    write_manifest(connection.sqlite, manifest)


def _settle_sums(connection: Connection, manifest: Manifest) -> None:
    """Gives vectors whose checksum is 0 the one that they have now, since 0 means that there is no vector."""
    execute, tables = connection.sqlite.execute, Tables(connection.sqlite)
    for block, content, crc in execute("select block, sums, crc from sums").fetchall():
        if not isinstance(content, bytes) or len(content) % 4 or zlib.crc32(content) != crc:
            continue  # damaged, which is found later
        sums = np.frombuffer(content, "<u4").copy()
        if not len(zeros := np.flatnonzero(sums == 0)):
            continue
        vectors = map_rows(vector_file(connection.folder, manifest.vectors), manifest.rows, manifest.dimension)
        rows = block * ROWS_A_BLOCK + zeros
        sums[zeros] = checksums(vectors[rows])
        tables.set_sums(block, sums)
        for row in rows.tolist():  # its entry has a checksum that covers the old one
            execute("delete from cached where row = ?", (row,))


def _add_documents(connection: Connection) -> None:
    for column in AT:
        connection.sqlite.execute(f'alter table records add column "{column}" integer')
    create_documents(connection.sqlite)


def _make_documents(connection: Connection) -> None:
    """Makes a document of each text in parts; parts that are damaged stay as they are, so that this is still found."""
    sqlite, tables = connection.sqlite, Tables(connection.sqlite)
    sql = "select row, key, metadata, length(text) from records where instr(metadata, 'part_of') order by row"
    parts = [part for row in sqlite.execute(sql) if (part := _part(*row)) is not None]
    documents: dict[str, int] = {}
    for part in parts:
        if part.owner not in documents:
            # The whole text is not stored, so its digest is not known.
            documents[part.owner] = tables.put_document(NewDocument("row", part.owner, None, b"", part.metadata))

    def crc(key: str, text: str, metadata: str, lost: int, document: int, position: int, start: int, end: int) -> int:
        return record_crc(key, text, metadata, lost, At(None, document, position, start, end, None))

    sqlite.create_function("record_crc", 4, record_crc, deterministic=True)
    sqlite.create_function("part_crc", 8, crc, deterministic=True)
    sqlite.executemany(
        'update records set metadata = ?1, document = ?2, position = ?3, start = ?4, "end" = ?5, '
        "crc = part_crc(key, text, ?1, lost, ?2, ?3, ?4, ?5) "
        "where row = ?6 and crc = record_crc(key, text, metadata, lost)",
        ((p.metadata, documents[p.owner], p.position, p.start, p.end, p.row) for p in parts),
    )
    tables.drop_empty_documents(documents.values())


class _Part(NamedTuple):
    row: int
    owner: str
    position: int
    start: int
    end: int
    metadata: str
    """Without the names that parts had: that of the whole text."""


def _part(row: int, key: str, metadata: str, length: int) -> _Part | None:
    """The part of a text that a record of format 3 is, if it is one."""
    try:
        found = metadata_of(metadata)
    except (ValueError, RecursionError):
        return None
    owner, span = found.pop("part_of", None), found.pop("span", None)
    number = key.removeprefix(f"{owner}#")
    if number == key or not (number.isascii() and number.isdigit() and number[0] != "0"):
        return None
    if not isinstance(span, list) or [type(each) for each in span] != [int, int] or span[1] - span[0] != length:
        return None
    return _Part(row, owner, int(number) - 1, span[0], span[1], checked_metadata(found))


def _taken_manifest(connection: Connection, columns: Sequence[str]) -> Manifest:
    """The manifest in a table with the first of today's columns, in place of which it leaves an empty one of today."""
    *found, crc = _only_row(connection, (*columns, "crc"))
    manifest = _manifest(connection, (*found, *[None] * (len(COLUMNS) - len(found))))
    if checksum(found) != crc:
        raise CorruptIndex(str(connection.path), "its manifest is not what was written")
    connection.sqlite.execute("drop table manifest")
    create_manifest(connection.sqlite)
    return manifest


def _only_row(connection: Connection, columns: Sequence[str]) -> Sequence[object]:
    """The row of the manifest's table; raises CorruptIndex if it is empty."""
    found: Sequence[object] | None = connection.sqlite.execute(f"select {', '.join(columns)} from manifest").fetchone()
    if found is None:
        raise CorruptIndex(str(connection.path), "its manifest is empty")
    return found


def _manifest(connection: Connection, row: Sequence[object]) -> Manifest:
    try:
        manifest = from_row(row)
        if manifest.rows and manifest.space is None:
            raise ValueError(NO_SPACE)
        return manifest
    except ValueError as error:
        raise CorruptIndex(str(connection.path), str(error)) from None


UPGRADES: dict[int, Callable[[Connection], None]] = {1: from_1, 2: from_2, 3: from_3, 4: from_4, 5: from_5}
"""The upgrade of each older format to the newest."""
