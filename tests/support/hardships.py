"""Commands where something is lacking: a stream, a home, descriptors, memory, disk, the right to write.

Run as a program it is one interpreter that has loaded what a search loads, and forks a process for each command: a JSON
object of `Plan` on standard input, a list of `Outcome` on standard output.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pwd
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MEMORY = 400 << 20
DESCRIPTORS = 16
REFUSED = 96
"""The status of what this machine does not let be made."""
_SECONDS = 60
_NEW_NAMESPACE, _READ_ONLY, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 0x20000, 1, 32, 4096, 16384, 1 << 18


@dataclass(frozen=True)
class Outcome:
    """How a command ended: its exit status, negative for a signal, what it printed, and what was wrong afterwards."""

    hardship: str
    command: list[str]
    status: int
    out: str
    err: str
    harm: list[str]


@dataclass(frozen=True)
class Plan:
    """``folder`` holds ``index``, ``cache`` and ``model``, of which each hardship gets copies within ``scratch``."""

    folder: str
    scratch: str
    commands: list[list[str]]


class Refused(Exception):
    """This machine does not let a hardship be made."""


def _close(number: int) -> None:
    os.close(number)
    setattr(sys, ("stdin", "stdout", "stderr")[number], None)  # as the interpreter finds them at its start


def _no_home(work: Path) -> None:
    """As a container's user finds it, whom no table of users names."""
    for name in ("HOME", "XDG_CACHE_HOME", "HF_HOME"):
        os.environ.pop(name, None)

    def unknown(user: int) -> Any:
        raise KeyError(f"getpwuid(): uid not found: {user}")

    pwd.getpwuid = unknown


def _own_namespace() -> None:
    """Mounts of this process and its children are seen by nobody else."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_NAMESPACE):
        raise Refused(f"unshare: {os.strerror(ctypes.get_errno())}")
    _mount("none", Path("/"), "", _RECURSIVE | _PRIVATE)


def _unmount(target: Path) -> None:
    ctypes.CDLL(None).umount2(str(target).encode(), 2)  # 2: also where something is open


def _mount(source: str, target: Path, kind: str, flags: int, data: str = "") -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source.encode(), str(target).encode(), kind.encode(), flags, data.encode()):
        raise Refused(f"mount: {os.strerror(ctypes.get_errno())}")


@contextlib.contextmanager
def _read_only(work: Path) -> Iterator[None]:
    _mount(str(work), work, "", _BIND)
    _mount("none", work, "", _BIND | _REMOUNT | _READ_ONLY)
    yield
    _unmount(work)


@contextlib.contextmanager
def _full(work: Path) -> Iterator[None]:
    """The folder on a small disk of its own, with no byte left until the block is done."""
    beside = work.with_name(work.name + "-disk")
    beside.mkdir(exist_ok=True)
    _mount("tmpfs", beside, "tmpfs", 0, "size=4m")
    shutil.copytree(work, beside, dirs_exist_ok=True)
    _mount(str(beside), work, "", _BIND)
    file = os.open(work / "full", os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while os.write(file, bytes(4096)):
            pass
    os.close(file)
    yield
    (work / "full").unlink()


def _limited(what: int, most: int) -> Callable[[Path], None]:
    return lambda work: resource.setrlimit(what, (most, most))


HARDSHIPS: dict[str, Callable[[Path], None]] = {
    "no standard input": lambda work: _close(0),
    "no standard output": lambda work: _close(1),
    "no standard error": lambda work: _close(2),
    "no home": _no_home,
    "few descriptors": _limited(resource.RLIMIT_NOFILE, DESCRIPTORS),
    "little memory": _limited(resource.RLIMIT_AS, MEMORY),
}
"""What a process does to itself before it runs a command."""
DISKS = {"read-only file system": _read_only, "full disk": _full}
"""What is done to the folder around a command, in a name space that is this program's own."""


def run(hardship: str, command: list[str], work: Path) -> Outcome:
    """One command in a process of its own, on the index and the cache in ``work``."""
    out, err = (work.with_name(f"{work.name}-{name}") for name in ("out", "err"))
    child = os.fork()
    if child == 0:
        status = 97
        try:
            signal.alarm(_SECONDS)
            for number, path in enumerate((Path(os.devnull), out, err)):
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
                os.dup2(descriptor, number)
                os.close(descriptor)
            sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
            os.environ |= {"VECINDEX_CACHE": str(work / "cache"), "TMPDIR": str(work), "HOME": str(work)}
            os.chdir(work)
            status = _ended(hardship, command, work)
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in (out, err)]
    return Outcome(hardship, command, status, texts[0], texts[1], [])


def _ended(hardship: str, command: list[str], work: Path) -> int:
    from vecindex.cli import main

    if hardship in HARDSHIPS:
        HARDSHIPS[hardship](work)
    try:
        main(command, prog_name="vecindex")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except BaseException:
        os.write(2, traceback.format_exc().encode())
        return 98
    return 0


def _harm(before: Path, work: Path, changes_cache: bool) -> list[str]:
    """What a command left behind that the next ordinary one would suffer from."""
    import vecindex

    found = []
    with vecindex.open(work / "index", create=False) as index:
        report = index.verify()
        found += [f"{fault.path}: {fault.reason}" for fault in report.faults]
    beside = {path.name for path in (work / "index").iterdir()} - {path.name for path in (before / "index").iterdir()}
    found += [f"left behind: {name}" for name in beside if name.startswith(".")]
    if not changes_cache:
        names = [{str(path.relative_to(top)) for path in (top / "cache").rglob("*")} for top in (before, work)]
        found += [f"gone from the cache: {name}" for name in names[0] - names[1]]
        found += [f"new in the cache: {name}" for name in names[1] - names[0] if "compiled" in name]
    return found


def through(plan: Plan, hardship: str) -> Iterator[Outcome]:
    """Every command under one hardship, each on a copy of its own."""
    for number, command in enumerate(plan.commands):
        work = Path(plan.scratch) / f"{hardship.replace(' ', '-')}-{number}"
        shutil.copytree(plan.folder, work)
        disk: Any = DISKS.get(hardship, contextlib.nullcontext)
        try:
            with disk(work):
                outcome = run(hardship, command, work)
        except Refused as error:
            outcome = Outcome(hardship, command, REFUSED, "", str(error), [])
        harm = [] if outcome.status == REFUSED else _harm(Path(plan.folder), work, command[:2] == ["models", "remove"])
        yield Outcome(**{**asdict(outcome), "harm": harm})
        if hardship == "full disk":
            _unmount(work)
            _unmount(work.with_name(work.name + "-disk"))
        shutil.rmtree(work)


def _main() -> None:
    import numpy

    import vecindex.cli
    import vecindex.index.facade

    plan = Plan(**json.load(sys.stdin))
    with contextlib.suppress(Refused):
        _own_namespace()
    outcomes = list(through(plan, "little memory"))  # first, since what is loaded already counts

    import onnxruntime
    import sqlite_utils
    import tokenizers

    import vecindex.encoders.run.onnx

    assert all((numpy, onnxruntime, sqlite_utils, tokenizers, vecindex))
    for hardship in (*HARDSHIPS, *DISKS):
        if hardship != "little memory":
            outcomes += through(plan, hardship)
    json.dump([asdict(outcome) for outcome in outcomes], sys.stdout)


if __name__ == "__main__":
    _main()
