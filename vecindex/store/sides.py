"""Which indexes lie beside this one, from a migration: the one to switch to, and the one that was switched from.

``<index>/next-<16 hex digits>`` and ``<index>/kept-<16 hex digits>`` are ordinary indexes, named after the first digits
of their spaces' fingerprints.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

from ..encoders.spec import Space
from ..errors import VecindexError
from .catalog import Catalog
from .files import folder_bytes, storage_errors


class Side(Enum):
    """``NEXT`` is being filled for a migration, ``KEPT`` is the index as it was before one."""

    NEXT = "next-"
    KEPT = "kept-"


def side_path(folder: Path, space: Space, side: Side) -> Path:
    """Where the index in ``space`` is beside the one in ``folder``."""
    return folder / f"{side.value}{space.fingerprint[:16]}"


def describe_sides(folder: Path, current: Space | None) -> tuple[str, ...]:
    """A line for each index beside the one in ``folder``; leftovers of its ``current`` space are none."""
    found = []
    for side, path in _sides(folder):
        with contextlib.suppress(VecindexError):  # killed before there was anything in it
            catalog = Catalog(path, readonly=True)
            try:
                manifest = catalog.manifest()
            finally:
                catalog.close()
            if manifest.space and (current is None or manifest.space.fingerprint != current.fingerprint):
                what = "kept from before" if side is Side.KEPT else "a migration that is not done"
                found.append(f"{what}: {manifest.space.describe()}, {manifest.records} records, in {path.name}")
    return tuple(found)


def drop_sides(folder: Path) -> int:
    """Removes the indexes beside the one in ``folder``; returns how many bytes that gave back."""
    given_back = 0
    for _, path in _sides(folder):
        given_back += folder_bytes(path)
        with storage_errors(path):
            shutil.rmtree(path)
    return given_back


def _sides(folder: Path) -> Iterator[tuple[Side, Path]]:
    for side in Side:
        for path in sorted(folder.glob(f"{side.value}{'[0-9a-f]' * 16}")):
            yield side, path
