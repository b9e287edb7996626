"""How far an ``add`` of files has come, for whoever shows it."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Done:
    """How much has been read or added, or how much there is.

    ``rows`` counts rows and whole texts. ``size`` is the measure of the work: the bytes of files while they are read,
    which is None if some have no size, and the characters of texts while they are added.
    """

    sources: int
    rows: int
    size: int | None


class Trail:
    """Remembers which part of the input each record is from, to tell how much is done when some are committed."""

    def __init__(self, step: int = 1) -> None:
        """A place is remembered at the end of each source, and within one after each ``step`` characters."""
        self._step = step
        self._here = Done(0, 0, 0)
        self._records = 0
        self._places: list[tuple[int, Done]] = []
        self._next = 0

    def add(self, records: int, characters: int) -> None:
        """The next row or text has so many records and characters."""
        here = self._here
        size = (here.size or 0) + characters
        self._here = Done(here.sources, here.rows + 1, size)
        self._records += records
        if size >= self._next:
            self._note()

    def end_source(self) -> None:
        """A source has ended."""
        self._here = replace(self._here, sources=self._here.sources + 1)
        self._note()

    def at(self, records: int) -> Done:
        """How much is done when ``records`` records are committed, or slightly less."""
        place = bisect_right(self._places, records, key=lambda place: place[0])
        return self._places[place - 1][1] if place else Done(0, 0, 0)

    def _note(self) -> None:
        self._places.append((self._records, self._here))
        self._next = (self._here.size or 0) + self._step
