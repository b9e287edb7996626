"""Stores lexical segments of new rows after a change: they are made outside the writer's lock, and then published."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from ...machine.memory import memory_errors
from ...store.derived import LexicalFiles
from ...store.manifest import Manifest
from ...store.snapshot import Snapshots
from ...store.vectors import Rows
from ...store.writer import Writer
from ..lexical.building import build, merge, renumbered
from ..lexical.segment import Segment, dump
from ..lexical.settings import LexicalSettings
from ..lexicon import Lexicon, lexical_settings, load_segment, read_texts, usable_segments
from .segment_life import SegmentLife


class LexicalUpkeep:
    """The upkeep of the lexical side of one open index."""

    def __init__(
        self,
        folder: Path,
        snapshots: Snapshots,
        lexicon: Lexicon,
        writer: Callable[[], AbstractContextManager[Writer]],
    ) -> None:
        self._snapshots = snapshots
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
    def renew(self, rebuild: bool = False) -> None:
        """Gives all committed rows segments; new ones if ``rebuild``, and from the first that is damaged on."""
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
            if first == manifest.rows:
                return
            documents = read_texts(snapshot, first, manifest.rows, settings)
            new = build(self._lexicon.analyzer(manifest), first, manifest.rows, documents)
        try:
            new = self._life.merged(kept, new)
        except ValueError:  # postings are checked only when they are used
            self.renew(rebuild=True)
            return
        files, named = [file for file, _ in kept], (settings.to_json(), settings.fingerprint())

        def choose(now: Manifest) -> Manifest:
            if now.lexical != manifest.lexical:  # another process published first
                return now
            return replace(now, lexical=LexicalFiles(*named, (*files, self._life.write(now, new))))

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
        return lexical and self._life.moved(lexical, usable_segments(manifest), manifest, live)
