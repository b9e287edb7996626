"""Defines and checks the entries of the cache: which texts were encoded here, and in which row each vector is.

The cache holds no vectors. An entry names a row of the vector file, of a record or a dead one that was not compacted
yet. All rows are in the index's one space, so the digest of a text identifies its entry.

An entry can be checked by itself, whatever else is damaged: its checksum covers its digest, the number of lost tokens
and the checksum of its vector. If they do not match, the text is encoded again.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .stored import Stored
from .vectors import Rows, Sums, Vectors, checksums

BYTES_AN_ENTRY = 36
"""What an entry takes in the database, including pages that are not full; measured with 100,000 entries."""
_COVERED = struct.Struct("<16sQI")


@dataclass(slots=True)  # not frozen: as many are made as texts are added, and freezing costs three times as much
class Entry:
    """A row of the table ``cached``, never changed: the text with ``digest`` has the vector at ``row``."""

    digest: bytes
    row: int
    lost: int
    crc: int


def text_digest(text: str) -> bytes:
    """The first 128 bits of the SHA-256 of a text in UTF-8."""
    return hashlib.sha256(text.encode()).digest()[:16]


def entry_crc(digest: bytes, lost: int, checksum: int) -> int:
    """CRC-32 of the digest, of ``lost`` in 8 bytes and of the vector's checksum in 4, little-endian."""
    return zlib.crc32(_COVERED.pack(digest, lost, checksum))


def entries_of(records: Sequence[Stored], digests: Sequence[bytes | None], sums: Sums) -> Iterator[Entry]:
    """The entries of those of the new records whose text has a digest; ``sums`` are the checksums of their vectors."""
    for record, digest, checksum in zip(records, digests, sums.tolist(), strict=False):
        if digest is not None:
            yield Entry(digest, record.row, record.lost, entry_crc(digest, record.lost, checksum))


def sound(entries: Sequence[Entry], vectors: Vectors) -> list[tuple[Entry, Vectors]]:
    """The undamaged ``entries``, each with a copy (D,) of its vector among ``vectors`` (rows, D)."""
    inside = [entry for entry in entries if 0 <= entry.row < len(vectors) and 0 <= entry.lost < 2**63]
    if not inside:
        return []
    rows: Rows = np.array([entry.row for entry in inside], np.int64)
    copies: Vectors = np.asarray(vectors)[rows]
    sums = checksums(copies).tolist()
    return [
        (entry, copy)
        for entry, copy, checksum in zip(inside, copies, sums, strict=True)
        if checksum and entry.crc == entry_crc(entry.digest, entry.lost, checksum)  # 0 is that of no vector
    ]
