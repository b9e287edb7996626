"""Kills acts before their steps, each in a fork and on a copy of a prepared index, and examines what is left."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from vecindex.index.crash_test import Contents, Finding, Say, contents, killed
from vecindex.store.disk.steps import Killing

from .acts import (
    backup_of,
    examine,
    examine_backup,
    examine_resumed,
    folder_of,
    perform,
    prepare,
    stored,
)
from .faults import Counting, watched

KILLS_A_PREPARED_INDEX = 50


@dataclass(frozen=True, slots=True)
class Kill:
    """An act that was to be killed before ``step``; whether it was, whether it had returned, and what is wrong."""

    act: str
    step: str
    killed: bool
    returned: bool
    finding: Finding | None


@dataclass(frozen=True, slots=True)
class _Prepared:
    """An index before an act, and what the act does to it when it is not killed."""

    act: str
    root: Path
    seed: int
    before: Contents
    after: Contents
    steps: list[str]


def kills(act: str, count: int | None, seed: int, scratch: Path) -> Iterator[Kill]:
    """Kills an act at ``count`` random steps, or once at each of its steps; see `killed` on threads."""
    draw = Random(seed)
    left = count
    while left is None or left > 0:
        prepared = _prepare(act, scratch / "prepared", draw.getrandbits(30), crashed=draw.random() < 0.3)
        steps = range(1, len(prepared.steps) + 1)
        chosen = steps if left is None else draw.sample(steps, min(left, len(steps), KILLS_A_PREPARED_INDEX))
        for nth in chosen:
            yield _kill(prepared, nth, scratch / "copy")
        shutil.rmtree(prepared.root)
        if left is None:
            return
        left -= len(chosen)


def _prepare(act: str, root: Path, seed: int, crashed: bool) -> _Prepared:
    prepare(act, root, seed, crashed)
    before, counting, after = stored(act, root), Counting(), list[Contents]()
    copy = root.with_name("copy")
    shutil.copytree(root, copy)
    with watched(counting):
        perform([act], folder_of(act, copy), copy, seed, lambda index: after.append(contents(index)))
    shutil.rmtree(copy)
    return _Prepared(act, root, seed, before, after[0], [str(step) for step in counting.steps])


def _kill(prepared: _Prepared, nth: int, copy: Path) -> Kill:
    act, seed = prepared.act, prepared.seed
    shutil.copytree(prepared.root, copy)
    folder = folder_of(act, copy)

    def work(say: Say) -> None:
        with watched(Killing(nth)):
            perform([act], folder, copy, seed, lambda _: say("returned"))

    said, was_killed = killed(folder, work)
    returned = bool(said)
    finding = examine(folder, prepared.before, prepared.after, returned)
    if act == "backup":
        finding = finding or examine_backup(backup_of(copy, seed), folder, prepared.before, returned)
    if act in ("remodel", "anew"):
        finding = finding or examine_resumed(act, folder, prepared.after)
    shutil.rmtree(copy)
    return Kill(act, prepared.steps[nth - 1], was_killed, returned, finding)
