"""Finds the rows of one input that repeat an earlier key, with about 20 bytes of memory a row.

Keys are compared by Python's 64-bit hash, which each process seeds: in one of 37 million runs, two different keys out
of a million have the same hash. They would be refused as one; what is stored is decided by the keys themselves.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.int64]
Places = npt.NDArray[np.int64]


class SeenKeys:
    """The keys of an input so far, in order."""

    def __init__(self) -> None:
        self._named = bytearray()
        # Sorted hashes with the position of each one's first key. Each pair of arrays is at least twice as long as the
        # next, so there are few to search.
        self._sorted: list[tuple[Hashes, Places]] = []

    def __len__(self) -> int:
        return len(self._named)

    def repeated(self, keys: Sequence[str], named: Sequence[bool]) -> dict[int, int]:
        """Adds more keys, and maps the position of each one that was seen before to the position of its first.

        ``named`` says which keys were given rather than derived.
        """
        start = len(self._named)
        self._named.extend(named)
        distinct, first, nth = np.unique(
            np.fromiter(map(hash, keys), np.int64, len(keys)), return_index=True, return_inverse=True
        )
        firsts = first.astype(np.int64) + start
        for hashes, places in self._sorted:
            at = np.minimum(np.searchsorted(hashes, distinct), len(hashes) - 1)
            np.copyto(firsts, places[at], where=hashes[at] == distinct)
        new = firsts >= start
        if new.any():
            self._merge(distinct[new], firsts[new])
        earliest = firsts[nth]
        repeats = np.flatnonzero(earliest != np.arange(start, start + len(keys)))
        return dict(zip((repeats + start).tolist(), earliest[repeats].tolist(), strict=True))

    def is_named(self, position: int) -> bool:
        """Whether the key at this position was given rather than derived."""
        return bool(self._named[position])

    def _merge(self, hashes: Hashes, places: Places) -> None:
        while self._sorted and len(self._sorted[-1][0]) < 2 * len(hashes):
            others, theirs = self._sorted.pop()
            hashes, places = np.concatenate([others, hashes]), np.concatenate([theirs, places])
            order = np.argsort(hashes, kind="stable")
            hashes, places = hashes[order], places[order]
        self._sorted.append((hashes, places))


class KeySet:
    """A set of keys in eight bytes each; a key that it lacks is found to be in it with the odds above."""

    def __init__(self) -> None:
        self._hashes = array("q")
        self._sorted = np.empty(0, np.int64)

    def add(self, key: str) -> None:
        self._hashes.append(hash(key))

    def lacks(self, keys: Sequence[str]) -> list[bool]:
        """Which of these keys are not in the set."""
        if not self._hashes:
            return [True] * len(keys)
        if len(self._sorted) < len(self._hashes):  # sorted once for all questions, which come when it is complete
            self._sorted = np.sort(np.array(self._hashes, np.int64))
        asked = np.fromiter(map(hash, keys), np.int64, len(keys))
        at = np.minimum(np.searchsorted(self._sorted, asked), len(self._sorted) - 1)
        lacking: list[bool] = (self._sorted[at] != asked).tolist()
        return lacking
