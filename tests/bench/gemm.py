"""Measures how fast this machine multiplies float32 matrices, and counts a transformer's operations for each token."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

SIZES = (1024, 2048)
OPERATIONS = 150e9
"""The operations of one job, about half a second on two fast cores."""


class Products:
    """Products of square float32 matrices on all cores, by numpy and by torch, in two sizes.

    ``jobs`` repeats each for `OPERATIONS`. ``best`` is the best rate of a single product so far, in GFLOP/s, which may
    be higher than the rate of many, while the processor is cool or its neighbours are quiet.
    """

    def __init__(self) -> None:
        import torch

        self.best = 0.0
        self.jobs: dict[str, Callable[[], object]] = {}
        for size in SIZES:
            a, b = (np.random.default_rng(seed).random((size, size), dtype=np.float32) for seed in (0, 1))
            out = np.empty_like(a)
            s, t, u = torch.from_numpy(a), torch.from_numpy(b), torch.empty(size, size)
            self.jobs[f"numpy, {size}"] = partial(self._repeat, size, partial(np.matmul, a, b, out=out))
            self.jobs[f"torch, {size}"] = partial(self._repeat, size, partial(torch.matmul, s, t, out=u))

    def _repeat(self, size: int, product: Callable[[], object]) -> None:
        for _ in range(round(OPERATIONS / (2 * size**3))):
            start = time.perf_counter()
            product()
            self.best = max(self.best, 2 * size**3 / (time.perf_counter() - start) / 1e9)

    def kept_up(self, seconds: Mapping[str, float]) -> float:
        """The best rate over a whole job, in GFLOP/s, given what the jobs took."""
        rates = []
        for size in SIZES:
            operations = round(OPERATIONS / (2 * size**3)) * 2 * size**3
            rates += [operations / seconds[f"{library}, {size}"] / 1e9 for library in ("numpy", "torch")]
        return max(rates)


def flop(folder: Path, lengths: list[int]) -> float:
    """The operations that a BERT's matrix products take for texts of these lengths in tokens, padding not counted."""
    config = json.loads((folder / "config.json").read_text())
    layers, wide, inner = config["num_hidden_layers"], config["hidden_size"], config["intermediate_size"]
    each = np.array(lengths, dtype=np.float64)
    # Four square products and two with the inner size for a token; scores and their use for a pair of tokens.
    return float(layers * ((8 * wide**2 + 4 * wide * inner) * each + 4 * wide * each**2).sum())
