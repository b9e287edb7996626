"""Changes the tables of sources, documents and repeats, inside `Connection.writing` and under the writer's lock."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ...values.sources import SourceState
from ..stored import NewDocument, Repeat, document_crc, repeat_crc
from .documents import DOCUMENT_COLUMNS, SOURCE_COLUMNS, source_crc

_PUT_SOURCE = f"insert or replace into sources ({', '.join(SOURCE_COLUMNS)}, crc) values ({'?, ' * 13}?)"
_PUT_DOCUMENT = f"insert or replace into documents ({', '.join(DOCUMENT_COLUMNS)}, crc) values ({'?, ' * 8}?)"


class DocumentTables:
    """Changes the tables of one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._sqlite = connection

    def put_source(self, state: SourceState) -> SourceState:
        """Writes a source; one with id 0 gets a new id."""
        if not state.id:
            # A row of its own first, since the checksum covers the id.
            sql = f"insert into sources ({', '.join(SOURCE_COLUMNS[1:])}, crc) values ({'?, ' * 12}0)"
            found = self._sqlite.execute(sql, [getattr(state, name) for name in SOURCE_COLUMNS[1:]])
            assert found.lastrowid is not None
            state = replace(state, id=found.lastrowid)
        columns = [getattr(state, name) for name in SOURCE_COLUMNS]
        self._sqlite.execute(_PUT_SOURCE, [*columns, source_crc(state)])
        return state

    def drop_sources(self, ids: Iterable[int]) -> None:
        """Removes sources, whose records, documents and repeats are gone."""
        self._sqlite.executemany("delete from sources where id = ?", ((each,) for each in ids))

    def put_document(self, document: NewDocument, id: int | None = None) -> int:
        """Writes a document, as a new one without ``id``; returns its id."""
        if id is None:
            id = self._sqlite.execute("select coalesce(max(id), 0) + 1 from documents").fetchone()[0]
        d = document
        columns = (id, d.kind, d.key, d.source, d.title, d.digest, d.metadata, d.language)
        self._sqlite.execute(_PUT_DOCUMENT, (*columns, document_crc(document, id)))
        return id

    def drop_empty_documents(self, ids: Iterable[int]) -> None:
        """Removes those of the documents that no record was cut from any more."""
        self._sqlite.executemany(
            "delete from documents where id = ?1 and not exists (select 1 from records where document = ?1)",
            ((each,) for each in ids),
        )

    def repeat(self, repeats: Iterable[Repeat]) -> None:
        """Notes what repeats a record or document of another source."""
        self._sqlite.executemany(
            "insert or replace into repeats (key, source, place, crc) values (?, ?, ?, ?)",
            ((*repeat, repeat_crc(repeat)) for repeat in repeats),
        )

    def forget_repeats_in(self, source: int, keys: Sequence[str]) -> None:
        """Forgets that ``source`` repeats these records and documents."""
        self._sqlite.executemany("delete from repeats where key = ? and source = ?", ((key, source) for key in keys))

    def forget_repeats_of(self, sources: Iterable[int]) -> None:
        """Forgets all that these sources repeat."""
        self._sqlite.executemany("delete from repeats where source = ?", ((each,) for each in sources))
