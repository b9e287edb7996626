"""What does an ``add`` cost beside the encoding, and what does a kill half-way cost?

    python tests/bench/add.py [--sentences 100000] [--keep DIR] [--only add kill]

``encode`` is ``encoder.encode`` over all sentences in one call, ``add`` is ``index.add`` into a new index, each in a
process of its own. Both run at once and in turns, one of them stopped while the other has all cores, so that a machine
that is faster at times is so for both; only the time of its own turns counts. ``kill`` kills an ``add`` half-way and
runs it again, which must encode only the rest. ``--keep`` keeps the index.
"""

from __future__ import annotations

import argparse
import json
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import IO, Any
from unittest.mock import patch

from support.common import MostMemory, sentences, where

import vecindex
from vecindex.machine.cores import available_cores

STEPS = ("add", "kill")
SECONDS_A_TURN = 5.0


def processor() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def clock() -> float:
    """The seconds in which this process was at work, on all cores."""
    return time.process_time() / available_cores()


def measured(work: Callable[[], object]) -> dict[str, float]:
    """Says that it is ready, waits until it may begin, and tells what was used."""
    print("ready", flush=True)
    sys.stdin.readline()
    before = processor()
    with MostMemory("VmRSS") as memory:
        work()
    return {"processor s": processor() - before, "MiB at most": memory.most}


def encode(texts: list[str], path: str) -> dict[str, Any]:
    encoder = vecindex.load_encoder()
    encoder.encode(texts[:500])  # pools and allocators are warm
    return measured(lambda: encoder.encode(texts))


def add(texts: list[str], path: str) -> dict[str, Any]:
    encoder = vecindex.load_encoder()
    encoder.encode(texts[:500])
    commits = 0

    def count(_: object) -> None:
        nonlocal commits
        commits += 1

    # By this clock an ``add`` sees how much to commit at once; it stands still with its process.
    with vecindex.open(path, model=encoder) as index, patch("vecindex.index.adding.encode_ahead.perf_counter", clock):
        found = measured(lambda: index.add(texts, progress=count))
        size = index.info().bytes
    return found | {"commits": commits, "bytes a row": size / len(texts)}


def again(texts: list[str], path: str) -> dict[str, Any]:
    """The rest after a kill: how many texts are encoded."""
    encoder, encoded = vecindex.load_encoder(), 0
    real = encoder.encode_all

    def counting(texts: Any, *more: Any, **named: Any) -> Any:
        nonlocal encoded
        encoded += len(texts)
        return real(texts, *more, **named)

    encoder.encode_all = counting  # type: ignore[method-assign]
    with vecindex.open(path, model=encoder) as index:
        report = index.add(texts)
        sound = index.verify().ok
    return {"unchanged": report.unchanged, "added": report.added, "encoded": encoded, "sound": sound}


def step(name: str, count: int, path: str) -> list[str]:
    return [sys.executable, __file__, "--step", name, "--sentences", str(count), "--keep", path]


def in_turns(count: int, home: str) -> dict[str, dict[str, Any]]:
    """What `encode` and `add` tell, and how many texts a second each did in its own turns."""
    processes = {
        name: subprocess.Popen(
            step(name, count, f"{home}/{name}"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        for name in ("encode", "add")
    }
    for process in processes.values():
        assert _of(process.stdout).readline() == "ready\n"
        process.send_signal(signal.SIGSTOP)
        _of(process.stdin).write("begin\n")
    seconds = dict.fromkeys(processes, 0.0)
    found: dict[str, dict[str, Any]] = {}
    for name in cycle(processes):
        if len(found) == len(processes):
            break
        if name in found:
            continue
        process = processes[name]
        started = time.perf_counter()
        process.send_signal(signal.SIGCONT)
        if select.select([_of(process.stdout)], [], [], SECONDS_A_TURN)[0]:
            seconds[name] += time.perf_counter() - started
            found[name] = {"texts/s": count / seconds[name]} | json.loads(_of(process.stdout).readline())
            process.wait()
        else:
            process.send_signal(signal.SIGSTOP)
            seconds[name] += time.perf_counter() - started
    return found


def _of(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def tell(name: str, found: dict[str, Any]) -> None:
    print(f"{name:8}" + ", ".join(f"{key} {value:,.1f}" for key, value in found.items()), flush=True)


def kill(count: int, path: str) -> None:
    process = subprocess.Popen(step("add", count, path), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    held = 0
    while process.poll() is None and held < count // 2:
        time.sleep(0.2)
        if (Path(path) / "vecindex.db").exists():
            with vecindex.open(path, readonly=True) as index:
                held = len(index)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with vecindex.open(path, readonly=True) as index:
        held = len(index)
    print(f"killed with {held:,} of {count:,} committed")
    ran = subprocess.run(step("again", count, path), stdout=subprocess.PIPE, text=True, check=True)
    rest = json.loads(ran.stdout)
    tell("again", rest)
    assert (rest["unchanged"], rest["added"], rest["sound"]) == (held, count - held, True)
    assert rest["encoded"] == count - held


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentences", type=int, default=100_000)
    parser.add_argument("--keep", metavar="DIR")
    parser.add_argument("--only", nargs="+", choices=STEPS, default=STEPS)
    parser.add_argument("--step", choices=("encode", "add", "again"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    count = asked.sentences
    if asked.step is not None:
        work = {"encode": encode, "add": add, "again": again}[asked.step]
        print(json.dumps(work(sentences(count), asked.keep)))
        return
    print(f"{count:,} Common Voice sentences; {where()}")
    with tempfile.TemporaryDirectory() as home:
        if "add" in asked.only:
            found = in_turns(count, home)
            for name, told in found.items():
                tell(name, told)
            by_clock, by_processor = (
                found["add"]["texts/s"] / found["encode"]["texts/s"],
                found["encode"]["processor s"] / found["add"]["processor s"],
            )
            print(f"add to encode: {by_clock:.3f} by the clock, {by_processor:.3f} by the processor", flush=True)
            if asked.keep:
                shutil.copytree(f"{home}/add", asked.keep)
        if "kill" in asked.only:
            kill(count, f"{home}/kill")


if __name__ == "__main__":
    main()
