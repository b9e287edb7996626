"""Checks that this environment makes the same vectors as the one that wrote the index.

A new library release, another processor or another runtime should change only the last digits of a vector. If more
changes, scores are silently wrong. So when the environment has changed, three stored records are encoded again and
compared, once in a process.

A text that was truncated when it was stored and is truncated now can be compared. One that was too long only then, or
only now, cannot: its vector may be a mean of parts, or may have been given. Others are compared instead.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from ..encoders.run.encoder import Encoder
from ..errors import SpaceMismatch
from ..store.vectors import Vectors
from ..values.space import Space

COMPARED = 3
SAMPLES = 24
"""The most records that are encoded again to find three that can be compared."""
LEAST_COSINE = 0.999
"""The least cosine between a stored vector and the vector made here of the same text."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A stored record, its ``vector`` (D,), and how many tokens of its text the vector does not cover."""

    key: str
    text: str
    vector: Vectors
    lost: int


_looked_at: set[tuple[Path, str]] = set()
_lock = threading.Lock()


def check_vectors(
    folder: Path,
    encoder: Encoder,
    written_by: Mapping[str, str] | None,
    sample: Callable[[], Iterable[Sample]],
    advice: str,
) -> None:
    """Compares three vectors of the ``sample`` with those that ``encoder`` makes, once per process and index.

    Does nothing if ``written_by``, the environment that wrote the vectors, is the encoder's own. None means that the
    vectors were given, or that an earlier version wrote them, and does nothing too.

    Raises:
        SpaceMismatch: the two vectors of a record have a cosine below `LEAST_COSINE`. It carries ``advice``.
    """
    here = encoder.environment()
    asked = (folder, encoder.space.fingerprint)
    if written_by is None or written_by == here or asked in _looked_at:
        return
    samples, left = islice(sample(), SAMPLES), COMPARED
    while left and (some := list(islice(samples, left))):
        encoded = encoder.encode_all([each.text for each in some])
        for each, vector, lost in zip(some, encoded.vectors, encoded.lost.tolist(), strict=True):
            if bool(lost) != bool(each.lost) or not abs(float(np.linalg.norm(each.vector)) - 1) < 1e-3:
                continue  # made in another way, or damaged, which whoever reads it reports
            _compare(each, vector, encoder.space, _differences(written_by, here), advice)
            left -= 1
    with _lock:
        _looked_at.add(asked)


def _compare(stored: Sample, vector: Vectors, space: Space, differences: str, advice: str) -> None:
    cosine = float(np.dot(vector, stored.vector))
    if not cosine >= LEAST_COSINE:
        raise SpaceMismatch(
            f"{space.describe()}, as stored",
            f"{space.describe()}, as made here",
            f"the stored vector of {stored.key!r} and the one made here have a cosine of {cosine:.4f}, but should have "
            f"at least {LEAST_COSINE}; {differences}",
            advice,
        )


def _differences(written: Mapping[str, str], here: Mapping[str, str]) -> str:
    names = [name for name in (*written, *here) if written.get(name) != here.get(name)]
    return "written / here: " + ", ".join(
        f"{name} {written.get(name, 'none')} / {here.get(name, 'none')}" for name in dict.fromkeys(names)
    )
