"""One connection to an index's database: opened, its transactions, and SQLite's errors as ours."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from ..errors import CorruptIndex, IndexLocked, IndexNotFound, StorageError
from .disk import disk
from .files import storage_errors
from .schema import DATABASE_FILE

BUSY_SECONDS = 10.0
_SQLITE = (3, 38, 0)  # strict tables, and -> in the SQL of filters
_CACHE_KIB = 65_536  # a commit's pages stay in memory: SQLite's own 2 MB spill to the log and back
_PAGES_A_CHECKPOINT = 4_000
# What SQLite calls an OperationalError although the file is to blame.
_SIGNS_OF_DAMAGE = ("malformed JSON", "Could not decode to UTF-8", "no such column", "no such table")


class Connection:
    """SQLite on the database of the index in ``folder``; for one thread at a time."""

    def __init__(self, folder: Path, readonly: bool = False) -> None:
        """Raises IndexNotFound, CorruptIndex or StorageError."""
        self.folder = folder
        self.path = folder / DATABASE_FILE
        with storage_errors(self.path):
            if not self.path.is_file():
                self._refuse_missing()
        if sqlite3.sqlite_version_info < _SQLITE:
            needed = ".".join(map(str, _SQLITE))
            raise StorageError(str(self.path), f"Python has SQLite {sqlite3.sqlite_version}; {needed} is needed")
        with self.errors():
            self.sqlite, self._frozen = self._connect(readonly)
            self._identity = self._state()[0]

    def close(self) -> None:
        self.sqlite.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything read inside belongs to one commit, whatever is committed meanwhile."""
        with self.errors():
            if self._frozen is not None and self._frozen != self._state():
                stale = self.sqlite
                self.sqlite, self._frozen = self._connect(readonly=True)
                stale.close()
            try:
                self.sqlite.execute("begin")
                yield
            finally:
                self._roll_back()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """One write transaction, durable when it ends; an exception leaves everything as it was."""
        with self.errors():
            try:
                self.sqlite.execute("begin immediate")
                yield
                self.sqlite.execute("commit")
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

    def vacuum(self) -> None:
        """Gives the pages that deleted records left back to the file system."""
        with self.errors():
            self.sqlite.execute("vacuum")
            # Not waited for, since the writer's lock is held: with a reader at work the next checkpoint does it.
            self.sqlite.execute("pragma busy_timeout = 0")
            try:
                self.sqlite.execute("pragma wal_checkpoint(truncate)").fetchone()
            finally:
                self.sqlite.execute(f"pragma busy_timeout = {int(BUSY_SECONDS * 1000)}")

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Maps SQLite's errors to ours."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or "busy" in str(error):
                raise IndexLocked(str(self.folder), None, None, BUSY_SECONDS) from error
            if any(sign in str(error) for sign in _SIGNS_OF_DAMAGE):
                raise CorruptIndex(str(self.path), str(error)) from error
            raise StorageError(str(self.path), str(error)) from error
        except sqlite3.ProgrammingError:
            raise  # a mistake of ours, not of the file
        except sqlite3.DatabaseError as error:
            raise CorruptIndex(str(self.path), str(error)) from error

    def _roll_back(self) -> None:
        # SQLite ends a transaction by itself after some errors, and Ctrl-C may arrive when COMMIT is already done.
        if self.sqlite.in_transaction:
            self.sqlite.execute("rollback")

    def _connect(self, readonly: bool) -> tuple[sqlite3.Connection, tuple[int, ...] | None]:
        """A connection, and the file's state if SQLite was told that it does not change."""
        base = f"{self.path.absolute().as_uri()}?mode={'ro' if readonly else 'rw'}"
        try:
            return self._configured(base), None
        except sqlite3.OperationalError:
            # In a folder that may not be written to, SQLite reads a database without a log only if told that it does
            # not change. Others may change it all the same: `transaction` opens it again when it has.
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
        connection = disk().connect(uri, uri=True, isolation_level=None, timeout=BUSY_SECONDS, check_same_thread=False)
        try:
            connection.execute("pragma synchronous = full")
            connection.execute(f"pragma cache_size = -{_CACHE_KIB}")
            connection.execute(f"pragma wal_autocheckpoint = {_PAGES_A_CHECKPOINT}")
            connection.execute("select 1 from sqlite_master").fetchone()
        except BaseException:
            connection.close()
            raise
        return connection

    def _refuse_missing(self) -> None:
        if self.folder.is_dir() and any(self.folder.glob("vectors-*.f32")):
            raise CorruptIndex(str(self.path), "it is missing, and the vectors beside it say nothing without it")
        raise IndexNotFound(str(self.folder))
