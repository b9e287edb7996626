"""Does this machine make the vectors that the index holds: looked at once, where what computes is not what wrote them.

A library's next release, another processor or another runtime should change nothing but a vector's last digits. Where
it changes more, scores would be wrong without a word: so three stored records are encoded again and compared.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from .encoders.encoder import Encoder
from .errors import SpaceMismatch
from .records import Record

LEAST_COSINE = 0.999
"""Between a stored vector and the same text's vector here."""

_looked_at: set[tuple[Path, str]] = set()
_lock = threading.Lock()


def check_vectors(
    folder: Path, encoder: Encoder, written_by: Mapping[str, str] | None, sample: Callable[[], list[Record]]
) -> None:
    """Compares the vectors of the ``sample`` with those that ``encoder`` makes; at most once a process for an index.

    Nothing is done where ``written_by``, the environment of what wrote the vectors, is the encoder's own, or is None:
    of vectors that were given, or that a version before this one wrote.

    Raises:
        SpaceMismatch: a record's two vectors have a cosine below `LEAST_COSINE`.
    """
    here = encoder.environment()
    asked = (folder, encoder.space.fingerprint)
    if written_by is None or written_by == here or asked in _looked_at:
        return
    records = sample()
    encoded = encoder.encode_all([record.text for record in records])
    for record, vector, lost in zip(records, encoded.vectors, encoded.lost.tolist(), strict=True):
        if lost or record.vector is None or not abs(float(np.linalg.norm(record.vector)) - 1) < 1e-3:
            continue  # a long text may have been taken another way; what is damaged is told by whoever reads it
        cosine = float(np.dot(vector, record.vector))
        if not cosine >= LEAST_COSINE:
            raise SpaceMismatch(
                f"{encoder.space.describe()}, as stored",
                f"{encoder.space.describe()}, as made here",
                f"the stored vector of {record.key!r} and the one made here have a cosine of {cosine:.4f}, "
                f"{LEAST_COSINE} at least is wanted; {_differences(written_by, here)}",
                "Use the index where it was made, or encode all anew here: vecindex migrate --model "
                f"{encoder.space.model}.",
            )
    with _lock:
        _looked_at.add(asked)


def _differences(written: Mapping[str, str], here: Mapping[str, str]) -> str:
    names = [name for name in (*written, *here) if written.get(name) != here.get(name)]
    return "written / here: " + ", ".join(
        f"{name} {written.get(name, 'none')} / {here.get(name, 'none')}" for name in dict.fromkeys(names)
    )
