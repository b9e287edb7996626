"""What the lexical side costs an ``add``: the same records with vectors given, with segments kept and without.

    python tests/bench/add_lexical.py 100000 5

The second number says how often each is measured. They take turns, each in a new index, and each time after a short
run that loads all code. Printed are the seconds by the clock and of the processor, and the rate with segments as a
share of the rate without: of the medians, and of the least. Other work on the machine changes the clock's figures most.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import corpus
import numpy as np
from support.common import where

import vecindex
from vecindex.search.derived import upkeep

CLOCKS = {"by the clock": time.perf_counter, "of the processor": time.process_time}


def add(found: corpus.Corpus, rows: int, lexical: bool) -> list[float]:
    """The seconds of one ``add`` of the first rows, by each clock."""
    texts, metadata = found.texts[:rows], found.metadata()[:rows]
    keys, vectors = [str(row) for row in range(rows)], np.array(found.vectors[:rows])
    with tempfile.TemporaryDirectory(prefix="vecindex-bench-") as folder, ExitStack() as stack:
        if not lexical:
            stack.enter_context(mock.patch.object(upkeep, "is_segment_due", return_value=False))
        index = stack.enter_context(vecindex.open(Path(folder) / "index"))
        begun = [now() for now in CLOCKS.values()]
        index.add(texts, keys=keys, metadata=metadata, vectors=vectors, space="bench")
        took = [now() - start for now, start in zip(CLOCKS.values(), begun, strict=True)]
        stored = index.info().tail_rows, len(list(Path(folder).glob("index/lexical-*")))
        if bool(stored[1]) != (lexical and rows >= upkeep.LEXICAL_TAIL):
            sys.exit(f"{stored[1]} lexical segments were stored.")
    return took


def main() -> None:
    rows, rounds = (*map(int, sys.argv[1:]), *(100_000, 5)[len(sys.argv) - 1 :])
    print(where())
    found = corpus.load(rows)
    times: dict[bool, list[list[float]]] = {True: [], False: []}
    for _ in range(rounds):
        for lexical in times:
            add(found, 10_000, lexical)
            times[lexical].append(add(found, rows, lexical))
    print(f"{rows:,} rows, {rounds} rounds; seconds, median and least")
    for number, clock in enumerate(CLOCKS):
        kept, not_kept = ([each[number] for each in times[lexical]] for lexical in times)
        print(f"{clock:17} with segments {statistics.median(kept):6.2f} {min(kept):6.2f}", end="")
        print(f"   without {statistics.median(not_kept):6.2f} {min(not_kept):6.2f}", end="")
        ratio = statistics.median(not_kept) / statistics.median(kept)
        print(f"   share of the rate {ratio:.3f} {min(not_kept) / min(kept):.3f}")


if __name__ == "__main__":
    main()
