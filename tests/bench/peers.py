"""vecindex beside other embedded vector searches: the same rows, each in its own process, with its default settings.

    pip install -c constraints.txt '.[bench]'
    python tests/bench/corpus.py 100000
    python tests/bench/peers.py [--rows 100000] [--engines vecindex,chroma,...] [--json FILE] [--peers-python PATH]

All get the same ready-made vectors, texts and metadata, and answer the same held-out queries with texts and metadata.
One process fills an index and ends. Another opens it and is kept for the rounds: each round visits all engines, so
that noise hits all, and only one is busy at a time. Latencies are medians over the rounds of a round's p50 and p99.
Files are in the operating system's cache. Recall is to the exact K best: a hit counts if its exact score is not below
theirs. A filter is on an integer in the metadata, which is indexed where an engine offers that. Disk is what the files
take; memory is the most that the process held, Python and the engine's libraries included. An engine without a store
gets its texts and metadata from lists: they are in its memory, but not in its adding, disk and opening.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import corpus
import numpy as np
from corpus import Corpus
from support.common import where
from support.peer_base import BUCKETS, TEXT_QUERIES, K
from support.peer_engines import ENGINES, FILLED_BY

BELOW = (BUCKETS, 500, 100, 10, 1)
WARM = 50
SLACK = 1e-6  # two sums of the same products in another order
QUIET = {"ANONYMIZED_TELEMETRY": "False", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "DO_NOT_TRACK": "1"}


class Failed(Exception):
    """An engine cannot be measured; the message says why."""


class Missing(Failed):
    """An engine is not installed."""


class Child:
    """One engine in its own process, answering one command at a time."""

    def __init__(self, name: str, python: str, spec: Path, timeout: float) -> None:
        self.name = name
        self.timeout = timeout
        self.log = spec.with_name(f"{name}.log")
        command = [python, str(Path(__file__).with_name("peer_server.py")), name, str(spec)]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **QUIET},
                text=True,
                encoding="utf-8",
            )

    def __enter__(self) -> Child:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Lets it close its index and end, unless something went wrong."""
        assert self.process.stdin is not None
        if kind is not None:
            self.process.kill()
        timer = threading.Timer(self.timeout, self.process.kill)
        timer.start()
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        timer.cancel()

    def ask(self, what: str, **options: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        timer = threading.Timer(self.timeout, self.process.kill)
        timer.start()
        began = time.monotonic()
        try:
            self.process.stdin.write(json.dumps({"do": what, **options}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
        if not line:
            self.process.wait()
            if time.monotonic() - began >= self.timeout:
                raise Failed(f"no answer in {what} within {self.timeout:g} s")
            last = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            raise Failed(f"ended with {self.process.returncode} in {what}: {''.join(last) or 'nothing was said'}")
        answer: dict[str, Any] = json.loads(line)
        if "skip" in answer:
            raise Missing(f"skipped, {answer['skip']}")
        if "error" in answer:
            raise Failed(f"failed in {what}: {answer['error'].strip().splitlines()[0][:300]}")
        return answer


def exact(data: Corpus) -> dict[int, np.ndarray]:
    """For each filter, every query's exact best scores, best first; as many as match, at most K. Kept between runs."""
    count = len(data.texts)
    digest = hashlib.sha256(data.query_vectors.tobytes() + np.array(data.vectors[-1]).tobytes()).hexdigest()[:12]
    path = corpus.folder() / f"exact-{count}-{digest}.npy"
    buckets = np.array(data.buckets)
    if path.exists():
        best = np.load(path)
    else:
        best = np.full((len(BELOW), len(data.query_vectors), K), -np.inf, dtype=np.float32)
        for start in range(0, count, 10_000):
            scores = data.query_vectors @ np.array(data.vectors[start : start + 10_000]).T
            for position, below in enumerate(BELOW):
                part = scores[:, buckets[start : start + 10_000] < below]
                best[position] = np.partition(np.concatenate([best[position], part], axis=1), -K, axis=1)[:, -K:]
        best = -np.sort(-best, axis=2)
        partial = path.with_suffix(".partial.npy")
        np.save(partial, best)
        partial.replace(path)
    return {below: best[i][:, : min(K, int((buckets < below).sum()))] for i, below in enumerate(BELOW)}


def graded(
    data: Corpus, best: np.ndarray, found: list[list[tuple[int, str, int]]], below: int
) -> tuple[float | None, int, int]:
    """Recall, the least hits of a query, and how many hits had another row's text or did not match the filter."""
    counted, wrong = 0, 0
    for query, hits in enumerate(found):
        wrong += sum(data.texts[n] != text or data.buckets[n] != bucket or bucket >= below for n, text, bucket in hits)
        rows = sorted({number for number, _, _ in hits})
        if rows and best.shape[1]:
            counted += int((data.vectors[rows] @ data.query_vectors[query] >= best[query, -1] - SLACK).sum())
    expected = best.shape[1] * len(found)
    return counted / expected if expected else None, min(map(len, found)), wrong


def allocated(folder: Path) -> int:
    """The bytes that the files under a folder take on the disk."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


class Comparison:
    """One run: its folder, its engines still standing, their figures and what went wrong."""

    def __init__(self, data: Corpus, home: Path, asked: argparse.Namespace) -> None:
        self.data = data
        self.home = home
        self.asked = asked
        self.figures: dict[str, dict[str, Any]] = {name: {} for name in asked.engines}
        self.failures: dict[str, str] = {}
        self.broken = False
        self.text: dict[str, float] = {}
        self.spec = home / "spec.json"
        with open(home / "rows.jsonl", "w", encoding="utf-8") as file:
            for row in zip(data.texts, data.languages, data.buckets, strict=True):
                file.write(json.dumps(row) + "\n")
        queries, warm = data.query_vectors[: asked.queries], data.query_vectors[-WARM:]
        np.save(home / "queries.npy", np.concatenate([queries, warm]))
        rows = {
            **{"texts": str(home / "rows.jsonl"), "vectors": str(corpus.folder() / "corpus.f32")},
            **{"skip": corpus.QUERIES, "dim": corpus.DIM, "count": asked.rows},
        }
        spec = {
            **{"home": str(home / "indexes"), "rows": rows, "warm": WARM, "queries": str(home / "queries.npy")},
            **{"query_texts": data.queries[:TEXT_QUERIES], "filter_queries": asked.filter_queries},
        }
        self.spec.write_text(json.dumps(spec), encoding="utf-8")
        (home / "indexes").mkdir()

    def child(self, name: str) -> Child:
        python = sys.executable if name == "vecindex" else self.asked.peers_python
        return Child(name, python, self.spec, self.asked.timeout)

    def attempt(self, name: str, what: Callable[[], None]) -> None:
        """Does something with an engine that has not failed; if it fails now, it is not asked again."""
        if name in self.failures:
            return
        try:
            what()
        except Failed as error:
            self.failures[name] = str(error)
            self.broken |= not isinstance(error, Missing)
            say(f"{name}: {error}")

    def fill(self) -> None:
        """Every engine's index, one after the other, each in a process that ends with it."""
        done: dict[str, dict[str, Any]] = {}

        def add(name: str, filler: str) -> None:
            if filler not in done:
                with self.child(filler) as child:
                    answer = child.ask("add")
                done[filler] = {
                    **{"rows_s": self.asked.rows / answer["seconds"], "build_s": answer["build"]},
                    "bytes_row": allocated(self.home / "indexes" / filler.replace(" ", "-")) / self.asked.rows,
                    "adding_mib": answer["peak"],
                }
                os.sync()  # the next one shall not wait for what this one left to be written
                say(f"{filler}: added in {answer['seconds']:,.1f} s")
            self.figures[name].update(done[filler])

        for name in self.asked.engines:
            self.attempt(name, lambda: add(name, FILLED_BY.get(name, name)))  # noqa: B023

    def search(self) -> None:
        """Every engine's index opened in a new process, then round by round."""
        best = exact(self.data)
        with ExitStack() as stack:
            children = {
                name: stack.enter_context(self.child(name)) for name in self.asked.engines if name not in self.failures
            }
            for name, child in children.items():
                self.attempt(name, lambda: self.open(name, child))  # noqa: B023
            times: dict[tuple[str, int], list[list[float]]] = {}
            for number in range(self.asked.rounds):
                for name, child in children.items():
                    self.attempt(name, lambda: self.round(name, child, best, number == 0, times))  # noqa: B023
                say(f"round {number + 1} of {self.asked.rounds} done")
            if "vecindex" in children:
                self.attempt("vecindex", lambda: self.texts(children["vecindex"]))
        for (name, below), taken in times.items():
            figures = self.figures[name]["searches"][str(below)]
            for key, percent in (("p50_ms", 50), ("p99_ms", 99)):
                figures[key] = statistics.median(float(np.percentile(each, percent)) for each in taken)

    def open(self, name: str, child: Child) -> None:
        answer = child.ask("open")
        self.figures[name].update(
            **{"open_s": answer["open"], "start_s": answer["import"] + answer["open"], "searches": {}},
            **{"version": answer["version"], "settings": answer["settings"], "note": ENGINES[name].note},
        )

    def round(
        self,
        name: str,
        child: Child,
        best: dict[int, np.ndarray],
        first: bool,
        times: dict[tuple[str, int], list[list[float]]],
    ) -> None:
        for below in BELOW if ENGINES[name].filters else BELOW[:1]:
            answer = child.ask("round", below=below, hits=first)
            times.setdefault((name, below), []).append(answer["times"])
            self.figures[name]["searching_mib"] = answer["peak"]
            if first:
                recall, least, wrong = graded(self.data, best[below], answer["hits"], below)
                self.figures[name]["searches"][str(below)] = {"recall": recall, "least_hits": least}
                if wrong:
                    raise Failed(f"{wrong} hits with another row's text or outside of the filter below {below}")

    def texts(self, child: Child) -> None:
        answer = child.ask("text")
        self.text = {f"{name}_p50_ms": statistics.median(values) for name, values in answer.items()}


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def table(figures: dict[str, dict[str, Any]]) -> str:
    """A line for each measure and a column for each engine; under a measure its ratio to vecindex, if that ran."""
    lines: list[tuple[str, list[str]]] = [("", [name.partition(" ")[0] for name in figures])]
    if any(" " in name for name in figures):
        lines.append(("", [name.partition(" ")[2] for name in figures]))

    def add(label: str, form: str, *keys: str, ratio: bool = True) -> None:
        values = {name: value(of, *keys) for name, of in figures.items()}
        lines.append((label, ["-" if v is None else format(v, form) for v in values.values()]))
        base = values.get("vecindex")
        if ratio and base:
            lines.append(("  to vecindex", ["-" if v is None else ratio_of(v, base) for v in values.values()]))

    add("added and found, rows/s", ",.0f", "rows_s")
    add("of it a separate build, s", ",.2f", "build_s", ratio=False)
    for below in BELOW:
        name = "no filter" if below == BUCKETS else f"filter {100 * below / BUCKETS:g} %"
        add(f"{name}, p50 ms", ".3f", "searches", str(below), "p50_ms")
        add("  p99 ms", ".3f", "searches", str(below), "p99_ms", ratio=below == BUCKETS)
        add(f"  ann_recall@{K}", ".3f", "searches", str(below), "recall", ratio=False)
        add("  least hits returned", "d", "searches", str(below), "least_hits", ratio=False)
    add("disk, bytes a row", ",.0f", "bytes_row")
    add("peak memory adding, MiB", ",.0f", "adding_mib")
    add("peak memory searching, MiB", ",.0f", "searching_mib")
    add("open and first query, s", ".3f", "open_s")
    add("  with the import, s", ".2f", "start_s")
    widths = [max(10, *(len(cells[i]) + 2 for _, cells in lines)) for i in range(len(figures))]
    return "\n".join(
        f"{label:27}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()
        for label, cells in lines
    )


def ratio_of(one: float, other: float) -> str:
    ratio = one / other
    return f"{ratio:,.2f}" if ratio >= 0.1 else f"{ratio:.2g}"


def value(figures: dict[str, Any], *keys: str) -> float | None:
    found: Any = figures
    for key in keys:
        found = found.get(key) if found else None
    return None if isinstance(found, float) and math.isnan(found) else found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=500, help=f"at most {corpus.QUERIES - WARM}")
    parser.add_argument("--filter-queries", type=int, metavar="N", help="queries with each filter (all)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engines", default=",".join(ENGINES), help="%(default)s")
    parser.add_argument("--peers-python", metavar="PATH", default=sys.executable, help="runs all but vecindex")
    parser.add_argument("--timeout", type=float, default=7200, metavar="SECONDS", help="for one answer of an engine")
    parser.add_argument("--json", metavar="FILE")
    asked = parser.parse_args()
    asked.engines = [name.strip() for name in asked.engines.split(",")]
    if unknown := [name for name in asked.engines if name not in ENGINES]:
        parser.error(f"there is no engine {', '.join(unknown)}; there are {', '.join(ENGINES)}")
    if not 1 <= asked.queries <= corpus.QUERIES - WARM or asked.rounds < 1:
        parser.error(f"--queries goes from 1 to {corpus.QUERIES - WARM}, --rounds from 1")
    asked.filter_queries = min(asked.filter_queries or asked.queries, asked.queries)
    data = corpus.load(asked.rows)
    with tempfile.TemporaryDirectory(prefix="vecindex-peers-") as home:
        comparison = Comparison(data, Path(home), asked)
        comparison.fill()
        comparison.search()
    report(comparison, asked)
    return int(comparison.broken)


def report(comparison: Comparison, asked: argparse.Namespace) -> None:
    heading = (
        f"{asked.rows:,} rows of {corpus.DIM} dimensions, {asked.queries} queries ({asked.filter_queries} with each "
        f"filter), k={K}, medians of {asked.rounds} rounds; {where()}"
    )
    whole = {name: of for name, of in comparison.figures.items() if name not in comparison.failures}
    print(f"{heading}\n\n{table(whole)}\n")
    if comparison.text:
        searching, encoding = comparison.text["searching_p50_ms"], comparison.text["encoding_p50_ms"]
        vector = comparison.figures["vecindex"]["searches"][str(BUCKETS)]["p50_ms"]
        print(
            f"vecindex, p50 of a query given as a text {searching:.2f} ms, "
            f"as a vector {vector:.2f} ms; encoding a text alone {encoding:.2f} ms\n"
        )
    for name, of in whole.items():
        print("; ".join(part for part in (f"{name} {of['version']}: {of['note']}", of["settings"]) if part))
    for name, reason in comparison.failures.items():
        print(f"{name}: {reason}")
    if asked.json:
        result = {
            **{"heading": heading, "rows": asked.rows, "queries": asked.queries, "rounds": asked.rounds},
            **{"filter_queries": asked.filter_queries, "engines": comparison.figures},
            **{"text_queries": comparison.text, "failures": comparison.failures},
        }
        Path(asked.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
