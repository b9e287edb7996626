"""Encodes stored texts again: those of damaged rows, or all if the vector file is lost.

The writer's lock is held, as during all of a repair. A text in which the model finds no token has no vector; such
records are returned and left as they are.

1. Damaged rows: the texts get new rows, as if they were added, with a commit for every 1,024.
2. The file is missing or too short: a new file gets the rows that are left and sound, and new vectors of the other
   texts; then one transaction renumbers, as in a compaction. If killed before that, the file is an orphan, which the
   next writer removes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ...encoders.run.encoder import Encoder
from ...errors import CorruptIndex, TextWithoutToken
from ...values.records import UNKNOWN
from ..changes.rows_again import write_again
from ..disk.files import remove_files
from ..manifest import Manifest
from ..sql.reads import Catalog
from ..stored import Stored
from ..vectors import Rows, Sums, Vectors, append, are_sound, checksums, map_rows, remove_orphans, vector_file

TEXTS_A_COMMIT = 1024

MakeEncoder = Callable[[], Encoder]
Mask = npt.NDArray[np.bool_]


def encode_rows(catalog: Catalog, rows: Sequence[int], encoder: MakeEncoder) -> list[int]:
    """Encodes the texts of the records at these rows again; returns the rows whose texts cannot be encoded."""
    left: list[int] = []
    for start in range(0, len(rows), TEXTS_A_COMMIT):
        stored = catalog.fetch(rows[start : start + TEXTS_A_COMMIT])
        vectors, lost, possible = _encoded(stored, encoder())
        left += [record.row for record, is_possible in zip(stored, possible, strict=True) if not is_possible]
        stored = [record for record, is_possible in zip(stored, possible, strict=True) if is_possible]
        if stored:
            manifest = replace(catalog.manifest(), written_by=encoder().environment())
            write_again(catalog, manifest, stored, vectors[possible], lost[possible].tolist())
    return left


def encode_lost(catalog: Catalog, encoder: MakeEncoder) -> list[Stored]:
    """Makes the vector file again; if texts cannot be encoded, returns their records and changes nothing.

    Raises:
        CorruptIndex: a record is damaged; nothing was changed.
    """
    manifest = catalog.manifest()
    live = catalog.live_rows(manifest.rows)
    path = vector_file(catalog.folder, manifest.vectors + 1)
    kept = _kept(catalog, manifest)
    left: list[Stored] = []
    changed: list[tuple[Stored, int]] = []
    sums = np.empty(len(live), np.uint32)
    try:
        for start in range(0, len(live), TEXTS_A_COMMIT):
            stored = catalog.fetch(live[start : start + TEXTS_A_COMMIT].tolist())
            block, is_kept = kept(np.array([record.row for record in stored], np.int64))
            have_vectors = np.array([record.has_vector for record in stored], np.bool_)
            block[~have_vectors] = 0
            missing = np.flatnonzero(~is_kept & have_vectors)
            if len(missing):
                again = [stored[place] for place in missing]
                block[missing], lost, possible = _encoded(again, encoder())
                left += [record for record, is_possible in zip(again, possible, strict=True) if not is_possible]
                changed += [
                    (replace(stored[place], row=start + place), tokens)
                    for place, tokens in zip(missing.tolist(), lost.tolist(), strict=True)
                    if tokens != stored[place].lost
                ]
            if not left:
                append(path, start, block)
                sums[start : start + len(block)] = checksums(block)
        if not left:
            with catalog.changing() as tables:
                tables.renumber(live, sums)
                tables.forget()
                tables.set_lost(changed)
                after = replace(manifest, vectors=manifest.vectors + 1, rows=len(live), dead=0)
                tables.commit(replace(after.without_derived(), written_by=encoder().environment()))
    except BaseException:
        if catalog.manifest().vectors == manifest.vectors:
            remove_files([path])
        raise
    if left:
        remove_files([path])
    else:
        remove_orphans(catalog.folder, manifest.vectors + 1, ())
    return left


def _kept(catalog: Catalog, manifest: Manifest) -> Callable[[Rows], tuple[Vectors, Mask]]:
    """Returns a function that finds vectors of rows (n, D) in what is left of the file, and which are sound (n,)."""
    path = vector_file(catalog.folder, manifest.vectors)
    there: Vectors = np.empty((0, manifest.dimension), np.float32)
    sums: Sums = np.empty(0, np.uint32)
    try:
        sums = catalog.sums(0, manifest.rows)
        there = map_rows(path, min(manifest.rows, path.stat().st_size // (4 * manifest.dimension)), manifest.dimension)
    except (CorruptIndex, OSError):
        there = there[:0]

    def kept(rows: Rows) -> tuple[Vectors, Mask]:
        block = np.zeros((len(rows), manifest.dimension), np.float32)
        inside = rows < len(there)
        block[inside] = there[rows[inside]]
        right = np.zeros(len(rows), np.bool_)
        right[inside] = (checksums(block[inside]) == sums[rows[inside]]) & are_sound(block[inside])
        return block, right

    return kept


def _encoded(stored: Sequence[Stored], encoder: Encoder) -> tuple[Vectors, Rows, Mask]:
    """Vectors (n, D) and lost tokens (n,) of the records' texts, and which of them can be encoded (n,)."""
    texts = [record.text for record in stored]
    possible = np.ones(len(texts), np.bool_)
    vectors = np.zeros((len(texts), encoder.space.dimension), np.float32)
    lost = np.array([record.lost for record in stored], np.int64)
    left = texts
    while True:
        try:
            encoded = encoder.encode_all(left)
            break
        except TextWithoutToken:
            if not (unread := set(encoder.without_token(left))):
                raise
            possible &= np.array([text not in unread for text in texts], np.bool_)
            left = [text for text, is_possible in zip(texts, possible, strict=True) if is_possible]
    vectors[possible], lost[possible] = encoded.vectors, encoded.uncovered
    for place in np.flatnonzero(lost % UNKNOWN).tolist():
        if possible[place] and not stored[place].tokens_lost:  # the old vector covered all of the text
            whole = encoder.encode_all([texts[place]], on_long="mean")
            vectors[place], lost[place] = whole.vectors[0], whole.uncovered[0]
    return vectors, lost, possible & are_sound(vectors)
