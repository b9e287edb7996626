"""The life of stored segments of one kind: published, merged by size, renumbered, and missed when they are lost.

Segments are merged so that a row is written again only while it is in one of the small, newest ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from ...errors import CorruptIndex
from ...store.derived import SegmentFile, Segments
from ...store.disk.files import is_file, publish
from ...store.manifest import Manifest
from ...store.vectors import Rows
from ..segment_files import Ranged

_LARGER = 2
"""A segment is merged with the one before if that is not more than so many times as large."""

S = TypeVar("S", bound=Ranged)


class Known(Protocol):
    """What is known of segments that were found to be damaged."""

    def is_damaged(self, file: SegmentFile) -> bool: ...
    def replaced(self, name: str) -> None: ...


@dataclass(frozen=True, slots=True)
class SegmentLife(Generic[S]):
    """What is done with the segments of one kind in ``folder``.

    Args:
        load: gives a stored segment; raises CorruptIndex.
        merge: makes one of several adjacent ones; raises ValueError if one is damaged.
        renumbered: makes one with other rows; see `renumbered` of the kinds.
        dump: gives the parts of its file, the header first.
        most: how much a segment may have and still be merged, by ``size``; None for any.
    """

    kind: str
    folder: Path
    known: Known
    load: Callable[[Path, SegmentFile], S]
    merge: Callable[[Sequence[S]], S]
    renumbered: Callable[[S, npt.NDArray[np.int64], int, int], S]
    dump: Callable[[S], Sequence[Any]]
    size: Callable[[S], int] | None = None
    most: int = 0

    def are_lost(self, files: Sequence[SegmentFile]) -> bool:
        """Whether some of these files are missing, or were found damaged."""
        return any(self.known.is_damaged(file) or not is_file(self.folder / file.name) for file in files)

    def sound(self, files: Sequence[SegmentFile]) -> list[tuple[SegmentFile, S]]:
        """Those of the segments that can be used."""
        found: list[tuple[SegmentFile, S]] = []
        for file in files:
            if not self.known.is_damaged(file) and is_file(self.folder / file.name):
                try:
                    found.append((file, self.load(self.folder, file)))
                except CorruptIndex:
                    continue
        return found

    def merged(self, kept: list[tuple[SegmentFile, S]], new: S) -> S:
        """The new segment with the last of those kept, which are removed from the list, while they are not much larger.

        Raises:
            ValueError: one of them is damaged.
        """
        together = [new]
        while kept and self._goes_with(kept[-1], together):
            together.insert(0, kept.pop()[1])
        return self.merge(together) if len(together) > 1 else new

    def moved(self, files: Segments, usable: Sequence[SegmentFile], manifest: Manifest, live: Rows) -> Segments:
        """Publishes ``usable`` ones for the rows of ``manifest``, which were the rows ``live`` before."""
        segments: list[SegmentFile] = []
        for file in usable:
            first, stop = np.searchsorted(live, [file.first, file.stop]).tolist()
            if first == stop:
                continue
            rows = np.full(file.stop - file.first, -1, np.int64)
            rows[live[first:stop] - file.first] = np.arange(first, stop)
            try:
                segment = self.renumbered(self.load(self.folder, file), rows, first, stop)
            except (CorruptIndex, ValueError):
                if files.has_gaps:
                    continue
                break  # the rest is made again by the next upkeep
            segments.append(self.write(manifest, segment))
        return replace(files, segments=tuple(segments))

    def write(self, manifest: Manifest, segment: S) -> SegmentFile:
        """Publishes a segment; the caller's manifest names it."""
        parts = self.dump(segment)
        digest = hashlib.sha256(parts[0]).hexdigest()
        # Different content never gets the name of a file that a reader may have mapped.
        name = f"{self.kind}-{manifest.vectors}-{segment.first}-{segment.stop}-{digest[:8]}.bin"
        publish(self.folder / name, [memoryview(part) for part in parts])
        self.known.replaced(name)
        return SegmentFile(segment.first, segment.stop, name, digest)

    def _goes_with(self, before: tuple[SegmentFile, S], together: Sequence[S]) -> bool:
        file, segment = before
        if file.stop != together[0].first or file.stop - file.first > _LARGER * (together[-1].stop - file.stop):
            return False
        return self.size is None or sum(map(self.size, (segment, *together))) <= self.most
