"""Says where records are from, and which sentences stand around them in their documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

from ..values.records import Unit
from ..values.sources import SourceState
from .sql.reads import Catalog
from .stored import Stored

_LINES = "txt"
"""The reader of files with a sentence a line, whose lines stand around each other like the sentences of a text."""


class Whence(NamedTuple):
    """The fields of a `Hit` that say where its text is from, in their order; each is None if it is not known."""

    source: str | None
    place: tuple[Unit, int] | None
    span: tuple[int, int] | None
    document: str | None
    position: int | None
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


def origins(catalog: Catalog, records: Sequence[Stored], context: int = 0) -> list[Whence | None]:
    """Where each record is from, and up to ``context`` sentences before and after it; None for a text by itself."""
    if all(record.at is None for record in records):
        return [None] * len(records)
    sources = catalog.source_ids({record.source for record in records if record.source is not None})
    documents = catalog.document_ids({record.document for record in records if record.document is not None})
    found: list[Whence | None] = []
    for record in records:
        if record.at is None:
            found.append(None)
            continue
        state = sources.get(record.source) if record.source is not None else None
        location = state.location if state else None
        place = _place(state, record.at.place)
        document = documents.get(record.document) if record.document is not None else None
        is_line = state is not None and state.reader == _LINES
        if document is None and not is_line:  # a row of a table
            found.append(Whence(location, place, None, None, None))
            continue
        at = record.at
        around = _around(catalog, record, context) if context else ((), ())
        name, position = (None, None) if document is None else (document.new.key, at.position)
        found.append(Whence(location, place, (at.start, at.end), name, position, *around))
    return found


def _place(state: SourceState | None, number: int | None) -> tuple[Unit, int] | None:
    if state is None or number is None or state.unit is None:
        return None
    return cast(Unit, state.unit), number  # the store refuses other units


def _around(catalog: Catalog, record: Stored, context: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The texts before and after a sentence or line, as far as none between them was deleted."""
    assert record.at is not None
    own = record.at.position
    if record.document is not None:
        found = catalog.pieces_within(record.document, own - context, own + context)
    else:
        assert record.source is not None
        found = catalog.lines_within(record.source, own - context, own + context)
    near = {each.at.position: each.text for each in found if each.at is not None}
    first = last = own
    while first - 1 in near:
        first -= 1
    while last + 1 in near:
        last += 1
    return tuple(near[n] for n in range(first, own)), tuple(near[n] for n in range(own + 1, last + 1))
