"""Adds the records of a file with the vectors that the file holds; nothing is encoded."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator

from ..exchange.check_source import checked_source
from ..exchange.import_source import ImportSource
from ..machine.batching import windows
from ..store.changes.reconcile import Incoming
from ..store.vectors import Vectors
from ..store.writer import TextVector, Writer
from ..values.records import AddReport
from ..values.space import Space
from .adding.options import Progress
from .adding.repeats import marked
from .adding.texts import CHARACTERS_A_COMMIT, VECTORS_A_COMMIT

Item = tuple[Incoming, Vectors, int]
"""A record, its vector, and the number of tokens of its text that the vector does not cover."""


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
    for records, truncated in _commits(_items(source, keeps_lost=not space.is_external)):
        total += writer.add(records, truncated, space)
        if progress is not None:
            progress(total)
    return total


def _items(source: ImportSource, keeps_lost: bool) -> Iterator[Item]:
    pending: deque[tuple[Vectors, int]] = deque()  # of records that were read but not yet yielded

    def records() -> Iterator[Incoming]:
        for block in source.blocks():
            for record, vector in zip(block.records, block.vectors, strict=True):
                lost = record.tokens_lost if keeps_lost else 0
                pending.append((vector, lost))
                yield Incoming(
                    *(record.key, record.text, record.metadata), None if lost else vector, named=record.named
                )

    for record in marked(records(), "last"):
        yield record, *pending.popleft()


def _commits(items: Iterable[Item]) -> Iterator[tuple[list[Incoming], dict[str, TextVector]]]:
    """What each commit adds: records, and the vectors that do not cover their whole text.

    A commit stores these by text, so two records with the same text and different vectors need two commits.
    """
    for window in windows(items, VECTORS_A_COMMIT, lambda item: item[0].text, CHARACTERS_A_COMMIT):
        records: list[Incoming] = []
        truncated: dict[str, TextVector] = {}
        for record, vector, lost in window:
            known = truncated.get(record.text) if lost else None
            if known is not None and known.vector.tobytes() != vector.tobytes():
                yield records, truncated
                records, truncated = [], {}
            records.append(record)
            if lost:
                truncated[record.text] = TextVector(vector, lost)
        yield records, truncated
