"""Checks that this environment makes the same vectors as the one that wrote the index.

A new library release, another processor or another runtime should change only the last digits of a vector. If more
changes, scores are silently wrong. So when the environment has changed, three stored texts are encoded again and
compared, once in a process.

Only texts in the cache are compared: a vector that was given, or that is a mean of parts, may differ from what the
model makes of the text anywhere.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..encoders.run.encoder import Encoder
from ..errors import SpaceMismatch
from ..store.vectors import Vectors
from ..values.space import Space

COMPARED = 3
LEAST_COSINE = 0.999
"""The least cosine between a stored vector and the vector made here of the same text."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A record whose ``text`` was encoded here, and the ``vector`` (D,) that was stored then."""

    key: str
    text: str
    vector: Vectors


_looked_at: set[tuple[Path, str]] = set()
_lock = threading.Lock()


def check_vectors(
    folder: Path,
    encoder: Encoder,
    written_by: Mapping[str, str] | None,
    sample: Callable[[int], Sequence[Sample]],
    advice: str,
) -> None:
    """Compares the vectors of a ``sample`` with those that ``encoder`` makes, once per process and index.

    Does nothing if ``written_by``, the environment that wrote the vectors, is the encoder's own. None means that the
    vectors were given, or that an earlier version wrote them, and does nothing too.

    Raises:
        SpaceMismatch: the two vectors of a record have a cosine below `LEAST_COSINE`. It carries ``advice``.
    """
    here = encoder.environment()
    asked = (folder, encoder.space.fingerprint)
    if written_by is None or written_by == here or asked in _looked_at:
        return
    if samples := sample(COMPARED):
        made = encoder.encode_all([each.text for each in samples]).vectors
        for each, vector in zip(samples, made, strict=True):
            _compare(each, vector, encoder.space, _differences(written_by, here), advice)
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
