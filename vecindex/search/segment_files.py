"""Loads segments from their files, and remembers which of them were found to be damaged."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from ..errors import Advice, CorruptIndex
from ..store.derived import SegmentFile, map_derived

_log = logging.getLogger("vecindex")


class Ranged(Protocol):
    """What is derived of the rows from ``first`` up to ``stop``."""

    @property
    def first(self) -> int: ...
    @property
    def stop(self) -> int: ...


S = TypeVar("S", bound=Ranged)


def load_file(folder: Path, file: SegmentFile, load: Callable[[memoryview], S], header_bytes: int) -> S:
    """A stored segment, which ``load`` makes of the bytes of its file; raises CorruptIndex."""
    content = map_derived(folder / file.name)
    try:
        if hashlib.sha256(content[:header_bytes]).hexdigest() != file.digest:
            raise ValueError("it is not what was published")
        segment = load(content)
        if (segment.first, segment.stop) != (file.first, file.stop):
            raise ValueError(f"it is of the rows from {segment.first} up to {segment.stop}")
        return segment
    except ValueError as error:
        raise CorruptIndex(str(folder / file.name), str(error)) from None


class Refused:
    """The files of an open index that searches do without; ``instead`` says what they do."""

    def __init__(self, instead: str) -> None:
        self._instead = instead
        self.names: set[str] = set()

    def add(self, path: Path, reason: str) -> None:
        """Remembers that the segment at ``path`` is damaged, and says so once."""
        if path.name not in self.names:
            error = CorruptIndex(str(path), reason)
            again = Advice("index.repair() makes it again.", typed="`vecindex verify --repair` makes it again.")
            _log.warning("%s; %s instead. %s", error.message, self._instead, again)
            self.names.add(path.name)

    def add_if_there(self, error: CorruptIndex) -> None:
        """As `add`, unless the file is gone: a newer snapshot has newer ones, or the next change makes them again."""
        if os.path.lexists(error.path):
            self.add(Path(error.path), error.reason)
