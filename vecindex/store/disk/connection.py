"""Opens a connection to an index's database, runs its transactions, and maps SQLite's errors to ours."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from ...errors import CorruptIndex, IndexLocked, IndexNotFound, StorageError
from .files import DATABASE_FILE, beginning, check_database, names, storage_errors
from .refusals import refused, refused_by_sqlite
from .system_calls import disk

BUSY_SECONDS = 10.0
_SQLITE = (3, 38, 0)  # for strict tables, and for -> in the SQL of filters
_CACHE_KIB = 65_536  # so that a commit's pages stay in memory: SQLite's default of 2 MB spills to the log and back
_PAGES_A_CHECKPOINT = 4_000
# What SQLite raises as an OperationalError although the file is damaged.
_SIGNS_OF_DAMAGE = ("malformed JSON", "Could not decode to UTF-8", "no such column", "no such table", "no such index")


class State(NamedTuple):
    """Values that differ after a change of the database or its log; the log's size; whether shared memory is in use."""

    files: tuple[int, ...]
    log: int
    is_shared: bool


_ELSEWHERE = "Open the index once where it is writable, or copy its folder to such a place"


def replaced(path: Path) -> StorageError:
    """The error if the index at ``path`` is not the one that was opened."""
    reason = "it was removed or replaced after it was opened"
    return StorageError(str(path), reason, "Open it again, or run the command again.")


class _Errors:
    """Maps errors inside a ``with``. A class, since a generator takes a microsecond and a search enters it often."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not isinstance(error, sqlite3.DatabaseError) or isinstance(error, sqlite3.ProgrammingError):
            return  # a ProgrammingError is our mistake, not a fault of the file
        reason = str(error)
        if isinstance(error, sqlite3.OperationalError) and not any(sign in reason for sign in _SIGNS_OF_DAMAGE):
            if "locked" in reason or "busy" in reason:
                raise IndexLocked(str(self._path.parent), None, None, BUSY_SECONDS) from error
            raise refused_by_sqlite(self._path, error) from error
        raise CorruptIndex(str(self._path), reason) from error


_live: dict[int, tuple[int, int] | None] = {}
"""The databases that this process has open with shared memory, by connection.

Closing another descriptor of such a file would end SQLite's locks on it.
"""


class Connection:
    """A connection to the database of the index in ``folder``; for one thread at a time."""

    def __init__(self, folder: Path, readonly: bool = False) -> None:
        """Raises IndexNotFound, CorruptIndex or StorageError."""
        self.folder = folder
        self.path = folder / DATABASE_FILE
        self._errors = _Errors(self.path)
        if not check_database(self.path):
            self._refuse_missing()
        if sqlite3.sqlite_version_info < _SQLITE:
            needed = ".".join(map(str, _SQLITE))
            raise StorageError(str(self.path), f"Python has SQLite {sqlite3.sqlite_version}, but {needed} is needed")
        with self.errors():
            self._readonly = readonly
            self._name = str(self.path)
            self.sqlite, self._frozen = self._connect()
            self.identity = self._found()
        self._count()

    def close(self) -> None:
        self.sqlite.close()
        _live.pop(id(self), None)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything read inside belongs to one commit, whatever is committed meanwhile."""
        with self.errors():
            if self._frozen is not None and self._frozen != self._state():
                self._connect_again()
            try:
                self.sqlite.execute("begin")
                yield
            finally:
                self._roll_back()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """One write transaction, durable when it ends; an exception leaves everything as it was."""
        with self.errors():
            if self._frozen is not None:
                self._connect_again(may_freeze=False)
            try:
                self.sqlite.execute("begin immediate")
                yield
                self.sqlite.execute("commit")
            except BaseException:
                self._roll_back()
                raise

    def check_in_place(self) -> None:
        """Raises StorageError if the index was replaced since it was opened: its other files are not ours then."""
        if self._found() != self.identity:
            raise replaced(self.path)

    def vacuum(self) -> None:
        """Returns the pages of deleted records to the file system."""
        with self.errors():
            self.sqlite.execute("vacuum")
            # This does not wait for readers, since the writer's lock is held: the next checkpoint does it then.
            self.sqlite.execute("pragma busy_timeout = 0")
            try:
                self.sqlite.execute("pragma wal_checkpoint(truncate)").fetchone()
            finally:
                self.sqlite.execute(f"pragma busy_timeout = {int(BUSY_SECONDS * 1000)}")

    def errors(self) -> _Errors:
        """Maps SQLite's errors to ours, inside a ``with``."""
        return self._errors

    def _roll_back(self) -> None:
        # SQLite ends a transaction by itself after some errors, and Ctrl-C may arrive when COMMIT is already done.
        if self.sqlite.in_transaction:
            self.sqlite.execute("rollback")

    def _connect(self, may_freeze: bool = True) -> tuple[sqlite3.Connection, State | None]:
        """A connection, and the state of the files if SQLite reads them without its shared memory.

        SQLite needs that file (-shm) to read, and cannot create it in a read-only folder or on a full disk. If there is
        none, nobody is writing: then a database without a log can be read as immutable, and a log that a crash has
        left can be read without locks, its index kept in memory. Others may change the index later: `transaction`
        connects again when they have.
        """
        base = f"{self.path.absolute().as_uri()}?mode="
        try:
            return self._configured(f"{base}{'ro' if self._readonly else 'rw'}"), None
        except sqlite3.OperationalError as error:
            if not may_freeze or "locked" in str(error) or "busy" in str(error):
                raise
            state = self._state()
            if state.is_shared:
                advice = f"{_ELSEWHERE}; check the disk's free space and the permissions, too."
                raise refused_by_sqlite(self.path, error, advice) from error
            if state.log:
                return self._configured(f"{base}ro&vfs=unix-none", "pragma locking_mode = exclusive"), state
            return self._configured(f"{base}ro&immutable=1"), state

    def _connect_again(self, may_freeze: bool = True) -> None:
        stale = self.sqlite
        check_database(self.path)
        self.sqlite, self._frozen = self._connect(may_freeze)
        self._count()
        stale.close()

    def _count(self) -> None:
        if self._frozen is None:
            _live[id(self)] = self.identity

    def _found(self) -> tuple[int, int] | None:
        """Device and inode of the file that has the database's name now; None if there is none."""
        try:
            stat = os.stat(self._name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise refused(self._name, error) from error
        return stat.st_dev, stat.st_ino

    def _state(self) -> State:
        log = changed = 0
        with storage_errors(self.path):
            stat = os.stat(self._name)
            is_ours = (stat.st_dev, stat.st_ino) in list(_live.values())
            with contextlib.suppress(FileNotFoundError):
                found = os.stat(f"{self._name}-wal")
                log, changed = found.st_size, found.st_mtime_ns
        is_shared = is_ours or _is_in_use(f"{self._name}-shm")
        return State((stat.st_ino, stat.st_size, stat.st_mtime_ns, changed), log, is_shared)

    def _configured(self, uri: str, first: str = "pragma synchronous = full") -> sqlite3.Connection:
        # Transactions are begun and ended here, never by the driver (isolation_level=None). Another thread may close.
        connection = disk().connect(uri, uri=True, isolation_level=None, timeout=BUSY_SECONDS, check_same_thread=False)
        try:
            connection.execute(first)
            connection.execute("pragma synchronous = full")
            connection.execute(f"pragma cache_size = -{_CACHE_KIB}")
            connection.execute(f"pragma wal_autocheckpoint = {_PAGES_A_CHECKPOINT}")
            connection.execute("select 1 from sqlite_master").fetchone()
        except BaseException:
            connection.close()
            raise
        return connection

    def _refuse_missing(self) -> None:
        if self.folder.is_dir() and any(name.startswith("vectors-") for name in names(self.folder)):
            raise CorruptIndex(str(self.path), "it is missing, and the vectors beside it are useless without it")
        raise IndexNotFound(str(self.folder))


def _is_in_use(shared_memory: str) -> bool:
    """Whether a process has begun to use the file; on a full disk SQLite leaves one of zeros."""
    try:
        return any(beginning(Path(shared_memory), 136))
    except FileNotFoundError:
        return False
    except OSError:
        return True  # it belongs to somebody
