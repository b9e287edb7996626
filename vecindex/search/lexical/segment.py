"""One segment of postings: which of a range of rows have which terms, and how often; to bytes and back.

A file is a header, a directory and the postings, all little-endian and aligned to 8 bytes:

    header      magic, first row, row after the last, counts of terms, postings and pairs, bytes a code, total length,
                checksums (CRC-32) of the lengths, of the pairs and blocks, and of the header before it
    pairs       counts f64, lengths f64: each combination that occurs, ascending
    blocks      of 256 terms: the hash of the first u64, the checksum of the block's terms u32
    terms       hashes u64, ascending; offsets of their postings u64, and the end of the last; for bounds the largest
                count f32 and the least length f32; checksums of their postings u32
    lengths     f32, one a row: how many terms the row has, weighted by field; exact forms are not counted
    postings    rows u32, counted from the first row, ascending for each term; codes u16 or u32: numbers of pairs

A pair says how often the term is in the row and how long the row is. Scores follow from it once the mean length is
known, so that they are exact for whatever rows are live. The header, the pairs and the blocks are checked when a file
is loaded, and the rest where it is first used, so that opening a large file takes no time.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable
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
_TERMS_A_BLOCK = 256
_TERMS_KEPT = 10_000


def term_hash(term: str) -> int:
    """The number that stands for a term."""
    return int.from_bytes(_term_digest(term), "little")


def term_hashes(terms: Iterable[str]) -> npt.NDArray[np.uint64]:
    """The number of each term."""
    return np.frombuffer(b"".join(map(_term_digest, terms)), "<u8").astype(np.uint64)


def _term_digest(term: str) -> bytes:
    return hashlib.blake2b(term.encode("utf-8", "surrogatepass"), digest_size=8).digest()


@dataclass(frozen=True, slots=True, eq=False)
class Checksums:
    """Of a segment's parts; ``heads`` are the hashes of the first term of each block."""

    heads: npt.NDArray[np.uint64]
    blocks: npt.NDArray[np.uint32]
    terms: npt.NDArray[np.uint32]
    lengths: int


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
    checksums: Checksums | None = None
    _checked: set[int | str] = field(default_factory=set)
    _known: dict[int, int] = field(default_factory=dict)

    def find(self, number: int) -> int:
        """The place of the term with this hash; -1 if no row has it.

        Raises:
            ValueError: what it would be found in is damaged.
        """
        known = self._known.get(number)
        if known is None:
            if len(self._known) >= _TERMS_KEPT:
                self._known.clear()
            self._known[number] = known = self._find(number)
        return known

    def _find(self, number: int) -> int:
        wanted = np.uint64(number)
        if self.checksums is None:
            start, stop = 0, len(self.hashes)
        else:
            block = int(np.searchsorted(self.checksums.heads, wanted, side="right")) - 1
            if block < 0:
                return -1
            start, stop = self._checked_block(self.checksums, block)
        at = start + int(np.searchsorted(self.hashes[start:stop], wanted))
        return at if at < stop and self.hashes[at] == wanted else -1

    def _checked_block(self, checksums: Checksums, block: int) -> tuple[int, int]:
        """The first term of a block, and the one after its last."""
        start = block * _TERMS_A_BLOCK
        stop = min(start + _TERMS_A_BLOCK, len(self.hashes))
        if f"block {block}" not in self._checked:
            hashes, offsets = self.hashes[start:stop], self.offsets[start : stop + 1]
            bounds = self.largest[start:stop], self.shortest[start:stop]
            sound = (
                _block_checksum(self, checksums.terms, start) == int(checksums.blocks[block])
                and _ascending(hashes)
                and hashes[0] == checksums.heads[block]
                and _ascending(offsets)
                and offsets[-1] <= len(self.rows)
                and all(((each > 0) & (each < _LARGEST)).all() for each in bounds)
            )
            if not sound:
                raise ValueError(f"block {block} of the terms is damaged")
            self._checked.add(f"block {block}")
        return start, stop

    def postings(self, term: int) -> tuple[npt.NDArray[np.uint32], Array]:
        """The rows that have a term, counted from ``first``, ascending, and the numbers of their pairs.

        Raises:
            ValueError: they are damaged.
        """
        start, stop = int(self.offsets[term]), int(self.offsets[term + 1])
        rows, codes = self.rows[start:stop], self.codes[start:stop]
        if self.checksums is not None and term not in self._checked:
            sound = _checksum(rows, codes) == int(self.checksums.terms[term])
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
        if self.checksums is not None and "lengths" not in self._checked:
            sound = _checksum(self.row_lengths) == self.checksums.lengths
            if not (sound and ((self.row_lengths >= 0) & (self.row_lengths < _LARGEST)).all()):
                raise ValueError("the lengths of the rows are damaged")
            self._checked.add("lengths")
        return self.row_lengths

    def check(self) -> None:
        """Checks everything that is otherwise checked when it is first used.

        Raises:
            ValueError: something is damaged.
        """
        self.checked_lengths()
        if self.checksums is None:
            return
        for block in range(len(self.checksums.blocks)):
            self._checked_block(self.checksums, block)
        if not self._are_postings_sound(self.checksums.terms):
            for term in range(len(self.hashes)):
                self.postings(term)  # raises the error of the first that is damaged

    def _are_postings_sound(self, checksums: Array) -> bool:
        """Whether all postings are as `postings` wants them; their offsets were checked."""
        if not len(self.hashes):
            return True
        begin, end = int(self.offsets[0]), int(self.offsets[-1])
        rows, codes = self.rows[begin:end], self.codes[begin:end]
        rises = rows[1:] > rows[:-1]
        rises[self.offsets[1:-1].astype(np.int64) - begin - 1] = True  # the next term's first row
        return bool(
            rises.all()
            and rows.max() < self.stop - self.first
            and codes.max() < len(self.counts)
            and (_postings_checksums(self) == checksums).all()
        )


def _checksum(*arrays: Array) -> int:
    found = 0
    for array in arrays:
        found = zlib.crc32(array.data, found)
    return found


def _postings_checksums(segment: Segment) -> npt.NDArray[np.uint32]:
    """Of each term the checksum of its postings."""
    rows, codes = segment.rows, segment.codes
    row_bytes, code_bytes = rows.view(np.uint8).data, codes.view(np.uint8).data
    row_ends = pairwise((segment.offsets * np.uint64(rows.itemsize)).tolist())
    code_ends = pairwise((segment.offsets * np.uint64(codes.itemsize)).tolist())
    crc32 = zlib.crc32
    sums = (
        crc32(code_bytes[start:stop], crc32(row_bytes[begin:end]))
        for (begin, end), (start, stop) in zip(row_ends, code_ends, strict=True)
    )
    return np.fromiter(sums, "<u4", len(segment.hashes))


def _block_checksum(segment: Segment, checksums: Array, start: int) -> int:
    """The checksum of the block of terms from ``start`` on, with those of their postings."""
    stop = start + _TERMS_A_BLOCK
    parts = (segment.hashes, segment.largest, segment.shortest, checksums)
    return _checksum(*(each[start:stop] for each in parts), segment.offsets[start : stop + 1])


def _ascending(values: Array) -> bool:
    return bool((values[1:] > values[:-1]).all())


# --- files


def dump(segment: Segment) -> list[bytes]:
    """The parts of the segment's file, in order."""
    rows, codes = segment.rows, segment.codes
    checksums = _postings_checksums(segment)
    starts = range(0, len(checksums), _TERMS_A_BLOCK)
    blocks = np.array([_block_checksum(segment, checksums, start) for start in starts], "<u4")
    parts = (segment.counts, segment.lengths, segment.hashes[::_TERMS_A_BLOCK], blocks)
    checked = b"".join(map(_padded, parts))
    header = _HEADER.pack(
        *(_MAGIC, segment.first, segment.stop, len(segment.hashes), len(rows), len(segment.counts)),
        *(codes.itemsize, _checksum(segment.row_lengths), segment.total, zlib.crc32(checked), 0),
    )[:-4]
    header += struct.pack("<I", zlib.crc32(header))
    others = (segment.hashes, segment.offsets, segment.largest, segment.shortest, checksums)
    return [header, checked, *map(_padded, (*others, segment.row_lengths, rows, codes))]


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
    (magic, first, stop, terms, postings, pairs, width, lengths_sum, total, checked_sum, header_sum) = (
        _HEADER.unpack_from(data)
    )
    if magic != _MAGIC:
        raise ValueError("this is not a file of postings, or another version of vecindex wrote it")
    if zlib.crc32(data[: _HEADER.size - 4]) != header_sum:
        raise ValueError("the header of the file of postings is damaged")
    if not (first <= stop <= _MOST_ROWS and width in (2, 4) and 0 <= total < _LARGEST * _MOST_ROWS):
        raise ValueError("the header of the file of postings makes no sense")
    blocks = -(-terms // _TERMS_A_BLOCK)
    kinds = (
        *(("<f8", pairs), ("<f8", pairs), ("<u8", blocks), ("<u4", blocks)),
        *(("<u8", terms), ("<u8", terms + 1), ("<f4", terms), ("<f4", terms), ("<u4", terms)),
        *(("<f4", stop - first), ("<u4", postings), (f"<u{width}", postings)),
    )
    arrays: list[Array] = []
    ends = [_HEADER.size]
    for kind, count in kinds:
        size = np.dtype(kind).itemsize * count
        if ends[-1] + size > len(data):
            raise ValueError("the file of postings is cut short")
        arrays.append(np.frombuffer(data, kind, count, ends[-1]))
        ends.append(ends[-1] + size + -size % 8)
    if ends[-1] != len(data):
        raise ValueError("the file of postings is too long")
    if zlib.crc32(data[_HEADER.size : ends[4]]) != checked_sum:
        raise ValueError("the directory of the file of postings is damaged")
    counts, lengths, heads, block_sums, hashes, offsets, largest, shortest, term_sums, row_lengths, rows, codes = arrays
    if not (_ascending(heads) and all(((each > 0) & (each < _LARGEST)).all() for each in (counts, lengths))):
        raise ValueError("the directory of the file of postings makes no sense")
    return Segment(
        *(first, stop, counts, lengths, hashes, offsets, largest, shortest, row_lengths, rows, codes, total),
        Checksums(heads, block_sums, term_sums, lengths_sum),
    )
