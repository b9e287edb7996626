"""Finds, begins and removes the indexes that a migration makes inside another index.

``<index>/next-<16 hex digits>`` is being filled by a migration, ``<index>/kept-<16 hex digits>`` is the index as it was
before one. Both are ordinary indexes. The digits are the first of their space's fingerprint, with two exceptions, for
migrations that may stay in the same space because all texts are encoded again:

- ``next-`` then has digits 17 to 32 of the fingerprint. It is continued only in the environment it was begun in.
- ``kept-`` has the number of the old vector file if the new index is of the same space.

A killed migration may leave these, which the next writer removes while it holds the writer's lock:

1. ``kept-`` of the index's space, or of its vector file: killed while it was made, or before the COMMIT of the switch.
   It may share the vector file with the index, so it must not stay where somebody could write to it.
2. ``next-`` of the index's space: killed after the COMMIT. Where all texts were encoded again it stays: the next such
   migration continues it, or begins again.
3. ``.creating-`` before such a name: killed while the directory was made or removed. A directory loses its name before
   it is removed, so no half of an index is ever found under one.

Earlier versions wrote ``anew-<first 16 digits>`` for the first exception and ``before-`` for the second. These are
listed, continued and removed like the others.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..errors import StorageError, VecindexError
from ..values.space import Space
from .disk.files import (
    TEMPORARY_PREFIX,
    check_folder,
    folder_bytes,
    is_folder,
    is_ours,
    names,
    remove_tree,
    storage_errors,
)
from .disk.system_calls import disk
from .manifest import Manifest
from .sql.reads import Catalog

_NEXT, _KEPT, _OLD_NEXT, _OLD_KEPT = "next-", "kept-", "anew-", "before-"
_SIDE = re.compile(f"({_NEXT}|{_KEPT}|{_OLD_NEXT}|{_OLD_KEPT})[0-9a-f]{{16}}")
_UNFINISHED = re.compile(f"{re.escape(TEMPORARY_PREFIX)}{_SIDE.pattern}-[0-9a-f]{{16}}")


def is_side(folder: Path) -> bool:
    """Whether this is, by its name, an index inside another one."""
    return _SIDE.fullmatch(folder.name) is not None


def next_path(folder: Path, space: Space, anew: bool = False) -> Path:
    """Where a migration of the index in ``folder`` to ``space`` is filled; ``anew`` if it encodes all texts again."""
    return folder / f"{_NEXT}{space.fingerprint[16:32] if anew else space.fingerprint[:16]}"


def kept_path(folder: Path, manifest: Manifest, space: Space) -> Path:
    """Where the index of ``manifest`` is kept when the one in ``folder`` is switched to ``space``."""
    if manifest.space is None or manifest.space.fingerprint == space.fingerprint:
        return folder / f"{_KEPT}{manifest.vectors:016x}"
    return folder / f"{_KEPT}{manifest.space.fingerprint[:16]}"


def leftovers(folder: Path, current: Manifest) -> list[Path]:
    """Where killed migrations may have left something, now that the index in ``folder`` is as ``current`` says."""
    if current.space is None:
        return []
    digits, number = current.space.fingerprint[:16], f"{current.vectors:016x}"
    found = (_NEXT + digits, _KEPT + digits, _KEPT + number, _OLD_KEPT + number)
    return [folder / name for name in found]


def describe_sides(folder: Path, current: Manifest) -> tuple[str, ...]:
    """A line for each index inside the one in ``folder``, which is as ``current`` says; leftovers are not listed."""
    found, left = [], leftovers(folder, current)
    for path in _sides(folder):
        with contextlib.suppress(VecindexError):  # killed before anything was in it
            manifest = _manifest(path)
            if manifest.space and path not in left:
                is_kept = path.name.startswith((_KEPT, _OLD_KEPT))
                what = "kept from before" if is_kept else "an unfinished migration"
                of_all = "" if is_kept else f"of {current.records} "
                size = f"{manifest.records} {of_all}records, {folder_bytes(path):,} bytes"
                found.append(f"{what}: {manifest.space.describe()}, {size}, in {path.name}")
    return tuple(found)


def begin_side(folder: Path, space: Space) -> Path:
    """Where to fill the side index of ``space``; continues what is there, or what was kept of that space.

    Raises CorruptIndex where there is something other than a folder, such as a link.
    """
    path = next_path(folder, space)
    _continue(folder / f"{_KEPT}{space.fingerprint[:16]}", path)
    return path


def begin_anew(folder: Path, space: Space, here: Mapping[str, str]) -> Path:
    """Where to encode all texts again; continues what is there if it was encoded in this environment.

    Raises CorruptIndex where there is something other than a folder, such as a link.
    """
    path = next_path(folder, space, anew=True)
    _continue(folder / f"{_OLD_NEXT}{space.fingerprint[:16]}", path)
    if check_folder(path):
        with contextlib.suppress(VecindexError):  # killed before anything was in it
            if (_manifest(path).written_by or {}) == here:
                return path
        remove_side(path)
    return path


def _continue(earlier: Path, path: Path) -> None:
    if not check_folder(path) and check_folder(earlier):
        with storage_errors(earlier):
            disk().rename(earlier, path)
            disk().sync(path.parent)


def drop_sides(folder: Path) -> int:
    """Removes the indexes inside the one in ``folder``; returns how many bytes that freed."""
    freed = 0
    for path in _sides(folder):
        size = folder_bytes(path) if is_folder(path) else 0
        remove_side(path)
        freed += size
    return freed


def remove_side(path: Path) -> None:
    """Removes a side index; to others it disappears at once. Does nothing if there is none.

    A link in its place is removed itself. Raises StorageError.
    """
    gone = path.with_name(f"{TEMPORARY_PREFIX}{path.name}-{secrets.token_hex(8)}")
    with storage_errors(path):
        if not os.path.lexists(path):
            return
        if is_folder(path) and not is_ours(path):
            raise StorageError(str(path), "it belongs to another user")
        disk().rename(path, gone)
    remove_tree(gone)


def remove_leftovers(folder: Path, current: Manifest) -> None:
    """Removes what killed migrations left in ``folder``, an index that is as ``current`` says."""
    for path in leftovers(folder, current):
        with contextlib.suppress(VecindexError):  # the next writer tries again
            remove_side(path)
    for name in names(folder):
        if _UNFINISHED.fullmatch(name):
            remove_tree(folder / name)


def _manifest(path: Path) -> Manifest:
    catalog = Catalog(path, readonly=True)
    try:
        return catalog.manifest()
    finally:
        catalog.close()


def _sides(folder: Path) -> Iterator[Path]:
    return (folder / name for name in names(folder) if is_side(folder / name))
