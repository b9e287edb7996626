"""How does a disk fail? Every call of `store.disk`, and every file call of SQLite inside, as a step to be watched.

A `Watch` sees each step before and after it is done: one kills the process there, one refuses the call, one writes all
of them down (`tests.support.power`). A write is done in two halves, so that there is a step in its middle.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import signal
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vecindex.store.disk.system_calls import Disk, replaced

from .sqlite_files import SqliteFiles, Unhookable

READING = ("select", "begin", "rollback", "pragma synchronous", "pragma cache_size", "pragma wal_auto", "pragma busy")


@dataclass(frozen=True, slots=True)
class Step:
    """One call that changes a file: what is done to ``path``, by SQLite or by us.

    ``kind`` is open, create, write, cut, sync, link, rename, remove, make_folder, remove_folder, or, for a statement
    before SQLite does anything, sql or commit.
    """

    kind: str
    path: Path
    offset: int = 0
    data: bytes = b""
    target: Path | None = None
    by_sqlite: bool = False

    @property
    def is_call(self) -> bool:
        """Not a statement."""
        return self.kind not in ("sql", "commit")

    def __str__(self) -> str:
        return f"{self.kind} {self.path.name}{' by SQLite' if self.by_sqlite else ''}"


class Watch:
    """Sees every step; ``before`` may raise OSError instead of letting it happen."""

    def before(self, step: Step) -> None: ...

    def after(self, step: Step) -> None: ...


class Counting(Watch):
    """Keeps the steps, without what they wrote."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def before(self, step: Step) -> None:
        self.steps.append(replace(step, data=b""))


class Killing(Watch):
    """Ends the process right before its n-th step, counted from 1."""

    def __init__(self, nth: int) -> None:
        self._left = nth

    def before(self, step: Step) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class Refusing(Watch):
    """Refuses the n-th file call, counted from 1, and with ``for_good`` what would need space from there on.

    Statements are not file calls and do not count. The disk is well again once ``nth`` is None.
    """

    def __init__(self, nth: int, code: int, for_good: bool = False) -> None:
        self.nth: int | None = nth
        self._code, self._for_good = code, for_good
        self._calls = 0
        self.refused: Step | None = None

    def before(self, step: Step) -> None:
        if not step.is_call or self.nth is None:
            return
        self._calls += 1
        goes_on = self._for_good and self._calls > self.nth and step.kind in ("create", "write", "link", "make_folder")
        if self._calls == self.nth or goes_on:
            self.refused = self.refused or step
            raise OSError(self._code, os.strerror(self._code), str(step.path))


class Watched(Disk):
    """The real disk, with a watch; but nothing is synced, since no power is cut, and it takes most of the time."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._paths: dict[int, Path] = {}

    @contextlib.contextmanager
    def _step(self, kind: str, path: Path, **more: Any) -> Iterator[None]:
        step = Step(kind, path, **more)
        self._watch.before(step)
        yield
        self._watch.after(step)

    def open(self, path: Path, mode: int = 0o666) -> int:
        with self._step("open" if path.exists() else "create", path):
            descriptor = super().open(path, mode)
        self._paths[descriptor] = path
        return descriptor

    def write(self, descriptor: int, data: memoryview, offset: int) -> int:
        written = 0
        for part in (data[: len(data) // 2], data[len(data) // 2 :]):
            with self._step("write", self._paths[descriptor], offset=offset + written, data=bytes(part)):
                while len(part):
                    count = super().write(descriptor, part, offset + written)
                    part, written = part[count:], written + count
        return written

    def cut(self, descriptor: int, size: int) -> None:
        with self._step("cut", self._paths[descriptor], offset=size):
            super().cut(descriptor, size)

    def sync(self, path: Path) -> None:
        with self._step("sync", path):
            os.close(os.open(path, os.O_RDONLY))

    def link(self, source: Path, path: Path) -> None:
        with self._step("link", source, target=path):
            super().link(source, path)

    def rename(self, source: Path, path: Path) -> None:
        with self._step("rename", source, target=path):
            super().rename(source, path)
        for descriptor, opened in self._paths.items():  # a lock is let go after the folder around it got its name
            if opened.is_relative_to(source):
                self._paths[descriptor] = path / opened.relative_to(source)

    def remove(self, path: Path, folder: int | None = None) -> None:
        with self._step("remove", path):
            super().remove(path, folder)

    def make_folder(self, path: Path, mode: int = 0o777) -> None:
        for folder in [*reversed(path.parents), path]:
            if not folder.is_dir():
                with self._step("make_folder", folder):
                    super().make_folder(folder, mode)

    def remove_folder(self, path: Path, folder: int | None = None) -> None:
        with self._step("remove_folder", path):
            super().remove_folder(path, folder)

    def connect(self, database: str, **options: Any) -> sqlite3.Connection:
        watch = self._watch

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
                if not sql.lstrip().lower().startswith(READING):
                    watch.before(Step("commit" if sql == "commit" else "sql", Path(sql.split()[0])))
                return super().execute(sql, *parameters)

            def executemany(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
                watch.before(Step("sql", Path(sql.split()[0])))
                return super().executemany(sql, *parameters)

            def commit(self) -> None:
                watch.before(Step("commit", Path("commit")))
                super().commit()

        return super().connect(database, factory=Connection, **options)


class _Files(SqliteFiles):
    """SQLite's file calls as steps."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def call(self, kind: str, path: str | None, do: Callable[[], int], **more: Any) -> int:
        if kind == "sync":
            do = _nothing
        if path is None:  # SQLite's own temporary file, which has no name
            self._watch.before(Step(kind, Path("(temporary)"), by_sqlite=True))
            return do()
        step = Step(kind, Path(path), **more, by_sqlite=True)
        self._watch.before(step)
        result = do()
        if result == 0:
            self._watch.after(step)
        return result


def _nothing() -> int:
    return 0


@contextlib.contextmanager
def watched(watch: Watch, sqlite: bool = True, disk: type[Watched] = Watched) -> Iterator[None]:
    """Everything that this process does to files through the seam, and to those of SQLite, goes by ``watch``."""
    with contextlib.ExitStack() as stack:
        if sqlite:
            stack.enter_context(_Files(watch).hooked())
        stack.enter_context(replaced(disk(watch)))
        yield


@contextlib.contextmanager
def without_syncs() -> Iterator[None]:
    """What is done inside is as fast as memory; where SQLite cannot be hooked, only our part of it."""
    with watched(Watch(), sqlite=why_unhookable() is None):
        yield


@functools.cache
def why_unhookable() -> str | None:
    """Why SQLite's file calls cannot be watched here, if they cannot; tried out on a database."""
    seen = Counting()
    try:
        with tempfile.TemporaryDirectory() as folder, _Files(seen).hooked():
            connection = sqlite3.connect(Path(folder) / "d")
            connection.execute("pragma journal_mode = wal")
            connection.execute("create table t (a)")
            connection.close()
    except Unhookable as error:
        return str(error)
    kinds = {step.kind for step in seen.steps}
    missing = {"create", "write", "sync", "remove"} - kinds
    return f"no {' or '.join(sorted(missing))} was seen" if missing else None


class Full(Disk):
    """No room after so many bytes."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, descriptor: int, data: memoryview, offset: int) -> int:
        if len(data) > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= len(data)
        return super().write(descriptor, data, offset)
