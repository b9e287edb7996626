"""Which indexes lie beside this one, from a migration: the one to switch to, and the one that was switched from.

``<index>/next-<16 hex digits>`` and ``<index>/kept-<16 hex digits>`` are ordinary indexes, named after the first digits
of their spaces' fingerprints. One of the space that the index itself has now is a leftover:

1. Killed while ``kept-`` was made, or before the COMMIT of the switch: the index is of that space still. That directory
   may share the vector file with the index, so it must not stay where somebody could write to it.
2. Killed after the COMMIT, before ``next-`` was removed: the index is of that space now.
3. Killed while one was removed: it had lost its name by then, so no half of an index is ever found under one.

The next writer removes all three, with the writer's lock, under which alone ``kept-`` is made.

Where all texts are encoded anew, the space may be the index's own, so these have other names:

4. ``anew-<16 hex digits>``, of the fingerprint, is gone on with only by what encodes as it was begun. Killed after the
   COMMIT, it stays: the next of its kind has nothing left to encode, or begins again.
5. ``before-<16 hex digits>``, the number of the vector file of the index as it was before. Killed before the COMMIT,
   that is the index's file still, and the next writer removes this as in 1, behind the files that are nobody's.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from enum import Enum
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
from .vectors import vector_file


class Side(Enum):
    """``NEXT`` and ``ANEW`` are being filled for a migration, ``KEPT`` and ``BEFORE`` are the index as it was before.

    ``ANEW`` takes over nothing that was encoded before, ``BEFORE`` is of the same space as what followed it.
    """

    NEXT = "next-"
    ANEW = "anew-"
    KEPT = "kept-"
    BEFORE = "before-"


_SIDE = re.compile(f"({'|'.join(side.value for side in Side)})[0-9a-f]{{16}}")
_UNFINISHED = re.compile(f"{re.escape(TEMPORARY_PREFIX)}{_SIDE.pattern}-[0-9a-f]{{16}}")


def is_side(folder: Path) -> bool:
    """Whether this is, by its name, an index beside another one."""
    return _SIDE.fullmatch(folder.name) is not None


def side_path(folder: Path, space: Space, side: Side) -> Path:
    """Where the index in ``space`` is beside the one in ``folder``; not for ``BEFORE``."""
    return folder / f"{side.value}{space.fingerprint[:16]}"


def aside_path(folder: Path, manifest: Manifest, space: Space) -> Path:
    """Where the index of ``manifest`` is kept when the one in ``folder`` is switched to ``space``."""
    if manifest.space is None or manifest.space.fingerprint == space.fingerprint:
        return folder / f"{Side.BEFORE.value}{manifest.vectors:016x}"
    return side_path(folder, manifest.space, Side.KEPT)


def describe_sides(folder: Path, current: Manifest) -> tuple[str, ...]:
    """A line for each index beside the one in ``folder``, which is as ``current`` says; leftovers are none."""
    space, found = current.space, []
    leftovers = [side_path(folder, space, side) for side in (Side.NEXT, Side.KEPT)] if space else []
    leftovers += [aside_path(folder, current, space)] if space else []
    for side, path in _sides(folder):
        with contextlib.suppress(VecindexError):  # killed before there was anything in it
            manifest = _manifest(path)
            if manifest.space and path not in leftovers:
                is_kept = side in (Side.KEPT, Side.BEFORE)
                what = "kept from before" if is_kept else "a migration that is not done"
                of_all = "" if is_kept else f"of {current.records} "
                size = f"{manifest.records} {of_all}records, {folder_bytes(path):,} bytes"
                found.append(f"{what}: {manifest.space.describe()}, {size}, in {path.name}")
    return tuple(found)


def begin_side(folder: Path, space: Space) -> Path:
    """Where to fill the side index of ``space``: what is there already is gone on with, or what was kept of it.

    Raises CorruptIndex where there is something else, a link to a folder, say.
    """
    path, kept = side_path(folder, space, Side.NEXT), side_path(folder, space, Side.KEPT)
    if not check_folder(path) and check_folder(kept):
        with storage_errors(kept):
            disk().rename(kept, path)
            disk().sync(folder)
    return path


def begin_anew(folder: Path, space: Space, here: Mapping[str, str]) -> Path:
    """Where to encode all texts anew; what is there already is gone on with if it was encoded in this environment.

    Raises CorruptIndex where there is something else, a link to a folder, say.
    """
    path = side_path(folder, space, Side.ANEW)
    if check_folder(path):
        with contextlib.suppress(VecindexError):  # killed before there was anything in it
            if (_manifest(path).written_by or {}) == here:
                return path
        remove_side(path)
    return path


def drop_sides(folder: Path) -> int:
    """Removes the indexes beside the one in ``folder``; returns how many bytes that gave back."""
    given_back = 0
    for _, path in _sides(folder):
        size = folder_bytes(path) if is_folder(path) else 0
        remove_side(path)
        given_back += size
    return given_back


def remove_side(path: Path) -> None:
    """Removes a side index, at once as far as anybody can see; nothing is done where there is none.

    Of a link, say, in its place the link is removed, and nothing else. Raises StorageError.
    """
    gone = path.with_name(f"{TEMPORARY_PREFIX}{path.name}-{secrets.token_hex(8)}")
    with storage_errors(path):
        if not os.path.lexists(path):
            return
        if is_folder(path) and not is_ours(path):
            raise StorageError(str(path), "it belongs to another user")
        disk().rename(path, gone)
    remove_tree(gone)


def remove_leftovers(folder: Path, current: Space | None) -> None:
    """Removes what killed migrations left in ``folder``, an index whose space is ``current``, and without orphans."""
    own = [side_path(folder, current, side) for side in (Side.NEXT, Side.KEPT)] if current is not None else []
    for path in [folder / name for name in names(folder)]:
        if _UNFINISHED.fullmatch(path.name):
            remove_tree(path)
        elif path in own or (is_side(path) and _is_of_vectors(path)):
            with contextlib.suppress(VecindexError):  # what stays is met again by the next writer
                remove_side(path)


def _is_of_vectors(path: Path) -> bool:
    """Whether it is ``before-`` of the vector file that the index has now: orphans are removed already."""
    return path.name.startswith(Side.BEFORE.value) and os.path.lexists(
        vector_file(path.parent, int(path.name[-16:], 16))
    )


def _manifest(path: Path) -> Manifest:
    catalog = Catalog(path, readonly=True)
    try:
        return catalog.manifest()
    finally:
        catalog.close()


def _sides(folder: Path) -> Iterator[tuple[Side, Path]]:
    for side in Side:
        for name in names(folder):
            if name.startswith(side.value) and is_side(folder / name):
                yield side, folder / name
