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

PARTS = 16
"""So many ranges of hashes are sorted apart from each other, since sorting takes five times the memory of what it
sorts."""
_BOUNDS = np.array([part * 2**64 // PARTS - 2**63 for part in range(1, PARTS)], np.int64)


class SeenKeys:
    """The keys of an input so far, in order."""

    def __init__(self) -> None:
        self._named = bytearray()
        self._parts = [_Part() for _ in range(PARTS)]

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
        cuts = np.searchsorted(distinct, _BOUNDS)
        for part, hashes, places in zip(self._parts, np.split(distinct, cuts), np.split(firsts, cuts), strict=True):
            part.look_up(hashes, places)
        earliest = firsts[nth]
        repeats = np.flatnonzero(earliest != np.arange(start, start + len(keys)))
        return dict(zip((repeats + start).tolist(), earliest[repeats].tolist(), strict=True))

    def is_named(self, position: int) -> bool:
        """Whether the key at this position was given rather than derived."""
        return bool(self._named[position])


class _Part:
    """The hashes in one range, each with the position of its first key."""

    def __init__(self) -> None:
        # Sorted. Each pair of arrays is at least twice as long as the next, so there are few to search.
        self._sorted: list[tuple[Hashes, Places]] = []

    def look_up(self, distinct: Hashes, places: Places) -> None:
        """Replaces the place of each hash that was seen before by its first one, and adds the others.

        ``distinct`` is sorted, and its ``places`` are behind all earlier ones.
        """
        is_new = np.ones(len(distinct), np.bool_)
        for hashes, firsts in self._sorted:
            at = np.minimum(np.searchsorted(hashes, distinct), len(hashes) - 1)
            found = hashes[at] == distinct
            np.copyto(places, firsts[at], where=found)
            is_new &= ~found
        if is_new.any():
            self._merge(distinct[is_new], places[is_new])

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
        self._sorted = 0

    def add(self, key: str) -> None:
        self._hashes.append(hash(key))

    def lacks(self, keys: Sequence[str]) -> list[bool]:
        """Which of these keys are not in the set."""
        if not self._hashes:
            return [True] * len(keys)
        hashes = np.frombuffer(self._hashes, np.int64)
        if self._sorted < len(hashes):  # once for all questions, which come when it is complete, and where they are
            hashes.sort()
            self._sorted = len(hashes)
        asked = np.fromiter(map(hash, keys), np.int64, len(keys))
        at = np.minimum(np.searchsorted(hashes, asked), len(hashes) - 1)
        lacking: list[bool] = (hashes[at] != asked).tolist()
        return lacking
