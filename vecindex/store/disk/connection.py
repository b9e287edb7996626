"""One connection to an index's database: opened, its transactions, and SQLite's errors as ours."""

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
_SQLITE = (3, 38, 0)  # strict tables, and -> in the SQL of filters
_CACHE_KIB = 65_536  # a commit's pages stay in memory: SQLite's own 2 MB spill to the log and back
_PAGES_A_CHECKPOINT = 4_000
# What SQLite calls an OperationalError although the file is to blame.
_SIGNS_OF_DAMAGE = ("malformed JSON", "Could not decode to UTF-8", "no such column", "no such table", "no such index")


class State(NamedTuple):
    """What a change of the database, or of its log, changes; the log's size, and whether its shared memory is used."""

    files: tuple[int, ...]
    log: int
    is_shared: bool


_ELSEWHERE = "Open the index once where it may be written to, or copy its folder to such a place"


def replaced(path: Path) -> StorageError:
    """What is said where the index at ``path`` is not the one that was opened."""
    reason = "it was removed, or replaced by another one, after it was opened"
    return StorageError(str(path), reason, "Open it again, or run the command again.")


class _Errors:
    """What `Connection.errors` gives: a class, since a generator takes a microsecond, and a search enters it often."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not isinstance(error, sqlite3.DatabaseError) or isinstance(error, sqlite3.ProgrammingError):
            return  # the latter is a mistake of ours, not of the file
        reason = str(error)
        if isinstance(error, sqlite3.OperationalError) and not any(sign in reason for sign in _SIGNS_OF_DAMAGE):
            if "locked" in reason or "busy" in reason:
                raise IndexLocked(str(self._path.parent), None, None, BUSY_SECONDS) from error
            raise refused_by_sqlite(self._path, error) from error
        raise CorruptIndex(str(self._path), reason) from error


_live: dict[int, tuple[int, int] | None] = {}
"""Which databases this process has open with their shared memory, by connection.

To close another descriptor of such a file would end the locks that SQLite has on it.
"""


class Connection:
    """SQLite on the database of the index in ``folder``; for one thread at a time."""

    def __init__(self, folder: Path, readonly: bool = False) -> None:
        """Raises IndexNotFound, CorruptIndex or StorageError."""
        self.folder = folder
        self.path = folder / DATABASE_FILE
        self._errors = _Errors(self.path)
        if not check_database(self.path):
            self._refuse_missing()
        if sqlite3.sqlite_version_info < _SQLITE:
            needed = ".".join(map(str, _SQLITE))
            raise StorageError(str(self.path), f"Python has SQLite {sqlite3.sqlite_version}; {needed} is needed")
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
        """Raises StorageError where the index was replaced since it was opened: the files beside are another's now."""
        if self._found() != self.identity:
            raise replaced(self.path)

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

    def errors(self) -> _Errors:
        """Maps SQLite's errors to ours, inside a ``with``."""
        return self._errors

    def _roll_back(self) -> None:
        # SQLite ends a transaction by itself after some errors, and Ctrl-C may arrive when COMMIT is already done.
        if self.sqlite.in_transaction:
            self.sqlite.execute("rollback")

    def _connect(self, may_freeze: bool = True) -> tuple[sqlite3.Connection, State | None]:
        """A connection, and the state of the files if SQLite reads them without its shared memory, as nobody writes.

        SQLite needs that file (-shm) to read, and makes it: in a folder that may not be written to, or on a full disk,
        it cannot. Where there is none, nobody is at work: then a database without a log can be read as one that does
        not change, and a log that a crash has left can be read without locks, its index kept in memory. Others may
        change the index all the same: `transaction` opens it again when they have.
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
        """Device and number of what the database's name stands for now; None where it stands for nothing."""
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
        # Statements are begun and ended here, never by the driver (isolation_level None). Another thread may close.
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
            raise CorruptIndex(str(self.path), "it is missing, and the vectors beside it say nothing without it")
        raise IndexNotFound(str(self.folder))


def _is_in_use(shared_memory: str) -> bool:
    """Whether a process has begun to use the file; on a full disk SQLite leaves it behind with nothing but zeros."""
    try:
        return any(beginning(Path(shared_memory), 136))
    except FileNotFoundError:
        return False
    except OSError:
        return True  # it is somebody's
