"""Gives stored records new rows with other vectors, in one commit: for vectors that were missing or damaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..manifest import Manifest
from ..sql.reads import Catalog
from ..stored import Stored
from ..text_cache import entries_of
from ..vectors import Vectors, append, checksums, vector_file


def write_again(
    catalog: Catalog,
    manifest: Manifest,
    records: Sequence[Stored],
    vectors: Vectors,
    lost: Sequence[int],
    digests: Sequence[bytes | None] = (),
) -> tuple[Manifest, list[Stored]]:
    """Appends a row for each record, and buries the old ones; everything else about the records stays.

    Returns the manifest and the records as they are written.

    Args:
        catalog: the index, with the writer's lock held.
        manifest: what is committed, with the space and the environment of the vectors.
        vectors: (n, D), of unit length.
        lost: of each, as in `Stored`.
        digests: of each text that the cache may know from now on, None for others.
    """
    append(vector_file(catalog.folder, manifest.vectors), manifest.rows, vectors)
    written = [
        replace(record, row=row, lost=tokens)
        for row, (record, tokens) in enumerate(zip(records, lost, strict=True), manifest.rows)
    ]
    sums = checksums(vectors)
    with catalog.changing() as tables:
        manifest = tables.bury(manifest, np.array([record.row for record in records], np.int64))
        manifest = tables.insert(manifest, written, sums)
        tables.remember(entries_of(written, digests, sums))
        tables.commit(manifest)
    return manifest, written
