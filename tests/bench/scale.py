"""How does each figure grow with the rows? ``python tests/bench/scale.py [--rows 10000 100000 1000000] [--json FILE]``

Real sentences with their own vectors (`corpus.py`), given to a new index each time, in a process of its own. Another
process opens it and searches: default settings, k = 10, queries that were held out, against the exact answer. From
a million rows on the index is also tuned to a recall of 0.95. Then half of the records are deleted, and the rest
compacted. Memory is what a process had for itself (RssAnon); mapped files, which the system takes back at will, come
on top. Files are in the system's cache when they are read.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import corpus
import faiss
import numpy as np
from support.common import MostMemory, memory, where

import vecindex
from vecindex import Index

K = 10
FILTERS = (500, 100, 10, 1)
"""Of a field from 0 to 999: 50, 10, 1 and 0.1 %."""
TUNED_ROWS = 1_000_000


def fill(path: str, rows: int) -> dict[str, Any]:
    data = corpus.load(rows)
    metadata = data.metadata()
    before = memory()
    with vecindex.open(path) as index, MostMemory() as used:
        started = time.perf_counter()
        index.add(data.texts, metadata=metadata, vectors=data.vectors, space="benchmark")
        seconds = time.perf_counter() - started
        started = time.perf_counter()
        index.index_field("bucket")
        field = time.perf_counter() - started
    size = {kind: sum(p.stat().st_size for p in Path(path).glob(kind)) for kind in ("*", "codes-*", "vecindex.db*")}
    return {
        "rows/s": rows / seconds,
        "MiB for adding": used.most - before,
        "index_field s": field,
        "bytes a row": size["*"] / rows,
        "bytes a row, codes": size["codes-*"] / rows,
        "bytes a row, database": size["vecindex.db*"] / rows,
    }


def truth(path: str, rows: int, queries: Any, below: int | None) -> tuple[Any, Any]:
    """The exact K best scores of each query, and how many rows match."""
    data = corpus.load(rows)
    keep = np.arange(rows) if below is None else np.flatnonzero(np.array(data.buckets) < below)
    vectors = data.vectors
    best = np.full((len(queries), K), -2, np.float32)
    for start in range(0, len(keep), 65_536):
        block = np.array(vectors[keep[start : start + 65_536]])
        found, _ = faiss.knn(queries, block, min(K, len(block)), metric=faiss.METRIC_INNER_PRODUCT)
        best = -np.sort(-np.concatenate([best, found], axis=1), axis=1)[:, :K]
    return best, len(keep)


def measured(index: Index, queries: Any, best: Any, matching: int, where: Any, name: str) -> dict[str, Any]:
    """p50 and p99 in ms through the API, ann_recall@10, and whether ever too few hits came."""
    for query in queries[-20:]:
        index.search(query, k=K, where=where)
    times, hits, short = [], 0, 0
    for query, exact in zip(queries, best, strict=True):
        started = time.perf_counter()
        found = index.search(query, k=K, where=where)
        times.append((time.perf_counter() - started) * 1e3)
        expected = min(K, matching)
        short += len(found) < expected
        hits += sum(hit.score >= exact[expected - 1] - 1e-6 for hit in found[:expected])
    p50, p99 = np.percentile(times, [50, 99])
    recall = hits / (min(K, matching) * len(queries))
    return {f"{name} p50 ms": p50, f"{name} p99 ms": p99, f"{name} recall": recall, f"{name} short": short}


def search(path: str, rows: int, count: int) -> dict[str, Any]:
    queries = corpus.load(1).query_vectors[:count]
    started = time.perf_counter()
    index = vecindex.open(path, readonly=True)
    figures: dict[str, Any] = {"open ms": (time.perf_counter() - started) * 1e3}
    index.search(queries[0], k=K)
    figures["open and first search ms"] = (time.perf_counter() - started) * 1e3
    for query in queries[:100]:
        index.search(query, k=K)
    figures["MiB after 100 searches"] = memory()
    for below in (None, *FILTERS):
        name = "no filter" if below is None else f"{below / 10:g} %"
        condition = None if below is None else {"bucket": {"$lt": below}}
        best, matching = truth(path, rows, queries, below)
        figures |= measured(index, queries, best, matching, condition, name)
    return figures


def tune(path: str, rows: int, count: int) -> dict[str, Any]:
    queries = corpus.load(1).query_vectors[:count]
    best, matching = truth(path, rows, queries, None)
    with vecindex.open(path) as index:
        started = time.perf_counter()
        index.tune(recall=0.95)
        seconds = time.perf_counter() - started
    with vecindex.open(path, readonly=True) as index:
        figures = measured(index, queries, best, matching, None, "tuned to 0.95")
        codes = sum(p.stat().st_size for p in Path(path).glob("codes-*")) / rows
        return figures | {"tune s": seconds, "tuned codes": index.info().codes, "bytes a row, tuned codes": codes}


def shrink(path: str, rows: int, count: int) -> dict[str, Any]:
    """Deletes every other record and compacts."""
    with vecindex.open(path) as index, MostMemory() as used:
        before = index.info().bytes
        started = time.perf_counter()
        index.delete(where="bucket >= 500")  # more than 30 % are dead then: it is compacted at once
        seconds = time.perf_counter() - started
        report = index.compact()
        kept = len(index) / rows
    return {
        "deleted": 1 - kept,
        "delete and compact s": seconds,
        "given back": 1 - report.bytes_after / before,
        "MiB for compacting": used.most,
    }


STEPS: dict[str, Callable[..., dict[str, Any]]] = {"fill": fill, "search": search, "tune": tune, "shrink": shrink}


def step(name: str, path: str, rows: int, *more: int) -> dict[str, Any]:
    """One step in a process of its own."""
    command = [sys.executable, __file__, "--step", name, "--path", path, "--rows", str(rows)]
    done = subprocess.run(
        [*command, "--queries", *map(str, more or (1,))], stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--path", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.step is not None:
        more = () if asked.step == "fill" else (asked.queries,)
        print(json.dumps(STEPS[asked.step](asked.path, asked.rows[0], *more), default=float))
        return
    table: dict[int, dict[str, Any]] = {}
    for rows in asked.rows:
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "i")
            table[rows] = step("fill", path, rows) | step("search", path, rows, asked.queries)
            if rows >= TUNED_ROWS:
                table[rows] |= step("tune", path, rows, asked.queries)
            table[rows] |= step("shrink", path, rows, asked.queries)
        print(f"{rows:,} rows done", file=sys.stderr)
    print(where())
    names = list(dict.fromkeys(name for figures in table.values() for name in figures))
    print(f"{'':28}" + "".join(f"{rows:>14,}" for rows in table))
    for name in names:
        print(f"{name:28}" + "".join(_cell(figures.get(name)) for figures in table.values()))
    if asked.json:
        asked.json.write_text(json.dumps({"where": where(), "rows": table}, indent=1, default=float))


def _cell(value: Any) -> str:
    if value is None:
        return f"{'-':>14}"
    if isinstance(value, str):
        return f"  {value}"
    return f"{value:>14,.4f}" if abs(value) < 10 else f"{value:>14,.1f}"


if __name__ == "__main__":
    main()
