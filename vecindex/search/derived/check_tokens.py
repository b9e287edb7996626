"""Checks that stored token vectors are sound."""

from __future__ import annotations

from ...errors import CorruptIndex
from ...store.snapshot import Snapshot
from ..rerank.stored_tokens import load_segment, usable_segments


def check_tokens(snapshot: Snapshot) -> list[CorruptIndex]:
    """What is wrong with a snapshot's stored token vectors."""
    found: list[CorruptIndex] = []
    for file in usable_segments(snapshot.manifest):
        path = str(snapshot.folder / file.name)
        try:
            load_segment(snapshot.folder, file).check(snapshot.manifest.dimension)
        except ValueError as error:
            found.append(CorruptIndex(path, str(error)))
        except CorruptIndex as error:
            found.append(error)
    return found
