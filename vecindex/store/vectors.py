"""Row r of the vector file: bytes [4*r*D, 4*(r+1)*D), little-endian float32, unit length.

Only rows below the committed count are ever read; only bytes at or beyond it are ever written. A writer that was
killed leaves bytes beyond the count, which the next one overwrites and cuts.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import CorruptIndex, StorageError
from .files import TEMPORARY_PREFIX, storage_errors, sync, write_at

Vectors = npt.NDArray[np.float32]

_ROWS_A_BLOCK = 16_384


def vector_file(folder: Path, number: int) -> Path:
    """The vector file's path; ``number`` is raised by every compaction."""
    return folder / f"vectors-{number}.f32"


def append(path: Path, rows: int, vectors: Vectors) -> None:
    """Writes ``vectors`` (n, D) behind the ``rows`` committed ones, durably; they count only once the database says."""
    data = np.ascontiguousarray(vectors, dtype="<f4")
    write_at(path, rows * 4 * data.shape[1], data.data.cast("B"))


def copy_rows(source: Vectors, rows: npt.NDArray[np.int64], path: Path) -> None:
    """Writes the given rows of ``source`` (n, D) as a new vector file, durably, in bounded memory."""
    with storage_errors(path):
        try:
            with path.open("wb") as file:
                for start in range(0, len(rows), _ROWS_A_BLOCK):
                    file.write(np.ascontiguousarray(source[rows[start : start + _ROWS_A_BLOCK]], dtype="<f4").data)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            path.unlink(missing_ok=True)
            raise
        sync(path.parent)


def remove_orphans(folder: Path, number: int) -> None:
    """Removes what killed processes left behind: vector files other than the committed one, unfinished databases."""
    for path in (*folder.glob("vectors-*.f32"), *folder.glob(f"{TEMPORARY_PREFIX}*")):
        if path != vector_file(folder, number):
            with contextlib.suppress(OSError):  # a later compaction tries again
                path.unlink()


def map_rows(path: Path, rows: int, dimension: int) -> Vectors:
    """The first ``rows`` vectors, (rows, dimension), read-only and mapped, not read.

    Raises:
        CorruptIndex: the file is missing, or shorter than that.
    """
    if rows == 0:
        return np.empty((0, dimension), dtype=np.float32)
    needed = rows * dimension * 4
    try:
        size = path.stat().st_size
        if size < needed:
            raise CorruptIndex(str(path), f"it holds {size} bytes; {rows} rows need {needed}")
        return np.memmap(path, dtype="<f4", mode="r", shape=(rows, dimension))
    except FileNotFoundError:
        raise CorruptIndex(str(path), f"it is missing; {rows} rows need it") from None
    except OSError as error:
        raise StorageError(str(path), error.strerror or str(error)) from error
