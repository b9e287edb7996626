"""How many searches a second many callers get, vecindex beside its peers: tests/bench/throughput.py

    python tests/bench/corpus.py 100000
    python tests/bench/throughput.py [--rows 100000] [--engines vecindex,chroma,lancedb] [--rounds 5] [--seconds 2]

Vectors are given, codes are loaded, and every search returns texts and metadata. An engine is asked by 1, 2, 4 and 8
threads of one process, then by 4 processes of one thread each; every round visits all engines and ways in turn, and
medians over the rounds are printed. Beside them is the CPU time of a search: where other work holds the cores, the
searches a second say little, and two cores' time divided by that is what an idle machine of two cores can reach. Last
come 1,000 queries to `search_many` beside the same one by one. Engines that are not installed are left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import corpus
import numpy as np
from peers import Comparison
from support.common import where
from support.peer_base import BUCKETS, Engine, K, Rows
from support.peer_engines import ENGINES, FILLED_BY, Vecindex

THREADS = (1, 2, 4, 8)
PROCESSES = 4


def searches(engine: Engine, queries: np.ndarray, threads: int, seconds: float) -> dict[str, float]:
    """Searches in so many threads for so long: how many a second, and the CPU milliseconds of each."""
    counts = [0] * threads
    stop = time.perf_counter() + seconds

    def ask(number: int) -> None:
        place = number * len(queries) // threads
        while time.perf_counter() < stop:
            engine.search(queries[place % len(queries)], BUCKETS)
            place += 1
            counts[number] += 1

    began, cpu = time.perf_counter(), time.process_time()
    callers = [threading.Thread(target=ask, args=(number,)) for number in range(threads)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    cpu, took = time.process_time() - cpu, time.perf_counter() - began
    return {"rate": sum(counts) / took, "cpu": 1000 * cpu / max(1, sum(counts))}


def many(engine: Vecindex, queries: np.ndarray) -> dict[str, float]:
    """The seconds of all queries together, and of one by one."""
    began = time.perf_counter()
    engine.index.search_many(queries, k=K)
    middle = time.perf_counter()
    for query in queries:
        engine.index.search(query, k=K)
    return {"together": middle - began, "one by one": time.perf_counter() - middle}


def serve(name: str, spec: dict[str, Any]) -> None:
    """Opens an engine and answers commands, each a line of JSON."""
    engine = ENGINES[name](Path(spec["home"]) / FILLED_BY.get(name, name).replace(" ", "-"), Rows(**spec["rows"]))
    queries = np.load(spec["queries"])
    engine.load()
    engine.prepare()
    engine.open()
    for query in queries[:50]:
        engine.search(query, BUCKETS)
    print("{}", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        done = many(engine, queries) if asked["many"] and isinstance(engine, Vecindex) else None
        print(json.dumps(done or searches(engine, queries, asked["threads"], asked["seconds"])), flush=True)
    engine.close()


class Callers:
    """The processes that ask one engine."""

    def __init__(self, name: str, spec: Path, python: str) -> None:
        command = [python, __file__, "--serve", name, str(spec)]
        self.processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(PROCESSES)
        ]
        self._answers(self.processes)

    def ask(self, processes: int, **asked: Any) -> list[dict[str, float]]:
        """What each of the first ``processes`` answers; they work at the same time."""
        chosen = self.processes[:processes]
        for process in chosen:
            assert process.stdin is not None
            process.stdin.write(json.dumps({"many": False, **asked}) + "\n")
            process.stdin.flush()
        return self._answers(chosen)

    def close(self) -> None:
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()

    @staticmethod
    def _answers(processes: list[subprocess.Popen[str]]) -> list[dict[str, float]]:
        lines = [process.stdout.readline() for process in processes if process.stdout is not None]
        return [json.loads(line) for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--engines", type=lambda names: names.split(","), default=["vecindex", "chroma", "lancedb"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--peers-python", default=sys.executable)
    parser.add_argument("--serve", nargs=2, metavar=("ENGINE", "SPEC"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(asked.serve[0], json.loads(Path(asked.serve[1]).read_text(encoding="utf-8")))
        return
    asked.queries, asked.filter_queries, asked.timeout = corpus.QUERIES, 0, 3600.0
    with tempfile.TemporaryDirectory(prefix="vecindex-bench-") as made:
        comparison = Comparison(corpus.load(asked.rows), Path(made), asked)
        comparison.fill()
        names = [name for name in asked.engines if name not in comparison.failures]
        pythons = {name: sys.executable if name == "vecindex" else asked.peers_python for name in names}
        callers = {name: Callers(name, comparison.spec, pythons[name]) for name in names}
        report(callers, asked)
        for each in callers.values():
            each.close()


def report(callers: dict[str, Callers], asked: argparse.Namespace) -> None:
    """Measures in rounds, and prints the medians."""
    ways = {f"{n} thread{'s' if n > 1 else ''}": (1, n) for n in THREADS} | {f"{PROCESSES} processes": (PROCESSES, 1)}
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    together: list[tuple[float, float]] = []
    for _ in range(asked.rounds):
        for name, each in callers.items():
            for way, (processes, threads) in ways.items():
                answers = each.ask(processes, threads=threads, seconds=asked.seconds)
                rate, cpu = sum(a["rate"] for a in answers), statistics.mean(a["cpu"] for a in answers)
                found.setdefault((name, way), []).append((rate, cpu))
            if name == "vecindex":
                (times,) = each.ask(1, many=True)
                together.append((times["together"], times["one by one"]))
    print(f"{where()}; {asked.rows:,} rows, k = {K}; searches/s, times those of 1 thread, CPU ms a search")
    for name in callers:
        alone = statistics.median(rate for rate, _ in found[name, "1 thread"])
        for way in ways:
            rate, cpu = (statistics.median(values) for values in zip(*found[name, way], strict=True))
            print(f"{name:10} {way:12} {rate:8.0f}/s  {rate / alone:5.2f}  {cpu:6.2f} ms")
    if together:
        one, other = (statistics.median(values) for values in zip(*together, strict=True))
        print(
            f"search_many of {corpus.QUERIES:,} vectors: {one:.2f} s, one by one {other:.2f} s: {other / one:.2f} times"
        )


if __name__ == "__main__":
    main()
