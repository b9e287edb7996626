"""Defines and creates the tables of vecindex.db. Only this imports sqlite_utils, which takes as long as a search.

::

    manifest   one row: format, generation (commits so far), vectors (number of the vector file), rows (committed,
               dead ones included), dead (how many), space (JSON, NULL until the first add) and its fingerprint,
               created, codes (JSON: the accelerator's files, or NULL), fields (JSON: the indexed metadata fields),
               written_by (JSON: the environment of the encoder that wrote the newest vectors, or NULL),
               lexical (JSON: how texts become terms, and the lexical segments' files; or NULL),
               tokens (JSON: how token vectors are quantised, and the files of the stored ones; or NULL),
               background (JSON: how near random records are to each other; or NULL),
               crc (CRC-32 of the others as JSON)
    records    row (position in the vector file), key, text, metadata (JSON object), lost (how many tokens of the
               text the vector does not cover, plus `records.UNKNOWN` if the model knows none of them; 1 in a
               record from format 1 or 2 means "at least one"; `records.NO_VECTOR` for a record without a vector,
               whose row in the vector file is zeros), source, document, position, start, end, place
               (`store.stored.At`; all NULL for a text that was given whole, and not in a source),
               crc (`store.stored.record_crc`: of all these but row)
    sources    id, and what `values.sources.SourceState` has; crc (CRC-32 of these as JSON)
    documents  texts that were cut into records: id, kind ("row" has a key that the user chose or that is derived from
               a row, "file" one that says which text of its source it is), key, source (or NULL), title, digest (the
               first 128 bits of the SHA-256 of the text), metadata (JSON object: what all its records have), language,
               crc (CRC-32 of these as JSON). The text itself is not stored again: its sentences are in records.
    repeats    rows that other sources repeat: key (of the record or document), source (0: it was also given by hand),
               place, crc (CRC-32 of these as JSON). When the source of the record drops it, the record stays, and is
               one of this source, or of none.
    sums       block, sums: the checksums of the 4096 rows from 4096*block on, 4 bytes each
               (`store.vectors.checksums`; 0 for a row without a vector, and for no other), crc (their CRC-32)
    dead       block, generation (of its last change), bits: a bitmap, lowest bit first, of the 4096 rows from
               4096*block on whose records were deleted or replaced; crc (its CRC-32)
    cached     digest (the first 128 bits of the SHA-256 of a text that was encoded here), row (that has the text's
               vector), lost (as in records), crc (`text_cache.entry_crc`: of digest, lost and the vector's checksum)

Every row below ``manifest.rows`` is in exactly one of ``records`` and ``dead``. Rows in ``cached`` may be in either.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from datetime import datetime, timezone
from pathlib import Path

from ...errors import InvalidInput, StorageError
from ..disk.files import DATABASE_FILE, TEMPORARY_PREFIX, names, new_file, publish, storage_errors
from ..disk.refusals import refused_by_sqlite
from ..disk.system_calls import disk
from ..manifest import COLUMNS, Manifest, checksum, to_row

FORMAT = 6
IGNORE_FILE = ".gitignore"
_IGNORED = b"# Made by vecindex; it stays as you change it.\n*\n"
CREATE_CACHED = (
    "create table cached (digest blob primary key, row integer not null, lost integer not null, crc integer not null) "
    "strict, without rowid"
)
AT = ("source", "document", "position", "start", "end", "place")
"""The columns of records that `store.stored.At` has."""
AT_SQL = ", ".join(f'"{column}"' for column in AT)  # "end" is a keyword
TABLES = ("manifest", "records", "sums", "dead", "cached", "sources", "documents", "repeats")
INDEXES = {
    "idx_records_key": "create unique index if not exists idx_records_key on records (key)",
    "idx_records_source": "create index if not exists idx_records_source on records (source, position) "
    "where source is not null",
    "idx_records_document": "create index if not exists idx_records_document on records (document, position) "
    "where document is not null",
    "idx_dead_generation": "create index if not exists idx_dead_generation on dead (generation)",
    "idx_sources_location": "create unique index if not exists idx_sources_location on sources (location, query)",
    "idx_documents_key": "create unique index if not exists idx_documents_key on documents (key, kind)",
    "idx_documents_source": "create index if not exists idx_documents_source on documents (source) "
    "where source is not null",
    "idx_repeats_source": "create index if not exists idx_repeats_source on repeats (source)",
}
"""The SQL indexes that every index has; most rows of records have no source, so that those indexes are small."""
CREATE_REPEATS = (
    "create table repeats (key text not null, source integer not null, place integer, crc integer not null, "
    "primary key (key, source)) strict, without rowid"
)
CREATE_SOURCES = (
    # Autoincrement: an id that a running command still has in mind never comes to mean another source.
    "create table sources (id integer primary key autoincrement, kind text not null, location text not null, "
    "query text not null, reader text not null, options text not null, digest text, size integer, modified integer, "
    "added text not null, stale integer not null, unit text, imported integer not null, crc integer not null) strict"
)
CREATE_DOCUMENTS = (
    "create table documents (id integer primary key, kind text not null, key text not null, source integer, "
    "title text, digest blob not null, metadata text not null, language text, crc integer not null) strict"
)
VIEWS = {
    "sentences": "CREATE VIEW sentences as select records.key, records.text, sources.location as source, "
    'records.place, documents.title, records.position, records.start, records."end", records.metadata '
    "from records left join sources on sources.id = records.source "
    "left join documents on documents.id = records.document"
}
"""For people who open the database with other tools; nothing here reads them. Written as SQLite keeps them."""


def index_exists(folder: Path) -> bool:
    """Whether there is an index at ``folder``, damaged or not; also False if that cannot be found out."""
    return os.path.lexists(folder / DATABASE_FILE)


def create_index(folder: Path, beside: Path | None = None) -> None:
    """Makes an empty index at ``folder``, which must be missing or empty; keeps an index that is there.

    Its files get the modes of the index ``beside``, if given.

    Raises:
        InvalidInput: ``folder`` is a file, or holds other files.
        StorageError: it cannot be written to; nothing is left of the attempt.
    """
    with storage_errors(folder):
        others = names(folder) if folder.is_dir() else []
        if folder.exists() and not folder.is_dir():
            raise InvalidInput(f"{folder} is a file, not the directory of an index", "Name a directory.")
    others = [name for name in others if not name.startswith(TEMPORARY_PREFIX) and name != IGNORE_FILE]
    if any(name.startswith("vectors-") for name in others):
        return  # opening says what is missing
    if others and not index_exists(folder):
        raise InvalidInput(f"{folder} is a directory that holds other files", "Name a new directory for the index.")
    try:
        with new_file(folder / DATABASE_FILE, beside and beside / DATABASE_FILE) as temporary:
            try:
                _create_database(temporary)
            except sqlite3.Error as error:
                raise refused_by_sqlite(folder / DATABASE_FILE, error) from error
    except StorageError:
        if not index_exists(folder):  # else another process made it first, and its writer removed our file
            raise
    if beside is None:
        keep_out_of_repositories(folder)


def keep_out_of_repositories(folder: Path) -> None:
    """Makes git ignore the index in ``folder``, unless it has a .gitignore or cannot be written to."""
    if not os.path.lexists(folder / IGNORE_FILE):
        with contextlib.suppress(StorageError):
            publish(folder / IGNORE_FILE, [memoryview(_IGNORED)])


def _create_database(path: Path) -> None:
    connection = disk().connect(str(path))
    try:
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = full")
        create_tables(connection)
        created = datetime.now(timezone.utc).isoformat(timespec="seconds")
        write_manifest(connection, Manifest(0, 1, 0, 0, None, created))
        connection.commit()
        # Closing would do it too, but hide an error, and the log does not move with the file.
        connection.execute("pragma wal_checkpoint(truncate)").fetchone()
    finally:
        connection.close()


def create_tables(connection: sqlite3.Connection) -> None:
    """Creates the empty tables of this format, in a transaction that the caller commits."""
    from sqlite_utils import Database

    db = Database(connection)
    create_manifest(connection)
    db.table("records").create(
        {
            **{"row": int, "key": str, "text": str, "metadata": str, "lost": int},
            **dict.fromkeys(AT, int),
            "crc": int,
        },
        pk="row",
        not_null={"key", "text", "metadata", "lost", "crc"},
        strict=True,
    )
    db.table("sums").create(
        {"block": int, "sums": bytes, "crc": int}, pk="block", not_null={"sums", "crc"}, strict=True
    )
    db.table("dead").create(
        {"block": int, "generation": int, "bits": bytes, "crc": int},
        pk="block",
        not_null={"generation", "bits", "crc"},
        strict=True,
    )
    connection.execute(CREATE_CACHED)
    create_documents(connection)


def create_documents(connection: sqlite3.Connection) -> None:
    """Creates the tables of sources and documents, and all SQL indexes and views."""
    for sql in (CREATE_SOURCES, CREATE_DOCUMENTS, CREATE_REPEATS, *INDEXES.values(), *VIEWS.values()):
        connection.execute(sql)


def create_manifest(connection: sqlite3.Connection) -> None:
    """Creates only the manifest's table."""
    from sqlite_utils import Database

    Database(connection).table("manifest").create(
        {
            **{"id": int, "format": int, "generation": int, "vectors": int, "rows": int, "dead": int},
            **{"space": str, "fingerprint": str, "created": str, "codes": str, "fields": str, "written_by": str},
            **{"lexical": str, "tokens": str, "background": str},
            "crc": int,
        },
        pk="id",
        not_null={"format", "generation", "vectors", "rows", "dead", "created", "fields", "crc"},
        strict=True,
    )


def write_manifest(connection: sqlite3.Connection, manifest: Manifest) -> None:
    """Writes the manifest, in a transaction that the caller commits."""
    row = to_row(manifest)
    names = ", ".join(COLUMNS)
    fingerprint = manifest.space.fingerprint if manifest.space else None
    connection.execute(
        f"insert or replace into manifest (id, format, fingerprint, crc, {names}) values (1, ?, ?, ?, "
        f"{', '.join('?' * len(COLUMNS))})",
        (FORMAT, fingerprint, checksum(row), *row),
    )
