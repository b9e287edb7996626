"""How do records become committed: windows of them are compared with what is stored, encoded where new, committed.

Each window is one commit, so memory is bounded, and what an interrupted ``add`` has committed stays. Encoding happens
outside the writer's lock: the lock is held for milliseconds a window, whatever the model's speed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from .encoders.encoder import Encoder
from .errors import InvalidInput
from .records import AddReport, Metadata, Record, checked_key, checked_metadata, checked_text, derive_key
from .store.changes import Incoming, reconcile
from .store.snapshot import Snapshots
from .store.writer import MissingVectors, TextVector, Writer

RECORDS_A_COMMIT = 1024

Progress = Callable[[AddReport], None]


def as_records(
    records: Iterable[str | Record], keys: Iterable[str] | None, metadata: Iterable[Metadata | None] | None
) -> Iterable[Record]:
    """Texts with their keys and metadata as records; columns of different lengths are refused before any is used."""
    if keys is None and metadata is None:
        return map(_as_record, records)
    texts = [checked_text(item) for item in records]
    key_list = [None] * len(texts) if keys is None else list(keys)
    metadata_list = [None] * len(texts) if metadata is None else list(metadata)
    if not len(texts) == len(key_list) == len(metadata_list):
        raise InvalidInput(
            f"there are {len(texts)} texts, {len(key_list)} keys and {len(metadata_list)} metadata objects",
            "Give one key and one metadata object for each text, or leave keys= or metadata= out.",
        )
    return map(Record, texts, key_list, metadata_list)


def _as_record(item: str | Record) -> Record:
    if not isinstance(item, Record):
        return Record(checked_text(item))
    if item.vector is not None:
        raise InvalidInput("a Record to add holds a vector", "Leave it out: the index's own model encodes the text.")
    return item


def add(
    records: Iterable[Record],
    snapshots: Snapshots,
    writer: Writer,
    encoder: Callable[[], Encoder],
    progress: Progress | None = None,
) -> AddReport:
    """Adds records; ``encoder`` is asked for only when a text must be encoded.

    ``progress`` is called after each commit with the report so far.
    """
    total = AddReport()
    for window in _windows(records):
        total = total + _add_window(window, snapshots, writer, encoder)
        if progress is not None:
            progress(total)
    return total


def _add_window(
    window: Sequence[Incoming], snapshots: Snapshots, writer: Writer, encoder: Callable[[], Encoder]
) -> AddReport:
    with snapshots.take() as snapshot:
        space = snapshot.manifest.space
        changes = reconcile(window, snapshot.find({item.key for item in window}))
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


def _windows(records: Iterable[Record]) -> Iterator[list[Incoming]]:
    incoming = map(_incoming, records)
    while window := list(islice(incoming, RECORDS_A_COMMIT)):
        yield window


def _incoming(record: Record) -> Incoming:
    text = checked_text(record.text)
    return Incoming(
        key=derive_key(text) if record.key is None else checked_key(record.key),
        text=text,
        metadata=None if record.metadata is None else checked_metadata(record.metadata),
    )
