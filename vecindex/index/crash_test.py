"""Kills processes that change an index, and checks that nothing they had acknowledged is lost.

A process is killed before a step of its own (`store.disk.steps`) or at a moment of ours. `crash_test` does both with
random changes; it is ``vecindex selftest``. The tests and the benchmark of crashes use `killed` and `examine` too, with
everything that can be done to an index.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import shutil
import signal
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any, Literal

from ..errors import StorageError, VecindexError
from ..store.disk.files import storage_errors
from ..store.disk.steps import Killing, Watched
from ..store.disk.system_calls import replaced
from ..store.sql.schema import index_exists
from ..values.metadata import checked_metadata
from .facade import Index
from .facade import open as open_index

DIMENSION = 64
_LONGEST_SECONDS = 0.3
_MOST_STEPS = 400
HANGS_SECONDS = 120.0
_FAILED = 1  # exit status
_SPACE = "vecindex selftest"

Contents = dict[str, tuple[str, str, bytes]]
"""The text, the metadata as JSON and the bytes of the vector of each key."""
Say = Callable[[object], None]
"""Tells the parent process something that JSON can hold, at once."""
Check = Callable[[Index, Contents], "Finding | None"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with an index after a crash."""

    kind: Literal["lost", "torn", "unsound"]
    what: str


@dataclass(frozen=True, slots=True)
class CrashReport:
    """Processes that were killed, one a run, changes that they had acknowledged, and what was wrong afterwards."""

    runs: int = 0
    changes: int = 0
    faults: tuple[str, ...] = ()


# --- a process that is killed


def killed(folder: Path, work: Callable[[Say], object], seconds: float | None = None) -> tuple[list[Any], bool]:
    """Runs ``work`` on the index in ``folder`` in a fork, and kills it ``seconds`` after it first said something.

    Returns what ``work`` said, and whether it was killed, by this or by itself. Call this in a process where OpenBLAS
    and OpenMP have one thread each (``OPENBLAS_NUM_THREADS``, ``OMP_NUM_THREADS``): a fork has no thread but its own,
    and FAISS would wait forever for those that the parent started to check codes.

    Raises:
        StorageError: ``work`` raised an exception, or did not end.
    """
    read, write = os.pipe()
    # Python runs hooks after a fork and drops what they raise: a Ctrl-C that comes then would be lost.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    pid = os.fork()
    if pid == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        _run(work, read, write)
    os.close(write)
    said, hangs, deadline = b"", False, time.monotonic() + HANGS_SECONDS
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        with os.fdopen(read, "rb", buffering=0) as lines:
            while select.select([lines], [], [], max(0.0, deadline - time.monotonic()))[0]:
                if not (some := lines.read(65_536)):
                    break
                if not said and seconds is not None:
                    deadline = time.monotonic() + seconds
                said += some
            else:
                hangs = seconds is None or not said
                os.kill(pid, signal.SIGKILL)
                said += lines.read()
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    found = [json.loads(line) for line in said.splitlines()]
    if hangs:
        raise StorageError(str(folder), f"the process that changes it did not end within {HANGS_SECONDS:.0f} seconds")
    if code not in (0, -signal.SIGKILL):
        reason = found[-1] if code == _FAILED and found else f"exit status {code}"
        raise StorageError(str(folder), f"the process that changes it ended by itself: {reason}")
    return found, code != 0


def _run(work: Callable[[Say], object], read: int, write: int) -> None:
    """Never returns."""

    def say(line: object) -> None:
        os.write(write, json.dumps(line).encode() + b"\n")

    code = _FAILED
    try:
        os.close(read)  # else this would not notice that the parent has gone
        work(say)
        code = 0
    except BaseException as error:
        say(f"{type(error).__name__}: {error}")
    finally:
        os._exit(code)


# --- what it left


def contents(index: Index) -> Contents:
    """Everything that is stored."""
    with index._snapshots.take() as snapshot:
        records = snapshot.fetch(snapshot.allowed(None).rows().tolist())
        return {
            r.key: (r.text, r.metadata, snapshot.vectors[r.row].tobytes() if r.has_vector else b"") for r in records
        }


def examine(
    folder: Path, before: Contents, after: Contents, acknowledged: bool, also: Check = lambda index, found: None
) -> tuple[Contents, Finding | None]:
    """What an index holds whose change from ``before`` to ``after`` was cut off, or was acknowledged; the first fault.

    Whatever was acknowledged must be there as it was written, and of the last change all or nothing; then `verify` must
    find nothing, and nor may ``also``.
    """
    found: Contents = {}
    if before and not index_exists(folder):
        return found, Finding("lost", "there is no index any more")
    try:
        with open_index(folder, lock_timeout=0) as index:
            found = contents(index)
            if wrong := _compare(found, before, after, acknowledged):
                return found, wrong
            report = index.verify()
            if not report.ok or report.records != len(found):
                reasons = [fault.reason for fault in report.faults] or [f"{report.records} records"]
                return found, Finding("unsound", f"verify: {reasons[0]}")
            return found, also(index, found)
    except VecindexError as error:
        return found, Finding("unsound", f"{type(error).__name__}: {error.message}")


def _compare(found: Contents, before: Contents, after: Contents, acknowledged: bool) -> Finding | None:
    if found == after or (found == before and not acknowledged):
        return None
    kept = {key: value for key, value in after.items() if acknowledged or before.get(key) == value}
    for key, value in kept.items():
        if found.get(key) != value:
            return Finding("lost", f"the record {key} is {'not what was written' if key in found else 'lost'}")
    if found == before:
        return Finding("lost", "an acknowledged change is lost")
    return Finding(
        "torn", f"there are {len(found)} records; {len(before)} before the last change, {len(after)} after it"
    )


# --- random changes


def crash_test(folder: Path, runs: int, seed: int) -> Generator[CrashReport, None, None]:
    """Kills ``runs`` processes, one after the other, every second before a step of its own; yields a report after each.

    They work in a new folder within ``folder``, which is removed when the iterator ends or is closed.

    Raises:
        StorageError: ``folder`` cannot be written to.
    """
    with storage_errors(folder):
        scratch = Path(tempfile.mkdtemp(prefix=".vecindex-selftest-", dir=folder)).resolve()
    restore, check = _remembering_interrupts()
    try:
        draw, report = Random(seed), CrashReport()
        path, before = scratch / "0", Contents()
        for run in range(1, runs + 1):
            check()
            changes = _Changes(path, before, draw.getrandbits(30), draw.randint(1, _MOST_STEPS) if run % 2 == 0 else 0)
            said, _ = killed(path, changes.work, None if run % 2 == 0 else draw.uniform(0, _LONGEST_SECONDS))
            before, finding = changes.examine(said)
            report = replace(report, runs=run, changes=report.changes + said.count("returned"))
            if finding is not None:
                report = replace(report, faults=(*report.faults, f"run {run}: {finding.what}"))
                path, before = scratch / str(run), Contents()  # faults that follow would say nothing new
            yield report
    finally:
        restore()
        shutil.rmtree(scratch, ignore_errors=True)


def _remembering_interrupts() -> tuple[Callable[[], object], Callable[[], None]]:
    """Functions that undo this, and that raise KeyboardInterrupt if Ctrl-C has come since.

    Python drops what is raised in destructors and in hooks of a fork, and with it a Ctrl-C that comes then.
    """
    came: list[int] = []

    def check() -> None:
        if came:
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if not callable(before) or threading.current_thread() is not threading.main_thread():
        return (lambda: None), check

    def remember(number: int, frame: FrameType | None) -> None:
        came.append(number)
        before(number, frame)

    signal.signal(signal.SIGINT, remember)
    return (lambda: signal.signal(signal.SIGINT, before)), check


@dataclass(frozen=True, slots=True)
class _Changes:
    """Random changes to an index that holds ``before``; the process kills itself before ``step``, unless that is 0."""

    path: Path
    before: Contents
    seed: int
    step: int

    def work(self, say: Say) -> None:
        draw, records = Random(self.seed), self.before
        with replaced(Watched(Killing(self.step))), open_index(self.path, lock_timeout=0) as index:
            while True:
                change = _choose(records, draw)
                say(change)
                _make(index, change)
                records = _changed(records, change)
                say("returned")

    def examine(self, said: list[Any]) -> tuple[Contents, Finding | None]:
        before = after = self.before
        for line in said:
            before, after = (after, after) if line == "returned" else (before, _changed(after, line))
        return examine(self.path, before, after, acknowledged=before is after)


def _choose(records: Contents, draw: Random) -> dict[str, Any]:
    """The next change: keys to put, with the versions of their records, keys to delete, or a compaction."""
    act = draw.choices(("add", "update", "delete", "compact"), (4, 3, 3, 1))[0]
    some = draw.sample(sorted(records), min(len(records), draw.randint(1, 10)))
    if act == "update" and some:
        return {"put": {key: json.loads(records[key][1])["version"] + 1 for key in some}}
    if act == "delete" and some:
        return {"delete": some}
    if act == "compact" and some:
        return {"compact": True}
    return {"put": {f"{draw.getrandbits(40):010x}": 0 for _ in range(draw.randint(1, 10))}}


def _changed(records: Contents, change: Mapping[str, Any]) -> Contents:
    deleted = set(change.get("delete", ()))
    put: dict[str, int] = change.get("put", {})
    kept = {key: record for key, record in records.items() if key not in deleted}
    return kept | {key: _record(key, version) for key, version in put.items()}


def _make(index: Index, change: Mapping[str, Any]) -> None:
    if put := change.get("put"):
        texts, metadata, vectors = zip(*(_record(key, version) for key, version in put.items()), strict=True)
        index.add(
            texts,
            keys=list(put),
            metadata=[json.loads(text) for text in metadata],
            vectors=[struct.unpack(f"<{DIMENSION}f", vector) for vector in vectors],
            space=_SPACE,
        )
    elif deleted := change.get("delete"):
        index.delete(deleted)
    else:
        index.compact()


def _record(key: str, version: int) -> tuple[str, str, bytes]:
    """Text, metadata and vector: 64 times plus or minus 1/8, whose length is exactly 1, so it is stored as it is."""
    text = f"The text of {key}, version {version}. " * (1 + version % 5 * 20)
    signs = int.from_bytes(hashlib.blake2b(f"{key} {version}".encode(), digest_size=DIMENSION // 8).digest(), "big")
    numbers = (0.125 if signs >> bit & 1 else -0.125 for bit in range(DIMENSION))
    return text, checked_metadata({"version": version}), struct.pack(f"<{DIMENSION}f", *numbers)
