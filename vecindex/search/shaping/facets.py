"""Counts the values of a field among the records that a filter selects."""

from __future__ import annotations

import numpy as np

from ...filters.tree import Filter, Path
from ...store.snapshot import Snapshot
from ...values.facets import Facet, Facets


def facets(snapshot: Snapshot, field: str, path: Path, where: Filter | None, top: int) -> Facets:
    """The ``top`` most frequent values of the ``field`` at ``path``; values are told apart as groups are."""
    rows = snapshot.allowed(where).rows()
    numbers = snapshot.groups(path).numbers[rows]
    known = np.flatnonzero(numbers >= 0)
    _, first, counts = np.unique(numbers[known], return_index=True, return_counts=True)
    order = np.lexsort((first, -counts))[:top]
    found = snapshot.values(path, rows[known[first[order]]].tolist())
    values = tuple(map(Facet, found, counts[order].tolist()))
    return Facets(field, values, len(counts), len(rows) - len(known), len(rows))
