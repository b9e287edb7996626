"""What the benchmarks share: real sentences, interleaved rounds, medians, memory, and where they ran."""

from __future__ import annotations

import gzip
import os
import platform
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path

DATA = Path(__file__).parents[4] / "shared" / "data"


def common_voice(count: int, language: str = "en") -> list[str]:
    """The first ``count`` different Common Voice prompts of a language."""
    path = DATA / "sentences" / "commonvoice.tsv.gz"
    if not path.exists():
        sys.exit(f"{path} is not here; this benchmark needs real sentences.")
    found: dict[str, None] = {}
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            code, _, text = line.rstrip("\n").partition("\t")
            if code == language:
                found[text] = None
                if len(found) == count:
                    break
    return list(found)


def sentences(count: int) -> list[str]:
    """As `common_voice`, and French ones where the English ones, of which there are 50,161, are too few."""
    english = common_voice(count)
    return list(dict.fromkeys(english + common_voice(count, "fr")))[:count] if len(english) < count else english


def rounds(jobs: Mapping[str, Callable[[], object]], count: int) -> dict[str, float]:
    """The median seconds of each job over ``count`` rounds."""
    return {name: statistics.median(values) for name, values in each_round(jobs, count).items()}


def each_round(jobs: Mapping[str, Callable[[], object]], count: int) -> dict[str, list[float]]:
    """The seconds of each job in ``count`` rounds; every round runs all of them in turn, so that noise hits all."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(count):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            times[name].append(time.perf_counter() - start)
    return times


def memory(kind: str = "RssAnon") -> float:
    """What this process takes in MiB: for itself (RssAnon), or mapped files included (VmRSS)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{kind}:")[1].split()[0]) / 1024


class MostMemory:
    """The ``most`` that `memory` says inside the block."""

    def __init__(self, kind: str = "RssAnon") -> None:
        self.most = 0.0
        self._kind = kind
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> MostMemory:
        self._thread.start()
        return self

    def __exit__(self, *caught: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.05):
            self.most = max(self.most, memory(self._kind))


def where() -> str:
    """The machine and the day, for the table's heading."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.machine()}, {cores} cores, Python {platform.python_version()}, {date.today()}"
