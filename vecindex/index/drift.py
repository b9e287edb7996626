"""Does this machine make the vectors that the index holds: looked at once, where what computes is not what wrote them.

A library's next release, another processor or another runtime should change nothing but a vector's last digits. Where
it changes more, scores would be wrong without a word: so three stored records are encoded again and compared.

A text that lost tokens when it was stored and loses some now is compared as any other. One that was too long only then,
or only now, says nothing: it is a mean of parts, say, or its vector was given. Others are taken instead.
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
"""Records that are encoded again at most, to find those three that can be compared."""
LEAST_COSINE = 0.999
"""Between a stored vector and the same text's vector here."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A stored record: its ``vector`` (D,), and how many tokens of the text that does not cover."""

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
    """Compares three vectors of the ``sample`` with those that ``encoder`` makes; at most once a process for an index.

    Nothing is done where ``written_by``, the environment of what wrote the vectors, is the encoder's own, or is None:
    of vectors that were given, or that a version before this one wrote.

    Raises:
        SpaceMismatch: with ``advice``, a record's two vectors have a cosine below `LEAST_COSINE`.
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
                continue  # taken another way; what is damaged is told by whoever reads it
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
            f"the stored vector of {stored.key!r} and the one made here have a cosine of {cosine:.4f}, "
            f"{LEAST_COSINE} at least is wanted; {differences}",
            advice,
        )


def _differences(written: Mapping[str, str], here: Mapping[str, str]) -> str:
    names = [name for name in (*written, *here) if written.get(name) != here.get(name)]
    return "written / here: " + ", ".join(
        f"{name} {written.get(name, 'none')} / {here.get(name, 'none')}" for name in dict.fromkeys(names)
    )
