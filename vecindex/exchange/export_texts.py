"""How are records written without their vectors: as lines of JSON, also where the file of vectors is lost."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from ..errors import InvalidInput
from ..filters.tree import Filter
from ..store.disk.atomic_create import fresh_file, resolved, written
from ..store.snapshot import Snapshots
from ..store.sql.reads import Catalog
from ..store.sql.unmatched import warn_of_unmatched
from .formats import Format, Progress, format_of, record_lines

_ROWS_A_BLOCK = 256  # texts may be long: few are in memory at once


def export_texts(
    snapshots: Snapshots,
    destination: str | os.PathLike[str] | BinaryIO,
    format: Format | None = None,
    where: Filter | None = None,
    progress: Progress | None = None,
) -> tuple[int, int]:
    """Writes the records that ``where`` selects, as of now, in the order of insertion; how many, and how many bytes.

    Raises:
        InvalidInput: another format than jsonl is asked for, or something is at the path.
        CorruptIndex, StorageError: nothing is left at the path.
    """
    is_path = isinstance(destination, (str, os.PathLike))
    chosen = format or (format_of(os.fspath(destination)) if is_path else Format.JSONL)  # type: ignore[arg-type]
    if chosen is not Format.JSONL:
        raise InvalidInput(f"{chosen.value} is a format of vectors, and they are to be left out", "Use jsonl.")
    if not isinstance(destination, (str, os.PathLike)):
        with snapshots.borrow() as catalog:
            count, size = _write(catalog, destination, where, progress)
        destination.flush()  # what cannot be written is said now
        return count, size
    with (
        fresh_file(resolved(destination)) as temporary,
        snapshots.borrow() as catalog,
        written(temporary, like=catalog.path) as out,
    ):
        return _write(catalog, out, where, progress)


def _write(catalog: Catalog, out: BinaryIO, where: Filter | None, progress: Progress | None) -> tuple[int, int]:
    with catalog.reading() as manifest:
        rows = catalog.live_rows(manifest.rows)
        if where is not None:
            warn_of_unmatched(catalog, manifest, where)
            rows = np.sort(catalog.rows_where(where, manifest.fields))

        def lines() -> Iterator[bytes]:
            for start in range(0, len(rows), _ROWS_A_BLOCK):
                some = rows[start : start + _ROWS_A_BLOCK]
                yield from record_lines(catalog.fetch(some.tolist()))
                if progress is not None:
                    progress(start + len(some), len(rows))

        return len(rows), sum(out.write(line) for line in lines())
