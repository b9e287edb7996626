"""How near random records of an index are to each other: the background, against which a cosine can be judged. Pure.

Cosines mean different things with different models: unrelated texts have about 0.05 with one and 0.7 with another. The
share of random pairs that are less near than a cosine means the same with each.

The pairs are all those of up to `SAMPLE` live records that have vectors, taken in even steps from the oldest ones: as
many of these as the largest power of two that there are. So a background is the same whenever it is made of the same
records, and others that are added change it only when the number of all has doubled.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from ..values.nested import read_json

Vectors = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

SAMPLE = 1_024
"""Half a million pairs: 25 ms of one processor. Those of 2,000 records move the 99.9th percentile by less than 0.01."""
_SHARES = (0, 1, 2, 5, *range(10, 91, 5), 95, 98, 99, 99.5, 99.8, 99.9, 99.95, 99.98, 99.99, 100)
"""The percentiles that are kept: the upper tail is fine, since it is what hits are in."""
_DIGITS = 6
_MOST_VALUES = 1_000


@dataclass(frozen=True, slots=True)
class Background:
    """The cosines of random pairs of records: their ``mean``, and of some ``percentiles`` the ``cosines``, ascending.

    It is of the oldest ``records``.
    """

    records: int
    mean: float
    percentiles: tuple[float, ...]
    cosines: tuple[float, ...]

    def percentile(self, cosines: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The share of pairs with a lower cosine, in per cent, (n,) for cosines (n,)."""
        wide = np.asarray(cosines, np.float64)
        return np.where(wide > self.cosines[-1], 100.0, np.interp(wide, self.cosines, self.percentiles))

    def cosine(self, percentile: float) -> float:
        """The least cosine of at least such a percentile."""
        if percentile > self.percentiles[-1]:
            return float(np.nextafter(self.cosines[-1], 2))
        return float(np.interp(percentile, self.percentiles, self.cosines))

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Background:
        """Reads what `to_json` wrote; raises ValueError for anything else."""
        try:
            values = read_json(text)
        except RecursionError:
            raise ValueError("it is nested too deep") from None
        if not isinstance(values, dict) or values.keys() != set(cls.__dataclass_fields__):
            raise ValueError("it is not a background")
        records, mean = values["records"], values["mean"]
        if type(records) is not int or records < 2:
            raise ValueError("it is of no pairs")
        percentiles, cosines = _ascending(values["percentiles"], 0, 100), _ascending(values["cosines"], -1, 1)
        if len(percentiles) != len(cosines):
            raise ValueError("its percentiles and cosines are of different numbers")
        return cls(records, _ascending([mean], -1, 1)[0], percentiles, cosines)


def covered(records: int) -> int:
    """Of how many of so many records the background is."""
    return 1 << (records.bit_length() - 1) if records > 0 else 0


def sampled(live: Rows) -> Rows:
    """The rows whose pairs are the background of these ``live`` ones with vectors, ascending."""
    oldest = live[: covered(len(live))]
    if len(oldest) <= SAMPLE:
        return oldest
    return oldest[np.linspace(0, len(oldest) - 1, SAMPLE).astype(np.int64)]


def background(records: int, vectors: Vectors) -> Background | None:
    """The background of so many records, of whose sample these are the unit vectors (n, D); None if n < 2.

    Vectors that are not finite, which earlier versions may have stored, are left out.
    """
    vectors = vectors[np.isfinite(vectors).all(axis=1)]
    count = len(vectors)
    if count < 2:
        return None
    products = vectors @ vectors.T
    pairs = np.clip(products[~np.tri(count, dtype=np.bool_)], -1, 1)
    mean = round(float(pairs.mean(dtype=np.float64)), _DIGITS)
    found = np.round(np.percentile(pairs, _SHARES).astype(np.float64), _DIGITS)
    # Of equal cosines the lowest percentile: it counts the pairs that are less near.
    cosines, first = np.unique(found, return_index=True)
    percentiles = tuple(float(_SHARES[place]) for place in first)
    return Background(covered(records), mean, percentiles, tuple(cosines.tolist()))


def _ascending(values: object, low: float, high: float) -> tuple[float, ...]:
    """Rising numbers from ``low`` to ``high``; raises ValueError."""
    if not isinstance(values, list) or not 0 < len(values) <= _MOST_VALUES:
        raise ValueError("it has no list of numbers")
    try:
        are_finite = all(type(value) in (int, float) and math.isfinite(value) for value in values)
    except OverflowError:  # a whole number of hundreds of digits
        are_finite = False
    if not are_finite:
        raise ValueError("its numbers are not finite")
    if sorted(set(values)) != values or not low <= values[0] <= values[-1] <= high:
        raise ValueError("its numbers do not rise, or go too far")
    return tuple(float(value) for value in values)
