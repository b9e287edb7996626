"""Checks that stored token vectors are sound."""

from __future__ import annotations

from ...errors import CorruptIndex
from ...store.snapshot import Snapshot
from ..rerank.stored_tokens import load_segment, usable_segments


def check_tokens(snapshot: Snapshot) -> list[CorruptIndex]:
    """What is wrong with a snapshot's stored token vectors."""
    found: list[CorruptIndex] = []
    dimension = snapshot.manifest.dimension
    for file in usable_segments(snapshot.manifest):
        path = str(snapshot.folder / file.name)
        try:
            segment = load_segment(snapshot.folder, file)
            segment.check()
            if segment.dimension != dimension:
                raise CorruptIndex(path, f"its vectors have {segment.dimension} dimensions, and not {dimension}")
        except ValueError as error:
            found.append(CorruptIndex(path, str(error)))
        except CorruptIndex as error:
            found.append(error)
    return found
