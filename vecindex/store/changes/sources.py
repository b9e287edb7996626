"""Keeps the table of sources in step with what is read: registers, finishes, moves and removes sources.

A source that is being added has no digest, so an ``add`` that was interrupted reads it again. The commit with its last
records gives it one. Whatever is not as the source has it loses the digest again: a record that another source or a
caller changed or deleted comes back with the next ``add`` of the source.

Two sources may hold the same row. The record belongs to the first; the table of repeats remembers the others, and the
record goes over to one of them when the first one drops it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from ...values.repeats import KeySet
from ...values.sources import SourceState
from ..manifest import Manifest
from ..sql.reads import Catalog
from ..sql.writes import Tables
from ..stored import Stored, StoredDocument
from ..vectors import Rows

T = TypeVar("T")


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


def finish(catalog: Catalog, tables: Tables, manifest: Manifest, finished: Iterable[Finished]) -> tuple[Manifest, int]:
    """Ends the reading of sources, inside a commit; returns the manifest and how many records were removed."""
    removed = 0
    for each in finished:
        source = each.state.id
        rows = catalog.rows_of_source(source)
        gone_rows = [
            row for (_, row), lacks in zip(rows, each.seen.lacks([key for key, _ in rows]), strict=True) if lacks
        ]
        documents = catalog.documents_of(source)
        lacking = each.seen.lacks([document.new.key for document in documents])
        gone_documents = [document for document, lacks in zip(documents, lacking, strict=True) if lacks]
        keys = catalog.repeated_by(source)
        tables.forget_repeats_in(source, [key for key, lacks in zip(keys, each.seen.lacks(keys), strict=True) if lacks])
        gone = [*catalog.fetch(gone_rows), *catalog.pieces_of(document.id for document in gone_documents)]
        if each.prune and gone:
            manifest, count = remove_units(catalog, tables, manifest, gone, documents)
            removed += count
        tables.put_source(replace(each.state, stale=0 if each.prune else len(gone)))
    return manifest, removed


def remove_units(
    catalog: Catalog, tables: Tables, manifest: Manifest, records: Sequence[Stored], documents: Sequence[StoredDocument]
) -> tuple[Manifest, int]:
    """Removes rows and texts of sources, with all their records; what another source repeats goes over to that one.

    Returns the manifest and how many records were removed.
    """
    keys = [*(record.key for record in records if record.document is None), *(each.new.key for each in documents)]
    takers = {key: source for key, source, _ in catalog.repeats_of(keys)}
    owners = {document.id: document for document in documents}
    gone, moved = [], []
    for record in records:
        assert record.at is not None
        document = owners.get(record.document) if record.document is not None else None
        taker = takers.get(record.key if document is None else document.new.key)
        if taker is None:
            gone.append(record.row)
        else:
            moved.append((record, replace(record, at=record.at._replace(source=taker, place=None))))
    tables.relabel(moved)
    for document in documents:
        if (taker := takers.get(document.new.key)) is not None:
            tables.put_document(replace(document.new, source=taker), document.id)
    for key, taker in takers.items():
        tables.forget_repeats_in(taker, [key])
    manifest = tables.bury(manifest, np.array(gone, np.int64))
    tables.drop_empty_documents(owners)
    reread(catalog, tables, takers.values())  # where the row is in that source is not known
    return manifest, len(gone)


def reread(catalog: Catalog, tables: Tables, sources: Iterable[int]) -> None:
    """Makes the next ``add`` of these sources read them again."""
    for state in catalog.source_ids(set(sources)).values():
        if state.digest is not None:
            tables.put_source(replace(state, digest=None))


def delete_rows(catalog: Catalog, tables: Tables, manifest: Manifest, rows: Rows) -> Manifest:
    """Deletes the records at these rows; the next ``add`` of their sources reads these again."""
    records = catalog.touched_by(rows.tolist())
    keys = {key for key, _, _ in records}
    documents = catalog.document_ids(document for _, _, document in records if document is not None)
    repeats = catalog.repeats_of(keys | {document.new.key for document in documents.values()})
    manifest = tables.bury(manifest, rows)
    tables.drop_empty_documents(documents)
    for key, source, _ in repeats:
        tables.forget_repeats_in(source, [key])
    sources = {source for _, source, _ in records if source is not None} | {source for _, source, _ in repeats}
    reread(catalog, tables, sources)
    return manifest


def remove_sources(catalog: Catalog, tables: Tables, manifest: Manifest, ids: Collection[int]) -> tuple[Manifest, int]:
    """Removes sources with all their records; returns the manifest and how many records were removed."""
    removed = 0
    for source in ids:
        tables.forget_repeats_in(source, catalog.repeated_by(source))
    for source in ids:
        documents = catalog.documents_of(source)
        rows = [row for _, row in catalog.rows_of_source(source)]
        records = [*catalog.fetch(rows), *catalog.pieces_of(document.id for document in documents)]
        manifest, count = remove_units(catalog, tables, manifest, records, documents)
        removed += count
    tables.drop_sources(ids)
    return manifest, removed


def move_sources(catalog: Catalog, tables: Tables, moved: Sequence[tuple[SourceState, SourceState]]) -> None:
    """Gives sources, each first as it is, another location; texts of files, and their records, get new keys."""
    # Two files may have swapped their names, so the old locations must all be free first.
    for old, _ in moved:
        tables.put_source(replace(old, location=f"\0{old.id}"))
    renamed = []
    for old, new in moved:
        tables.put_source(new)
        for document in catalog.documents_of(old.id):
            if document.new.kind == "file":
                key = new.location + document.new.key.removeprefix(old.location)
                renamed.append((document, replace(document.new, key=key)))
                tables.put_document(replace(document.new, key=f"\0{document.id}"), document.id)
    relabelled = []
    for document, after in renamed:
        tables.put_document(after, document.id)
        relabelled += [
            (piece, replace(piece, key=after.key + piece.key.removeprefix(document.new.key)))
            for piece in catalog.pieces_of([document.id])
        ]
    tables.relabel(relabelled)
