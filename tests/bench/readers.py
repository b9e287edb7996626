"""What do readers feel of a writer at full speed? ``python tests/bench/readers.py [--seconds 300] [--rows 50000]``

First the readers are alone, then one writer adds, updates, deletes and compacts without a pause. Each reader is a
process that searches with real vectors, k = 10. The records of a ring all get the commit's number at once, so that
hits of two commits in one search cannot hide. Prints one JSON object; exits 1 at an error, a mixed or half commit, or
if the readers' p99 is more than 3 times what it was while they were alone.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import corpus
import numpy as np
from support.common import where

import vecindex
from vecindex import Index

RING = 20
BATCH = 256
COMPACT_EVERY = 20.0
"""Seconds between compactions that the writer asks for; it also starts some by itself."""


def ring(index: Index, vectors: Any, g: int) -> None:
    """All records of the ring in one commit."""
    texts = [f"ring {n} {g // 3}" for n in range(RING)]
    index.add(texts, keys=[f"ring-{n}" for n in range(RING)], metadata=[{"ring": g}] * RING, vectors=vectors)


def write(path: str, rows: int, seconds: float) -> None:
    """Adds, updates and deletes as fast as it can; prints what it did."""
    data = corpus.load(rows)
    counts: Counter[str] = Counter()
    draw = np.random.default_rng(1)
    live = [f"row-{n}" for n in range(rows)]
    index = vecindex.open(path, lock_timeout=60)
    ring_vectors = np.array(data.query_vectors[:RING])
    compacted = time.monotonic()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        g = counts["ring"] = counts["ring"] + 1
        ring(index, ring_vectors if g % 3 else np.roll(ring_vectors, g, axis=0), g)
        some = draw.integers(0, rows, BATCH)
        keys = [f"new-{counts['add']}-{n}" for n in range(BATCH)]
        index.add([data.texts[i] for i in some], keys=keys, metadata=[{"new": g}] * BATCH, vectors=data.vectors[some])
        counts["add"] += 1
        live += keys
        for place in draw.integers(0, len(live), BATCH).tolist():
            live[place], live[-1] = live[-1], live[place]
        index.delete([live.pop() for _ in range(BATCH)])
        counts["delete"] += 1
        if time.monotonic() - compacted > COMPACT_EVERY:
            index.compact()
            counts["compact"] += 1
            compacted = time.monotonic()
    print(json.dumps({"counts": counts}))


def read(path: str, seconds: float, seed: int) -> None:
    """Searches until the time is over; prints every search's milliseconds and what was wrong."""
    queries = corpus.load(1).query_vectors
    draw = random.Random(seed)
    counts: Counter[str] = Counter({"mixed": 0, "half": 0, "error": 0})
    times: list[float] = []
    seen: set[int] = set()
    index = vecindex.open(path, readonly=True)
    index.search(queries[0], k=10)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        query = queries[draw.randrange(len(queries))]
        try:
            started = time.perf_counter()
            hits = index.search(query, k=10)
            times.append((time.perf_counter() - started) * 1e3)
            counts["half"] += len(hits) != 10
            if len(times) % 10 == 0:
                found = [hit.metadata["ring"] for hit in index.search(query, k=100, where="ring exists")]
                counts["half"] += len(found) != RING
                counts["mixed"] += len(set(found)) > 1
                seen.update(found)
        except Exception as error:
            counts["error"] += 1
            print(repr(error), file=sys.stderr)
    print(json.dumps({"counts": counts, "times": times, "seen": len(seen)}))


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def phase(path: str, asked: argparse.Namespace, with_writer: bool) -> tuple[dict[str, Any], dict[str, int]]:
    """All readers for so long; their figures, and the writer's counts."""
    shared = ("--index", path, "--rows", asked.rows, "--seconds", asked.seconds if with_writer else asked.quiet)
    writer = start("--role", "write", *shared) if with_writer else None
    readers = [start("--role", "read", "--seed", seed, *shared) for seed in range(asked.readers)]
    results = [json.loads(reader.communicate()[0]) for reader in readers]
    wrote = json.loads(writer.communicate()[0])["counts"] if writer else {}
    counts: Counter[str] = Counter()
    for result in results:
        counts.update(result["counts"])
    times = np.concatenate([result["times"] for result in results])
    p50, p99 = np.percentile(times, [50, 99])
    figures = {"searches": len(times), "p50_ms": round(float(p50), 2), "p99_ms": round(float(p99), 2), **counts}
    return figures | {"generations_seen": max(result["seen"] for result in results)}, wrote


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300, help="with the writer")
    parser.add_argument("--quiet", type=float, default=30, help="seconds without it")
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--readers", type=int, default=8)
    parser.add_argument("--role", choices=("write", "read"), help=argparse.SUPPRESS)
    parser.add_argument("--index", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.role == "write":
        write(asked.index, asked.rows, asked.seconds)
        return 0
    if asked.role == "read":
        read(asked.index, asked.seconds, asked.seed)
        return 0
    data = corpus.load(asked.rows)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "i")
        with vecindex.open(path) as index:
            keys = [f"row-{n}" for n in range(asked.rows)]
            index.add(data.texts, keys=keys, metadata=data.metadata(), vectors=data.vectors, space="benchmark")
            index.index_field("ring")
            ring(index, np.array(data.query_vectors[:RING]), 0)
        quiet, _ = phase(path, asked, with_writer=False)
        busy, wrote = phase(path, asked, with_writer=True)
        with vecindex.open(path) as index:
            faults = [fault.reason for fault in index.verify().faults]
            records = len(index)
    ratio = busy["p99_ms"] / quiet["p99_ms"]
    wrong = busy["error"] + busy["half"] + busy["mixed"] + quiet["error"] + len(faults) + (records != asked.rows + RING)
    print(
        json.dumps(
            {
                "where": where(),
                "readers": asked.readers,
                "alone": quiet,
                "beside a writer": busy,
                "writer": wrote,
                "p99 ratio": round(ratio, 2),
                "verify": faults or "ok",
            },
            indent=1,
        )
    )
    return int(bool(wrong) or ratio > 3)


if __name__ == "__main__":
    sys.exit(main())
