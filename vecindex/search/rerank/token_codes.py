"""Quantises token vectors: two bits for each number after a fixed rotation, a quarter byte instead of four. Pure.

1. A unit vector v (D,) is turned: the signs of its numbers are changed by a fixed pattern, and the orthonormal discrete
   cosine transform (DCT-II) spreads each of them over all D. Then all numbers of all vectors are distributed alike,
   nearly normally with the variance 1/D, so that one table of levels serves them, and nothing is learnt from the data.
   Bit 63 of splitmix64(i) says whether the sign of number i is changed.
2. Each number becomes the nearest of the four levels that are best for a normal distribution: Max, Quantizing for
   Minimum Distortion, 1960, https://doi.org/10.1109/TIT.1960.1057548. Four levels are a byte, the first in the lowest
   two bits.
3. A vector of levels is brought to the length 1 / `_COSINE`, where `_COSINE` is what it has in common with the original
   on average. So the products with a query's vectors are on average what they were, and scores of texts with stored
   token vectors and of others are comparable.

Gao and Long, RaBitQ: Quantizing High-Dimensional Vectors with a Theoretical Error Bound, 2024,
https://doi.org/10.1145/3654970, does the same with one bit. Measured on SciFact with all-MiniLM-L6-v2, of which a token
then takes 96 bytes; see the guide's page on searching.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ...store.vectors import splitmix64

Vectors = npt.NDArray[np.float32]
Codes = npt.NDArray[np.uint8]

BITS = 2
CODING = "2 bits after signs and a cosine transform, version 1"
"""Names this coding; another one would have another name."""
_CUT = 0.9816
_LEVELS = (-1.5104, -0.4528, 0.4528, 1.5104)
"""The boundary between the second and the third level, and the levels, in standard deviations."""
_COSINE = 0.9397


def bytes_a_token(dimension: int) -> int:
    """How many bytes the codes of one vector take."""
    return -(-dimension * BITS // 8)


def turned(vectors: Vectors) -> Vectors:
    """Vectors (n, D) as they are before they are quantised, of the same lengths and products."""
    return np.asarray(vectors @ _rotation(vectors.shape[1]).T)


def turned_back(vectors: Vectors) -> Vectors:
    """The inverse of `turned`."""
    return np.asarray(vectors @ _rotation(vectors.shape[1]))


def encode(vectors: Vectors) -> Codes:
    """The codes (n, `bytes_a_token`) of unit vectors (n, D)."""
    count, dimension = vectors.shape
    cut = _CUT / dimension**0.5
    numbers = turned(vectors)
    # The levels have the numbers 0 to 3.
    levels = np.zeros((count, 4 * bytes_a_token(dimension)), np.uint8)
    levels[:, :dimension] = (numbers >= -cut).view(np.uint8) + (numbers >= 0) + (numbers >= cut)
    parts = levels.reshape(count, bytes_a_token(dimension), 4)
    return np.asarray(parts[:, :, 0] | parts[:, :, 1] << 2 | parts[:, :, 2] << 4 | parts[:, :, 3] << 6, np.uint8)


def decode(codes: Codes, dimension: int) -> Vectors:
    """The vectors (n, D) that codes stand for, still turned. A vector does not depend on the others."""
    # A table of complex numbers, which are as large as four levels, is read several times as fast as one with rows.
    found = np.take(_table(), codes).view(np.float32)[:, :dimension]
    lengths = np.sqrt(np.einsum("ij,ij->i", found, found))
    return np.asarray(found / (lengths * np.float32(_COSINE))[:, None])


@lru_cache(1)
def _table() -> npt.NDArray[np.complex128]:
    """The four levels of each byte."""
    numbers = np.arange(256)[:, None] >> np.arange(0, 8, BITS) & 3
    table: npt.NDArray[np.complex128] = np.array(_LEVELS, np.float32)[numbers].view(np.complex128)[:, 0]
    return table


@lru_cache(4)
def _rotation(dimension: int) -> Vectors:
    places = np.arange(dimension)
    cosines = np.cos(np.pi / (2 * dimension) * (places[:, None] * (2 * places + 1)))
    cosines *= (2 / dimension) ** 0.5
    cosines[0] *= 0.5**0.5
    signs = 1 - 2 * (splitmix64(dimension) >> np.uint64(63)).astype(np.float64)
    return np.asarray(cosines * signs, np.float32)
