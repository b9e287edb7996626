"""Reads the tables of sources, documents and repeats."""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, get_args

from ...errors import CorruptIndex
from ...values.records import Unit
from ...values.sources import SourceKind, SourceState
from ..disk.connection import Connection
from ..stored import BY_HAND, Identity, NewDocument, Repeat, StoredDocument, document_crc, metadata_of, repeat_crc

A_STATEMENT = 500
ROWS_AT_ONCE = 10_000
SOURCE_COLUMNS = tuple(SourceState.__dataclass_fields__)
SOURCE = f"select {', '.join(SOURCE_COLUMNS)}, crc from sources"
DOCUMENT_COLUMNS = ("id", "kind", "key", "source", "title", "digest", "metadata", "language")
DOCUMENT = f"select {', '.join(DOCUMENT_COLUMNS)}, crc from documents"
REPEAT = "select key, source, place, crc from repeats"
_KINDS = {"row", "file"}
_SOURCE_KINDS, _UNITS = {*get_args(SourceKind)}, {*get_args(Unit)}


def source_crc(state: SourceState) -> int:
    """CRC-32 of all columns as a JSON array."""
    columns = [getattr(state, name) for name in SOURCE_COLUMNS]
    return zlib.crc32(json.dumps(columns, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def source_from(row: tuple[Any, ...]) -> SourceState:
    """The source in the columns of `SOURCE`; raises ValueError if it is not what was written."""
    state = SourceState(*row[:-1])
    texts = (state.kind, state.location, state.query, state.reader, state.options, state.added)
    may_be_null = ((state.size, int), (state.modified, int), (state.digest, str), (state.unit, str))
    if (
        all(type(text) is str for text in texts)
        and type(state.id) is type(state.stale) is type(state.imported) is int
        and state.id > BY_HAND
        and state.imported in (0, 1)
        and all(value is None or type(value) is kind for value, kind in may_be_null)
        and state.kind in _SOURCE_KINDS
        and (state.unit is None or state.unit in _UNITS)
        and "\0" not in state.location
        and source_crc(state) == row[-1]
    ):
        return state
    raise ValueError(f"the source {state.location!r:.200} is not what was written")


def document_from(row: tuple[Any, ...]) -> StoredDocument:
    """The document in the columns of `DOCUMENT`; raises ValueError if it is not what was written."""
    id, kind, key, source, title, digest, metadata, language, crc = row
    may_be_null = ((source, int), (title, str), (language, str))
    if (
        kind in _KINDS
        and type(key) is type(metadata) is str
        and type(digest) is bytes
        and all(value is None or type(value) is expected for value, expected in may_be_null)
    ):
        found = NewDocument(kind, key, source, digest, metadata, title, language)
        with contextlib.suppress(ValueError, RecursionError):
            metadata_of(metadata)
            if document_crc(found, id) == crc:
                return StoredDocument(id, found)
    raise ValueError(f"the document {key!r:.200} is not what was written")


def repeat_from(row: tuple[Any, ...]) -> Repeat:
    """The repeat in the columns of `REPEAT`; raises ValueError if it is not what was written."""
    key, source, place, crc = row
    if type(key) is str and type(source) is int and (place is None or type(place) is int):
        with contextlib.suppress(UnicodeEncodeError):
            if repeat_crc((key, source, place)) == crc:
                return key, source, place
    raise ValueError(f"the repeated row {key!r:.200} is not what was written")


class Documents(Connection):
    """A connection that reads sources and documents; what is damaged raises CorruptIndex."""

    def sources(self) -> list[SourceState]:
        """All sources, by location."""
        with self.errors():
            return [self._source(row) for row in self.sqlite.execute(f"{SOURCE} order by location, query")]

    def counted_sources(self) -> list[tuple[SourceState, int]]:
        """All sources, by location, each with the number of its records."""
        with self.errors():
            found = self.sqlite.execute("select source, count(*) from records where source is not null group by source")
            counts = dict(found.fetchall())
        return [(state, counts.get(state.id, 0)) for state in self.sources()]

    def source_ids(self, ids: Iterable[int]) -> dict[int, SourceState]:
        """The sources with these ids; one that is gone is left out."""
        with self.errors():
            found = (self._source(row) for some in cut(ids) for row in self._among(SOURCE, "id", some))
            return {state.id: state for state in found}

    def has_documents(self) -> bool:
        """Whether any text is stored in sentences."""
        with self.errors():
            return self.sqlite.execute("select 1 from documents limit 1").fetchone() is not None

    def has_places(self) -> bool:
        """Whether any record is from a source or a document."""
        with self.errors():
            return any(
                self.sqlite.execute(f"select 1 from records where {column} is not null limit 1").fetchone()
                for column in ("source", "document")
            )

    def documents(self, identities: Iterable[Identity]) -> dict[Identity, StoredDocument]:
        """The documents with these identities."""
        wanted = set(identities)
        with self.errors():
            keys = {key for _, key in wanted}
            found = [self._document(row) for some in cut(keys) for row in self._among(DOCUMENT, "key", some)]
        return {each.new.identity: each for each in found if each.new.identity in wanted}

    def document_ids(self, ids: Iterable[int]) -> dict[int, StoredDocument]:
        """The documents with these ids; one that is gone is left out."""
        with self.errors():
            found = [self._document(row) for some in cut(set(ids)) for row in self._among(DOCUMENT, "id", some)]
        return {each.id: each for each in found}

    def rows_of_source(self, source: int) -> Iterator[list[tuple[str, int]]]:
        """The key and row of each record that is a whole row of a source, in lists, since there may be very many."""
        return self._lists("select key, row from records where source = ? and document is null", source)

    def document_keys_of(self, source: int) -> Iterator[list[tuple[str, int]]]:
        """The key and id of each document of a source, in lists."""
        return self._lists("select key, id from documents where source = ?", source)

    def touched_by(self, rows: Iterable[int]) -> list[tuple[str, int | None, int | None]]:
        """Key, source and document of those of the records at these rows that have a source or a document."""
        with self.errors():
            if self.sqlite.execute("select 1 from sources union all select 1 from documents").fetchone() is None:
                return []
            sql = "select key, source, document from records"
            found = [row for some in cut(rows) for row in self._among(sql, "row", some)]
        return [row for row in found if row[1:] != (None, None)]

    def repeated_by(self, source: int) -> Iterator[list[str]]:
        """The keys of what this source repeats of others, in lists, each read when it is asked for.

        Those of one list may be forgotten before the next.
        """
        last = ""
        while some := self._repeats_after(source, last):
            yield some
            last = some[-1]

    def _repeats_after(self, source: int, key: str) -> list[str]:
        sql = f"{REPEAT} where source = ? and key > ? order by key limit ?"
        with self.errors():
            return [self._repeat(row)[0] for row in self.sqlite.execute(sql, (source, key, ROWS_AT_ONCE))]

    def repeats_of(self, keys: Iterable[str]) -> list[Repeat]:
        """What repeats these records or documents: rows of other sources, and texts that were given by hand."""
        with self.errors():
            if self.sqlite.execute("select 1 from repeats limit 1").fetchone() is None:
                return []
            return [self._repeat(row) for some in cut(set(keys)) for row in self._among(REPEAT, "key", some)]

    def also_by_hand(self, keys: Iterable[str]) -> set[str]:
        """Those of the keys whose record or document is from a source and was also given by hand."""
        return {key for key, source, _ in self.repeats_of(keys) if source == BY_HAND}

    def _lists(self, sql: str, source: int) -> Iterator[list[tuple[str, int]]]:
        with self.errors():
            found = self.sqlite.execute(sql, (source,))
            while some := found.fetchmany(ROWS_AT_ONCE):
                yield some

    def _among(self, sql: str, column: str, some: Sequence[Any]) -> Iterator[Any]:
        yield from self.sqlite.execute(f"{sql} where {column} in ({', '.join('?' * len(some))})", some)

    def _source(self, row: tuple[Any, ...]) -> SourceState:
        try:
            return source_from(row)
        except ValueError as error:
            raise CorruptIndex(str(self.path), str(error)) from None

    def _repeat(self, row: tuple[Any, ...]) -> Repeat:
        try:
            return repeat_from(row)
        except ValueError as error:
            raise CorruptIndex(str(self.path), str(error)) from None

    def _document(self, row: tuple[Any, ...]) -> StoredDocument:
        try:
            return document_from(row)
        except ValueError as error:
            raise CorruptIndex(str(self.path), str(error)) from None


def cut(values: Iterable[Any]) -> Iterator[list[Any]]:
    """The values in lists that fit into a statement."""
    listed = list(values)
    return (listed[start : start + A_STATEMENT] for start in range(0, len(listed), A_STATEMENT))
