"""Keeps the table of sources in step with what is read: registers, finishes, moves and removes sources.

A source that is being added has no digest, so an ``add`` that was interrupted reads it again. The commit with its last
records gives it one. Whatever is not as the source has it loses the digest again: a record that another source or a
caller changed or deleted comes back with the next ``add`` of the source.

Two sources may hold the same row. The record belongs to the first; the table of repeats remembers the others, and the
record goes over to one of them when the first one drops it. If none is left and it was also given by hand, it stays
without a source.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from ...errors import InvalidInput
from ...values.repeats import KeySet
from ...values.sources import SourceState
from ..manifest import Manifest
from ..sql.reads import Catalog
from ..sql.writes import Tables
from ..stored import BY_HAND, At, Stored, StoredDocument
from ..vectors import Rows

T = TypeVar("T")
ROWS_AT_ONCE = 1_000
"""Rows of a source that is removed whose texts are held in memory."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A source that was read to its end.

    ``state`` is what to remember of it, and ``seen`` has the keys of all its rows and texts. With ``prune`` the records
    of others are removed; else they are counted in the state.
    """

    state: SourceState
    seen: KeySet
    prune: bool

    def unseen(self, keyed: Sequence[tuple[str, T]]) -> list[tuple[str, T]]:
        """Those of the pairs whose keys were not seen."""
        lacking = self.seen.lacks([key for key, _ in keyed])
        return [pair for pair, lacks in zip(keyed, lacking, strict=True) if lacks]


def finish(
    catalog: Catalog, tables: Tables, manifest: Manifest, finished: Iterable[Finished]
) -> tuple[Manifest, int, set[int]]:
    """Ends the reading of sources, inside a commit.

    Returns the manifest, how many records were removed, and the sources that are to be read again: they have rows now
    that were another source's.
    """
    removed, unread = 0, set[int]()
    for each in finished:
        source = each.state.id
        now = catalog.source_ids([source]).get(source)
        if now is None:
            continue  # it was removed meanwhile, with its records
        if _differs(now, each.state):
            tables.put_source(replace(now, digest=None))
            continue
        for keys in catalog.repeated_by(source):
            tables.forget_repeats_in(source, [key for key, _ in each.unseen([(key, None) for key in keys])])
        stale = 0
        for records, documents in _portions(catalog, source, each.unseen):
            left, others, takers = hand_over(catalog, tables, records, documents)
            unread |= takers
            if each.prune:
                manifest = _drop(tables, manifest, left, others)
                removed += len(left)
            else:
                stale += len(left)
        tables.put_source(replace(each.state, stale=stale))
    return manifest, removed, unread


def _differs(now: SourceState, finished: SourceState) -> bool:
    """Whether a source is not as it was registered any more, since another command adds it too or changed its records.

    Then it is unknown which reading its records are from.
    """
    same = all(getattr(now, name) == getattr(finished, name) for name in ("location", "reader", "options", "size"))
    return not same or now.digest not in (None, finished.digest)


def hand_over(
    catalog: Catalog, tables: Tables, records: Sequence[Stored], documents: Sequence[StoredDocument]
) -> tuple[list[Stored], list[StoredDocument], set[int]]:
    """Gives rows and texts that are gone from their source, with all their records, to another that repeats them.

    Those that no other source has, but that were also given by hand, have no source from then on. Returns the records
    and documents that are left, and the sources that have more than before.
    """
    keys = [record.key for record in records if record.document is None]
    keys += [document.new.key for document in documents if document.new.kind == "row"]
    takers: dict[str, tuple[int, int | None]] = {}
    for repeated, source, place in catalog.repeats_of(keys):
        if source != BY_HAND or repeated not in takers:
            takers[repeated] = (source, place)
    owners = {document.id: document.new.key if document.new.kind == "row" else None for document in documents}
    left, moved = [], []
    for record in records:
        assert record.at is not None
        key = record.key if record.document is None else owners[record.document]
        if key is None or key not in takers:
            left.append(record)
        else:
            moved.append((record, replace(record, at=_taken_over(record.at, *takers[key]))))
    tables.relabel(moved)
    others = []
    for document in documents:
        key = owners[document.id]
        if key is None or key not in takers:
            others.append(document)
        else:
            tables.put_document(replace(document.new, source=takers[key][0] or None), document.id)
    for key, (source, _) in takers.items():
        tables.forget_repeats_in(source, [key])
    return left, others, {source for source, _ in takers.values()} - {BY_HAND}


def _taken_over(at: At, source: int, place: int | None) -> At | None:
    """Where a record is that goes over to another source."""
    if source != BY_HAND:
        return at._replace(source=source, place=place)
    return None if at.document is None else at._replace(source=None, place=None)


def reread(catalog: Catalog, tables: Tables, sources: Iterable[int]) -> None:
    """Makes the next ``add`` of these sources read them again.

    One that is being read has no digest yet. It loses its size instead, so that `finish` gives it no digest.
    """
    for state in catalog.source_ids(set(sources)).values():
        tables.put_source(replace(state, digest=None, size=None if state.digest is None else state.size))


def delete_rows(catalog: Catalog, tables: Tables, manifest: Manifest, rows: Rows) -> Manifest:
    """Deletes the records at these rows; the next ``add`` of their sources reads these again."""
    records = catalog.touched_by(rows.tolist())
    keys = {key for key, _, _ in records}
    documents = catalog.document_ids(document for _, _, document in records if document is not None)
    repeats = catalog.repeats_of(keys | {document.new.key for document in documents.values()})
    manifest = tables.bury(manifest, rows)
    tables.drop_empty_documents(documents)
    left = {document.new.key for document in catalog.document_ids(documents).values()}
    for key, source, _ in repeats:
        if source != BY_HAND or key not in left:  # of a text given by hand, the other sentences stay so
            tables.forget_repeats_in(source, [key])
    sources = {source for _, source, _ in records if source is not None} | {source for _, source, _ in repeats}
    reread(catalog, tables, sources - {BY_HAND})
    return manifest


def remove_sources(catalog: Catalog, tables: Tables, manifest: Manifest, ids: Collection[int]) -> tuple[Manifest, int]:
    """Removes sources with all their records; returns the manifest and how many records were removed."""
    removed = 0
    tables.forget_repeats_of(ids)  # none is handed over to another of them
    for source in ids:
        for records, documents in _portions(catalog, source, lambda keyed: keyed):
            left, others, takers = hand_over(catalog, tables, records, documents)
            manifest = _drop(tables, manifest, left, others)
            reread(catalog, tables, takers)
            removed += len(left)
    tables.drop_sources(ids)
    return manifest, removed


def _portions(
    catalog: Catalog, source: int, choose: Callable[[list[tuple[str, int]]], list[tuple[str, int]]]
) -> Iterator[tuple[list[Stored], list[StoredDocument]]]:
    """What a source has, a little at a time, since its texts may not fit into memory: rows, then each document.

    ``choose`` returns those of a list of keys, with rows or ids of documents, that are wanted. All are chosen before
    the first is yielded.
    """
    rows, ids = array("q"), array("q")
    for chosen, keyed in ((rows, catalog.rows_of_source(source)), (ids, catalog.document_keys_of(source))):
        for some in keyed:
            chosen.extend(number for _, number in choose(some))
    for start in range(0, len(rows), ROWS_AT_ONCE):
        yield catalog.fetch(rows[start : start + ROWS_AT_ONCE]), []
    for id in ids:
        yield catalog.pieces_of([id]), list(catalog.document_ids([id]).values())


def _drop(
    tables: Tables, manifest: Manifest, records: Sequence[Stored], documents: Sequence[StoredDocument]
) -> Manifest:
    manifest = tables.bury(manifest, np.array([record.row for record in records], np.int64))
    tables.drop_empty_documents(document.id for document in documents)
    return manifest


def move_sources(catalog: Catalog, tables: Tables, moved: Sequence[tuple[SourceState, SourceState]]) -> None:
    """Gives sources, each first as it is, another location; texts of files, and their records, get new keys.

    A source whose new location another one has by now, since another process added it meanwhile, stays where it is.

    Raises:
        InvalidInput: a record would get the key of another text.
    """
    sources, left = catalog.sources(), len(moved) + 1
    while len(moved) < left:  # one that stays may be in the way of another
        left, leaving = len(moved), {old.id for old, _ in moved}
        taken = {(state.location, state.query) for state in sources if state.id not in leaving}
        moved = [(old, new) for old, new in moved if (new.location, new.query) not in taken]
    # Two files may have swapped their names, so the old locations must all be free first, and the documents' keys.
    for old, _ in moved:
        tables.put_source(replace(old, location=f"\0{old.id}"))
    renamed = [array("q", _set_aside(catalog, tables, old)) for old, _ in moved]
    waiting = array("q")
    leaving = {old.id for old, _ in moved}
    for (old, new), ids in zip(moved, renamed, strict=True):
        tables.put_source(new)
        for id in ids:
            if not _rename(catalog, tables, catalog.document_ids([id])[id], (old.location, new.location), leaving):
                waiting.append(id)
    for id in waiting:
        pairs = [(piece, replace(piece, key=piece.key.removeprefix("\0"))) for piece in catalog.pieces_of([id])]
        if others := _others(catalog, pairs):
            raise _taken(next(iter(others)))
        tables.relabel(pairs)


def _set_aside(catalog: Catalog, tables: Tables, source: SourceState) -> Iterator[int]:
    """Gives the texts of a source's file another key for now, a NUL before its own; yields their ids."""
    ids = array("q")
    for some in catalog.document_keys_of(source.id):
        ids.extend(id for _, id in some)
    for id, document in ((id, catalog.document_ids([id])[id]) for id in ids):
        if document.new.kind == "file":
            tables.put_document(replace(document.new, key=f"\0{document.new.key}"), id)
            yield id


def _rename(
    catalog: Catalog,
    tables: Tables,
    document: StoredDocument,
    locations: tuple[str, str],
    leaving: Collection[int],
) -> bool:
    """Gives a text that is set aside, and its sentences, the keys at its file's new location.

    Returns False if another text has these keys that may give them up, since its source is among ``leaving``: then the
    sentences are set aside too, with a NUL before their new keys.
    """
    before, (old, new) = document.new.key.removeprefix("\0"), locations
    after = replace(document.new, key=new + before.removeprefix(old))
    tables.put_document(after, document.id)
    pairs = [
        (piece, replace(piece, key=after.key + piece.key.removeprefix(before)))
        for piece in catalog.pieces_of([document.id])
    ]
    if others := _others(catalog, pairs):
        may_leave = {key for key, source, cut in catalog.touched_by(others.values()) if cut and source in leaving}
        if stays := others.keys() - may_leave:
            raise _taken(min(stays))
        tables.relabel((piece, replace(moved, key=f"\0{moved.key}")) for piece, moved in pairs)
        return False
    tables.relabel(pairs)
    return True


def _others(catalog: Catalog, relabelled: Sequence[tuple[Stored, Stored]]) -> dict[str, int]:
    """Those of the new keys that other records have, and their rows."""
    own = {old.row for old, _ in relabelled}
    return {key: row for key, row in catalog.rows_of(new.key for _, new in relabelled).items() if row not in own}


def _taken(key: str) -> InvalidInput:
    return InvalidInput(
        f"a moved file would get a sentence with the key {key!r}, which is another record's key",
        "Delete that record first.",
    )
