"""Faults of an index: how to make each, how ``verify`` names it, and what repairs it."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path

from vecindex.store.stored import record_crc
from vecindex.store.vectors import checksums, map_rows

from .helpers import sql
from .toy import toy_space
from .vector_files import ROW_BYTES, overwrite

REPAIR = "vecindex verify --repair"
ENCODE = f"{REPAIR} --encode"
RESTORE = "restore the directory from a backup"


def lengthened(folder: Path) -> None:
    """A vector that is not of unit length, with the checksum of what is there."""
    overwrite(folder / "vectors-1.f32", 3 * ROW_BYTES, b"\0\0\x80\x3f" * 16)
    sums = checksums(map_rows(folder / "vectors-1.f32", 5, 16)).tobytes()
    sql(folder, f"update sums set sums = x'{sums.hex()}', crc = {zlib.crc32(sums)}")


def bury_living(folder: Path) -> None:
    """Row 3 in the list of the dead as well, which has the right checksum."""
    bits = bytes([0b1110]) + bytes(511)
    sql(folder, f"update dead set bits = x'{bits.hex()}', crc = {zlib.crc32(bits)}")


FAULTS: dict[str, tuple[Callable[[Path], object], str, str, str]] = {
    "a vector": (
        lambda f: overwrite(f / "vectors-1.f32", 3 * ROW_BYTES, b"\xff" * 4),
        *("vectors-1.f32", "the vector of 'd' (row 3) is not what was written", REPAIR),
    ),
    "a vector's length": (
        lengthened,
        *("vectors-1.f32", "the vector of 'd' (row 3) is not finite and of unit length", REPAIR),
    ),
    "a vector file cut": (
        lambda f: os.truncate(f / "vectors-1.f32", 5 * ROW_BYTES - 1),
        *("vectors-1.f32", "it holds 319 bytes; 5 rows need 320", ENCODE),
    ),
    "no vector file": (
        lambda f: (f / "vectors-1.f32").unlink(),
        *("vectors-1.f32", "it is missing; 5 rows need it", ENCODE),
    ),
    "a record lost": (
        lambda f: sql(f, "delete from records where key = 'a'"),
        *("vecindex.db", "2 records and 2 dead rows do not make up its 5 rows", RESTORE),
    ),
    "a record beyond": (
        lambda f: sql(f, "update records set row = 5 where key = 'c'"),
        *("vecindex.db", "3 records and 2 dead rows do not make up its 5 rows", RESTORE),
    ),
    "a record dead too": (
        bury_living,
        *("vecindex.db", "its list of dead rows is not what was written", REPAIR),
    ),
    "no list of dead rows": (
        lambda f: sql(f, "delete from dead"),
        *("vecindex.db", "its list of dead rows is not what was written", REPAIR),
    ),
    "a list of dead rows of other rows": (
        lambda f: sql(f, "update dead set block = 1"),
        *("vecindex.db", "its list of dead rows is not what was written", REPAIR),
    ),
    "checksums": (
        lambda f: sql(f, "update sums set crc = crc + 1"),
        *("vecindex.db", "its checksums of the vectors of rows 0 to 4 are not what was written", REPAIR),
    ),
    "no checksums": (
        lambda f: sql(f, "delete from sums"),
        *("vecindex.db", "its checksums of the vectors of rows 0 to 4 are not what was written", REPAIR),
    ),
    "checksums beyond": (
        lambda f: sql(f, "insert into sums values (1, x'', 0)"),
        *("vecindex.db", "its checksums go beyond its 5 rows", REPAIR),
    ),
    "a text": (
        lambda f: sql(f, "update records set text = 'five' where key = 'd'"),
        *("vecindex.db", "the record 'd' is not what was written", "vecindex delete d"),
    ),
    "a text that is not UTF-8": (
        lambda f: sql(f, "update records set text = cast(x'ff' as text) where key = 'd'"),
        *("vecindex.db", "the record 'd' is not what was written", "vecindex delete d"),
    ),
    "metadata": (
        lambda f: sql(f, "update records set metadata = '{oops' where key = 'd'"),
        *("vecindex.db", "the record 'd' is not what was written", "vecindex delete d"),
    ),
    "metadata of the right checksum": (
        lambda f: sql(f, f"update records set metadata = '[1]', crc = {record_crc('d', 'four', '[1]')} where row = 3"),
        *("vecindex.db", "the record 'd' has metadata that is not a JSON object", "vecindex delete d"),
    ),
    "a key": (
        lambda f: sql(f, "update records set key = '-it''s' where key = 'd'"),
        *("vecindex.db", 'the record "-it\'s" is not what was written', "vecindex delete -- '-it'\"'\"'s'"),
    ),
    "a key that is not UTF-8": (
        lambda f: sql(f, "update records set key = cast(x'ff' as text) where key = 'd'"),
        *("vecindex.db", "the record at row 3 is not what was written, and neither is its key", REPAIR),
    ),
    "a fingerprint": (
        lambda f: sql(f, "update manifest set fingerprint = 'other'"),
        *("vecindex.db", f"the fingerprint other does not match that of its space, {toy_space().fingerprint}", REPAIR),
    ),
    "tokens lost": (
        lambda f: sql(f, "update records set lost = 1 where key = 'd'"),
        *("vecindex.db", "the record 'd' is not what was written", "vecindex delete d"),
    ),
    "a row in the cache": (
        lambda f: sql(f, "update cached set row = 0 where row = 3"),
        *("vecindex.db", "1 entries of its cache are not what was written", REPAIR),
    ),
    "a row beyond in the cache": (
        lambda f: sql(f, "update cached set row = 5 where row = 3"),
        *("vecindex.db", "1 entries of its cache are not what was written", REPAIR),
    ),
    "a digest in the cache": (
        lambda f: sql(f, "update cached set digest = zeroblob(16) where row = 3"),
        *("vecindex.db", "1 entries of its cache are not what was written", REPAIR),
    ),
    "a digest of a dead row in the cache": (
        lambda f: sql(f, "update cached set digest = zeroblob(7) where row = 1"),
        *("vecindex.db", "1 entries of its cache are not what was written", REPAIR),
    ),
    "tokens lost in the cache": (
        lambda f: sql(f, "update cached set lost = 1"),
        *("vecindex.db", "5 entries of its cache are not what was written", REPAIR),
    ),
    "no SQL index": (
        lambda f: sql(f, "drop index idx_records_key"),
        *("vecindex.db", "its SQL index idx_records_key is missing", REPAIR),
    ),
}
