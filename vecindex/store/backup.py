"""Copies one generation of an index, whole and checked, while others write, compact and read.

1. A writer commits meanwhile: the read transaction and the mapping both stay at the generation that was taken.
2. A compaction removes the vector file or a derived file: the mapping keeps the vectors; what is derived is left out.
3. Something is damaged: the error names it, and no backup is left that would hide the damage until it is needed.
4. Killed on the way: see `atomic_create`.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import CorruptIndex, InvalidInput
from .derived import SegmentFile, Segments, map_derived
from .disk.atomic_create import fresh_folder, resolved, written
from .disk.files import DATABASE_FILE, create, folder_bytes, publish
from .disk.refusals import refused_by_sqlite
from .disk.system_calls import disk
from .generation import Generation
from .manifest import Manifest
from .snapshot import TRIES, Snapshots
from .sql.reads import Catalog
from .sql.schema import keep_out_of_repositories
from .vectors import ROWS_A_BLOCK, vector_file

_PAGES_A_STEP = 4_096

Progress = Callable[[int, int], None]
"""Called with how much is done, and the total."""


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What ``backup`` copied: records, rows of the vector file including dead ones, and the bytes of the copy."""

    records: int
    rows: int
    bytes: int


def backup(snapshots: Snapshots, destination: str | os.PathLike[str], progress: Progress | None = None) -> BackupReport:
    """Copies the newest generation to a new index at ``destination``, without a lock.

    Checks every vector and record with its checksum. ``progress`` counts bytes.

    Raises:
        InvalidInput: there is something other than an empty folder at ``destination``, or it is inside the index.
        CorruptIndex: a file of the index is damaged.
        StorageError: it cannot be written. Nothing is left at ``destination``, whatever is raised.
    """
    path = resolved(destination)
    report = progress or (lambda done, total: None)
    with snapshots.borrow() as catalog:
        if path.is_relative_to(catalog.folder):
            raise InvalidInput(f"{path} is inside the index", "Name a path outside of it.")
        with fresh_folder(path, like=catalog.folder) as copy:
            with _one_generation(catalog) as generation:
                manifest = generation.manifest
                size = catalog.path.stat().st_size
                total = manifest.rows * manifest.dimension * 4 + size
                _copy_database(catalog, copy, False, lambda share: report(int(share * size), total))
                _copy_vectors(generation, catalog.folder, copy, False, lambda done: report(size + done, total))
                derived = _copy_derived(catalog.folder, generation, copy)
            _check(catalog.path, copy, manifest, derived)
            keep_out_of_repositories(copy)
            records = manifest.records
        return BackupReport(records, manifest.rows, folder_bytes(path))


def set_aside(snapshots: Snapshots, path: Path) -> None:
    """Keeps the newest generation as an index of its own at ``path``, under the writer's lock.

    The vector file is linked, not copied, if the file system has hard links: committed rows are never written again.
    The two indexes share it until this one gets a new file, so ``path`` must not be written to until then.

    Raises:
        CorruptIndex, StorageError: nothing is at ``path``.
    """
    with snapshots.borrow() as catalog, fresh_folder(path, like=catalog.folder, exactly=True) as copy:
        with _one_generation(catalog) as generation:
            manifest = generation.manifest
            _copy_database(catalog, copy, True, lambda share: None)
            vectors = vector_file(catalog.folder, manifest.vectors)
            try:
                disk().link(vectors, copy / vectors.name)
            except OSError:
                _copy_vectors(generation, catalog.folder, copy, True, lambda done: None)
            derived = _copy_derived(catalog.folder, generation, copy)
        _check(catalog.path, copy, manifest, derived)


@contextlib.contextmanager
def _one_generation(catalog: Catalog) -> Iterator[Generation]:
    """What is committed now, inside a read transaction; nothing of it counts as checked yet."""
    for attempt in range(1, TRIES + 1):
        with catalog.reading() as manifest:
            try:
                generation = Generation.read(catalog, manifest, None)
            except CorruptIndex:
                if attempt == TRIES:
                    raise
                continue  # a compaction may have removed the file after the manifest was read
            yield generation
            return


def _copy_database(catalog: Catalog, folder: Path, exactly: bool, report: Callable[[float], None]) -> None:
    """Copies the database as the read transaction of ``catalog`` sees it."""
    path = folder / DATABASE_FILE
    os.close(create(path, catalog.path, exactly))
    with catalog.errors(), contextlib.closing(disk().connect(str(path))) as target:
        try:
            target.execute("pragma synchronous = off")  # it is synced at the end
            catalog.sqlite.backup(
                target, pages=_PAGES_A_STEP, progress=lambda _, left, pages: report(1 - left / max(pages, 1))
            )
        except sqlite3.OperationalError as error:  # such as a full disk; reading cannot be refused
            raise refused_by_sqlite(path, error) from error


def _copy_vectors(
    generation: Generation, source: Path, folder: Path, exactly: bool, report: Callable[[int], None]
) -> None:
    """Copies the committed rows, and checks each live one."""
    manifest = generation.manifest
    if manifest.rows == 0 or manifest.dimension == 0:
        return
    path = vector_file(folder, manifest.vectors)
    with written(path, vector_file(source, manifest.vectors), exactly) as stream:
        for start in range(0, manifest.rows, ROWS_A_BLOCK):
            stop = min(start + ROWS_A_BLOCK, manifest.rows)
            generation.check_range(start, stop)
            stream.write(np.ascontiguousarray(generation.vectors[start:stop], dtype="<f4").data)
            report(stop * manifest.dimension * 4)


def _copy_derived(source: Path, generation: Generation, folder: Path) -> Manifest:
    """Copies derived files, and returns the manifest without those that are missing or damaged; they come back."""
    manifest = generation.manifest
    codes = manifest.codes
    try:
        for number, name in enumerate(codes.names if codes else ()):
            publish(folder / name, [generation.codes_file(number)()])
    except CorruptIndex:
        codes = None
    lexical, tokens = manifest.lexical, manifest.tokens
    return replace(
        manifest,
        codes=codes,
        lexical=lexical and _copy_segments(source, lexical, folder),
        tokens=tokens and _copy_segments(source, tokens, folder),
    )


def _copy_segments(source: Path, files: Segments, folder: Path) -> Segments:
    """Copies segments, and returns those that were there: up to the first that is missing if there may be no gap."""
    copied: list[SegmentFile] = []
    for segment in files.segments:
        try:
            publish(folder / segment.name, [map_derived(source / segment.name)])
            copied.append(segment)
        except CorruptIndex:
            if not files.has_gaps:
                break
    return replace(files, segments=tuple(copied))


def _check(original: Path, folder: Path, manifest: Manifest, derived: Manifest) -> None:
    """Checks that the copied database is the generation of ``manifest`` and sound, and makes it durable."""
    try:
        copy = Catalog(folder)
        try:
            if copy.manifest() != manifest:
                raise CorruptIndex(str(copy.path), "it changed while it was copied")
            if fault := copy.integrity_fault():
                raise CorruptIndex(str(copy.path), fault)
            if sum(1 for _ in copy.records()) != manifest.records:
                raise CorruptIndex(str(copy.path), f"it does not hold the {manifest.records} records that it counts")
            if derived != manifest:
                with copy.changing() as tables:
                    tables.annotate(derived)
        finally:
            copy.close()
    except CorruptIndex as error:
        raise CorruptIndex(str(original), error.reason) from None
    disk().sync(folder / DATABASE_FILE)
