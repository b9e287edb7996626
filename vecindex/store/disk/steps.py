"""Splits what a process does to an index's files into steps, so that it can be killed or refused at each of them."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .system_calls import Disk

_READING = ("select", "begin", "rollback", "pragma synchronous", "pragma cache_size", "pragma wal_auto", "pragma busy")


@dataclass(frozen=True, slots=True)
class Step:
    """One call that changes the file at ``path``, or one SQL statement.

    ``kind`` is open, create, write, cut, sync, link, rename, remove, make_folder or remove_folder; or, for a statement
    that SQLite has not begun yet, sql or commit.
    """

    kind: str
    path: Path
    offset: int = 0
    data: bytes = b""
    target: Path | None = None
    by_sqlite: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.path.name}{' by SQLite' if self.by_sqlite else ''}"


class Watch:
    """Sees every step; ``before`` may raise OSError, and then the step is not done."""

    def before(self, step: Step) -> None: ...

    def after(self, step: Step) -> None: ...


class Killing(Watch):
    """Kills the process right before its n-th step, counted from 1; never, if ``nth`` is 0."""

    def __init__(self, nth: int) -> None:
        self._left = nth

    def before(self, step: Step) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class Watched(Disk):
    """The disk, with a watch. A write is done in two halves, so that there is a step in the middle of it."""

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
        for half in (data[: len(data) // 2], data[len(data) // 2 :]):
            with self._step("write", self._paths[descriptor], offset=offset + written, data=bytes(half)):
                while len(half):
                    count = super().write(descriptor, half, offset + written)
                    half, written = half[count:], written + count
        return written

    def cut(self, descriptor: int, size: int) -> None:
        with self._step("cut", self._paths[descriptor], offset=size):
            super().cut(descriptor, size)

    def sync(self, path: Path) -> None:
        with self._step("sync", path):
            super().sync(path)

    def link(self, source: Path, path: Path) -> None:
        with self._step("link", source, target=path):
            super().link(source, path)

    def rename(self, source: Path, path: Path) -> None:
        with self._step("rename", source, target=path):
            super().rename(source, path)
        # A lock inside a renamed folder is released later; other threads open files meanwhile.
        for descriptor, opened in list(self._paths.items()):
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
                if not sql.lstrip().lower().startswith(_READING):
                    watch.before(Step("commit" if sql == "commit" else "sql", Path(sql.split()[0])))
                return super().execute(sql, *parameters)

            def executemany(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
                watch.before(Step("sql", Path(sql.split()[0])))
                return super().executemany(sql, *parameters)

            def commit(self) -> None:
                watch.before(Step("commit", Path("commit")))
                super().commit()

        return super().connect(database, factory=Connection, **options)
