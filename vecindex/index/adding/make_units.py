"""Makes what is added of what was read: a row as it is, or the sentences of a longer text."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ...sources.documents import Document
from ...sources.options import ReadOptions
from ...sources.rows.rejects import fields_of_record
from ...sources.split.pieces import as_document, pieces
from ...sources.split.windows import TokenSpans
from ...store.changes.reconcile import Incoming
from ...store.stored import Identity, NewDocument
from ...store.text_cache import text_digest
from ...values.keys import derive_key, derived_key
from ...values.metadata import checked_metadata
from ...values.records import Metadata, Record
from ...values.sources import SourceState
from .reading import Reading
from .units import Unit, numbered


@dataclass(frozen=True, slots=True)
class UnitMaker:
    """Makes the units of one input, whose records all have the metadata ``common`` besides their own."""

    common: Metadata | None

    def key(self, reading: Reading | None, found: Record | Document) -> str:
        """The key of a row or text; ``reading`` is None for one that was given by hand."""
        if isinstance(found, Document) and reading is not None:
            return reading.key_of(found, self.common)
        assert isinstance(found, Record)
        return derive_key(found.text, self.with_common(found).metadata) if found.key is None else found.key

    def unit(
        self,
        reading: Reading,
        state: SourceState | None,
        found: Record | Document,
        position: int,
        number: int,
        again: bool,
        token_spans: TokenSpans | None,
    ) -> Unit:
        """What is added of one row or text of a source.

        It is item ``position`` of the input, and item ``number`` of the source; ``again`` says that an earlier item has
        its key.
        """
        if isinstance(found, Record):
            record = self.with_common(found)
            if reading.way.method == "none":
                return self.row(state, record, position, number, again)
            key = self.key(reading, found)
            return self._cut(as_document(record), ("row", key), reading, state, position, token_spans)
        document = replace(found, metadata={**(self.common or {}), **(found.metadata or {})})
        return self._cut(document, ("file", self.key(reading, found)), reading, state, position, token_spans)

    def _cut(
        self,
        document: Document,
        identity: Identity,
        reading: Reading,
        state: SourceState | None,
        position: int,
        token_spans: TokenSpans | None,
    ) -> Unit:
        common = document.metadata or {}
        source = None if state is None else state.id
        kind, key = identity
        new = NewDocument(
            *(kind, key, source, text_digest(document.text), checked_metadata(common)),
            *(document.title, document.language),
        )
        return numbered(
            new,
            (
                Incoming(
                    key,
                    document.text[piece.start : piece.end],
                    checked_metadata({**common, **piece.metadata}),
                    source=source,
                    start=piece.start,
                    end=piece.end,
                    place=piece.place,
                    item=position,
                    origin=document.origin._replace(place=piece.place),
                )
                for piece in pieces(document, reading.way, token_spans)
            ),
        )

    def row(self, state: SourceState | None, record: Record, position: int, number: int, again: bool) -> Unit:
        """A row that is stored whole."""
        metadata = None if record.metadata is None else checked_metadata(record.metadata)
        key = derived_key(record.text, metadata) if record.key is None else record.key
        start, end = record.span or (0, len(record.text))
        return Unit(
            [
                Incoming(
                    *(key, record.text, metadata),
                    source=None if state is None else state.id,
                    position=number,
                    start=start,
                    end=end,
                    place=None if record.origin is None else record.origin.place,
                    named=record.key is not None,
                    again=again,
                    item=position,
                    origin=record.origin,
                )
            ]
        )

    def with_common(self, record: Record) -> Record:
        """The record with the common metadata."""
        return record if self.common is None else replace(record, metadata={**self.common, **(record.metadata or {})})


def fields(reading: Reading | None, text: str, key: str | None, metadata: Metadata | None) -> dict[str, Any]:
    """The fields of a row, as they would have to be read again."""
    options = ReadOptions() if reading is None else reading.source.options
    return fields_of_record(options, text, key, metadata)


def is_cut(reading: Reading | None, found: Record | Document) -> bool:
    """Whether a row or text is stored in parts."""
    return isinstance(found, Document) or (reading is not None and reading.way.method != "none")
