"""Checks that the codes belong to the vectors: their files are as published, and they find the rows they encode."""

from __future__ import annotations

import numpy as np

from ...errors import CorruptIndex
from ...store.snapshot import Snapshot
from ..view import damage, load_codes, near
from .codes import Bytes, Codes
from .exact import ROUNDING, Rows, Vectors, rank, scan, scores
from .plan import LARGEST_SHARE, candidates
from .settings import MASKED, variants

_SAMPLE = 64
_HITS = 10
_LEAST = 0.9
"""The share of the sample's rows that must be found, and the share of the measured recall that must be reached."""


def check_codes(snapshot: Snapshot) -> None:
    """Raises CorruptIndex if a file of the snapshot's codes is missing, or if they were made of other vectors."""
    files = snapshot.codes
    if files is None:
        return
    reason = None
    try:
        codes = load_codes(snapshot, files)
        sample = _sample(snapshot, files.rows)
        for name in variants(codes.settings):
            bitmap = np.full(-(-codes.rows // 8), 255, np.uint8) if name == MASKED else None
            found = _found(np.asarray(snapshot.vectors), codes, sample, bitmap)
            if found < _LEAST * len(sample):
                reason = f"the codes find only {found} of {len(sample)} vectors that they were made of"
        if reason is None and codes.settings.recall is not None and len(sample):
            recall = _recall(snapshot, codes, sample)
            if recall < _LEAST * codes.settings.recall:
                reason = f"the codes' recall is {recall:.4f}; it was {codes.settings.recall:.4f} when it was measured"
    except ValueError as error:
        reason = str(error)
    if reason is not None:
        raise damage(snapshot, files, reason)


def _sample(snapshot: Snapshot, rows: int) -> Rows:
    """Evenly spaced rows that have sound vectors; damaged vectors are reported elsewhere."""
    kept = []
    every = np.flatnonzero(~snapshot.lack_vectors(np.arange(rows)))
    for row in every[np.unique(np.linspace(0, len(every) - 1, min(len(every), _SAMPLE)).astype(np.int64))]:
        try:
            snapshot.check(np.array([row]))
        except CorruptIndex:
            continue
        kept.append(row)
    return np.array(kept, np.int64)


def _found(vectors: Vectors, codes: Codes, sample: Rows, bitmap: Bytes | None) -> int:
    """How many of these rows are proposed for their own vector, widened as a search would widen."""
    waiting, count, wider = sample, candidates(1, codes.settings), 1
    while True:
        proposed, _ = codes.propose(vectors[waiting], count, bitmap, wider)
        missed = [not _holds(vectors, row, rows) for row, rows in zip(waiting, proposed, strict=True)]
        waiting, count, wider = waiting[missed], count * 4, wider * 4
        if not len(waiting) or count * LARGEST_SHARE > codes.rows:
            return len(sample) - len(waiting)


def _holds(vectors: Vectors, row: int, proposed: Rows) -> bool:
    """Whether the row was proposed, or all rows that were have equal vectors."""
    if row in proposed:
        return True
    rows = proposed[proposed >= 0]
    return len(rows) > 0 and bool((scores(vectors[rows], vectors[row]) >= 1 - 2 * ROUNDING).all())


def _recall(snapshot: Snapshot, codes: Codes, sample: Rows) -> float:
    """The share of the nearest records that the codes propose before any widening; 1 if it cannot be measured."""
    try:
        snapshot.check_range(0, codes.rows)
    except CorruptIndex:
        return 1.0
    allowed = near(snapshot)
    rows, vectors = allowed.rows(), np.asarray(snapshot.vectors)[: codes.rows]
    rows = rows[rows < codes.rows]
    k = min(_HITS, len(rows))
    if k == 0:
        return 1.0
    queries = np.ascontiguousarray(vectors[sample])
    proposed, _ = codes.propose(queries, candidates(k, codes.settings), allowed.bitmap)
    hits = 0
    for query, exact, guessed in zip(queries, scan(vectors, rows, queries, k), proposed, strict=True):
        found = rank(vectors, np.sort(guessed[guessed >= 0]), query, k)
        hits += int((found.scores >= exact.scores[-1] - ROUNDING).sum())
    return hits / (k * len(sample))
