"""Runs tokenized texts in batches of similar length, side by side in several threads or one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from ...machine.threads import in_thread

TOKENS_A_BATCH = 448
"""Padded tokens in a batch on one core. 256 to 640 measured fastest: a larger batch does not fit into its cache."""
TOKENS_A_SHARE = 512
"""Padded tokens for each of the cores that share a batch and wait for each other; measured fastest with two cores."""
MOST_TOKENS_A_BATCH = 4096
"""The limit however many cores share a batch, which bounds memory."""

Run = Callable[[list[int]], None]
"""Runs the texts at these positions as one batch."""


def tokens_a_batch(sharing: int) -> int:
    """The most tokens in a batch, padding included, that ``sharing`` cores work on together."""
    return TOKENS_A_BATCH if sharing == 1 else min(sharing * TOKENS_A_SHARE, MOST_TOKENS_A_BATCH)


def in_batches(
    lengths: Sequence[int], budget: int, pool: ThreadPoolExecutor, workers: int, alone: Run, beside: Run
) -> Callable[[], None]:
    """Starts to run texts of these lengths; the function that it returns waits for the end.

    Args:
        lengths: how many tokens each text has.
        budget: the most tokens in a batch, padding included; a longer text is a batch of its own.
        pool: has as many threads as there are ``workers``.
        alone: runs a batch while no other one runs.
        beside: runs a batch while others may run in other threads.
    """
    batches = list(_by_length(lengths, budget))
    is_alone = len(batches) == 1 or workers == 1
    running = [] if is_alone else [in_thread(pool, beside, rows) for rows in batches]

    def finished() -> None:
        for rows in batches if is_alone else ():
            alone(rows)
        for future in running:
            future.result()

    return finished


def _by_length(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Positions of texts of similar length, longest first; a batch has at most ``budget`` tokens when it is padded."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    start = 0
    while start < len(order):
        size = max(1, budget // max(1, lengths[order[start]]))
        yield order[start : start + size]
        start += size
