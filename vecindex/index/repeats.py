"""Which rows of one input have a key that an earlier one has: found as it goes, with about 20 bytes a row in memory.

Keys are told apart by Python's hash of 64 bits, seeded anew in each process: of a million keys two have the same in one
run of 37 million. They would be refused as one; what is stored is decided by the keys themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..errors import Advice, InvalidInput
from ..machine.batching import windows
from ..store.changes import Incoming

OnDuplicate = Literal["error", "last"]
"""What becomes of a key that was given to two items: an error that names both, or the last one wins.

An item that was given no key is named by what it says, so that it can only repeat what is the same."""

KEYS_AT_ONCE = 1024

Hashes = npt.NDArray[np.int64]
Places = npt.NDArray[np.int64]


class Keys:
    """All keys so far, in the order in which they came."""

    def __init__(self) -> None:
        self._named = bytearray()
        # Hashes in order, with where each came first; each pair at least twice as long as the next, so that there are
        # few to search.
        self._sorted: list[tuple[Hashes, Places]] = []

    def __len__(self) -> int:
        return len(self._named)

    def repeated(self, keys: Sequence[str], named: Sequence[bool]) -> dict[int, int]:
        """Takes more keys; the positions, among all, of those that came before, and of where each came first.

        ``named`` says which of them were given, and not derived.
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
        """Whether the key at this position was given."""
        return bool(self._named[position])

    def _merge(self, hashes: Hashes, places: Places) -> None:
        while self._sorted and len(self._sorted[-1][0]) < 2 * len(hashes):
            others, theirs = self._sorted.pop()
            hashes, places = np.concatenate([others, hashes]), np.concatenate([theirs, places])
            order = np.argsort(hashes, kind="stable")
            hashes, places = hashes[order], places[order]
        self._sorted.append((hashes, places))


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
