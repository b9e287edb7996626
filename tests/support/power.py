"""Simulates power cuts: records every step, and makes the files that a power cut could have left.

What was synced stays. Each write to a file since its last sync may be kept, dropped, or torn at sectors of 512 bytes,
in any order. The same holds for changes of names in a folder since the folder's last sync. SQLite asks no more of a
disk than that (https://www.sqlite.org/atomiccommit.html#_hardware_assumptions). A file that was synced has no durable
name before its folder is synced, as in POSIX.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import TypeVar

from vecindex import Index
from vecindex.index.crash_test import Contents, Finding, contents
from vecindex.store.disk.steps import Step, Watch, Watched

from .acts import backup_of, examine, examine_backup, folder_of, perform, prepare
from .acts import stored as stored_in
from .faults import Unsynced, watched

SECTOR = 512
SHARED_MEMORY = "-shm"
T = TypeVar("T")


class _File:
    """The durable bytes of a file, and the writes and cuts since its last sync."""

    def __init__(self, durable: bytes = b"") -> None:
        self.durable = durable
        self.pending: list[tuple[int, bytes | None]] = []

    def sync(self) -> None:
        self.durable = self._with(self.pending)
        self.pending = []

    def survivor(self, draw: Random) -> bytes:
        """The content after a power cut."""
        return self._with(_survivors(self._torn(draw) if draw.random() < 0.5 else self.pending, draw))

    def _with(self, changes: list[tuple[int, bytes | None]]) -> bytes:
        content = bytearray(self.durable)
        for offset, data in changes:
            if data is None:
                del content[offset:]
            content.extend(bytes(max(0, offset + len(data or b"") - len(content))))
            if data is not None:
                content[offset : offset + len(data)] = data
        return bytes(content)

    def _torn(self, draw: Random) -> list[tuple[int, bytes | None]]:
        pieces: list[tuple[int, bytes | None]] = []
        for offset, data in self.pending:
            if data is None:
                pieces.append((offset, None))
                continue
            start = 0
            while start < len(data):
                stop = min(len(data), start + SECTOR - (offset + start) % SECTOR)
                pieces.append((offset + start, data[start:stop]))
                start = stop
        if draw.random() < 0.3:
            draw.shuffle(pieces)
        return pieces


@dataclass
class _Folder:
    """The durable names in a folder, and the changes since its last sync; each sets or removes names at once."""

    durable: dict[str, _File | _Folder] = field(default_factory=dict)
    pending: list[dict[str, _File | _Folder | None]] = field(default_factory=list)

    def sync(self) -> None:
        self.durable = self._with(self.pending)
        self.pending = []

    def now(self) -> dict[str, _File | _Folder]:
        return self._with(self.pending)

    def survivor(self, draw: Random) -> dict[str, _File | _Folder]:
        return self._with(_survivors(self.pending, draw))

    def _with(self, changes: list[dict[str, _File | _Folder | None]]) -> dict[str, _File | _Folder]:
        found: dict[str, _File | _Folder | None] = dict(self.durable)
        for change in changes:
            found |= change
        return {name: node for name, node in found.items() if node is not None}


def _survivors(changes: list[T], draw: Random) -> list[T]:
    """Chooses what is left of unsynced changes: none, all, the first ones, or any."""
    kind = draw.choice(("none", "all", "first", "any", "any"))
    if kind == "any":
        share = draw.choice((0.1, 0.5, 0.9))
        return [change for change in changes if draw.random() < share]
    count = {"none": 0, "all": len(changes), "first": draw.randint(0, len(changes))}[kind]
    return changes[:count]


class Storage:
    """A folder as the disk holds it."""

    def __init__(self, root: Path) -> None:
        """Everything in ``root`` now is durable."""
        self._root = root
        self._top = self._read(root)

    def do(self, step: Step) -> None:
        if not step.path.is_relative_to(self._root):
            return
        parent, name = self._folder(step.path.parent), step.path.name
        if step.kind in ("create", "make_folder"):
            parent.pending.append({name: _File() if step.kind == "create" else _Folder()})
        elif step.kind in ("remove", "remove_folder"):
            parent.pending.append({name: None})
        elif step.kind == "sync":
            (self._top if step.path == self._root else parent.now()[name]).sync()
        elif step.kind in ("write", "cut"):
            file = parent.now()[name]
            assert isinstance(file, _File)
            file.pending.append((step.offset, step.data if step.kind == "write" else None))
        elif step.kind in ("link", "rename"):
            assert step.target is not None
            change: dict[str, _File | _Folder | None] = {step.target.name: parent.now()[name]}
            removal: dict[str, _File | _Folder | None] = {name: None} if step.kind == "rename" else {}
            if step.target.parent == step.path.parent:
                parent.pending.append(change | removal)
            else:  # each is kept or dropped by itself, which is worse than any file system does
                self._folder(step.target.parent).pending.append(change)
                parent.pending.append(removal)

    def cut_power(self, path: Path, draw: Random) -> None:
        """Writes to ``path`` what is left of the folder."""
        self._write(self._top, path, draw)

    def _folder(self, path: Path) -> _Folder:
        found: _File | _Folder = self._top
        for name in path.relative_to(self._root).parts if path.is_relative_to(self._root) else ():
            assert isinstance(found, _Folder)
            found = found.now()[name]
        assert isinstance(found, _Folder)
        return found

    def _read(self, path: Path) -> _Folder:
        return _Folder({p.name: self._read(p) if p.is_dir() else _File(p.read_bytes()) for p in path.iterdir()})

    def _write(self, folder: _Folder, path: Path, draw: Random) -> None:
        path.mkdir()
        for name, node in folder.survivor(draw).items():
            if isinstance(node, _Folder):
                self._write(node, path / name, draw)
            elif not name.endswith(SHARED_MEMORY) or draw.random() < 0.5:
                (path / name).write_bytes(node.survivor(draw))


@dataclass(frozen=True, slots=True)
class Mark:
    """Between steps: an act begins, or has returned. It changes what is stored from ``before`` to ``after``."""

    act: str
    seed: int
    returned: bool
    before: Contents
    after: Contents


class Log(Watch):
    """Keeps the steps that were done, in order."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def after(self, step: Step) -> None:
        self.steps.append(step)


@dataclass(frozen=True, slots=True)
class Recording:
    """What acts did, one after the other, to the files of a folder, which were ``storage`` at first."""

    root: Path
    storage: Storage
    entries: list[Step | Mark]


def record(
    acts: Sequence[str], root: Path, seed: int, disk: type[Watched] = Unsynced, reopen: bool = True
) -> Recording:
    """Performs acts on one index, prepared for the first of them.

    ``reopen`` opens it for each act. That makes a difference: SQLite syncs the folder with a log that it has created.
    """
    prepare(acts[0], root, seed, crashed=seed % 3 == 0)
    storage, before, folder = Storage(root), stored_in(acts[0], root), folder_of(acts[0], root)
    entries: list[Step | Mark] = []
    for first, session in [(n, [act]) for n, act in enumerate(acts)] if reopen else [(0, list(acts))]:
        log, returns = Log(), list[tuple[int, Contents]]()
        with watched(log, disk=disk):
            perform(session, folder, root, seed + first, partial(_returned, log, returns))
        start = 0
        for number, (act, (position, after)) in enumerate(zip(session, returns, strict=True), seed + first):
            entries += [Mark(act, number, False, before, after), *log.steps[start:position]]
            entries.append(Mark(act, number, True, before, after))
            before, start = after, position
        entries += log.steps[start:]
    return Recording(root, storage, entries)


def _returned(log: Log, returns: list[tuple[int, Contents]], index: Index) -> None:
    returns.append((len(log.steps), contents(index)))


@dataclass(frozen=True, slots=True)
class Cut:
    """A power cut in an act, ``after`` a step, when so many acts were ``acknowledged``; and what is wrong."""

    act: str
    acknowledged: int
    after: str
    finding: Finding | None


def cuts(recording: Recording, count: int, seed: int, scratch: Path) -> Iterator[Cut]:
    """Cuts the power at ``count`` random places of a recording, a quarter right after a return; uses it up."""
    draw = Random(seed)
    entries = recording.entries
    returns = [n for n, entry in enumerate(entries) if isinstance(entry, Mark) and entry.returned]
    places = sorted(
        draw.choice(returns) if draw.random() < 0.25 else draw.randrange(len(entries)) for _ in range(count)
    )
    marks: list[Mark] = []
    step = "the beginning"
    for place, entry in enumerate(entries):
        if isinstance(entry, Mark):
            marks.append(entry)
        else:
            recording.storage.do(entry)
            step = str(entry)
        for _ in range(places.count(place)):
            recording.storage.cut_power(scratch, draw)
            acknowledged = sum(mark.returned for mark in marks)
            yield Cut(marks[-1].act, acknowledged, step, _finding(scratch, marks))
            shutil.rmtree(scratch)


def _finding(root: Path, marks: list[Mark]) -> Finding | None:
    last = marks[-1]
    # Only the first act of a recording creates the index.
    folder = folder_of(marks[0].act, root)
    found = examine(folder, last.before, last.after, last.returned)
    for mark in marks:
        if mark.act == "backup" and (mark.returned or mark is last):
            found = found or examine_backup(backup_of(root, mark.seed), folder, mark.before, mark.returned)
    return found
