"""The bytes of a vector file: their size, their checksums, and how to overwrite them."""

from __future__ import annotations

import struct
from pathlib import Path

from .toy import DIMENSION

ROW_BYTES = 4 * DIMENSION


def by_definition(row: bytes) -> int:
    """The checksum of a row's bytes, as `store.vectors.checksums` defines it."""

    def splitmix64(i: int) -> int:
        z: int = (i + 1) * 0x9E3779B97F4A7C15 % 2**64
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        return z ^ z >> 31

    words = struct.unpack(f"<{-(-len(row) // 8)}Q", row + b"\0" * (-len(row) % 8))
    h = sum(word * (splitmix64(i) | 1) for i, word in enumerate(words)) % 2**64
    return int(h ^ h >> 32) % 2**32


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)
