"""How is one snapshot of an index written for other programs: whole or not at all, in bounded memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import CorruptIndex, InvalidInput
from ..errors.warnings import warn
from ..filters.tree import Filter
from ..store.disk.atomic_create import fresh_file, fresh_folder, resolved, written
from ..store.disk.files import DATABASE_FILE
from ..store.snapshot import Snapshot, Snapshots
from ..store.stored import Stored
from ..store.vectors import Rows, Vectors, vector_file
from ..values.arguments import shown
from ..values.space import Space
from . import parquet
from .export_texts import export_texts
from .formats import (
    FAISS_FILE,
    RECORDS_FILE,
    SPACE_FILE,
    VECTORS_FILE,
    Format,
    Progress,
    format_of,
    record_lines,
    space_json,
    vector_lines,
)
from .vector_files import faiss_head, npy_head

_ROWS_A_BLOCK = 256  # texts may be long: few are in memory at once

Destination = str | os.PathLike[str] | BinaryIO


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What ``export`` wrote: how many records, in which format, and bytes, files together."""

    records: int
    format: str
    bytes: int


def export(
    snapshots: Snapshots,
    destination: Destination,
    format: Format | str | None = None,
    where: Filter | None = None,
    progress: Progress | None = None,
    vectors: bool = True,
) -> ExportReport:
    """Writes the records that ``where`` selects, all of one snapshot, in the order of insertion.

    Args:
        destination: a path at which nothing is, or an empty folder; or a binary stream, for jsonl.
        format: one of `Format`; None takes it from the path's suffix, and jsonl for a stream.
        progress: called with how many records are written and how many there are.
        vectors: False leaves them out, and does not need them: for jsonl alone.

    Raises:
        InvalidInput: the format is not known, or something is at the path.
        MissingExtra, CorruptIndex, StorageError: nothing is left at the path.
    """
    if not vectors:
        count, size = export_texts(snapshots, destination, _format(format) if format else None, where, progress)
        return ExportReport(count, Format.JSONL.value, size)
    if not isinstance(destination, (str, os.PathLike)):
        chosen = Format.JSONL if format is None else _format(format)
        if chosen is not Format.JSONL:
            raise InvalidInput(f"{chosen.value} cannot be written to a stream", "Use jsonl, or name a path.")
        with snapshots.take() as snapshot:
            chosen_rows = _Chosen(snapshot, where, progress)
            size = _jsonl(chosen_rows, destination)
        destination.flush()  # what cannot be written is said now
        return ExportReport(len(chosen_rows.rows), chosen.value, size)
    chosen = format_of(os.fspath(destination)) if format is None else _format(format)
    path = resolved(destination)
    if chosen is Format.PARQUET:
        parquet.check_installed()
    with snapshots.take() as snapshot:
        chosen_rows = _Chosen(snapshot, where, progress)
        size = _WRITERS[chosen](chosen_rows, path)
        return ExportReport(len(chosen_rows.rows), chosen.value, size)


def _format(name: Format | str) -> Format:
    for each in Format:
        if isinstance(name, str) and name == each.value:
            return each
    raise InvalidInput(f"{shown(name)} is no format", f"There are: {', '.join(each.value for each in Format)}.")


class _Chosen:
    """The chosen rows of a snapshot (n,), to be read once, and what is the same for all of them."""

    def __init__(self, snapshot: Snapshot, where: Filter | None, progress: Progress | None) -> None:
        self.space: Space | None = snapshot.manifest.space
        self.folder = snapshot.folder
        self.dimension = snapshot.manifest.dimension
        self.rows: Rows = snapshot.allowed(where).rows()
        for warning in snapshot.unmatched(where):
            warn(warning)
        self._snapshot = snapshot
        self._progress = progress

    @property
    def database(self) -> Path:
        """The file that the files of an export are to be as open as."""
        return self.folder / DATABASE_FILE

    def blocks(self) -> Iterator[tuple[list[Stored], Vectors]]:
        """Records with their vectors (n, D), compared with their checksums."""
        for start in range(0, len(self.rows), _ROWS_A_BLOCK):
            rows = self.rows[start : start + _ROWS_A_BLOCK]
            self._snapshot.check(rows)
            records, vectors = self._snapshot.fetch(rows.tolist()), self._snapshot.vectors[rows]
            _refuse_what_is_no_number(self._snapshot, records, vectors)
            yield records, np.ascontiguousarray(vectors, dtype="<f4")
            if self._progress is not None:
                self._progress(start + len(rows), len(self.rows))


def _refuse_what_is_no_number(snapshot: Snapshot, records: list[Stored], vectors: Vectors) -> None:
    """An earlier version may have stored a vector that is not finite: no format is to carry it elsewhere."""
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        record = records[int(bad[0])]
        reason = f"the vector of {record.key!r} (row {record.row}) is not finite"
        raise CorruptIndex(str(vector_file(snapshot.folder, snapshot.manifest.vectors)), reason)


def _jsonl(chosen: _Chosen, out: BinaryIO) -> int:
    """Writes lines; how many bytes."""
    size = 0
    space = chosen.space
    for records, vectors in chosen.blocks():
        for line in vector_lines(records, vectors, space):
            out.write(line)
            size += len(line)
        space = None  # the first line has said it
    return size


def _jsonl_file(chosen: _Chosen, path: Path) -> int:
    with fresh_file(path) as temporary, written(temporary, like=chosen.database) as out:
        return _jsonl(chosen, out)


def _parquet_file(chosen: _Chosen, path: Path) -> int:
    with fresh_file(path) as temporary, written(temporary, like=chosen.database) as out:
        parquet.write(chosen.blocks(), chosen.space, chosen.dimension, out)
        return out.tell()


def _folder(name: str, head: Callable[[int, int], bytes]) -> Callable[[_Chosen, Path], int]:
    """Writes a folder whose file ``name`` has a head (of rows, dimension), and then the vectors as they are."""

    def write(chosen: _Chosen, path: Path) -> int:
        with fresh_folder(path, like=chosen.folder) as folder, ExitStack() as stack:
            vectors_out = stack.enter_context(written(folder / name, chosen.database))
            records_out = stack.enter_context(written(folder / RECORDS_FILE, chosen.database))
            space_out = stack.enter_context(written(folder / SPACE_FILE, chosen.database))
            vectors_out.write(head(len(chosen.rows), chosen.dimension))
            for records, vectors in chosen.blocks():
                vectors_out.write(vectors.data)
                records_out.writelines(record_lines(records))
            space_out.write(space_json(chosen.space).encode() + b"\n")
            return vectors_out.tell() + records_out.tell() + space_out.tell()

    return write


_WRITERS: dict[Format, Callable[[_Chosen, Path], int]] = {
    Format.JSONL: _jsonl_file,
    Format.PARQUET: _parquet_file,
    Format.NPY: _folder(VECTORS_FILE, npy_head),
    Format.FAISS: _folder(FAISS_FILE, faiss_head),
}
