"""What is done to files as steps that can be watched: calls of `store.disk`, and SQLite's own file calls.

A `Watch` sees each step before and after it is done. Some kill the process there, some refuse the call, some record all
steps (`tests.support.power`).
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from vecindex.store.disk.steps import Step, Watch, Watched
from vecindex.store.disk.system_calls import Disk, replaced

from .sqlite_files import SqliteFiles, Unhookable


def is_call(step: Step) -> bool:
    """Whether it is a call that changes a file, not a statement."""
    return step.kind not in ("sql", "commit")


class Counting(Watch):
    """Keeps the steps, without what they wrote."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def before(self, step: Step) -> None:
        self.steps.append(replace(step, data=b""))


class Refusing(Watch):
    """Refuses the n-th file call, counted from 1, and with ``for_good`` also all later ones that need space.

    Statements do not count. Setting ``nth`` to None ends the refusal.
    """

    def __init__(self, nth: int, code: int, for_good: bool = False) -> None:
        self.nth: int | None = nth
        self._code, self._for_good = code, for_good
        self._calls = 0
        self.refused: Step | None = None

    def before(self, step: Step) -> None:
        if not is_call(step) or self.nth is None:
            return
        self._calls += 1
        goes_on = self._for_good and self._calls > self.nth and step.kind in ("create", "write", "link", "make_folder")
        if self._calls == self.nth or goes_on:
            self.refused = self.refused or step
            raise OSError(self._code, os.strerror(self._code), str(step.path))


class Unsynced(Watched):
    """Syncs nothing, since no power is cut and it takes most of the time."""

    def sync(self, path: Path) -> None:
        with self._step("sync", path):
            os.close(os.open(path, os.O_RDONLY))


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
def watched(watch: Watch, sqlite: bool = True, disk: type[Watched] = Unsynced) -> Iterator[None]:
    """Shows ``watch`` every step of this process: its own, and those of SQLite."""
    with contextlib.ExitStack() as stack:
        if sqlite:
            stack.enter_context(_Files(watch).hooked())
        stack.enter_context(replaced(disk(watch)))
        yield


@contextlib.contextmanager
def without_syncs() -> Iterator[None]:
    """Nothing inside is synced; where SQLite's file calls cannot be hooked, it still syncs."""
    with watched(Watch(), sqlite=why_unhookable() is None):
        yield


@functools.cache
def why_unhookable() -> str | None:
    """Why SQLite's file calls cannot be watched here, or None if they can; tries it with a database."""
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
