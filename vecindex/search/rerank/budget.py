"""Reads texts in batches, the first ones first, as long as the time of a query lasts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import perf_counter


class Budget:
    """The time for the texts of one query, which begins now. No batch is begun that would take too long.

    How long one takes is estimated by those before it.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._begun = perf_counter()
        self._spent, self._done = 0.0, 0

    def batches(self, sizes: Sequence[int], most: int) -> Iterator[slice]:
        """The places of texts to read together, until the time has passed.

        Args:
            sizes: how large each text is.
            most: the size of a batch, which only a single text exceeds.
        """
        for start, stop, size in _batches(sizes, most):
            now = perf_counter() - self._begun
            expected = self._spent / self._done * size if self._done else 0.0
            if now >= self._seconds or now + expected > self._seconds:
                return
            yield slice(start, stop)
            self._spent, self._done = self._spent + perf_counter() - self._begun - now, self._done + size


def _batches(sizes: Sequence[int], most: int) -> Iterator[tuple[int, int, int]]:
    """The first place, the one after the last, and the size, of batches that have at most this size if they can."""
    start, size = 0, 0
    for place, each in enumerate(sizes):
        if place > start and size + each > most:
            yield start, place, size
            start, size = place, 0
        size += each
    if start < len(sizes):
        yield start, len(sizes), size
