"""Every table of vecindex.db, and how it is made. sqlite_utils is used here only: importing it costs a search's time.

::

    manifest   one row: format, generation (commits so far), vectors (number of the vector file), rows (committed,
               dead ones included), dimension, space (JSON) and fingerprint (both NULL until the first add), created
    records    row (position in the vector file), key, text, metadata (JSON object), truncated (0 or 1)
    dead       row: positions in the vector file whose record was deleted or replaced

Every row below ``manifest.rows`` is in exactly one of ``records`` and ``dead``.
"""

from __future__ import annotations

import os
import sqlite3
from datetime import datetime, timezone
from pathlib import Path

from ..errors import InvalidInput, StorageError
from .files import TEMPORARY_PREFIX, new_file, storage_errors

FORMAT = 1
DATABASE_FILE = "vecindex.db"


def index_exists(folder: Path) -> bool:
    """Whether there is an index at ``folder``, damaged or not; False too where that cannot be seen."""
    return os.path.exists(folder / DATABASE_FILE)


def create_index(folder: Path) -> None:
    """Makes an empty index at ``folder``, which must not exist or be empty; keeps one made there meanwhile.

    Raises:
        InvalidInput: ``folder`` is a file, or holds something else.
        StorageError: it cannot be written to; nothing is left of the attempt.
    """
    with storage_errors(folder):
        others = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        if folder.exists() and not folder.is_dir():
            raise InvalidInput(f"{folder} is a file, not the directory of an index", "Name a directory.")
    others = [name for name in others if not name.startswith(TEMPORARY_PREFIX)]
    if any(name.startswith("vectors-") for name in others):
        return  # opening says what is missing
    if others and not index_exists(folder):
        raise InvalidInput(f"{folder} is a directory that holds other files", "Name a new directory for the index.")
    with new_file(folder / DATABASE_FILE) as temporary:
        try:
            _create_database(temporary)
        except sqlite3.Error as error:
            raise StorageError(str(folder), str(error)) from error


def _create_database(path: Path) -> None:
    from sqlite_utils import Database

    connection = sqlite3.connect(path)
    try:
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = full")
        db = Database(connection)
        db.table("manifest").create(
            {
                **{"id": int, "format": int, "generation": int, "vectors": int, "rows": int, "dimension": int},
                **{"space": str, "fingerprint": str, "created": str},
            },
            pk="id",
            not_null={"format", "generation", "vectors", "rows", "created"},
            strict=True,
        )
        db.table("records").create(
            {"row": int, "key": str, "text": str, "metadata": str, "truncated": int},
            pk="row",
            not_null={"key", "text", "metadata", "truncated"},
            strict=True,
        )
        db.table("records").create_index(["key"], unique=True)
        db.table("dead").create({"row": int}, pk="row", strict=True)
        created = datetime.now(timezone.utc).isoformat(timespec="seconds")
        db.table("manifest").insert(
            {"id": 1, "format": FORMAT, "generation": 0, "vectors": 1, "rows": 0, "created": created}
        )
        connection.commit()
    finally:
        connection.close()
