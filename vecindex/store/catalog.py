"""Every SQL statement that reads or changes an index; plain sqlite3, since this is the hot path.

Reading happens between `begin` and `end`: SQLite in WAL mode then shows one generation, whatever is committed
meanwhile. Writing needs the writer's lock as well (`store.writer`), so that the manifest read under it stays true.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..encoders.spec import Space
from ..errors import CorruptIndex, IncompatibleFormat, IndexLocked, IndexNotFound, StorageError
from ..filters import Filter, compile_sql
from .files import storage_errors
from .schema import DATABASE_FILE, FORMAT

_BUSY_SECONDS = 10.0
_SQLITE = (3, 38, 0)  # strict tables, and -> in the SQL of filters
# What SQLite calls an OperationalError although the file is to blame.
_SIGNS_OF_DAMAGE = ("malformed JSON", "Could not decode to UTF-8", "no such column", "no such table")
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is committed: ``rows`` in the vector file number ``vectors``, dead ones included."""

    generation: int
    vectors: int
    rows: int
    dimension: int
    space: Space | None
    created: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as it lies in the database; ``metadata`` is JSON text."""

    row: int
    key: str
    text: str
    metadata: str
    truncated: bool


class Catalog:
    """One connection to an index's database; for one thread at a time."""

    def __init__(self, folder: Path, readonly: bool = False) -> None:
        """Raises IndexNotFound, CorruptIndex, StorageError or IncompatibleFormat."""
        self.folder = folder
        self.path = folder / DATABASE_FILE
        with storage_errors(self.path):
            if not self.path.is_file():
                self._refuse_missing()
        if sqlite3.sqlite_version_info < _SQLITE:
            needed = ".".join(map(str, _SQLITE))
            raise StorageError(str(self.path), f"Python has SQLite {sqlite3.sqlite_version}; {needed} is needed")
        with self._errors():
            self._connection, self._frozen = self._connect(readonly)
            self._identity = self._state()[0]
            try:
                self._check_format()
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        self._connection.close()

    # Reading

    @contextlib.contextmanager
    def reading(self) -> Iterator[Manifest]:
        """One read transaction: everything read inside belongs to the manifest's generation."""
        with self._errors():
            if self._frozen is not None and self._frozen != self._state():
                stale = self._connection
                self._connection, self._frozen = self._connect(readonly=True)
                stale.close()
            try:
                self._connection.execute("begin")
                yield self.manifest()
            finally:
                self._roll_back()

    def manifest(self) -> Manifest:
        with self._errors():
            row = self._connection.execute(
                "select generation, vectors, rows, dimension, space, created from manifest"
            ).fetchone()
        if row is None:
            raise CorruptIndex(str(self.path), "its manifest is empty")
        generation, vectors, rows, dimension, space_json, created = row
        try:
            space = Space.from_json(space_json) if space_json is not None else None
        except (TypeError, ValueError) as error:
            raise CorruptIndex(str(self.path), f"its embedding space cannot be read: {error}") from None
        if rows < 0 or (dimension or 0) != (space.dimension if space else 0) or (rows and space is None):
            raise CorruptIndex(
                str(self.path), f"{rows} rows of {dimension} dimensions do not fit its embedding space {space_json}"
            )
        return Manifest(generation, vectors, rows, dimension or 0, space, created)

    def count(self) -> int:
        """How many records there are."""
        return int(self._one("select count(*) from records"))

    def count_truncated(self) -> int:
        return int(self._one("select count(*) from records where truncated"))

    def find(self, keys: Iterable[str]) -> dict[str, Stored]:
        """The records that have these keys; a key without a record is left out."""
        sql = "select row, key, text, metadata, truncated from records where key = ?"
        with self._errors():
            rows = (self._connection.execute(sql, (key,)).fetchone() for key in keys)
            return {row[1]: _stored(row) for row in rows if row is not None}

    def fetch(self, rows: Iterable[int]) -> list[Stored]:
        """The records at these rows, in their order; every row must be alive."""
        sql = "select row, key, text, metadata, truncated from records where row = ?"
        with self._errors():
            found = [self._connection.execute(sql, (row,)).fetchone() for row in rows]
        if None in found:
            raise CorruptIndex(str(self.path), "a row of the vector file is neither a record's nor dead")
        return [_stored(row) for row in found]

    def records(self) -> Iterator[Stored]:
        """All records by row."""
        with self._errors():
            for row in self._connection.execute("select row, key, text, metadata, truncated from records order by row"):
                yield _stored(row)

    def dead_rows(self) -> Rows:
        return self._rows("select row from dead order by row")

    def live_rows(self) -> Rows:
        return self._rows("select row from records order by row")

    def rows_where(self, where: Filter) -> Rows:
        """The rows whose records the filter selects, ascending."""
        sql, parameters = compile_sql(where)
        return self._rows(f"select row from records where {sql} order by row", parameters)

    def fingerprint(self) -> str | None:
        """The space's fingerprint as it was written, to be compared with the space's own."""
        found = self._one("select fingerprint from manifest")
        return None if found is None else str(found)

    def integrity_fault(self) -> str | None:
        """What SQLite's own check finds first, if anything."""
        found = str(self._one("pragma integrity_check(1)"))
        return None if found == "ok" else found

    def metadata(self, record: Stored) -> dict[str, Any]:
        """A record's metadata as an object; raises CorruptIndex."""
        try:
            found = json.loads(record.metadata)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise CorruptIndex(str(self.path), f"the metadata of {record.key!r} is not a JSON object")
        return found

    # Writing: only under the writer's lock, inside `writing`

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """One write transaction, durable when it ends; an exception leaves everything as it was."""
        with self._errors():
            try:
                self._connection.execute("begin immediate")
                yield
                self._connection.execute("commit")
            except BaseException:
                self._roll_back()
                raise

    def check_in_place(self) -> None:
        """Refuses to write where the index was replaced since it was opened: its vector file is another's now."""
        try:
            in_place = self._state()[0] == self._identity
        except FileNotFoundError:
            in_place = False
        if not in_place:
            raise StorageError(str(self.path), "it was removed or replaced after it was opened; open it again")

    def set_space(self, space: Space) -> None:
        self._connection.execute(
            "update manifest set space = ?, fingerprint = ?, dimension = ?",
            (space.to_json(), space.fingerprint, space.dimension),
        )

    def insert(self, records: Iterable[Stored]) -> None:
        self._connection.executemany(
            "insert into records (row, key, text, metadata, truncated) values (?, ?, ?, ?, ?)",
            ((r.row, r.key, r.text, r.metadata, int(r.truncated)) for r in records),
        )

    def set_metadata(self, changes: Iterable[tuple[int, str]]) -> None:
        """New metadata (JSON text) for these rows."""
        self._connection.executemany("update records set metadata = ? where row = ?", ((m, r) for r, m in changes))

    def bury(self, rows: Iterable[int]) -> None:
        """Deletes the records at these rows, which are dead from now on."""
        parameters = [(row,) for row in rows]
        self._connection.executemany("delete from records where row = ?", parameters)
        self._connection.executemany("insert into dead (row) values (?)", parameters)

    def advance(self, added_rows: int) -> None:
        """The next generation, with so many more rows in the vector file."""
        self._connection.execute("update manifest set generation = generation + 1, rows = rows + ?", (added_rows,))

    def renumber(self, live: Rows, vectors: int) -> None:
        """After a compaction into vector file number ``vectors``: the i-th live row becomes row i, none is dead."""
        # Ascending order: a row's new number is never above its old one, so it is free when its turn comes.
        self._connection.executemany(
            "update records set row = ? where row = ?",
            ((new, int(old)) for new, old in enumerate(live.tolist()) if new != old),
        )
        self._connection.execute("delete from dead")
        self._connection.execute(
            "update manifest set generation = generation + 1, vectors = ?, rows = ?", (vectors, len(live))
        )

    def vacuum(self) -> None:
        """Gives the pages that deleted records left back to the file system."""
        with self._errors():
            self._connection.execute("vacuum")
            # Not waited for, since the writer's lock is held: with a reader at work the next checkpoint does it.
            self._connection.execute("pragma busy_timeout = 0")
            try:
                self._connection.execute("pragma wal_checkpoint(truncate)").fetchone()
            finally:
                self._connection.execute(f"pragma busy_timeout = {int(_BUSY_SECONDS * 1000)}")

    def _roll_back(self) -> None:
        # SQLite ends a transaction by itself after some errors, and Ctrl-C may arrive when COMMIT is already done.
        if self._connection.in_transaction:
            self._connection.execute("rollback")

    def _connect(self, readonly: bool) -> tuple[sqlite3.Connection, tuple[int, ...] | None]:
        """A connection, and the file's state if SQLite was told that it does not change."""
        base = f"{self.path.absolute().as_uri()}?mode={'ro' if readonly else 'rw'}"
        try:
            return self._configured(base), None
        except sqlite3.OperationalError:
            # In a folder that may not be written to, SQLite reads a database without a log only if told that it does
            # not change. Others may change it all the same: `reading` opens it again when it has.
            if not readonly or self._log.exists():
                raise
            state = self._state()
            return self._configured(f"{base}&immutable=1"), state

    @property
    def _log(self) -> Path:
        return self.path.with_name(f"{DATABASE_FILE}-wal")

    def _state(self) -> tuple[int, ...]:
        stat = self.path.stat()
        return stat.st_ino, stat.st_size, stat.st_mtime_ns, int(self._log.exists())

    def _configured(self, uri: str) -> sqlite3.Connection:
        # Statements are begun and ended here, never by the driver (isolation_level None). Another thread may close.
        connection = sqlite3.connect(
            uri, uri=True, isolation_level=None, timeout=_BUSY_SECONDS, check_same_thread=False
        )
        try:
            connection.execute("pragma synchronous = full")
            connection.execute("select 1 from sqlite_master").fetchone()
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_format(self) -> None:
        tables = {row[0] for row in self._connection.execute("select name from sqlite_master where type = 'table'")}
        if "manifest" in tables:
            found = self._connection.execute("select format from manifest").fetchone()
            if found is not None and found[0] != FORMAT:
                raise IncompatibleFormat(str(self.folder), found[0], FORMAT)
        if not {"manifest", "records", "dead"} <= tables:
            raise CorruptIndex(str(self.path), "it is a SQLite database, but not one of vecindex")

    def _refuse_missing(self) -> None:
        if self.folder.is_dir() and any(self.folder.glob("vectors-*.f32")):
            raise CorruptIndex(str(self.path), "it is missing, and the vectors beside it say nothing without it")
        raise IndexNotFound(str(self.folder))

    def _one(self, sql: str) -> Any:
        with self._errors():
            return self._connection.execute(sql).fetchone()[0]

    def _rows(self, sql: str, parameters: Sequence[object] = ()) -> Rows:
        with self._errors():
            found = self._connection.execute(sql, parameters)
            return np.fromiter((row[0] for row in found), dtype=np.int64)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Maps SQLite's errors to ours."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or "busy" in str(error):
                raise IndexLocked(str(self.folder), None, None, _BUSY_SECONDS) from error
            if any(sign in str(error) for sign in _SIGNS_OF_DAMAGE):
                raise CorruptIndex(str(self.path), str(error)) from error
            raise StorageError(str(self.path), str(error)) from error
        except sqlite3.ProgrammingError:
            raise  # a mistake of ours, not of the file
        except sqlite3.DatabaseError as error:
            raise CorruptIndex(str(self.path), str(error)) from error


def _stored(row: tuple[int, str, str, str, int]) -> Stored:
    number, key, text, metadata, truncated = row
    return Stored(number, key, text, metadata, bool(truncated))
