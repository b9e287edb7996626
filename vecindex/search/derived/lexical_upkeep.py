"""Stores lexical segments of new rows after a change: they are made outside the writer's lock, and then published.

Segments are merged by size, so that a row is written again only while it is in one of the small, newest ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...errors import CorruptIndex
from ...machine.memory import memory_errors
from ...store.derived import LexicalFiles, SegmentFile
from ...store.disk.files import is_file, publish
from ...store.manifest import Manifest
from ...store.snapshot import Snapshots
from ...store.vectors import Rows
from ...store.writer import Writer
from ..lexical.building import build, merge, renumbered
from ..lexical.segment import Segment, dump
from ..lexical.settings import LexicalSettings
from ..lexicon import Lexicon, lexical_settings, load_segment, read_texts, usable_segments

_LARGER = 2
"""A segment is merged with the one before if that is not more than so many times as large."""


class LexicalUpkeep:
    """The upkeep of the lexical side of one open index."""

    def __init__(
        self,
        folder: Path,
        snapshots: Snapshots,
        lexicon: Lexicon,
        writer: Callable[[], AbstractContextManager[Writer]],
    ) -> None:
        self._folder = folder
        self._snapshots = snapshots
        self._lexicon = lexicon
        self._writer = writer

    def are_lost(self, manifest: Manifest) -> bool:
        """Whether files of segments are missing, were found damaged, or are of another version."""
        segments = manifest.lexical.segments if manifest.lexical else ()
        if len(usable_segments(manifest)) < len(segments):
            return True
        return any(self._lexicon.is_damaged(file) or not is_file(self._folder / file.name) for file in segments)

    @memory_errors("lexical segments were made")
    def renew(self, rebuild: bool = False) -> None:
        """Gives all committed rows segments; new ones if ``rebuild``, and from the first that is damaged on."""
        with self._snapshots.take() as snapshot:
            manifest = snapshot.manifest
            settings = lexical_settings(manifest)
            kept = [] if rebuild else self._sound(manifest)
            first = kept[-1][0].stop if kept else 0
            if first == manifest.rows:
                return
            documents = read_texts(snapshot, first, manifest.rows, settings)
            new = build(self._lexicon.analyzer(manifest), first, manifest.rows, documents)
        try:
            new = _merged(kept, new)
        except ValueError:  # postings are checked only when they are used
            self.renew(rebuild=True)
            return
        files, named = [file for file, _ in kept], (settings.to_json(), settings.fingerprint())

        def choose(now: Manifest) -> Manifest:
            if now.lexical != manifest.lexical:  # another process published first
                return now
            return replace(now, lexical=LexicalFiles(*named, (*files, self._write(now, new))))

        with self._writer() as writer:
            writer.set_derived(manifest.vectors, choose)

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
        if lexical is None:
            return None
        files: list[SegmentFile] = []
        for file in usable_segments(manifest):
            first, stop = np.searchsorted(live, [file.first, file.stop]).tolist()
            if first == stop:
                continue
            rows = np.full(file.stop - file.first, -1, np.int64)
            rows[live[first:stop] - file.first] = np.arange(first, stop)
            try:
                segment = renumbered(load_segment(self._folder, file), rows, first, stop)
            except (CorruptIndex, ValueError):
                break  # the rest is made again by the next upkeep
            files.append(self._write(manifest, segment))
        return replace(lexical, segments=tuple(files))

    def _sound(self, manifest: Manifest) -> list[tuple[SegmentFile, Segment]]:
        """The stored segments before the first that cannot be used."""
        found: list[tuple[SegmentFile, Segment]] = []
        for file in usable_segments(manifest):
            if self._lexicon.is_damaged(file):
                break
            try:
                found.append((file, load_segment(self._folder, file)))
            except CorruptIndex:
                break
        return found

    def _write(self, manifest: Manifest, segment: Segment) -> SegmentFile:
        parts = dump(segment)
        digest = hashlib.sha256(parts[0]).hexdigest()
        # Different content never gets the name of a file that a reader may have mapped.
        name = f"lexical-{manifest.vectors}-{segment.first}-{segment.stop}-{digest[:8]}.bin"
        publish(self._folder / name, [memoryview(part) for part in parts])
        self._lexicon.replaced(name)
        return SegmentFile(segment.first, segment.stop, name, digest)


def _merged(kept: list[tuple[SegmentFile, Segment]], new: Segment) -> Segment:
    """The new segment with the last of those kept, which are removed from the list, while they are not much larger."""
    together = [new]
    while kept and kept[-1][0].stop - kept[-1][0].first <= _LARGER * (new.stop - together[0].first):
        together.insert(0, kept.pop()[1])
    return merge(together) if len(together) > 1 else new
