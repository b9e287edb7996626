"""A writer whose commits can be told apart, and readers that check that each is whole."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from vecindex import Hit, Index

from .helpers import opened

Read = TypeVar("Read")

KEYS = 20
ENOUGH = 6
_MOST_SECONDS = 300  # on a machine that does much else
_MOST_SECONDS_A_READ = 20  # one that waits for a writer takes longer

# Every commit gives all records one new "g", in text and metadata, so that hits of two commits cannot hide. It goes on
# until there is a file of the name that it is given.
WRITING = """
import os, sys
index = vecindex.open(sys.argv[1], model=ToyEncoder())
g = 0
while g <= 20 or not os.path.exists(sys.argv[2]):
    g += 1
    index.add([f"g{g} k{k}" for k in range(20)], keys=[f"k{k}" for k in range(20)], metadata=[{"g": g}] * 20)
    if g % 3 == 0:
        index.compact()
print(g)
"""

READING = """
import sys, time
from tests.support.generations import generations
print(generations(sys.argv[1], float(sys.argv[2])))
"""


def check_one_generation(hits: list[Hit]) -> int:
    (generation,) = {hit.metadata["g"] for hit in hits}
    assert sorted((hit.key, hit.text) for hit in hits) == sorted((f"k{k}", f"g{generation} k{k}") for k in range(KEYS))
    return int(generation)


def prompt(read: Callable[[], Read], seconds: float = _MOST_SECONDS_A_READ) -> Read:
    """What is read, if it does not take long."""
    began = time.monotonic()
    found = read()
    passed = time.monotonic() - began
    assert passed < seconds, f"a read took {passed:.1f} s"
    return found


def generations(path: str | Path, seconds: float, index: Index | None = None) -> int:
    """Reads for so long, and until `ENOUGH` were seen; how many generations that were, each of them whole."""
    seen: list[int] = []
    index = index or opened(Path(path), readonly=True)
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds or (len(set(seen)) < ENOUGH and passed < _MOST_SECONDS):
        first, second = prompt(lambda: index.search_many(["k1", "k2"], k=100))
        seen.append(check_one_generation(first))
        assert check_one_generation(second) == seen[-1]
        later = partial(index.search, "k3", k=100, where={"g": {"$gte": seen[-1]}})
        assert check_one_generation(prompt(later)) >= seen[-1]
        assert prompt(lambda: (len(index), index.get("k7").text[:1])) == (KEYS, "g")
        assert len(prompt(lambda: index.similar("k5", k=100))) == KEYS - 1
    assert seen == sorted(seen)
    return len(set(seen))
