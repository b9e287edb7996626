"""Reads the rows that a query selects from an SQLite database, which is opened for reading only.

Python's own sqlite3 is all it takes. The query may only read tables and call functions that compute: SQLite asks before
anything else that it does, also in the views of a stranger's database, and is refused.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from urllib.parse import quote

from ...errors import Advice, InvalidInput, SourceError
from ...values.records import Origin, Record
from ..documents import EmptyText
from ..fields import listed
from ..origin import Source
from .columns import table_columns
from .json_values import json_value
from .rejects import fields_of

_MAGIC = b"SQLite format 3\0"
_STEPS_BETWEEN_SIGNALS = 1_000_000
_READS = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_RECURSIVE,
}
_OTHER_FUNCTIONS = {"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit"}
_OWN_TABLES = {"records", "manifest", "cached"}


def read(source: Source, stream: IO[bytes]) -> Iterator[Record | EmptyText | SourceError]:
    """A record for each row of the query's result; raises SourceError if it cannot be run."""
    with _path(source, stream) as path, contextlib.closing(_opened(source.name, path)) as database:
        try:
            yield from _rows(source, database)
        except (sqlite3.Error, sqlite3.Warning) as error:  # a second statement is a Warning before Python 3.11
            raise _refused(source, error) from None


@contextlib.contextmanager
def _path(source: Source, stream: IO[bytes]) -> Iterator[str]:
    """The path of the database; of a copy if ``stream`` is no file of its own, as in an archive."""
    if _is_database(source.path):
        yield source.path
        return
    with tempfile.TemporaryDirectory(prefix="vecindex-") as folder:
        copy = Path(folder, "copy.db")
        with copy.open("wb") as out:
            shutil.copyfileobj(stream, out)
        yield str(copy)


def _is_database(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except (OSError, ValueError):
        return False


def _opened(name: str, path: str) -> sqlite3.Connection:
    try:
        database = sqlite3.connect(f"file:{quote(os.path.abspath(path))}?mode=ro", uri=True, isolation_level=None)
    except sqlite3.Error as error:
        raise SourceError(name, None, f"cannot be opened: {error}", "Check that you may read it.") from None
    # So that a signal ends a query that never does.
    database.set_progress_handler(lambda: 0, _STEPS_BETWEEN_SIGNALS)
    database.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")  # `checked_text` refuses what is left
    return database


def _rows(source: Source, database: sqlite3.Connection) -> Iterator[Record | EmptyText | SourceError]:
    database.execute("pragma trusted_schema = off")
    tables = _tables(database)
    if set(tables) >= _OWN_TABLES:
        raise SourceError(
            source.name,
            None,
            "it is the database of a vecindex index",
            Advice(
                "Export the index, and import that: index.export(path).",
                typed="Export the index, and import that: vecindex export NEW.parquet --index DIR.",
            ),
        )
    if source.options.sql is None:
        raise _no_query(source, database, tables)
    database.set_authorizer(_authorised)
    cursor = database.execute(source.options.sql)
    if cursor.description is None:
        raise SourceError(source.name, None, "the query selects nothing", "Write a SELECT.")
    names = [column[0] for column in cursor.description]
    try:
        columns = table_columns(names, source.options, only_column_is_text=True)
    except InvalidInput as error:
        raise SourceError(source.name, None, f"in the result of the query: {error.message}", error.advice) from None
    used = [(position, f"the column {names[position]!r}") for position in columns.used]
    for number, row in enumerate(cursor, start=1):
        origin = Origin(source.name, number, "row")
        try:
            values = list(row)
            for position, what in used:
                values[position] = json_value(row[position], what)
            yield columns.record(values, origin)
        except InvalidInput as error:
            yield origin.error(error.message, error.advice, fields_of(columns, row))


def _authorised(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    if action in _READS or (action == sqlite3.SQLITE_FUNCTION and second not in _OTHER_FUNCTIONS):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def _tables(database: sqlite3.Connection) -> list[str]:
    found = database.execute(
        "select name from sqlite_master where type in ('table', 'view') and name not like 'sqlite_%' order by rowid"
    )
    return [name for (name,) in found]


def _no_query(source: Source, database: sqlite3.Connection, tables: list[str]) -> SourceError:
    if not tables:
        return SourceError(source.name, None, "the database has no tables", "Check that this is the right file.")
    sql = f"select {_text_column(database, tables[0])} as text from {_quoted(tables[0])}"
    return SourceError(
        source.name,
        None,
        f"a database needs a query that selects the texts; its tables are: {listed(tables)}",
        Advice(f"For example: sql={sql!r}.", typed=f"For example: --sql {_shell_quoted(sql)}"),
    )


def _text_column(database: sqlite3.Connection, table: str) -> str:
    """The first column for texts, or else the first one."""
    columns = database.execute("select name, type from pragma_table_info(?)", (table,)).fetchall()
    texts = [name for name, kind in columns if "CHAR" in kind.upper() or "TEXT" in kind.upper()]
    return _quoted((texts or [columns[0][0]])[0])


def _quoted(name: str) -> str:
    """The name of a table or column, in quotes if it needs them."""
    return name if name.isidentifier() and name.isascii() else '"' + name.replace('"', '""') + '"'


def _shell_quoted(sql: str) -> str:
    return f"'{sql}'" if '"' in sql else f'"{sql}"'


def _refused(source: Source, error: Exception) -> SourceError:
    said = str(error)
    if "not a database" in said or "malformed" in said or "disk image" in said:
        return SourceError(source.name, None, f"cannot be read: {said}", "Check that it is a complete SQLite database.")
    if any(word in said for word in ("not authorized", "prohibited", "authorization denied")):
        return SourceError(
            source.name, None, "the query does more than read tables", "Write one SELECT, without ATTACH or PRAGMA."
        )
    if "one statement" in said:
        return SourceError(source.name, None, "there is more than one query", "Write one SELECT.")
    return SourceError(
        source.name,
        None,
        f"the query cannot be run: {said}",
        Advice("Check sql=; try it with the sqlite3 shell.", typed="Check --sql; try it with the sqlite3 shell."),
    )
