"""Runs every SQL statement that reads an index, with plain sqlite3, since this is the hot path.

Read inside `reading`: SQLite in WAL mode then shows one generation, whatever is committed meanwhile.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...errors import CorruptIndex, IncompatibleFormat
from ...filters.sql import compile_sql
from ...filters.tree import Filter, parse_path
from ...values.nested import nesting
from ...values.records import NO_VECTOR, UNKNOWN
from ..disk.files import DATABASE_FILE, storage_errors
from ..disk.lock import LOCK_FILE, last_commit
from ..manifest import COLUMNS, Manifest, check_types, checksum, from_row
from ..stored import Stored, metadata_of, place_of, record_crc
from ..text_cache import Entry
from ..vectors import ROWS_A_BLOCK, Rows, Sums
from .documents import A_STATEMENT, Documents
from .placed import paths_of, relation
from .schema import AT_SQL, FORMAT, TABLES, VIEWS
from .writes import BYTES_A_BLOCK, Tables, field_index, field_indexes

_SMALL = 2**20  # bytes: some 5,000 records, checked in 15 ms
_MANIFEST = f"select {', '.join(COLUMNS)}, crc from manifest"
RECORD_COLUMNS = f"row, key, text, metadata, lost, {AT_SQL}, crc"
_RECORD = f"select {RECORD_COLUMNS} from records"


class Catalog(Documents):
    """A connection that reads the records and the manifest; `changing` writes. For one thread at a time."""

    def __init__(self, folder: Path, readonly: bool = False) -> None:
        """Raises IndexNotFound, CorruptIndex, StorageError or IncompatibleFormat."""
        super().__init__(folder, readonly)
        self._last: tuple[tuple[Any, ...], Manifest] | None = None
        try:
            with self.errors():
                self._check_format()
                self._check_is_newest()
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def changing(self) -> Iterator[Tables]:
        """One write transaction; only under the writer's lock, so that the manifest read there stays valid."""
        with self.writing():
            tables = Tables(self.sqlite)
            tables.create_field_indexes(self.manifest().fields)
            yield tables

    # Reading

    @contextlib.contextmanager
    def reading(self) -> Iterator[Manifest]:
        """One read transaction: everything read inside is of the manifest's generation."""
        with self.transaction():
            yield self.manifest()

    def manifest(self) -> Manifest:
        """What is committed; raises CorruptIndex if it contradicts itself."""
        with self.errors():
            row = self.sqlite.execute(_MANIFEST).fetchone()
        if self._last is not None and self._last[0] == row:
            return self._last[1]
        if row is None:
            raise CorruptIndex(str(self.path), "its manifest is empty")
        columns = row[:-1]
        try:
            check_types(columns)
            if checksum(columns) != row[-1]:
                raise ValueError("its manifest is not what was written")
            manifest = from_row(columns)
        except ValueError as error:
            raise CorruptIndex(str(self.path), str(error)) from None
        self._last = row, manifest
        return manifest

    def losses(self) -> tuple[int, int, int, int]:
        """How many records were truncated, how many tokens they lost in all, in how many no token is known.

        The last number is how many have no vector.
        """
        with self.errors():
            sql = (
                "select total(has and lost % :unknown > 0), total(iif(has, lost % :unknown, 0)), "
                "total(has and lost >= :unknown), total(not has) "
                "from (select lost, lost < :none as has from records where lost > 0)"
            )
            counts = self.sqlite.execute(sql, {"unknown": UNKNOWN, "none": NO_VECTOR}).fetchone()
        if not all(map(math.isfinite, counts)):
            raise CorruptIndex(str(self.path), "its counts of lost tokens are not what was written")
        truncated, tokens, unknown, without_vector = map(int, counts)
        return truncated, tokens, unknown, without_vector

    def count_cached(self) -> int:
        """How many texts the cache holds."""
        return int(self._one("select count(*) from cached"))

    def cached(self, digests: Iterable[bytes]) -> list[Entry]:
        """The cache's entries for these texts, unchecked and in any order; see `text_cache.sound`."""
        wanted, found = list(digests), list[Entry]()
        with self.errors():
            for start in range(0, len(wanted), A_STATEMENT):
                some = wanted[start : start + A_STATEMENT]
                sql = f"select digest, row, lost, crc from cached where digest in ({', '.join('?' * len(some))})"
                found += [Entry(*row) for row in self.sqlite.execute(sql, some) if _types(row[1:]) == (int, int, int)]
        return found

    def cached_records(self, size: int) -> list[Entry]:
        """Up to so many entries of the cache whose rows are records, unchecked; the order of digests is random."""
        sql = (
            "select digest, cached.row, cached.lost, cached.crc from cached join records on records.row = cached.row "
            "order by digest limit ?"
        )
        with self.errors():
            return [Entry(*row) for row in self.sqlite.execute(sql, (size,)) if _types(row[1:]) == (int, int, int)]

    def find(self, keys: Iterable[str]) -> dict[str, Stored]:
        """The records with these keys, by key; a key without a record is left out."""
        return {stored.key: stored for stored in self._records_among("key", list(keys))}

    def pieces_of(self, documents: Iterable[int]) -> list[Stored]:
        """The records that these documents were cut into, each document's in order."""
        sql = f"{_RECORD} where document = ? order by position"
        with self.errors():
            return [self._stored(row) for id in documents for row in self.sqlite.execute(sql, (id,))]

    def pieces_within(self, document: int, first: int, last: int) -> list[Stored]:
        """The records of a document from position ``first`` to ``last``."""
        sql = f"{_RECORD} where document = ? and position between ? and ? order by position"
        with self.errors():
            return [self._stored(row) for row in self.sqlite.execute(sql, (document, first, last))]

    def lines_within(self, source: int, first: int, last: int) -> list[Stored]:
        """The records that are whole rows of a source, from position ``first`` to ``last``."""
        sql = f"{_RECORD} where source = ? and position between ? and ? and document is null order by position"
        with self.errors():
            return [self._stored(row) for row in self.sqlite.execute(sql, (source, first, last))]

    def rows_from(self, sources: Iterable[int]) -> Rows:
        """The rows of all records from these sources, ascending."""
        found = [self._rows("select row from records where source = ?", (id,)) for id in sources]
        return np.sort(np.concatenate([np.empty(0, np.int64), *found]))

    def rows_of(self, keys: Iterable[str]) -> dict[str, int]:
        """The rows of the records with these keys, even if damaged; a key without a record is left out."""
        sql = "select row from records where key = ?"
        with self.errors():
            found = {key: self.sqlite.execute(sql, (key,)).fetchone() for key in keys}
        return {key: self._whole(row[0]) for key, row in found.items() if row is not None}

    def fetch(self, rows: Iterable[int]) -> list[Stored]:
        """The records at these rows, in the same order; every row must be live."""
        wanted = list(rows)
        found = {stored.row: stored for stored in self._records_among("row", wanted)}
        try:
            return [found[row] for row in wanted]
        except KeyError:
            raise CorruptIndex(str(self.path), "a row of the vector file is neither a record nor dead") from None

    def records(self) -> Iterator[Stored]:
        """All records by row."""
        with self.errors():
            for row in self.sqlite.execute(f"{_RECORD} order by row"):
                yield self._stored(row)

    def records_within(self, first: int, stop: int) -> Iterator[Stored]:
        """The records at the rows from ``first`` up to ``stop``, by row."""
        with self.errors():
            for row in self.sqlite.execute(f"{_RECORD} where row >= ? and row < ? order by row", (first, stop)):
                yield self._stored(row)

    def keys(self) -> list[str]:
        """All keys by row."""
        with self.errors():
            found = [key for (key,) in self.sqlite.execute("select key from records order by row")]
        if not all(type(key) is str for key in found):
            raise CorruptIndex(str(self.path), "a key is not text")
        return found

    def live_rows(self, rows: int) -> Rows:
        """The rows of all records, ascending; raises CorruptIndex if they are not, or are beyond ``rows``."""
        found = self._rows("select row from records order by row")
        if len(found):
            self.check_within((int(found.min()), int(found.max())), rows)
            if (found[1:] <= found[:-1]).any():  # by SQLite, which trusts the order of its pages
                raise CorruptIndex(str(self.path), "its records are out of order")
        return found

    def check_within(self, found: Iterable[int], rows: int) -> None:
        """Raises CorruptIndex if one of the rows ``found`` is beyond the committed ``rows``."""
        for row in found:
            if not 0 <= row < rows:
                raise CorruptIndex(str(self.path), f"it holds records beyond its {rows} rows")

    def rows_where(self, where: Filter, indexed: Collection[str] = ()) -> Rows:
        """The rows of the records that the filter selects, in any order; ``indexed`` fields have an SQL index."""
        with self.errors():
            there = field_indexes(self.sqlite) if indexed else set()
        usable = frozenset(parse_path(field) for field in indexed if field_index(field) in there)
        begin, table = relation(paths_of(where))
        sql, parameters = compile_sql(where, indexed=usable if table == "records" else frozenset())
        return self._rows(f"{begin}select row from {table} where {sql}", parameters)

    def sums(self, first_block: int, rows: int) -> Sums:
        """The checksums of the rows from block ``first_block`` up to row ``rows``; raises CorruptIndex."""
        sql = "select block, sums, crc from sums where block >= ? order by block"
        last = -(-rows // ROWS_A_BLOCK)
        with self.errors():
            found = self.sqlite.execute(sql, (first_block,)).fetchall()
        if (
            len(found) != last - first_block
            or [block for block, _, _ in found] != list(range(first_block, last))
            or any(type(s) is not bytes or len(s) % 4 or zlib.crc32(s) != crc for _, s, crc in found)
        ):
            raise CorruptIndex(str(self.path), "its checksums of the vectors are not what was written")
        sums = np.frombuffer(b"".join(s for _, s, _ in found), dtype="<u4")
        if len(sums) != max(rows - first_block * ROWS_A_BLOCK, 0):
            raise CorruptIndex(str(self.path), f"its checksums are not those of {rows} rows")
        return sums

    def dead_since(self, generation: int) -> list[tuple[int, bytes]]:
        """(block, bitmap) of the dead rows of each block that changed after ``generation``; raises CorruptIndex."""
        sql = "select block, bits, crc from dead where generation > ?"
        with self.errors():
            found = self.sqlite.execute(sql, (generation,)).fetchall()
        if any(
            _types((block, bits)) != (int, bytes) or block < 0 or zlib.crc32(bits) != crc or len(bits) != BYTES_A_BLOCK
            for block, bits, crc in found
        ):
            raise CorruptIndex(str(self.path), "its list of dead rows is not what was written")
        return [(block, bits) for block, bits, _ in found]

    def fingerprint(self) -> str | None:
        """The fingerprint as it was written, to compare with that of the space."""
        found = self._one("select fingerprint from manifest")
        return None if found is None else str(found)

    def integrity_fault(self) -> str | None:
        """The first fault that SQLite's own check finds, if any."""
        found = str(self._one("pragma integrity_check(1)"))
        return None if found == "ok" else found

    def check_small(self) -> None:
        """Checks the whole database if that takes milliseconds; raises CorruptIndex.

        Only this and `verify` find damage that hides a record from a filter or from its key.
        """
        with storage_errors(self.path):
            if self.path.stat().st_size > _SMALL:
                return
        if fault := self.integrity_fault():
            raise CorruptIndex(str(self.path), fault)
        for _ in self.records():
            pass

    def metadata(self, record: Stored) -> dict[str, Any]:
        """Parses a record's metadata; raises CorruptIndex."""
        try:
            return metadata_of(record.metadata)
        except ValueError:
            raise CorruptIndex(str(self.path), f"the metadata of {record.key!r} is not a JSON object") from None
        except RecursionError:
            levels = nesting(record.metadata)
            reason = f"the metadata of {record.key!r} is nested {levels} levels deep, more than can be read"
            raise CorruptIndex(str(self.path), reason) from None

    def _check_format(self) -> None:
        schema = self.sqlite.execute("select type, name, coalesce(sql, '') from sqlite_master").fetchall()
        tables = {name for kind, name, _ in schema if kind == "table"}
        for kind, name, sql in schema:
            if VIEWS.get(name) == sql:
                continue
            if kind not in ("table", "index") or sql[:14].lower() == "create virtual":
                what = "virtual table" if kind == "table" else kind
                raise CorruptIndex(str(self.path), f"it holds a {what}, {name!r:.200}, which no index has")
        if "manifest" in tables:
            found = self.sqlite.execute("select format from manifest").fetchone()
            if found is not None and not isinstance(found[0], int):
                raise CorruptIndex(str(self.path), "its manifest is not what was written")
            if found is not None and found[0] != FORMAT:
                raise IncompatibleFormat(str(self.folder), found[0], FORMAT)
        if not tables.issuperset(TABLES):
            raise CorruptIndex(str(self.path), "it is an SQLite database, but not a vecindex one")

    def _check_is_newest(self) -> None:
        noted = last_commit(self.folder)  # read before the manifest, since a noted commit is durable
        manifest = self.manifest()
        if noted is not None and noted[1] == manifest.created and noted[0] > manifest.generation:
            raise CorruptIndex(
                f"{self.path}-wal",
                f"commits {manifest.generation + 1} to {noted[0]} are lost; if you restored an older {DATABASE_FILE} "
                f"on purpose, remove {LOCK_FILE}",
            )

    def _stored(self, row: tuple[Any, ...]) -> Stored:
        try:
            return stored_from(row)
        except ValueError as error:
            raise CorruptIndex(str(self.path), str(error)) from None

    def _records_among(self, column: Literal["row", "key"], values: Sequence[int] | Sequence[str]) -> list[Stored]:
        """The records with these rows or keys, in any order."""
        found: list[Stored] = []
        with self.errors():
            for start in range(0, len(values), A_STATEMENT):
                some = values[start : start + A_STATEMENT]
                sql = f"{_RECORD} where {column} in ({', '.join('?' * len(some))})"
                found += map(self._stored, self.sqlite.execute(sql, some))
        return found

    def _one(self, sql: str) -> Any:
        with self.errors():
            return self.sqlite.execute(sql).fetchone()[0]

    def _rows(self, sql: str, parameters: Sequence[object] = ()) -> Rows:
        with self.errors():
            found: sqlite3.Cursor = self.sqlite.execute(sql, parameters)
            try:
                return np.fromiter((row[0] for row in found), dtype=np.int64)
            except (TypeError, ValueError, OverflowError) as error:
                raise CorruptIndex(str(self.path), f"the row of a record is not a number: {error}") from None

    def _whole(self, row: object) -> int:
        if type(row) is not int:
            raise CorruptIndex(str(self.path), f"the row {row!r:.200} of a record is not a number")
        return row


def stored_from(row: tuple[Any, ...]) -> Stored:
    """The record in `RECORD_COLUMNS`; raises ValueError if it is not what was written."""
    number, key, text, metadata, lost = row[:5]
    # Written out for speed: opening a small index reads every record here.
    are_texts = type(key) is str and type(text) is str and type(metadata) is str
    if are_texts and type(number) is int and type(lost) is int and lost >= 0:
        try:
            at = place_of(row[5:11])
            if record_crc(key, text, metadata, lost, at) == row[11]:
                return Stored(number, key, text, metadata, lost, at)
        except ValueError:
            pass
    raise ValueError(f"the record {key!r} is not what was written")


def _types(values: Sequence[object]) -> tuple[type, ...]:
    return tuple(map(type, values))
