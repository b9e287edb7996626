"""Writes one snapshot of an index for other programs: completely or not at all, in bounded memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import CorruptIndex, InvalidInput
from ..errors.warnings import warn
from ..filters.tree import Filter
from ..store.disk.atomic_create import fresh_file, fresh_folder, resolved, written
from ..store.disk.files import DATABASE_FILE
from ..store.origins import origins
from ..store.snapshot import Snapshot, Snapshots
from ..store.sql.reads import Catalog
from ..store.sql.unmatched import warn_of_unmatched
from ..store.stored import Stored
from ..store.vectors import Rows, Vectors, vector_file
from ..values.space import Space
from . import parquet
from .formats import (
    FAISS_FILE,
    RECORDS_FILE,
    SPACE_FILE,
    VECTORS_FILE,
    Exported,
    Format,
    Progress,
    format_named,
    format_of,
    record_lines,
    space_json,
    text_lines,
    vector_lines,
)
from .places import described
from .vector_files import faiss_header, npy_header

_ROWS_A_BLOCK = 256  # a text may be long, so few are in memory at once

Destination = str | os.PathLike[str] | BinaryIO


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What ``export`` wrote: the number of records, the format, and the bytes of all files."""

    records: int
    format: str
    bytes: int


def export(
    snapshots: Snapshots,
    destination: Destination,
    format: str | None = None,
    where: Filter | None = None,
    progress: Progress | None = None,
    vectors: bool = True,
) -> ExportReport:
    """Writes the records that ``where`` selects, all of one snapshot, in the order of insertion.

    Args:
        destination: a new path or an empty folder; or a binary stream, for jsonl.
        format: the name of a `Format`; None takes it from the path's suffix, and is jsonl for a stream.
        progress: called with the number of records written and the total.
        vectors: False writes jsonl without vectors, and does not need their file.

    Raises:
        InvalidInput: the format is unknown or does not fit, or the path exists.
        MissingExtra, CorruptIndex, StorageError: nothing is left at the path.
    """
    is_path = isinstance(destination, (str, os.PathLike))
    if format is not None:
        chosen = format_named(format)
    else:
        chosen = format_of(os.fspath(destination)) if is_path else Format.JSONL  # type: ignore[arg-type]
    if chosen is not Format.JSONL and not vectors:
        raise InvalidInput(f"{chosen.value} cannot be written without vectors", "Use jsonl.")
    if chosen is not Format.JSONL and not is_path:
        raise InvalidInput(f"{chosen.value} cannot be written to a stream", "Use jsonl, or name a path.")
    if chosen is Format.PARQUET:
        parquet.check_installed()
    if isinstance(destination, (str, os.PathLike)):
        destination = resolved(destination)
    if not vectors:
        return _export_texts(snapshots, destination, where, progress)
    with snapshots.take() as snapshot:
        selected = _Selected(snapshot, where, progress)
        if chosen in (Format.NPY, Format.FAISS) and len(selected.rows) and not selected.dimension:
            raise InvalidInput(
                f"no record has a vector, and {chosen.value} is made of vectors", "Use jsonl or parquet."
            )
        size = _WRITERS[chosen](selected, destination)
        return ExportReport(len(selected.rows), chosen.value, size)


def _export_texts(
    snapshots: Snapshots, destination: Destination, where: Filter | None, progress: Progress | None
) -> ExportReport:
    """Writes the records without their vectors, also where the vector file is lost."""
    with (
        snapshots.borrow() as catalog,
        _opened(destination, like=catalog.path) as out,
        catalog.reading() as manifest,
    ):
        rows = catalog.live_rows(manifest.rows)
        if where is not None:
            warn_of_unmatched(catalog, manifest, where)
            rows = np.sort(catalog.rows_where(where, manifest.fields))
        return ExportReport(len(rows), Format.JSONL.value, _write(_text_lines(catalog, rows, progress), out))


def _text_lines(catalog: Catalog, rows: Rows, progress: Progress | None) -> Iterator[bytes]:
    for start in range(0, len(rows), _ROWS_A_BLOCK):
        some = rows[start : start + _ROWS_A_BLOCK]
        records = catalog.fetch(some.tolist())
        yield from text_lines(records, origins(catalog, records))
        if progress is not None:
            progress(start + len(some), len(rows))


class _Selected:
    """The selected rows (n,) of a snapshot, to be read once, and what all of them share."""

    def __init__(self, snapshot: Snapshot, where: Filter | None, progress: Progress | None) -> None:
        self.space: Space | None = snapshot.manifest.space
        self.folder = snapshot.folder
        self.database = snapshot.folder / DATABASE_FILE
        self.dimension = snapshot.manifest.dimension
        self.rows: Rows = snapshot.allowed(where).rows()
        for warning in snapshot.unmatched(where):
            warn(warning)
        self.has_places = snapshot.has_places()
        self._snapshot = snapshot
        self._progress = progress

    def blocks(self) -> Iterator[Exported]:
        """Records with their vectors, whose checksums match."""
        for start in range(0, len(self.rows), _ROWS_A_BLOCK):
            rows = self.rows[start : start + _ROWS_A_BLOCK]
            self._snapshot.check(rows)
            records, vectors = self._snapshot.fetch(rows.tolist()), self._snapshot.vectors[rows]
            self._check_finite(records, vectors)
            places = described(self._snapshot, records)
            yield Exported(records, places, np.ascontiguousarray(vectors, dtype="<f4"))
            if self._progress is not None:
                self._progress(start + len(rows), len(self.rows))

    def _check_finite(self, records: list[Stored], vectors: Vectors) -> None:
        # Earlier versions could store a vector that is not finite; no export may spread it.
        bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(bad):
            record = records[int(bad[0])]
            path = vector_file(self.folder, self._snapshot.manifest.vectors)
            raise CorruptIndex(str(path), f"the vector of {record.key!r} (row {record.row}) is not finite")


@contextmanager
def _opened(destination: Destination, like: Path) -> Iterator[BinaryIO]:
    """The stream itself, or a file with the permissions of ``like`` that appears at the path once it is complete."""
    if isinstance(destination, (str, os.PathLike)):
        with fresh_file(Path(destination)) as temporary, written(temporary, like=like) as out:
            yield out
    else:
        yield destination
        destination.flush()  # a write error must be raised now


def _write(lines: Iterable[bytes], out: BinaryIO) -> int:
    """Writes lines; returns their bytes."""
    size = 0
    for line in lines:
        out.write(line)
        size += len(line)
    return size


def _jsonl(selected: _Selected, destination: Destination) -> int:
    def lines() -> Iterator[bytes]:
        space = selected.space
        for block in selected.blocks():
            yield from vector_lines(block, space)
            space = None  # only the first line holds it

    with _opened(destination, like=selected.database) as out:
        return _write(lines(), out)


def _parquet(selected: _Selected, destination: Destination) -> int:
    with _opened(destination, like=selected.database) as out:
        parquet.write(selected.blocks(), selected.space, selected.dimension, selected.has_places, out)
        return out.tell()


def _folder(name: str, header: Callable[[int, int], bytes]) -> Callable[[_Selected, Destination], int]:
    """Writes a folder in which the file ``name`` is a header, made of (rows, dimension), and then the raw vectors."""

    def write(selected: _Selected, destination: Destination) -> int:
        assert isinstance(destination, Path)
        with fresh_folder(destination, like=selected.folder) as folder, ExitStack() as stack:
            vectors_out, records_out, space_out = (
                stack.enter_context(written(folder / file, selected.database))
                for file in (name, RECORDS_FILE, SPACE_FILE)
            )
            vectors_out.write(header(len(selected.rows), selected.dimension))
            for block in selected.blocks():
                vectors_out.write(block.vectors.data)
                records_out.writelines(record_lines(block))
            space_out.write(space_json(selected.space).encode() + b"\n")
            return vectors_out.tell() + records_out.tell() + space_out.tell()

    return write


_WRITERS: dict[Format, Callable[[_Selected, Destination], int]] = {
    Format.JSONL: _jsonl,
    Format.PARQUET: _parquet,
    Format.NPY: _folder(VECTORS_FILE, npy_header),
    Format.FAISS: _folder(FAISS_FILE, faiss_header),
}
