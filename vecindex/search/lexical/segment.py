"""One segment of postings: which of a range of rows have which terms, and how often; to bytes and back.

A file is a header, a directory and the postings, all little-endian and aligned to 8 bytes:

    header      magic, first row, row after the last, counts of terms, postings and pairs, bytes a code, total length,
                checksums (CRC-32) of the lengths, of the directory and of the header before it
    directory   pairs: counts f64, lengths f64 (each combination that occurs, ascending)
                terms: hashes u64 (ascending), offsets of their postings u64 (and their end), for bounds the largest
                count f32 and the least length f32, checksums of their postings u32
    lengths     f32, one a row: how many terms the row has, weighted by field
    postings    rows u32, counted from the first row, ascending for each term; codes u16 or u32: numbers of pairs

A pair says how often the term is in the row and how long the row is. Scores follow from it once the mean length is
known, so that they are exact for whatever rows are live. The header and the directory are checked when a file is
loaded, the rest where it is first used.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Buffer = memoryview | bytes

_MAGIC = b"VXLEXIC1"
_HEADER = struct.Struct("<8s5Q2Id2I")
HEADER_BYTES = _HEADER.size
"""The size of a header, which has the checksum of the directory, and that those of the postings."""
_MOST_ROWS = 2**32 - 1
_LARGEST = 2.0**40
"""No count and no length is as large."""


def term_hash(term: str) -> int:
    """The number that stands for a term."""
    digest = hashlib.blake2b(term.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


@dataclass(frozen=True, eq=False)
class Segment:
    """The postings of rows from ``first`` up to ``stop``. Arrays are as in the file; ``checksums`` only if loaded."""

    first: int
    stop: int
    counts: npt.NDArray[np.float64]
    lengths: npt.NDArray[np.float64]
    hashes: npt.NDArray[np.uint64]
    offsets: npt.NDArray[np.uint64]
    largest: npt.NDArray[np.float32]
    shortest: npt.NDArray[np.float32]
    row_lengths: npt.NDArray[np.float32]
    rows: npt.NDArray[np.uint32]
    codes: npt.NDArray[np.uint16] | npt.NDArray[np.uint32]
    total: float
    """The sum of ``row_lengths``."""
    checksums: npt.NDArray[np.uint32] | None = None
    lengths_checksum: int | None = None
    _checked: set[int] = field(default_factory=set)

    def find(self, hashes: Sequence[int]) -> list[int]:
        """The numbers of these terms; -1 for one that no row has."""
        if not len(self.hashes):
            return [-1] * len(hashes)
        wanted = np.array(hashes, np.uint64)
        at = np.minimum(np.searchsorted(self.hashes, wanted), len(self.hashes) - 1)
        found: list[int] = np.where(self.hashes[at] == wanted, at, -1).tolist()
        return found

    def postings(self, term: int) -> tuple[npt.NDArray[np.uint32], Array]:
        """The rows that have a term, counted from ``first``, ascending, and the numbers of their pairs.

        Raises:
            ValueError: they are damaged.
        """
        start, stop = int(self.offsets[term]), int(self.offsets[term + 1])
        rows, codes = self.rows[start:stop], self.codes[start:stop]
        if self.checksums is not None and term not in self._checked:
            sound = _checksum(rows, codes) == int(self.checksums[term])
            if not (
                sound and _ascending(rows) and rows[-1] < self.stop - self.first and codes.max() < len(self.counts)
            ):
                raise ValueError(f"the postings of term {term} are damaged")
            self._checked.add(term)
        return rows, codes

    def checked_lengths(self) -> npt.NDArray[np.float32]:
        """``row_lengths``.

        Raises:
            ValueError: they are damaged.
        """
        if self.lengths_checksum is not None and -1 not in self._checked:
            sound = _checksum(self.row_lengths) == self.lengths_checksum
            if not (sound and ((self.row_lengths >= 0) & (self.row_lengths < _LARGEST)).all()):
                raise ValueError("the lengths of the rows are damaged")
            self._checked.add(-1)
        return self.row_lengths

    def check(self) -> None:
        """Checks everything that is otherwise checked when it is first used.

        Raises:
            ValueError: something is damaged.
        """
        self.checked_lengths()
        for term in range(len(self.hashes)):
            self.postings(term)


def _checksum(*arrays: Array) -> int:
    found = 0
    for array in arrays:
        found = zlib.crc32(array.data, found)
    return found


def _ascending(values: Array) -> bool:
    return bool((values[1:] > values[:-1]).all())


# --- files


def dump(segment: Segment) -> list[bytes]:
    """The parts of the segment's file, in order."""
    spans = pairwise(segment.offsets.tolist())
    rows, codes = segment.rows, segment.codes
    checksums = np.array([_checksum(rows[start:stop], codes[start:stop]) for start, stop in spans], "<u4")
    directory = b"".join(
        _padded(each)
        for each in (
            *(segment.counts, segment.lengths, segment.hashes, segment.offsets),
            *(segment.largest, segment.shortest, checksums),
        )
    )
    header = _HEADER.pack(
        *(_MAGIC, segment.first, segment.stop, len(segment.hashes), len(rows), len(segment.counts)),
        *(codes.itemsize, _checksum(segment.row_lengths), segment.total, zlib.crc32(directory), 0),
    )[:-4]
    header += struct.pack("<I", zlib.crc32(header))
    return [header, directory, _padded(segment.row_lengths), _padded(rows), _padded(codes)]


def _padded(array: Array) -> bytes:
    data = array.tobytes()
    return data + bytes(-len(data) % 8)


def load(data: Buffer) -> Segment:
    """The segment of a file's bytes, usually mapped; arrays refer to them.

    Raises:
        ValueError: they are not those of a sound segment.
    """
    data = memoryview(data).cast("B")
    if len(data) < _HEADER.size:
        raise ValueError("the file of postings is too short for its header")
    (magic, first, stop, terms, postings, pairs, width, lengths_sum, total, directory_sum, header_sum) = (
        _HEADER.unpack_from(data)
    )
    if magic != _MAGIC:
        raise ValueError("this is no file of postings, or one of another version of vecindex")
    if zlib.crc32(data[: _HEADER.size - 4]) != header_sum:
        raise ValueError("the header of the file of postings is damaged")
    if not (first <= stop <= _MOST_ROWS and width in (2, 4) and 0 <= total < _LARGEST * _MOST_ROWS):
        raise ValueError("the header of the file of postings makes no sense")
    kinds = (
        *(("<f8", pairs), ("<f8", pairs), ("<u8", terms), ("<u8", terms + 1)),
        *(("<f4", terms), ("<f4", terms), ("<u4", terms)),
        *(("<f4", stop - first), ("<u4", postings), (f"<u{width}", postings)),
    )
    arrays, at, directory_end = [], _HEADER.size, 0
    for number, (kind, count) in enumerate(kinds):
        size = np.dtype(kind).itemsize * count
        if at + size > len(data):
            raise ValueError("the file of postings is cut short")
        arrays.append(np.frombuffer(data, kind, count, at))
        at += size + -size % 8
        directory_end = at if number == 6 else directory_end
    if at != len(data):
        raise ValueError("the file of postings is too long")
    if zlib.crc32(data[_HEADER.size : directory_end]) != directory_sum:
        raise ValueError("the directory of the file of postings is damaged")
    counts, lengths, hashes, offsets, largest, shortest, checksums, row_lengths, rows, codes = arrays
    sound = (
        _ascending(hashes)
        and _ascending(offsets)
        and (int(offsets[0]), int(offsets[-1])) == (0, postings)
        and all(((each > 0) & (each < _LARGEST)).all() for each in (counts, lengths, largest, shortest))
    )
    if not sound:
        raise ValueError("the directory of the file of postings makes no sense")
    return Segment(
        *(first, stop, counts, lengths, hashes, offsets, largest, shortest, row_lengths, rows, codes, total),
        *(checksums, lengths_sum),
    )
