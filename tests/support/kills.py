"""What does a process leave behind that is killed before a step? Forks of this one are, each on a copy of an index."""

from __future__ import annotations

import os
import shutil
import signal
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from .acts import (
    Contents,
    Finding,
    backup_of,
    contents,
    examine,
    examine_backup,
    examine_resumed,
    folder_of,
    perform,
    prepare,
    stored,
)
from .faults import Counting, Killing, watched

KILLS_A_PREPARED_INDEX = 50


@dataclass(frozen=True, slots=True)
class Kill:
    """One change that was begun and killed: before which step, whether it had returned, and what was found."""

    act: str
    step: str
    killed: bool
    returned: bool
    finding: Finding | None


@dataclass(frozen=True, slots=True)
class _Prepared:
    """An index as it is before an act, and what the act does to it when nothing comes between."""

    act: str
    root: Path
    seed: int
    before: Contents
    after: Contents
    steps: list[str]


def kills(act: str, count: int | None, seed: int, scratch: Path) -> Iterator[Kill]:
    """Kills an act at ``count`` random steps, or once at each of its steps.

    Must be called where no library has started threads: their locks would be held for ever in the forks.
    """
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
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            with watched(Killing(nth)):
                perform([act], folder, copy, seed, lambda _: os.write(write, b"returned"))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        returned = pipe.read() == b"returned"
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code not in (0, -signal.SIGKILL):
        raise RuntimeError(f"{act} failed by itself before step {nth}")
    finding = examine(folder, prepared.before, prepared.after, returned)
    if act == "backup":
        finding = finding or examine_backup(backup_of(copy, seed), folder, prepared.before, returned)
    if act in ("remodel", "anew"):
        finding = finding or examine_resumed(act, folder, prepared.after)
    shutil.rmtree(copy)
    return Kill(act, prepared.steps[nth - 1], code != 0, returned, finding)
