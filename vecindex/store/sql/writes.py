"""Runs every SQL statement that changes an index, inside `Connection.writing` and under the writer's lock.

Methods that change rows return the new manifest, for `commit` to write.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ...filters.sql import index_terms
from ...filters.tree import parse_path
from ..manifest import Manifest
from ..stored import NOWHERE, Stored, record_crc
from ..text_cache import Entry
from ..vectors import ROWS_A_BLOCK, Rows, Sums
from .document_writes import DocumentTables
from .schema import AT, AT_SQL, write_manifest

Bits = npt.NDArray[np.uint8]
"""A bitmap of rows, lowest bit first."""
BYTES_A_BLOCK = ROWS_A_BLOCK // 8

_INSERT = (
    f"insert into records (row, key, text, metadata, lost, {AT_SQL}, crc) values ({', '.join('?' * (len(AT) + 6))})"
)


def field_index(field: str) -> str:
    """The name of the SQL index on a metadata field."""
    return f"field {field}, SQLite {sqlite3.sqlite_version}"


def field_indexes(connection: sqlite3.Connection) -> set[str]:
    """The names of all SQL indexes on metadata fields, of any SQLite release."""
    found = connection.execute("select name from sqlite_master where type = 'index' and name like 'field %'")
    return {name for (name,) in found}


class Tables(DocumentTables):
    """Changes the tables of one connection."""

    def commit(self, manifest: Manifest) -> None:
        """Makes ``manifest`` the next generation."""
        self.annotate(replace(manifest, generation=manifest.generation + 1))

    def annotate(self, manifest: Manifest) -> None:
        """Writes a manifest that differs only in what is derived from the records; the generation stays."""
        write_manifest(self._sqlite, manifest)

    def insert(self, manifest: Manifest, records: Sequence[Stored], sums: Sums) -> Manifest:
        """Inserts records at the rows behind the committed ones, with the checksums of their vectors."""
        self._insert(records)
        first = manifest.rows // ROWS_A_BLOCK
        found = self._sqlite.execute("select sums from sums where block = ?", (first,)).fetchone()
        content = found[0] if found else b""
        if not isinstance(content, bytes) or len(content) != 4 * (manifest.rows % ROWS_A_BLOCK):
            raise sqlite3.DatabaseError(f"its checksums are not those of {manifest.rows} rows")
        self.set_sums(first, np.concatenate([np.frombuffer(content, "<u4"), sums.astype("<u4")]))
        return replace(manifest, rows=manifest.rows + len(records))

    def set_sums(self, first_block: int, sums: Sums) -> None:
        """Stores the checksums of the rows from block ``first_block`` on."""
        blocks = (sums[i : i + ROWS_A_BLOCK].tobytes() for i in range(0, len(sums), ROWS_A_BLOCK))
        self._sqlite.executemany(
            "insert or replace into sums (block, sums, crc) values (?, ?, ?)",
            ((number, block, zlib.crc32(block)) for number, block in enumerate(blocks, first_block)),
        )

    def remember(self, entries: Iterable[Entry]) -> None:
        """Puts these texts into the cache, each at its newest row, which is likely to stay longest."""
        self._sqlite.executemany(
            "insert or replace into cached (digest, row, lost, crc) values (?, ?, ?, ?)",
            # In the order of the table, each of its pages is looked for once.
            sorted((entry.digest, entry.row, entry.lost, entry.crc) for entry in entries),
        )

    def forget(self, digests: Iterable[object] | None = None) -> None:
        """Removes these texts from the cache, or all."""
        if digests is None:
            self._sqlite.execute("delete from cached")
        else:
            self._sqlite.executemany("delete from cached where digest = ?", ((digest,) for digest in digests))

    def relabel(self, records: Iterable[tuple[Stored, Stored]]) -> None:
        """Gives records, each first as it is, another key, metadata and place; row and text stay."""
        listed = list(records)
        # Sentences swap their numbers, so the old keys must all be free first.
        self._sqlite.executemany("delete from records where row = ?", ((old.row,) for old, _ in listed))
        self._insert([new for _, new in listed])

    def set_lost(self, changes: Iterable[tuple[Stored, int]]) -> None:
        """Gives these records a new value of ``lost``."""
        self._sqlite.executemany(
            "update records set lost = ?, crc = ? where row = ?",
            ((lost, record_crc(old.key, old.text, old.metadata, lost, old.at), old.row) for old, lost in changes),
        )

    def bury(self, manifest: Manifest, rows: Rows) -> Manifest:
        """Deletes the records at these rows, which must not be dead yet, and marks the rows as dead."""
        rows = np.unique(rows)  # the manifest counts each once
        if len(rows) == 0:
            return manifest
        found = self._sqlite.executemany("delete from records where row = ?", ((row,) for row in rows.tolist()))
        if found.rowcount != len(rows):
            raise sqlite3.DatabaseError(f"{len(rows)} records were to be deleted, but only {found.rowcount} exist")
        self.mark_dead(manifest, rows)
        return replace(manifest, dead=manifest.dead + len(rows))

    def mark_dead(self, manifest: Manifest, rows: Rows) -> None:
        """Sets the bits of these rows in the list of dead rows."""
        rows = np.sort(rows)
        blocks, starts = np.unique(rows // ROWS_A_BLOCK, return_index=True)
        for block, dead in zip(blocks.tolist(), np.split(rows, starts[1:]), strict=True):
            found = self._sqlite.execute("select bits from dead where block = ?", (block,)).fetchone()
            content = found[0] if found else bytes(BYTES_A_BLOCK)
            if not isinstance(content, bytes) or len(content) != BYTES_A_BLOCK:
                raise sqlite3.DatabaseError("its list of dead rows is not what was written")
            bits = np.frombuffer(content, np.uint8).copy()
            within = dead - block * ROWS_A_BLOCK
            np.bitwise_or.at(bits, within // 8, (1 << (within % 8)).astype(np.uint8))
            self._sqlite.execute(
                "insert or replace into dead (block, generation, bits, crc) values (?, ?, ?, ?)",
                (block, manifest.generation + 1, bits.tobytes(), zlib.crc32(bits.tobytes())),
            )

    def renumber(self, live: Rows, sums: Sums) -> None:
        """After a compaction: the i-th live row becomes row i with checksum ``sums[i]``, and no row is dead.

        Drops the cache's entries of rows that are gone.
        """
        # In ascending order a row's new number is free when its turn comes, since it is never above the old one.
        moved = np.flatnonzero(live != np.arange(len(live)))
        self._sqlite.executemany(
            "update records set row = ? where row = ?", zip(moved.tolist(), live[moved].tolist(), strict=True)
        )
        self._sqlite.execute("delete from dead")
        self._sqlite.execute("delete from sums")
        self.set_sums(0, sums)
        self._renumber_cached(live)

    def _renumber_cached(self, live: Rows) -> None:
        after = np.full(int(live[-1]) + 1 if len(live) else 0, -1, np.int64)
        after[live] = np.arange(len(live))

        def renumbered(row: int) -> int:
            return int(after[row]) if 0 <= row < len(after) else -1

        self._sqlite.create_function("renumbered", 1, renumbered, deterministic=True)
        try:
            self._sqlite.execute("delete from cached where renumbered(row) < 0")
            self._sqlite.execute("update cached set row = renumbered(row) where renumbered(row) <> row")
        finally:
            self._sqlite.create_function("renumbered", 1, None)

    def create_field_indexes(self, fields: Iterable[str]) -> None:
        """Makes the SQL indexes on these metadata fields, and drops all others.

        SQLite releases differ in the last bit of some numbers that they read from JSON, so a release may not find the
        entry to remove in an index that another one filled. An index is therefore named after the release, and the
        first writer with another release makes it again.
        """
        wanted = {field_index(field): field for field in fields}
        found = field_indexes(self._sqlite)
        for name in found - wanted.keys():
            self._sqlite.execute(f"drop index {_quoted(name)}")
        for name in wanted.keys() - found:
            terms = index_terms(parse_path(wanted[name]))
            self._sqlite.execute(f"create index {_quoted(name)} on records ({terms})")

    def _insert(self, records: Iterable[Stored]) -> None:
        self._sqlite.executemany(
            _INSERT,
            ((r.row, r.key, r.text, r.metadata, r.lost, *(r.at or NOWHERE), _crc(r)) for r in records),
        )


def _crc(record: Stored) -> int:
    return record_crc(record.key, record.text, record.metadata, record.lost, record.at)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
