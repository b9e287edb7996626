"""Names the kinds of damage and what repairs each, for `verify` and `repair`."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from ...values.records import Fault, VerifyReport
from ..manifest import Manifest

_RESTORE = "restore the directory from a backup"
_REPAIR, _ENCODE = "verify --repair", "verify --repair --encode"
_FAULTS_LISTED = 1_000


class Kind(Enum):
    """What is damaged, and therefore how it is repaired."""

    LOST = "lost"
    """Cannot be repaired."""
    RECORD = "record"
    """A damaged record: the user deletes it and adds it again."""
    NAMELESS = "nameless"
    """A damaged record whose key cannot be typed: `repair` deletes it."""
    VECTOR = "vector"
    """A damaged vector: encoded again from its record's text, or added again by the user if there is no encoder."""
    VECTORS = "vectors"
    """The vector file is missing or too short: all texts are encoded again, but only on request."""
    SUMS = "sums"
    """A block of the vectors' checksums: computed again."""
    DEAD = "dead"
    """The list of dead rows: made again of all rows without a record, since the number of records is right."""
    INDEXES = "indexes"
    """SQLite's indexes or free pages: made again from the tables, since records are readable."""
    PLACES = "places"
    """Sources, documents or repeats, or records that contradict them: made again from the records."""
    FIELD = "field"
    """A metadata field lacks its SQL index."""
    FINGERPRINT = "fingerprint"
    """The fingerprint does not match the space, which has a checksum: written again."""
    CACHE = "cache"
    """Entries of the cache, which only saves work: it is emptied."""
    DERIVED = "derived"
    """Codes, lexical segments and token vectors, which are derived from the vectors and texts: made again."""


@dataclass(slots=True)
class Examination:
    """What was found: up to 1,000 ``faults``, and the rows or blocks of each kind."""

    folder: Path
    manifest: Manifest | None = None
    records: int = 0
    without_vector: int = 0
    faults: list[Fault] = field(default_factory=list)
    found: dict[Kind, list[int]] = field(default_factory=dict)
    _omitted: int = 0

    def add(self, kind: Kind, path: Path, reason: str, number: int = 0, key: str | None = None) -> None:
        """Adds a fault of row or block ``number``; ``key`` is of a record that must be deleted to repair it."""
        self.found.setdefault(kind, []).append(number)
        if len(self.faults) >= _FAULTS_LISTED:
            self._omitted += 1
            return
        repair = command(self.folder, _REPAIR)
        if key is not None:
            repair = command(self.folder, "delete", key)
        elif kind is Kind.LOST:
            repair = _RESTORE
        elif kind is Kind.VECTORS:
            repair = command(self.folder, _ENCODE)
        self.faults.append(Fault(str(path), reason, repair))

    def unrepaired(self, encode: bool) -> None:
        """Changes the advice after a repair, with ``encode`` or without: repeating it would not help."""
        needs_encoding = Kind.VECTORS in self.found and Kind.LOST not in self.found and not encode
        instead = command(self.folder, _ENCODE) if needs_encoding else _RESTORE
        tried = command(self.folder, _REPAIR)
        self.faults = [replace(fault, repair=instead) if fault.repair == tried else fault for fault in self.faults]

    def report(self, repaired: tuple[Fault, ...] = ()) -> VerifyReport:
        more = []
        if self._omitted:
            advice = "repair those above, then verify again"
            more = [Fault(str(self.folder), f"{self._omitted} more faults are not listed", advice)]
        rows = self.manifest.rows if self.manifest else 0
        return VerifyReport(self.records, rows, (*self.faults, *more), repaired, self.without_vector)


def command(folder: Path, name: str, argument: str | None = None) -> str:
    """A command line for the index in ``folder`` that can be pasted into a shell."""
    line = f"vecindex {name} --index {shlex.quote(str(folder))}"
    if argument is None:
        return line
    return f"{line} {'-- ' if argument.startswith('-') else ''}{shlex.quote(argument)}"
