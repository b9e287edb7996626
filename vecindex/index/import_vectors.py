"""Adds the records of a file with the vectors that the file holds; nothing is encoded."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

from ..exchange.check_source import checked_source
from ..exchange.import_source import ImportSource
from ..exchange.places import From
from ..machine.batching import windows
from ..store.changes.reconcile import Incoming
from ..store.vectors import Vectors
from ..store.writer import TextVector, Writer
from ..values.records import AddReport
from ..values.sources import SourceState
from ..values.space import Space
from .adding.options import Progress
from .adding.repeats import marked
from .adding.texts import CHARACTERS_A_COMMIT, VECTORS_A_COMMIT

Place = tuple[str, str]
"""The location and query of a source."""
Item = tuple[Incoming, Vectors | None, int]
"""A record, its vector, None if it has none, and the number of tokens of its text that the vector does not cover."""


def import_vectors(
    source: str | os.PathLike[str] | ImportSource,
    writer: Writer,
    *,
    stored: Space | None,
    named: str | Space | None = None,
    progress: Progress | None = None,
) -> AddReport:
    """Adds the records of ``source`` to an index whose space is ``stored``; ``named`` is as in `ImportSource.space_in`.

    ``progress`` is called after each commit with the report so far.

    Raises:
        SourceError, InvalidInput, MissingExtra: nothing was stored.
        SpaceMismatch, IndexLocked, StorageError: earlier commits stay.
    """
    if not isinstance(source, ImportSource):
        with checked_source(source) as checked:
            return import_vectors(checked, writer, stored=stored, named=named, progress=progress)
    total = AddReport()
    if source.count == 0:
        return total
    space = source.space_in(stored, named)
    sources = _Sources(writer)
    keeps_lost = space is not None and not space.is_external
    for records, truncated in _commits(_items(source, sources, keeps_lost)):
        sources.register()
        placed = [sources.placed(record) for record in records]
        total += writer.add(placed, truncated, space, merge=True, encode=False)
        if progress is not None:
            progress(total)
    return total


class _Sources:
    """The sources that imported records name, which get their ids before the first commit that needs them.

    All of them are read again by their next ``add``: the file may lack some of what they hold, or be old.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._found: dict[Place, SourceState] = {}
        self._numbers: dict[Place, int] = {}  # for the time until they have ids

    def number(self, state: SourceState) -> int:
        """A number for a source, of which `placed` makes its id."""
        place = (state.location, state.query)
        known = self._found.get(place)
        if known is None or (known.unit is None and state.unit is not None):
            self._found[place] = replace(state, id=known.id if known else 0)
        return self._numbers.setdefault(place, len(self._numbers))

    def register(self) -> None:
        """Gives an id to those that have none."""
        new = [state for state in self._found.values() if not state.id]
        for state in self._writer.adopt(new) if new else ():
            self._found[state.location, state.query] = state
        self._ids = [self._found[place].id for place in self._numbers]

    def placed(self, record: Incoming) -> Incoming:
        """The record with the id of its source in place of the number."""
        if record.source is None:
            return record
        id = self._ids[record.source]
        document = record.document and replace(record.document, source=id)
        return replace(record, source=id, document=document)


def _items(source: ImportSource, sources: _Sources, keeps_lost: bool) -> Iterator[Item]:
    pending: deque[tuple[Vectors | None, int]] = deque()  # of records that were read but not yet yielded

    def records() -> Iterator[Incoming]:
        for block in source.blocks():
            vectors = zip(block.records, block.vectors, block.missing.tolist(), strict=True)
            for record, given, is_missing in vectors:
                vector = None if is_missing else given
                lost = record.tokens_lost if keeps_lost and not is_missing else 0
                pending.append((vector, lost))
                item = Incoming(
                    *(record.key, record.text, record.metadata), None if lost else vector, named=record.named
                )
                yield item if record.place is None else _located(item, record.place, sources)

    for record in marked(records(), "last"):
        yield record, *pending.popleft()


def _located(item: Incoming, place: From, sources: _Sources) -> Incoming:
    number = None if place.source is None else sources.number(place.source)
    return replace(
        item,
        source=number,
        document=place.document,
        position=place.position,
        start=place.start,
        end=place.end,
        place=place.place,
        given=place.given,
    )


def _commits(items: Iterable[Item]) -> Iterator[tuple[list[Incoming], dict[str, TextVector]]]:
    """What each commit adds: records, and the vectors that do not cover their whole text.

    A commit stores these by text, so two records with the same text and different vectors need two commits. So does one
    that has none.
    """
    for window in windows(items, VECTORS_A_COMMIT, lambda item: item[0].text, CHARACTERS_A_COMMIT):
        records: list[Incoming] = []
        truncated: dict[str, TextVector] = {}
        bare: set[str] = set()
        for record, vector, lost in window:
            known = truncated.get(record.text) if lost or vector is None else None
            is_other = known is not None and (vector is None or known.vector.tobytes() != vector.tobytes())
            if is_other or (lost and record.text in bare):
                yield records, truncated
                records, truncated, bare = [], {}, set()
            records.append(record)
            if vector is None:
                bare.add(record.text)
            elif lost:
                truncated[record.text] = TextVector(vector, lost)
        yield records, truncated
