"""How sure a mean over queries is, and whether two systems differ by more than noise: intervals and paired tests.

All functions are pure and take a seed, so that the same values always give the same answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

RESAMPLES = 10_000
"""So many, because at p = 0.01 the chance of the draw is then 0.001 (one standard error)."""
CONFIDENCE = 0.95
SIGNIFICANT = 0.01
"""A difference with a smaller p counts as real."""
_NUMBERS_A_BLOCK = 2**22
_EXACT = 13
"""With so many differences or fewer, all 2**n signs are tried."""
_SAME = 1e-12
"""Sums of the same differences in another order vary by less."""


def intervals(values: Values, seed: int = 0) -> Values:
    """The bounds (2, columns) of 95 % intervals of the means of ``values`` (queries, columns).

    These are percentile intervals of a bootstrap over queries: Efron and Tibshirani 1993, An Introduction to the
    Bootstrap, chapter 13. All columns see the same resamples.
    """
    count, columns = values.shape
    generator = np.random.default_rng(seed)
    means = np.empty((RESAMPLES, columns))
    block = max(1, _NUMBERS_A_BLOCK // (count * max(1, columns)))
    for start in range(0, RESAMPLES, block):
        some = min(block, RESAMPLES - start)
        drawn = generator.integers(count, size=(some, count))
        means[start : start + some] = values[drawn].mean(axis=1)
    tail = 100 * (1 - CONFIDENCE) / 2
    return np.asarray(np.percentile(means, [tail, 100 - tail], axis=0))


def randomisation_test(differences: Values, seed: int = 0) -> float:
    """The p-value of ``differences`` (n,) of two systems, one for each query, if the systems are the same.

    This is Fisher's randomisation test, two-sided: if the systems are the same, each difference could as well have the
    other sign, and p is the share of all signs with a mean at least as far from 0. Smucker, Allan and Carterette 2007
    (doi:10.1145/1321440.1321528) recommend it for comparing search systems. Where signs are drawn, the observed ones
    count as a draw, so that p is never 0: Phipson and Smyth 2010, doi:10.2202/1544-6115.1585.
    """
    differing = differences[differences != 0]  # the signs of the others change nothing
    count = len(differing)
    if not count:
        return 1.0
    total = float(differing.sum())
    least = abs(total) - _SAME * count
    if count <= _EXACT:
        every = np.arange(2**count)[:, None] >> np.arange(count) & 1
        return float((abs(_with_signs(every, differing, total)) >= least).mean())
    generator = np.random.default_rng(seed)
    as_far = 0
    block = max(1, _NUMBERS_A_BLOCK // count)
    for start in range(0, RESAMPLES, block):
        some = min(block, RESAMPLES - start)
        drawn = np.frombuffer(generator.bytes(some * -(-count // 8)), np.uint8).reshape(some, -1)
        bits = np.unpackbits(drawn, axis=1, count=count)
        as_far += int((abs(_with_signs(bits, differing, total)) >= least).sum())
    return (as_far + 1) / (RESAMPLES + 1)


def _with_signs(bits: npt.NDArray[Any], differing: Values, total: float) -> Values:
    """The sums (n,) of the differences, in which a bit of ``bits`` (n, count) that is 0 turns a sign around."""
    return np.asarray(2 * (bits.astype(np.float64) @ differing) - total)


def adjusted(p_values: Sequence[float]) -> list[float]:
    """The p-values, raised for how many comparisons were made at once: Holm 1979, https://www.jstor.org/stable/4615733.

    With k pairs of systems that do not differ, one of them has an unadjusted p < 0.01 with a chance of up to k %.
    """
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    found = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p_values[place]))
        found[place] = largest
    return found
