"""Stored token vectors: what they cost when texts are added, on disk, and in a search that is reranked with them.

    python tests/bench/tokens.py            # 20,000 prompts of Common Voice, which take a minute or two to encode
    python tests/bench/tokens.py 2000

Each half of the rows is added in turn with and without token vectors being stored. Then each query is searched for
without reranking, and reranked with stored token vectors, one after the other, and the second stage by itself; times
are of the processor, which other work on the machine changes less than those by the clock. That time does not depend
on how many rows there are: 100 candidates are read, whatever the index holds.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from support.common import common_voice, where

import vecindex
from vecindex.search.rerank.second_stage import DEPTH
from vecindex.search.rerank.tokens import TokenStage
from vecindex.values.hits import Hits

ROWS = 20_000
LENGTHS = (3, 6, 12)
QUERIES = 60
K = 10


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    texts = common_voice(rows)
    print(f"{where()}, {len(texts):,} rows")
    with tempfile.TemporaryDirectory() as name, vecindex.open(Path(name) / "i") as index:
        index.add(["the first text loads the model"])
        build(index, texts)
        for length in LENGTHS:
            search(index, queries(texts, length), length)
        index.drop_tokens()
        some = queries(texts, LENGTHS[1])[:3]
        spent = [timed(lambda query=query: reranked(index, query)) for query in some]  # type: ignore[misc]
        print(f"without stored token vectors: {statistics.median(spent):,.0f} ms a query")


def build(index: vecindex.Index, texts: list[str]) -> None:
    half = len(texts) // 2
    plain = timed(lambda: index.add(texts[:half]))
    report = index.index_tokens()
    print(f"index-tokens of {report.rows:,} rows")
    kept = timed(lambda: index.add(texts[half:]))
    report = index.index_tokens()
    assert report.encoded == 0
    print(
        f"add: {half / plain * 1e3:,.0f} rows a second of the processor, "
        f"{(len(texts) - half) / kept * 1e3:,.0f} with token vectors stored ({kept / plain - 1:+.1%} time); "
        f"{report.tokens / report.rows:.1f} tokens a row, {report.bytes_a_token} bytes a token, "
        f"{report.bytes / report.rows:,.0f} bytes a row"
    )


def search(index: vecindex.Index, asked: list[str], length: int) -> None:
    times: dict[str, list[float]] = {"dense": [], "dense, reranked": [], "hybrid": [], "hybrid, reranked": []}
    stages: list[float] = []
    for query in asked:
        for mode in ("dense", "hybrid"):
            times[mode].append(timed(lambda: index.search(query, K, mode=mode)))  # noqa: B023
            times[f"{mode}, reranked"].append(timed(lambda: reranked(index, query, mode)))  # noqa: B023
        stages.append(stage_alone(index, query))
    medians = ", ".join(f"{name} {statistics.median(each):.1f}" for name, each in times.items())
    print(f"{length} words, milliseconds a query: {medians}; the second stage alone {statistics.median(stages):.2f}")


def reranked(index: vecindex.Index, query: str, mode: str = "dense") -> Hits:
    return index.search(query, K, mode=mode, rerank="tokens", rerank_ms=float("inf"))  # type: ignore[arg-type]


def stage_alone(index: vecindex.Index, query: str) -> float:
    """Scoring the best candidates, besides encoding the query."""
    keys = [hit.key for hit in index.search(query, DEPTH)]
    stage = TokenStage(index.encoder, index._tokens, [query], 0)
    with index._snapshots.take() as snapshot:
        records = list(snapshot.find(keys).values())
        stage.begin(snapshot)
        stage.scores(0, records)  # their pages are read, and their checksums are checked
        begun = time.thread_time()
        _, reached = stage.scores(0, records)
        spent = time.thread_time() - begun
    assert reached.all()
    return spent * 1e3


def queries(texts: list[str], length: int) -> list[str]:
    draw = random.Random(length)
    long = [words for text in texts if len(words := text.split()) >= length]
    chosen = draw.choices(long, k=QUERIES)
    starts = [draw.randint(0, len(words) - length) for words in chosen]
    return [" ".join(words[start : start + length]) for words, start in zip(chosen, starts, strict=True)]


def timed(work: Callable[[], object]) -> float:
    """Milliseconds of the processor."""
    begun = time.process_time()
    work()
    return (time.process_time() - begun) * 1e3


if __name__ == "__main__":
    main()
