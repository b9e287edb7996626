"""One segment of token codes: those of the texts of a range of rows; to bytes and back.

A file is a header and three arrays, all little-endian, each filled up to a multiple of 8 bytes with zeros:

    header      magic, first row, row after the last, number of tokens u64; dimension of the vectors, bytes of codes a
                token, checksum (CRC-32) of the rows' checksums, and of the header before it u32
    offsets     u64, one a row and one more: how many tokens there are before the row
    checksums   u32, one a row: of its offset, that of the next row, and its codes
    codes       of each token, as `token_codes` makes them

A row that is no record any more, and one of whose text the model knows no token, has no token. The header and the
checksums are checked when a file is loaded, and the codes of a row when they are first used, so that a large file is
opened in no time.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from .token_codes import Codes, bytes_a_token

Buffer = memoryview | bytes

_MAGIC = b"VXTOKEN1"
_HEADER = struct.Struct("<8s3Q4I")
HEADER_BYTES = _HEADER.size
"""The size of a header, which has the checksum of all checksums."""
_MOST_ROWS = 2**32 - 1


@dataclass(frozen=True, eq=False)
class TokenSegment:
    """The codes of the rows from ``first`` up to ``stop``, of vectors with ``dimension`` numbers.

    Arrays are as in the file; ``is_checked`` says which rows are known to be sound.
    """

    first: int
    stop: int
    dimension: int
    offsets: npt.NDArray[np.uint64]
    checksums: npt.NDArray[np.uint32]
    codes: Codes
    is_checked: npt.NDArray[np.bool_]

    @property
    def tokens(self) -> int:
        """How many tokens all rows have."""
        return len(self.codes)

    @property
    def size(self) -> int:
        """How many bytes its file has."""
        rows, codes = self.stop - self.first, self.codes.nbytes
        return HEADER_BYTES + 8 * (rows + 1) + 4 * (rows + rows % 2) + codes + -codes % 8

    def of_row(self, row: int) -> Codes:
        """The codes of a row (tokens, bytes).

        Raises:
            ValueError: they are damaged.
        """
        place = row - self.first
        start, stop = self.offsets[place : place + 2].tolist()
        codes = self.codes[start:stop]
        if not self.is_checked[place]:
            sound = start <= stop <= len(self.codes)
            if not sound or _checksum(self.offsets, codes, place) != int(self.checksums[place]):
                raise ValueError(f"the token vectors of row {row} are damaged")
            self.is_checked[place] = True
        return codes

    def check(self, dimension: int) -> None:
        """Checks everything that is otherwise checked when it is first used, by vectors of this ``dimension``.

        Raises:
            ValueError: something is damaged, or its vectors have another dimension.
        """
        if self.dimension != dimension:
            raise ValueError(f"its vectors have {self.dimension} dimensions, and not {dimension}")
        for row in range(self.first, self.stop):
            self.of_row(row)
        if self.offsets[0] != 0 or self.offsets[-1] != len(self.codes):
            raise ValueError("there are more token vectors than those of its rows")


def build(first: int, codes: Sequence[Codes], dimension: int) -> TokenSegment:
    """The segment of rows from ``first`` on with these codes (tokens, bytes) each."""
    together = np.concatenate([np.empty((0, bytes_a_token(dimension)), np.uint8), *codes])
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in codes], dtype=np.int64)]).astype("<u8")
    sums = [_checksum(offsets, each, place) for place, each in enumerate(codes)]
    checksums, is_checked = np.array(sums, "<u4"), np.ones(len(codes), np.bool_)
    return TokenSegment(first, first + len(codes), dimension, offsets, checksums, together, is_checked)


def merge(segments: Sequence[TokenSegment]) -> TokenSegment:
    """One segment of several, each of which begins where the one before ends.

    Raises:
        ValueError: they do not, or there are none, or one is damaged.
    """
    if not segments or any(one.stop != other.first for one, other in pairwise(segments)):
        raise ValueError("only segments of adjacent rows are merged")
    rows = [segment.of_row(row) for segment in segments for row in range(segment.first, segment.stop)]
    return build(segments[0].first, rows, segments[0].dimension)


def renumbered(segment: TokenSegment, rows: npt.NDArray[np.int64], first: int, stop: int) -> TokenSegment:
    """The segment with other rows, from ``first`` up to ``stop``.

    Args:
        segment: the segment as it is.
        rows: for each of its rows the new number, ascending, or -1 for one that is dropped.
        first: the first row of the new segment.
        stop: the row after its last.

    Raises:
        ValueError: the rows are others than that, or the segment is damaged.
    """
    kept = np.flatnonzero(rows >= 0)
    if len(rows) != segment.stop - segment.first or rows[kept].tolist() != list(range(first, stop)):
        raise ValueError("the new numbers of the rows are not one for each, ascending")
    return build(first, [segment.of_row(segment.first + place) for place in kept.tolist()], segment.dimension)


def dump(segment: TokenSegment) -> list[Buffer]:
    """The parts of the segment's file, in order."""
    sums = segment.checksums.astype("<u4").tobytes()
    header = _HEADER.pack(
        *(_MAGIC, segment.first, segment.stop, segment.tokens),
        *(segment.dimension, segment.codes.shape[1], zlib.crc32(sums), 0),
    )[:-4]
    header += struct.pack("<I", zlib.crc32(header))
    codes = np.ascontiguousarray(segment.codes).reshape(-1).data  # no copy: they may be large
    return [header, segment.offsets.astype("<u8").tobytes(), _padded(sums), codes, bytes(-len(codes) % 8)]


def load(data: Buffer) -> TokenSegment:
    """The segment of a file's bytes, usually mapped; arrays refer to them.

    Raises:
        ValueError: they are not those of a sound segment.
    """
    data = memoryview(data).cast("B")
    if len(data) < HEADER_BYTES:
        raise ValueError("the file of token vectors is too short for its header")
    magic, first, stop, tokens, dimension, width, sums_sum, header_sum = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        raise ValueError("this is no file of token vectors, or one of another version of vecindex")
    if zlib.crc32(data[: HEADER_BYTES - 4]) != header_sum:
        raise ValueError("the header of the file of token vectors is damaged")
    if not (first <= stop <= _MOST_ROWS and width == bytes_a_token(dimension)):
        raise ValueError("the header of the file of token vectors makes no sense")
    rows = stop - first
    sizes = (8 * (rows + 1), 4 * rows, width * tokens)
    begins = [HEADER_BYTES]
    for size in sizes:
        begins.append(begins[-1] + size + -size % 8)
    if begins[-1] != len(data):
        raise ValueError("the file of token vectors is cut short, or too long")
    if any(any(data[begin + size : end]) for size, (begin, end) in zip(sizes, pairwise(begins), strict=True)):
        raise ValueError("the file of token vectors is not filled up with zeros")
    offsets = np.frombuffer(data, "<u8", rows + 1, begins[0])
    checksums = np.frombuffer(data, "<u4", rows, begins[1])
    codes = np.frombuffer(data, np.uint8, width * tokens, begins[2]).reshape(tokens, width)
    if zlib.crc32(checksums.data) != sums_sum:
        raise ValueError("the checksums of the file of token vectors are damaged")
    return TokenSegment(first, stop, dimension, offsets, checksums, codes, np.zeros(rows, np.bool_))


def _checksum(offsets: npt.NDArray[Any], codes: Codes, place: int) -> int:
    """The checksum of a row, which is the one at ``place``."""
    return zlib.crc32(np.ascontiguousarray(codes).data, zlib.crc32(offsets[place : place + 2].data))


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)
