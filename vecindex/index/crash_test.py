"""Does what was acknowledged survive a kill on this disk: processes that change an index are killed, and it is checked.

``python -m vecindex.index.crash_test`` is such a process: it reads its order from standard input, one JSON object, and
writes a line before each change and one when it has returned. Every second one is killed at a random moment, the
others by themselves right before a random step of the store's, or in the middle of a write.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, NoReturn

from ..errors import RecordNotFound, StorageError, VecindexError
from ..store.disk.files import storage_errors
from ..store.disk.system_calls import Disk, replaced
from .facade import Index
from .facade import open as open_index

DIMENSION = 64
_LONGEST_SECONDS = 0.3
_MOST_STEPS = 200
_HANGS_SECONDS = 120
_SPACE = "vecindex selftest"

Records = dict[str, int]
"""Of each key the version of its text, metadata and vector, which all follow from the two."""


@dataclass(frozen=True, slots=True)
class CrashReport:
    """Processes that were killed, one a run, changes that had returned by then, and what was wrong afterwards."""

    runs: int = 0
    changes: int = 0
    faults: tuple[str, ...] = ()


def crash(folder: Path, runs: int, seed: int) -> Generator[CrashReport, None, None]:
    """Starts and kills ``runs`` processes, one after the other; the report so far after each.

    They work in a new folder within ``folder``, which is removed when the iterator is closed, or through.

    Raises:
        StorageError: ``folder`` cannot be written to.
    """
    with storage_errors(folder):
        scratch = Path(tempfile.mkdtemp(prefix=".vecindex-selftest-", dir=folder)).resolve()
    try:
        draw = Random(seed)
        report = CrashReport()
        path, records = scratch / "0", Records()
        for number in range(1, runs + 1):
            lines = _run(path, records, draw.getrandbits(30), number % 2 == 0)
            fault, changes, records = _check(path, records, lines)
            report = CrashReport(number, report.changes + changes, report.faults)
            if fault is not None:
                report = replace(report, faults=(*report.faults, f"run {number}: {fault}"))
                path, records = scratch / str(number), Records()  # what comes after says nothing about this one
            yield report
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


# --- the process that kills and checks


def _run(path: Path, records: Records, seed: int, at_a_step: bool) -> list[Any]:
    """Lets a process change the index until it is killed; the lines that it wrote."""
    draw = Random(seed)
    order = {"path": str(path), "records": records, "seed": seed, "step": 0}
    if at_a_step:
        order["step"] = draw.randint(1, _MOST_STEPS)
    command = [sys.executable, "-m", "vecindex.index.crash_test"]
    read, write = os.pipe()
    with (
        os.fdopen(read, "rb") as lines,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=write, stderr=subprocess.PIPE) as process,
    ):
        hangs = threading.Timer(_HANGS_SECONDS, process.kill)
        hangs.start()
        try:
            os.close(write)
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # it has ended by itself, which is said below
                process.stdin.write(json.dumps(order).encode() + b"\n")
                process.stdin.flush()
            first = b""
            if not at_a_step:
                first = lines.readline()
                time.sleep(draw.uniform(0, _LONGEST_SECONDS))
                process.kill()
            rest = lines.read()
            _, said = process.communicate()
        finally:
            process.kill()
            hangs.cancel()
    if process.returncode != -signal.SIGKILL:
        last = said.decode(errors="replace").strip().splitlines()[-1:] or [f"exit status {process.returncode}"]
        raise StorageError(str(path), f"the process that writes to it ended by itself: {last[0]}")
    return [json.loads(line) for line in (first + rest).splitlines()]


def _check(path: Path, before: Records, lines: list[Any]) -> tuple[str | None, int, Records]:
    """What is wrong with the index, how many changes had returned, and the records that it holds."""
    changes, pending = 0, None
    for line in lines:
        if line == "returned":
            assert pending is not None
            before, pending = _changed(before, pending), None
            changes += 1
        else:
            pending = line
    after = before if pending is None else _changed(before, pending)
    if not before and not path.exists():
        return None, changes, {}
    try:
        with open_index(path) as index:
            fault = _difference(index, before)
            if fault is not None and pending is not None and _difference(index, after) is None:
                before, fault = after, None
            report = index.verify()
            if fault is None and not report.ok:
                fault = report.faults[0].reason
            return fault, changes, before
    except VecindexError as error:
        return error.message, changes, before


def _difference(index: Index, expected: Records) -> str | None:
    for key, version in expected.items():
        try:
            record = index.get(key)
        except RecordNotFound:
            return f"the record {key} is lost"
        assert record.vector is not None
        found = record.text, record.metadata, record.vector.tobytes()
        if found != (_text(key, version), {"version": version}, _vector(key, version)):
            return f"the record {key} is not what was written"
    if len(index) != len(expected):
        return f"there are {len(index)} records, not {len(expected)}"
    return None


# --- the process that is killed


def _work(order: Mapping[str, Any]) -> NoReturn:
    """Changes the index until the process is killed, or nobody listens any more."""
    draw, records = Random(order["seed"]), dict(order["records"])
    with replaced(_Ending(order["step"])), open_index(order["path"], lock_timeout=0) as index:
        while True:
            change = _choose(records, draw)
            _say(change)
            _make(index, change)
            records = _changed(records, change)
            _say("returned")


def _say(line: Any) -> None:
    os.write(1, json.dumps(line).encode() + b"\n")  # at once, and whole: a pipe takes so little in one piece


def _choose(records: Records, draw: Random) -> dict[str, Any]:
    """The next change: records to put, keys to delete, or a compaction."""
    act = draw.choices(("add", "update", "delete", "compact"), (4, 3, 3, 1))[0]
    some = draw.sample(sorted(records), min(len(records), draw.randint(1, 10)))
    if act == "update" and some:
        return {"put": {key: records[key] + 1 for key in some}}
    if act == "delete" and some:
        return {"delete": some}
    if act == "compact" and some:
        return {"compact": True}
    return {"put": {f"{draw.getrandbits(40):010x}": 0 for _ in range(draw.randint(1, 10))}}


def _changed(records: Records, change: Mapping[str, Any]) -> Records:
    deleted = set(change.get("delete", ()))
    put: Records = change.get("put", {})
    return {key: version for key, version in records.items() if key not in deleted} | put


def _make(index: Index, change: Mapping[str, Any]) -> None:
    if put := change.get("put"):
        index.add(
            [_text(key, version) for key, version in put.items()],
            keys=list(put),
            metadata=[{"version": version} for version in put.values()],
            vectors=[struct.unpack(f"<{DIMENSION}f", _vector(key, version)) for key, version in put.items()],
            space=_SPACE,
        )
    elif deleted := change.get("delete"):
        index.delete(deleted)
    else:
        index.compact()


def _text(key: str, version: int) -> str:
    return f"The text of {key}, version {version}. " * (1 + version % 5 * 20)


def _vector(key: str, version: int) -> bytes:
    """64 times plus or minus 1/8: of unit length to the last bit, so it is stored as it is."""
    signs = int.from_bytes(hashlib.blake2b(f"{key} {version}".encode(), digest_size=DIMENSION // 8).digest(), "big")
    return struct.pack(f"<{DIMENSION}f", *(0.125 if signs >> bit & 1 else -0.125 for bit in range(DIMENSION)))


class _Ending(Disk):
    """A disk that ends the process right before its n-th step; never, if that is 0."""

    def __init__(self, nth: int) -> None:
        self._left = nth

    def _step(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def open(self, path: Path, mode: int = 0o666) -> int:
        self._step()
        return super().open(path, mode)

    def write(self, descriptor: int, data: memoryview, offset: int) -> int:
        self._step()
        half = super().write(descriptor, data[: len(data) // 2], offset)
        self._step()
        return half + super().write(descriptor, data[half:], offset + half)

    def cut(self, descriptor: int, size: int) -> None:
        self._step()
        super().cut(descriptor, size)

    def sync(self, path: Path) -> None:
        self._step()
        super().sync(path)

    def link(self, source: Path, path: Path) -> None:
        self._step()
        super().link(source, path)

    def rename(self, source: Path, path: Path) -> None:
        self._step()
        super().rename(source, path)

    def remove(self, path: Path, folder: int | None = None) -> None:
        self._step()
        super().remove(path, folder)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        _work(json.loads(sys.stdin.readline()))
