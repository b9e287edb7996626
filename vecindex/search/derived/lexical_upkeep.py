"""Stores lexical segments of new rows after a change: they are made outside the writer's lock, and then published.

1. The records of an ``add`` are cut into words while it goes on, of what it has just committed. Rows that others
   committed, or for which there was no room, are read from the database.
2. A compaction comes in between, or the settings change: what was cut is dropped, and the rows are read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from ...machine.memory import memory_errors
from ...store.derived import LexicalFiles
from ...store.manifest import Manifest
from ...store.snapshot import Snapshot, Snapshots
from ...store.stored import Stored, metadata_of
from ...store.vectors import Rows
from ...store.writer import Writer
from ..lexical.building import Builder, merge, renumbered
from ..lexical.segment import Segment, dump
from ..lexical.settings import LexicalSettings
from ..lexicon import Lexicon, lexical_settings, load_segment, read_texts, usable_segments
from .recent_records import RecentRecords
from .segment_life import SegmentLife


@dataclass(slots=True)
class _Begun:
    """A segment of rows of vector file number ``vectors``, which has all records before the row ``reached``."""

    vectors: int
    created: str
    settings: LexicalSettings
    builder: Builder
    reached: int

    def goes_on(self, manifest: Manifest, settings: LexicalSettings, first: int) -> bool:
        """Whether it can be made into a segment of the rows from ``first`` on."""
        known = (self.vectors, self.created, self.settings, self.builder.first)
        return known == (manifest.vectors, manifest.created, settings, first)


class LexicalUpkeep:
    """The upkeep of the lexical side of one open index."""

    def __init__(
        self,
        folder: Path,
        snapshots: Snapshots,
        lexicon: Lexicon,
        writer: Callable[[], AbstractContextManager[Writer]],
        recent: RecentRecords,
    ) -> None:
        self._snapshots = snapshots
        self._recent = recent
        self._turn = threading.Lock()
        self._begun: _Begun | None = None
        self._lexicon = lexicon
        self._writer = writer
        self._life: SegmentLife[Segment] = SegmentLife(
            LexicalFiles.kind, folder, lexicon, load_segment, merge, renumbered, dump
        )

    def are_lost(self, manifest: Manifest) -> bool:
        """Whether files of segments are missing, were found damaged, or are of another version."""
        segments = manifest.lexical.segments if manifest.lexical else ()
        return len(usable_segments(manifest)) < len(segments) or self._life.are_lost(segments)

    @memory_errors("lexical segments were made")
    def follow(self, until: Manifest) -> None:
        """Cuts what an ``add`` has committed ``until`` then into words, so that `renew` has little left to do."""
        with self._turn:
            with self._snapshots.take() as snapshot:
                manifest = snapshot.manifest
                stored = usable_segments(manifest)
                begun = self._taken(manifest, lexical_settings(manifest), stored[-1].stop if stored else 0)
                self._read(snapshot, begun, _stop(manifest, until))
            self._begun = begun

    def end_add(self) -> None:
        """Forgets what was made ready for an ``add``, whether that succeeded or not."""
        with self._turn:
            self._begun = None

    @memory_errors("lexical segments were made")
    def renew(self, rebuild: bool = False, until: Manifest | None = None) -> None:
        """Gives all committed rows segments; new ones if ``rebuild``, and from the first that is damaged on.

        Rows that were not committed ``until`` then may be left out: an ``add`` goes on.
        """
        with self._turn:
            self._renew(rebuild, until)

    def _renew(self, rebuild: bool, until: Manifest | None) -> None:
        with self._snapshots.take() as snapshot:
            manifest = snapshot.manifest
            settings = lexical_settings(manifest)
            kept = [] if rebuild else self._life.sound(usable_segments(manifest))
            first = 0
            for number, (file, _) in enumerate(kept):
                if file.first != first:
                    del kept[number:]
                    break
                first = file.stop
            stop = _stop(manifest, until)
            if first >= stop:
                return
            begun = self._taken(manifest, settings, first)
            stop = max(stop, begun.reached)  # another ``add`` may have come further
            self._read(snapshot, begun, stop)
        new = begun.builder.segment(stop)
        try:
            new = self._life.merged(kept, new)
        except ValueError:  # postings are checked only when they are used
            self._renew(True, until)
            return
        files, named = [file for file, _ in kept], (settings.to_json(), settings.fingerprint())

        def choose(now: Manifest) -> Manifest:
            if now.lexical != manifest.lexical:  # another process published first
                return now
            return replace(now, lexical=LexicalFiles(*named, (*files, self._life.write(now, new))))

        with self._writer() as writer:
            writer.set_derived(manifest.vectors, choose)

    def _taken(self, manifest: Manifest, settings: LexicalSettings, first: int) -> _Begun:
        """What was begun for the rows from ``first`` on, or else nothing yet; the caller puts it back if it goes on."""
        begun, self._begun = self._begun, None
        if begun is not None and begun.goes_on(manifest, settings, first):
            return begun
        builder = Builder(self._lexicon.analyzer(manifest), first)
        return _Begun(manifest.vectors, manifest.created, settings, builder, first)

    def _read(self, snapshot: Snapshot, begun: _Begun, stop: int) -> None:
        """Adds the other rows of a snapshot up to ``stop``."""
        while begun.reached < stop:
            records = self._recent.take(snapshot.manifest, begun.reached, stop)
            until = records[0].row if records else stop
            for row, texts in read_texts(snapshot, begun.reached, until, begun.settings):
                begun.builder.add((row,), texts)
            begun.reached = until
            if records:
                _add(begun, records)

    def choose(self, settings: LexicalSettings) -> bool:
        """Makes these the settings of the index, with segments if there are enough rows; False if they were."""
        chosen = LexicalFiles(settings.to_json(), settings.fingerprint())
        while True:
            with self._snapshots.borrow() as catalog:
                manifest = catalog.manifest()
            if lexical_settings(manifest) == settings:
                return False
            with self._writer() as writer:
                if writer.set_derived(manifest.vectors, lambda now: replace(now, lexical=chosen)):
                    return True
            # A compaction came in between.

    def renumbered(self, manifest: Manifest, live: Rows) -> LexicalFiles | None:
        """Publishes the segments that ``manifest`` names for its rows, which were the rows ``live`` before."""
        lexical = manifest.lexical
        return lexical and self._life.moved(lexical, usable_segments(manifest), manifest, live)


def _stop(manifest: Manifest, until: Manifest | None) -> int:
    """The row before which all were committed ``until`` then; if rows have other numbers now, the last of all."""
    if until is None or (until.vectors, until.created) != (manifest.vectors, manifest.created):
        return manifest.rows
    return min(until.rows, manifest.rows)


def _add(begun: _Begun, records: Sequence[Stored]) -> None:
    """Adds the next records."""
    settings = begun.settings
    if settings.fields:
        texts = [each for record in records for each in settings.texts(record.text, metadata_of(record.metadata))]
    else:
        texts = [record.text for record in records]
    begun.builder.add([record.row for record in records], texts)
    begun.reached = records[-1].row + 1
