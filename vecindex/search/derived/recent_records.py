"""The records that an ``add`` has just committed: their words are made of these instead of being read back."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from operator import attrgetter

from ...store.manifest import Manifest
from ...store.stored import Stored

MOST_KEPT = 2**24
"""How many characters of texts and metadata are kept at a time; what finds no room is read from the database later."""
_A_RECORD = 200
"""What a record counts beside its characters."""


class RecentRecords:
    """Commits of one ``add``, by their rows; for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: tuple[int, str] = (0, "")
        self._commits: dict[int, tuple[Sequence[Stored], int]] = {}
        self._size = 0

    def put(self, manifest: Manifest, records: Sequence[Stored]) -> None:
        """Keeps the records of a commit, which have rows one after the other."""
        size = _size(records)
        with self._lock:
            if self._of != _identity(manifest):  # rows have other numbers
                self._forget()
                self._of = _identity(manifest)
            if self._size + size <= MOST_KEPT:
                self._commits[records[0].row] = records, size
                self._size += size

    def take(self, manifest: Manifest, first: int, stop: int) -> Sequence[Stored]:
        """The records of the first commit that has rows from ``first`` up to ``stop``; earlier commits are dropped."""
        with self._lock:
            if self._of != _identity(manifest):
                return ()
            for begin in sorted(self._commits):
                if begin >= stop:
                    return ()
                records, size = self._commits[begin]
                end = begin + len(records)
                if end <= stop:
                    del self._commits[begin]
                    self._size -= size
                if end > first:
                    return records[max(0, first - begin) : stop - begin]
            return ()

    def forget(self) -> None:
        """Drops all records."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        self._commits, self._size = {}, 0


def _identity(manifest: Manifest) -> tuple[int, str]:
    """What all manifests have in common whose rows have the same numbers."""
    return manifest.vectors, manifest.created


def _size(records: Sequence[Stored]) -> int:
    texts, metadata = map(attrgetter("text"), records), map(attrgetter("metadata"), records)
    return _A_RECORD * len(records) + sum(map(len, texts)) + sum(map(len, metadata))
