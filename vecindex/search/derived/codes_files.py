"""Writes codes to their files, loads those of a snapshot, and checks what they are made of."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from ...errors import CorruptIndex
from ...store.derived import CodesFiles
from ...store.disk.files import publish
from ...store.manifest import Manifest
from ...store.snapshot import Snapshot
from ...store.vectors import Rows, release
from ..dense.codes import Codes, dump
from ..dense.settings import variants
from ..view import load_codes

_ROWS_A_CHECK = 65_536


def check_vectors(snapshot: Snapshot) -> None:
    """Checks all rows, in bounded memory; raises CorruptIndex."""
    rows = snapshot.manifest.rows
    for start in range(0, rows, _ROWS_A_CHECK):
        snapshot.check_range(start, min(start + _ROWS_A_CHECK, rows))
        release(snapshot.vectors)


def with_vectors(snapshot: Snapshot) -> Rows:
    """The rows that have a vector, those of deleted records too."""
    return np.flatnonzero(~snapshot.lack_vectors(np.arange(snapshot.manifest.rows)))


def loaded_codes(snapshot: Snapshot) -> Codes | None:
    """The snapshot's codes, loaded separately because searches use theirs; None if there are none, or damaged ones."""
    if snapshot.codes is None:
        return None
    try:
        codes = load_codes(snapshot, snapshot.codes)
        for name in variants(codes.settings):
            codes.variant(name)
        return codes
    except (CorruptIndex, ValueError):
        return None


def write_codes(folder: Path, manifest: Manifest, codes: Codes) -> CodesFiles:
    base = f"codes-{manifest.vectors}-{codes.rows}-{manifest.generation}"
    names, digests = [], []
    for name in variants(codes.settings):
        content = dump(codes, name).data.cast("B")
        digest = hashlib.sha256(content).hexdigest()
        # Different content never gets the name of a file that a reader may have mapped.
        names.append(f"{base}-{digest[:8]}-{name}.faiss")
        digests.append(digest)
        publish(folder / names[-1], [content])
    return CodesFiles(codes.rows, codes.settings.to_json(), tuple(names), tuple(digests))
