"""Checks that derived files belong to what they were made of: codes to vectors, segments to texts."""

from __future__ import annotations

from ...errors import CorruptIndex
from ...store.snapshot import Snapshot
from ..dense.check_codes import check_codes


def check_derived(snapshot: Snapshot) -> list[CorruptIndex]:
    """What is wrong with the snapshot's derived files."""
    found = []
    try:
        check_codes(snapshot)
    except CorruptIndex as error:
        found.append(error)
    if snapshot.manifest.lexical is not None:
        from .check_segments import check_segments

        found += check_segments(snapshot)
    if snapshot.manifest.tokens is not None:
        from .check_tokens import check_tokens

        found += check_tokens(snapshot)
    return found
