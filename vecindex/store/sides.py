"""Which indexes lie beside this one, from a migration: the one to switch to, and the one that was switched from.

``<index>/next-<16 hex digits>`` and ``<index>/kept-<16 hex digits>`` are ordinary indexes, named after the first digits
of their spaces' fingerprints. One of the space that the index itself has now is a leftover:

1. Killed while ``kept-`` was made, or before the COMMIT of the switch: the index is of that space still. That directory
   may share the vector file with the index, so it must not stay where somebody could write to it.
2. Killed after the COMMIT, before ``next-`` was removed: the index is of that space now.
3. Killed while one was removed: it had lost its name by then, so no half of an index is ever found under one.

The next writer removes all three, with the writer's lock, under which alone ``kept-`` is made.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

from ..encoders.spec import Space
from ..errors import VecindexError
from .catalog import Catalog
from .disk import disk
from .files import TEMPORARY_PREFIX, folder_bytes, storage_errors
from .fresh import remove_tree


class Side(Enum):
    """``NEXT`` is being filled for a migration, ``KEPT`` is the index as it was before one."""

    NEXT = "next-"
    KEPT = "kept-"


def side_path(folder: Path, space: Space, side: Side) -> Path:
    """Where the index in ``space`` is beside the one in ``folder``."""
    return folder / f"{side.value}{space.fingerprint[:16]}"


def describe_sides(folder: Path, current: Space | None, records: int) -> tuple[str, ...]:
    """A line for each index beside the one in ``folder``, which holds so many ``records`` in its ``current`` space.

    Leftovers of that space are none.
    """
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
                of_all = "" if side is Side.KEPT else f"of {records} "
                size = f"{manifest.records} {of_all}records, {folder_bytes(path):,} bytes"
                found.append(f"{what}: {manifest.space.describe()}, {size}, in {path.name}")
    return tuple(found)


def begin_side(folder: Path, space: Space) -> Path:
    """Where to fill the side index of ``space``: what is there already is gone on with, or what was kept of it."""
    path, kept = side_path(folder, space, Side.NEXT), side_path(folder, space, Side.KEPT)
    if kept.is_dir() and not path.exists():
        with storage_errors(kept):
            disk().rename(kept, path)
            disk().sync(folder)
    return path


def drop_sides(folder: Path) -> int:
    """Removes the indexes beside the one in ``folder``; returns how many bytes that gave back."""
    given_back = 0
    for _, path in _sides(folder):
        size = folder_bytes(path)
        remove_side(path)
        given_back += size
    return given_back


def remove_side(path: Path) -> None:
    """Removes a side index, at once as far as anybody can see; nothing is done where there is none."""
    gone = path.with_name(f"{TEMPORARY_PREFIX}{path.name}-{secrets.token_hex(8)}")
    with storage_errors(path):
        if not path.is_dir():
            return
        disk().rename(path, gone)
    remove_tree(gone)


def remove_leftovers(folder: Path, current: Space | None) -> None:
    """Removes what killed migrations left in ``folder``, an index whose space is ``current``."""
    for side in Side:
        if current is not None:
            with contextlib.suppress(VecindexError):  # what stays is met again by the next writer
                remove_side(side_path(folder, current, side))
        for path in folder.glob(f"{TEMPORARY_PREFIX}{side.value}*"):
            remove_tree(path)


def _sides(folder: Path) -> Iterator[tuple[Side, Path]]:
    for side in Side:
        for path in sorted(folder.glob(f"{side.value}{'[0-9a-f]' * 16}")):
            yield side, path
