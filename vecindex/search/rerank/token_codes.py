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
from .late_interaction import blocks

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
    """Vectors (n, D) as they are before they are quantised, of the same lengths and products.

    The transform is computed by Fourier transforms: Makhoul, A Fast Cosine Transform in One and Two Dimensions, 1980,
    https://doi.org/10.1109/TASSP.1980.1163351. A row does not depend on the others, and takes one thread.
    """
    count, size = vectors.shape
    mixed = vectors * _signs(size)
    parts = np.fft.rfft(np.concatenate([mixed[:, ::2], mixed[:, 1::2][:, ::-1]], axis=1)) * _phases(size)
    found = np.empty((count, size))
    found[:, : parts.shape[1]] = parts.real
    found[:, parts.shape[1] :] = -parts.imag[:, (size - 1) // 2 : 0 : -1]
    return (found * _scales(size)).astype(np.float32)


def turned_back(vectors: Vectors) -> Vectors:
    """The inverse of `turned`."""
    count, size = vectors.shape
    found = vectors / _scales(size)
    parts = np.zeros((count, size // 2 + 1), np.complex128)
    parts.real = found[:, : size // 2 + 1]
    parts.imag[:, 1:] = -found[:, : -(size // 2) - 1 : -1]
    mixed = np.fft.irfft(parts / _phases(size), size)
    half = -(-size // 2)
    found[:, ::2], found[:, 1::2] = mixed[:, :half], mixed[:, half:][:, ::-1]
    return (found * _signs(size)).astype(np.float32)


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
    return np.asarray(_levels(codes)[:, :dimension] * _factors(codes, dimension)[:, None], np.float32)


def cosines(query: Vectors, codes: Codes) -> Vectors:
    """The products (q, n) of `turned` vectors (q, D) with the vectors that codes (n, bytes) stand for.

    As with those that `decode` gives, but without having all of them at once.
    """
    dimension = query.shape[1]
    wide = np.zeros((len(query), 4 * codes.shape[1]), np.float32)
    wide[:, :dimension] = query
    found = np.empty((len(query), len(codes)), np.float32)
    for rows, tokens in blocks(len(query), len(codes), wide.shape[1]):
        np.matmul(wide[rows], _levels(codes[tokens]).T, out=found[rows, tokens])
    found *= _factors(codes, dimension)
    return found


def _levels(codes: Codes) -> Vectors:
    """Four levels for each byte."""
    # A table of complex numbers, which are as large as four levels, is read several times as fast as one with rows.
    return np.take(_tables()[0], codes).view(np.float32)


def _factors(codes: Codes, dimension: int) -> Vectors:
    """What brings the levels of each vector to the length 1 / `_COSINE`, (n,)."""
    padding = (4 * codes.shape[1] - dimension) * _LEVELS[0] ** 2  # with level 0
    squares = np.take(_tables()[1], codes).sum(axis=1) - np.float32(padding)
    return np.asarray(1 / (np.sqrt(squares) * np.float32(_COSINE)))


@lru_cache(1)
def _tables() -> tuple[npt.NDArray[np.complex128], Vectors]:
    """The four levels of each byte, and the sum of their squares."""
    levels = np.array(_LEVELS, np.float32)[np.arange(256)[:, None] >> np.arange(0, 8, BITS) & 3]
    return levels.view(np.complex128)[:, 0], np.square(levels).sum(axis=1)


@lru_cache(4)
def _signs(size: int) -> npt.NDArray[np.float64]:
    return np.where(splitmix64(size) >> np.uint64(63), -1.0, 1.0)


@lru_cache(4)
def _phases(size: int) -> npt.NDArray[np.complex128]:
    return np.asarray(np.exp(-0.5j * np.pi / size * np.arange(size // 2 + 1)), np.complex128)


@lru_cache(4)
def _scales(size: int) -> npt.NDArray[np.float64]:
    scales = np.full(size, (2 / size) ** 0.5)
    scales[0] = (1 / size) ** 0.5
    return scales
