"""Which texts are run together on a device: of one length where there are enough of them, so that nothing is padded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..run.encoder import IntArray

ENOUGH_TOKENS = 8_192
"""Tokens from which on a batch keeps a large card busy for longer than it takes to be launched.

An estimate, not yet measured: some 100 kernels of a few microseconds each for a small model of 6 layers.
"""
_STEP = 8  # widths of padded batches: what attention kernels with a mask read at once


@dataclass(frozen=True, slots=True)
class Batch:
    """Texts ``start`` to ``stop`` of those in order of length, in rows of ``width``; ``padded`` if some are shorter."""

    start: int
    stop: int
    width: int
    padded: bool

    @property
    def texts(self) -> int:
        return self.stop - self.start


def next_batch(lengths: IntArray, start: int, budget: int, limit: int = 0) -> Batch:
    """The next texts to run.

    Texts of one length are a batch of their own, without padding and so without a mask, which is what the fastest
    attention kernels need. Where there are too few, shorter ones join them, no more than keep the device busy: the
    longer the batch, the more is padded.

    Args:
        lengths: (n,) in descending order.
        start: the first text that was not run yet.
        budget: at most so many tokens, padding included, but always one text.
        limit: the most tokens that the model reads, to which a width is rounded up at most; 0 is no limit.
    """
    longest = int(lengths[start])
    most = max(1, budget // longest)
    same = int(np.searchsorted(-lengths[start:], -longest, side="right"))
    if same * longest >= ENOUGH_TOKENS or same >= most or start + same == len(lengths):
        return Batch(start, start + min(same, most), longest, padded=False)
    width = -(-longest // _STEP) * _STEP
    width = max(longest, min(width, limit)) if limit else width
    count = max(1, min(-(-ENOUGH_TOKENS // width), budget // width))
    if count <= same:
        return Batch(start, start + same, longest, padded=False)
    return Batch(start, min(start + count, len(lengths)), width, padded=True)
