"""How do records become committed: windows of them are compared with what is stored, encoded where new, committed.

Each window is one commit, so memory is bounded, and what an interrupted ``add`` has committed stays. Encoding happens
outside the writer's lock: the lock is held for milliseconds a window, whatever the model's speed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter

from .encoders.encoder import Encoder
from .errors import InvalidInput
from .records import AddReport, Metadata, Record, checked_key, checked_metadata, checked_text, derive_key
from .store.changes import Incoming, reconcile
from .store.snapshot import Snapshots
from .store.writer import MissingVectors, TextVector, Writer
from .windows import windows

RECORDS_A_COMMIT = 1024

Progress = Callable[[AddReport], None]


def add(
    records: Iterable[str | Record],
    keys: Iterable[str] | None,
    metadata: Iterable[Metadata | None] | None,
    snapshots: Snapshots,
    writer: Writer,
    encoder: Callable[[], Encoder],
    progress: Progress | None = None,
) -> AddReport:
    """Adds texts, with their keys and metadata, or records; ``encoder`` is asked for only when a text must be encoded.

    A sequence is checked whole before anything is committed; an iterator as it goes. ``progress`` is called after
    each commit with the report so far.
    """
    incoming: Iterable[Incoming] = _incoming(_records(records, keys, metadata))
    if isinstance(records, Sequence):
        incoming = list(incoming)
    total = AddReport()
    for window in windows(incoming, RECORDS_A_COMMIT, attrgetter("text")):
        total = total + _add_window(window, snapshots, writer, encoder)
        if progress is not None:
            progress(total)
    return total


def _records(
    records: Iterable[str | Record], keys: Iterable[str] | None, metadata: Iterable[Metadata | None] | None
) -> Iterator[Record]:
    """Texts with their keys and metadata as records; columns of different lengths are refused before any is used."""
    if keys is None and metadata is None:
        yield from (item if isinstance(item, Record) else Record(item) for item in records)
        return
    texts = list(records)
    key_list = [None] * len(texts) if keys is None else list(keys)
    metadata_list = [None] * len(texts) if metadata is None else list(metadata)
    if not len(texts) == len(key_list) == len(metadata_list):
        raise InvalidInput(
            f"there are {len(texts)} texts, {len(key_list)} keys and {len(metadata_list)} metadata objects",
            "Give one key and one metadata object for each text, or leave keys= or metadata= out.",
        )
    for text, key, data in zip(texts, key_list, metadata_list, strict=True):
        if isinstance(text, Record):
            raise InvalidInput("keys= and metadata= go with texts; a Record holds its own", "Leave them out.")
        yield Record(text, key, data)


def _add_window(
    window: Sequence[Incoming], snapshots: Snapshots, writer: Writer, encoder: Callable[[], Encoder]
) -> AddReport:
    with snapshots.borrow() as catalog, catalog.reading() as manifest:
        space = manifest.space
        changes = reconcile(window, catalog.find({item.key for item in window}))
    if not changes.written and not changes.relabelled:
        return AddReport(unchanged=changes.unchanged, updated=changes.updated)
    vectors: dict[str, TextVector] = {}
    missing = [item.text for item in changes.written]
    while True:
        if missing:
            space = encoder().space
            vectors |= _encode(missing, encoder())
        assert space is not None  # an index with records has one, and without records every text was missing
        try:
            return writer.add(window, vectors, space)
        except MissingVectors as error:
            missing = list(error.texts)


def _encode(texts: Sequence[str], encoder: Encoder) -> dict[str, TextVector]:
    unique = list(dict.fromkeys(texts))
    encoded = encoder.encode_all(unique)
    return {
        text: TextVector(vector, bool(truncated))
        for text, vector, truncated in zip(unique, encoded.vectors, encoded.truncated, strict=True)
    }


def _incoming(records: Iterable[Record]) -> Iterator[Incoming]:
    for position, record in enumerate(records):
        try:
            if record.vector is not None:
                raise InvalidInput("it holds a vector", "Leave it out: the index's own model encodes the text.")
            text = checked_text(record.text)
            yield Incoming(
                key=derive_key(text) if record.key is None else checked_key(record.key),
                text=text,
                metadata=None if record.metadata is None else checked_metadata(record.metadata),
            )
        except InvalidInput as error:
            raise InvalidInput(f"item {position}: {error.message}", error.advice) from None
