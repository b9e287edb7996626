"""Stores the lines of files as rows, or as sentences of a document, with vectors, so that nothing has to be encoded."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import vecindex
from vecindex.sources.fingerprint import digest_of, state_of
from vecindex.sources.locations import Locations
from vecindex.store.changes.reconcile import Incoming
from vecindex.store.changes.sources import Finished
from vecindex.store.stored import NewDocument
from vecindex.store.text_cache import text_digest
from vecindex.store.writer import TextVector, Writer
from vecindex.values.repeats import KeySet
from vecindex.values.sources import SourceState

from .toy import ToyEncoder

ADDED = "2026-01-01T00:00:00+00:00"


def add_lines(
    index: vecindex.Index, path: Path, keys: Sequence[str], complete: bool = True, is_document: bool = False
) -> None:
    """Adds each line of the file with one of the keys; not ``complete`` is as after an interruption.

    ``is_document`` makes the lines sentences of one document, with the keys LOCATION#1, LOCATION#2 and so on.
    """
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
        if is_document:
            keys = [f"{location}#{place}" for place in range(1, len(texts) + 1)]
            document = NewDocument("file", location, state.id, text_digest("\n".join(texts)))
            seen.add(location)
        start = 0
        for place, (key, text) in enumerate(zip(keys, texts, strict=True), start=1):
            at: dict[str, Any] = {"source": state.id, "position": place - 1, "place": place}
            if is_document:
                rows.append(Incoming(key, text, "{}", None, document, **at, start=start, end=start + len(text)))
                start += len(text) + 1
            else:
                rows.append(Incoming(key, text, None, **at, end=len(text)))
                seen.add(key)
        values = (state.location, state.query, state.reader, state.options, digest_of(path))
        whole = SourceState(state.id, "file", *values, state.size, state.modified, ADDED, 0, "line")
        vectors = {text: TextVector(encoder.encode([text])[0], 0) for text in texts}
        writer.add(rows, vectors, encoder.space, finished=[Finished(whole, seen, False)] if complete else [])
