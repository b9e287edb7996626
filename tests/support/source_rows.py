"""Stores the lines of files as the rows of their sources, with vectors, so that nothing has to be encoded."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import vecindex
from vecindex.sources.fingerprint import digest_of, state_of
from vecindex.sources.locations import Locations
from vecindex.store.changes.reconcile import Incoming
from vecindex.store.changes.sources import Finished
from vecindex.store.writer import TextVector, Writer
from vecindex.values.repeats import KeySet
from vecindex.values.sources import SourceState

from .toy import ToyEncoder

ADDED = "2026-01-01T00:00:00+00:00"


def add_lines(index: vecindex.Index, path: Path, keys: Sequence[str], complete: bool = True) -> None:
    """Adds each line of the file with one of the keys; not ``complete`` is as after an interruption."""
    file, encoder = state_of(path), ToyEncoder()
    location = Locations(index.path).of(path)
    modified = file.mtime_ns if file.is_settled(time.time_ns()) else None
    begun = SourceState(0, "file", location, "", "txt", "{}", None, file.size, modified, "", 0, "line")
    texts = path.read_text(encoding="utf-8").splitlines()
    with index._snapshots.borrow() as catalog:
        writer = Writer(index._folder, catalog)
        (state,) = writer.register([begun])
        seen = KeySet()
        rows = []
        for place, (key, text) in enumerate(zip(keys, texts, strict=True), start=1):
            rows.append(Incoming(key, text, None, source=state.id, position=place - 1, end=len(text), place=place))
            seen.add(key)
        values = (state.location, state.query, state.reader, state.options, digest_of(path))
        whole = SourceState(state.id, "file", *values, state.size, state.modified, ADDED, 0, "line")
        vectors = {text: TextVector(encoder.encode([text])[0], 0) for text in texts}
        writer.add(rows, vectors, encoder.space, finished=[Finished(whole, seen, False)] if complete else [])
