"""What is added as one: a text as a whole or in sentences, of which either all or nothing is committed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from ...machine.batching import CHARACTERS
from ...store.changes.reconcile import Incoming
from ...store.changes.sources import Finished
from ...store.stored import NewDocument, piece_key


@dataclass(slots=True)
class Unit:
    """The records of one text, in order: one without a document, or those that the document is cut into.

    ``finished`` is the source that ends here; such a unit has no records.
    """

    records: list[Incoming] = field(default_factory=list)
    finished: Finished | None = None

    @property
    def document(self) -> NewDocument | None:
        """The document that the records were cut from."""
        return self.records[0].document if self.records else None

    @property
    def key(self) -> str:
        """The key of the text."""
        document = self.document
        return document.key if document is not None else self.records[0].key if self.records else ""

    @property
    def characters(self) -> int:
        return sum(len(record.text) for record in self.records)


def numbered(document: NewDocument, pieces: Iterable[Incoming]) -> Unit:
    """The unit of a document with these pieces, whose keys and positions are given here."""
    return Unit(
        [
            replace(piece, key=piece_key(document.key, position + 1), position=position, document=document, named=True)
            for position, piece in enumerate(pieces)
        ]
    )


def records_of(units: Iterable[Unit]) -> list[Incoming]:
    """All records of the units, in order."""
    return [record for unit in units for record in unit.records]


def unit_windows(units: Iterable[Unit], records: int, characters: int = CHARACTERS) -> Iterator[list[Unit]]:
    """All units in order, in lists of at most ``records`` records, or of one unit; see `batching.windows`."""
    window: list[Unit] = []
    held = length = 0
    for unit in units:
        if window and held + len(unit.records) > records:
            yield window
            window, held, length = [], 0, 0
        window.append(unit)
        held += len(unit.records)
        length += unit.characters
        if held >= records or length >= characters:
            yield window
            window, held, length = [], 0, 0
    if window:
        yield window
