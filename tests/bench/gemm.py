"""How fast can this machine multiply float32 matrices, and how many operations does a transformer take for a token."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np


def peak_gflops(rounds: int = 15) -> float:
    """The best rate of a float32 matrix product on all cores, of numpy and torch, at sizes of 1,024 and 2,048."""
    import torch

    best = 0.0
    for size in (1024, 2048):
        a, b = (np.random.default_rng(seed).random((size, size), dtype=np.float32) for seed in (0, 1))
        out = np.empty_like(a)
        s, t, u = torch.from_numpy(a), torch.from_numpy(b), torch.empty(size, size)
        products: list[Callable[[], object]] = [
            lambda a=a, b=b, out=out: np.matmul(a, b, out=out),  # type: ignore[misc]
            lambda s=s, t=t, u=u: torch.matmul(s, t, out=u),  # type: ignore[misc]
        ]
        for product in products:
            product()
            for _ in range(rounds):
                start = time.perf_counter()
                product()
                best = max(best, 2 * size**3 / (time.perf_counter() - start) / 1e9)
    return best


def flop(folder: Path, lengths: list[int]) -> float:
    """The operations that a BERT's matrix products take for texts of these lengths in tokens, padding not counted."""
    config = json.loads((folder / "config.json").read_text())
    layers, wide, inner = config["num_hidden_layers"], config["hidden_size"], config["intermediate_size"]
    each = np.array(lengths, dtype=np.float64)
    # Four square products and two with the inner size for a token; scores and their use for a pair of tokens.
    return float(layers * ((8 * wide**2 + 4 * wide * inner) * each + 4 * wide * each**2).sum())
