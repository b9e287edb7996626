"""RaBitQ's estimates from codes of one bit, computed by numpy from the vectors themselves, without FAISS's codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]


def sign_estimates(rotated: Any, queries: Any) -> tuple[Numbers, Numbers]:
    """The estimates (q, n) of ``rotated`` vectors (n, D) for rotated ``queries`` (q, D), and how far a scan may be off.

    A scan looks sums of four dimensions up in tables of whole numbers from 0 to 255, each rounded by half a step.
    """
    vectors, asked = np.asarray(rotated, np.float64), np.asarray(queries, np.float64)
    centre = vectors.mean(axis=0)
    from_centre = vectors - centre
    lengths = np.abs(from_centre).sum(axis=1)
    multipliers = (from_centre**2).sum(axis=1) / np.where(lengths > 0, lengths, 1)
    signs = np.where(from_centre > 0, 1.0, -1.0)
    fours = np.pad(np.abs(asked), ((0, 0), (0, -asked.shape[1] % 4))).reshape(len(asked), -1, 4).sum(axis=2)
    steps = 2 * fours.max(axis=1) / 255
    off = fours.shape[1] * steps[:, None] / 2 * multipliers + 1e-5
    return (asked @ centre)[:, None] + asked @ signs.T * multipliers, off
