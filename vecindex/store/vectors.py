"""Reads, writes and checks the vector file; row r is bytes [4*r*D, 4*(r+1)*D), little-endian float32, unit length.

Only rows below the committed count are ever read, and only bytes beyond it are ever written. A killed writer leaves
bytes beyond the count, which the next one overwrites and cuts.

The row of a record without a vector is zeros, and its checksum is 0, which no other row has. As long as the index has
no embedding space, no record has a vector, and there is no file; with the first vector, the rows before it become a
hole in the file, which is read as zeros.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import CorruptIndex
from .derived import CODES_FILE, SEGMENT_FILE
from .disk.files import TEMPORARY, has_other_names, mapped, names, publish, remove_files, storage_errors, write_at

Vectors = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Sums = npt.NDArray[np.uint32]

ROWS_A_BLOCK = 4096
"""How many rows have their checksums, and marks of deletion, in one row of a table."""
_ROWS_A_COPY = 16_384
_LENGTH_TOLERANCE = 1e-4
_MADE = re.compile(rf"vectors-[0-9]+\.f32|{CODES_FILE.pattern}|{SEGMENT_FILE.pattern}|{TEMPORARY.pattern}")


def vector_file(folder: Path, number: int) -> Path:
    """The path of vector file ``number``, which every compaction increments."""
    return folder / f"vectors-{number}.f32"


def append(path: Path, rows: int, vectors: Vectors) -> None:
    """Writes ``vectors`` (n, D) durably behind the ``rows`` committed ones; they count once the database says so.

    A file with other names (hard links) is copied first, so that those keep what they hold.
    """
    data = np.ascontiguousarray(vectors, dtype="<f4")
    if not data.shape[1]:
        return
    if has_other_names(path):
        copy_rows(map_rows(path, rows, data.shape[1]), np.arange(rows), path, like=path)
    write_at(path, rows * 4 * data.shape[1], data.data.cast("B"))


def copy_rows(source: Vectors, rows: Rows, path: Path, like: Path) -> None:
    """Writes the given rows of ``source`` (n, D) durably as a new vector file with the mode of ``like``."""

    def pieces() -> Iterator[memoryview]:
        for start in range(0, len(rows), _ROWS_A_COPY):
            block = np.ascontiguousarray(source[rows[start : start + _ROWS_A_COPY]], dtype="<f4")
            yield block.data.cast("B")

    publish(path, pieces(), like)


def checksums(vectors: Vectors) -> Sums:
    """A checksum (n,) uint32 of each of ``vectors`` (n, D), which differs if any one bit of the row differs.

    The row's bytes, padded with zeros to a multiple of 8, are little-endian 64-bit words w_0, w_1, ...; with the odd
    numbers m_i = splitmix64(i) | 1 and h = sum(w_i * m_i) mod 2**64, the checksum is h ^ (h >> 32) mod 2**32; or 1 if
    that is 0 though the row is not all zeros. This multilinear hash (https://arxiv.org/abs/1202.4961) is computed as
    fast as the rows are read.
    """
    data = np.ascontiguousarray(vectors, dtype="<f4")
    if data.shape[1] % 2:
        data = np.pad(data, ((0, 0), (0, 1)))
    words = data.view("<u8")
    found = np.einsum("ij,j->i", words, _multipliers(words.shape[1]))
    sums: Sums = (found ^ (found >> np.uint64(32))).astype(np.uint32)
    if not sums.all():
        zeros = np.flatnonzero(sums == 0)
        sums[zeros[words[zeros].any(axis=1)]] = 1
    return sums


def appended(known: Sums, more: Sums) -> Sums:
    """``known``, a part of what this returned or an array of its own, and ``more``; seldom copies what is known.

    There is room behind what is returned, where the next call writes. Others may go on reading what they got: numbers
    of committed rows never change, so that only the same ones are ever written over them.
    """
    rows = len(known) + len(more)
    room = known.base
    if not (isinstance(room, np.ndarray) and room.flags.writeable and room.dtype == known.dtype and len(room) >= rows):
        room = np.empty(rows + rows // 2, known.dtype)
        room[: len(known)] = known
    room[len(known) : rows] = more
    return room[:rows]


def are_sound(vectors: Vectors) -> npt.NDArray[np.bool_]:
    """Which of ``vectors`` (n, D) are finite and of unit length, (n,)."""
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
        sound: npt.NDArray[np.bool_] = np.abs(lengths - 1) <= _LENGTH_TOLERANCE
    return sound


@cache
def _multipliers(count: int) -> npt.NDArray[np.uint64]:
    """splitmix64(0), splitmix64(1), ... made odd."""
    odd: npt.NDArray[np.uint64] = splitmix64(count) | np.uint64(1)
    return odd


def splitmix64(count: int) -> npt.NDArray[np.uint64]:
    """The first numbers of the generator, (count,) random ones that are always the same.

    Splitmix64 of 0, of 1 and so on, see https://prng.di.unimi.it/splitmix64.c.
    """
    with np.errstate(over="ignore"):
        state = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(state ^ (state >> np.uint64(31)))


def check_rows(vectors: Vectors, rows: Rows, sums: Sums, path: Path) -> None:
    """Raises CorruptIndex if one of these ``rows`` of ``vectors`` does not have its checksum in ``sums``."""
    bad = rows[checksums(vectors[rows]) != sums[rows]]
    if len(bad):
        raise CorruptIndex(str(path), damaged_rows(bad))


def damaged_rows(rows: Rows) -> str:
    """The reason of a CorruptIndex for rows whose checksum is wrong."""
    first = ", ".join(str(row) for row in rows[:5].tolist())
    return (
        f"its row {first} is not what was written"
        if len(rows) == 1
        else (f"{len(rows)} of its rows are not what was written, row {first} first")
    )


def remove_orphans(folder: Path, number: int | None, derived: tuple[str, ...]) -> None:
    """Removes what killed processes left: vectors and derived files that are not committed, and unfinished files.

    ``number`` is None if no vector is committed: what is there then must not get into the hole before the first one.
    """
    kept = {*(() if number is None else (vector_file(folder, number).name,)), *derived}
    remove_files(folder / name for name in names(folder) if _MADE.fullmatch(name) and name not in kept)


def map_rows(path: Path, rows: int, dimension: int) -> Vectors:
    """Maps the first ``rows`` vectors, (rows, dimension), read-only.

    Raises:
        CorruptIndex: the file is missing or too short.
    """
    if rows == 0 or dimension == 0:
        return np.empty((rows, dimension), dtype=np.float32)
    needed = rows * dimension * 4
    with storage_errors(path):
        try:
            return np.frombuffer(mapped(path, needed), dtype="<f4").reshape(rows, dimension)
        except FileNotFoundError:
            raise CorruptIndex(str(path), f"it is missing; {rows} rows need it") from None
        except (ValueError, OverflowError) as error:
            raise CorruptIndex(str(path), f"{error}; {rows} rows need {needed}") from None


def release(vectors: Vectors) -> None:
    """Frees the memory of a mapping's pages after all of it was read; they are read again when needed."""
    base: object = vectors
    while isinstance(base, (np.ndarray, memoryview)):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    if isinstance(base, mmap.mmap):
        base.madvise(mmap.MADV_DONTNEED)
