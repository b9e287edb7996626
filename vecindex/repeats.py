"""Which rows of one input have a key that an earlier one has: found as it goes, with about 20 bytes a row in memory.

Keys are told apart by Python's hash of 64 bits, seeded anew in each process: of a million keys two have the same in one
run of 37 million. They would be refused as one; what is stored is decided by the keys themselves.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from .errors import Advice, InvalidInput
from .store.changes import Incoming
from .windows import windows

OnDuplicate = Literal["error", "last"]
"""What becomes of a key that was given to two items: an error that names both, or the last one wins.

An item that was given no key is named by what it says, so that it can only repeat what is the same."""

KEYS_AT_ONCE = 1024

Hashes = npt.NDArray[np.int64]


class Keys:
    """All keys so far, in the order in which they came."""

    def __init__(self) -> None:
        self._hashes = array("q")
        self._named = bytearray()
        self._sorted: list[Hashes] = []  # each at least twice as long as the next, so that few must be searched

    def __len__(self) -> int:
        return len(self._hashes)

    def repeated(self, keys: Sequence[str], named: Sequence[bool]) -> dict[int, int]:
        """Takes more keys; the positions, among all, of those that came before, and of where each came first.

        ``named`` says which of them were given, and not derived.
        """
        start = len(self._hashes)
        self._hashes.extend(map(hash, keys))
        self._named.extend(named)
        new = np.array(self._hashes[start:], np.int64)
        is_old = np.zeros(len(new), bool)
        for before in self._sorted:
            places = np.minimum(np.searchsorted(before, new), len(before) - 1)
            is_old |= before[places] == new
        distinct, first = np.unique(new, return_index=True)
        repeats = is_old
        repeats[np.setdiff1d(np.arange(len(new)), first, assume_unique=True)] = True
        self._merge(distinct)
        if not repeats.any():
            return {}
        places = np.flatnonzero(repeats)
        found, nth = np.unique(new[places], return_inverse=True)
        everything = np.array(self._hashes, np.int64)
        candidates = np.flatnonzero(np.isin(everything, found))
        _, earliest = np.unique(everything[candidates], return_index=True)
        firsts = candidates[earliest][nth]
        return {start + place: first for place, first in zip(places.tolist(), firsts.tolist(), strict=True)}

    def is_named(self, position: int) -> bool:
        """Whether the key at this position was given."""
        return bool(self._named[position])

    def _merge(self, distinct: Hashes) -> None:
        while self._sorted and len(self._sorted[-1]) < 2 * len(distinct):
            distinct = np.sort(np.concatenate([self._sorted.pop(), distinct]), kind="stable")
        self._sorted.append(distinct)


def marked(items: Iterable[Incoming], on_duplicate: OnDuplicate) -> Iterator[Incoming]:
    """The same items; those that repeat a key say so.

    Raises InvalidInput for a key that was given and is there twice, unless the last one is to win.
    """
    seen = Keys()
    failed: Exception | None = None

    def reading() -> Iterator[Incoming]:
        nonlocal failed
        try:
            yield from items
        except Exception as error:  # told once what came before it is given out
            failed = error

    for window in windows(reading(), KEYS_AT_ONCE, lambda item: item.text):
        start = len(seen)
        for position, first in seen.repeated([i.key for i in window], [i.named for i in window]).items():
            item = window[position - start]
            if on_duplicate == "error" and (item.named or seen.is_named(first)):
                raise InvalidInput(
                    f"items {first} and {position} have the same key, {item.key!r}",
                    Advice(
                        "Give each a key of its own, or pass on_duplicate='last' to keep the last one.",
                        typed="Give each a key of its own, or keep the last one with --on-duplicate last.",
                    ),
                )
            window[position - start] = replace(item, again=True)
        yield from window
    if failed is not None:
        raise failed
