"""Writes values into an index that no writer would, with the right checksums."""

from __future__ import annotations

import json
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

from vecindex.store.manifest import COLUMNS


def loosened(folder: Path) -> sqlite3.Connection:
    """A connection to a database whose tables take values of any type."""
    connection = sqlite3.connect(folder / "vecindex.db", isolation_level=None)
    connection.execute("pragma writable_schema = on")
    connection.execute(
        "update sqlite_master set sql = replace(replace(replace(sql, 'STRICT', ''), 'NOT NULL', ''), 'strict', '')"
    )
    connection.execute("pragma writable_schema = reset")
    return connection


def rewrite(folder: Path, **changes: Any) -> None:
    """Changes columns of the manifest, and makes its checksum right; a dict or list is written as JSON."""
    with closing(loosened(folder)) as connection:
        row = connection.execute(f"select {', '.join(COLUMNS)} from manifest").fetchone()
        values = dict(zip(COLUMNS, row, strict=True))
        for name, value in changes.items():
            values[name] = json.dumps(value) if isinstance(value, (dict, list)) else value
        shown = [value.decode("latin-1") if isinstance(value, bytes) else value for value in values.values()]
        crc = zlib.crc32(json.dumps(shown, ensure_ascii=False).encode())
        sets = ", ".join(f"{name} = ?" for name in COLUMNS)
        connection.execute(f"update manifest set {sets}, crc = ?", (*values.values(), crc))
