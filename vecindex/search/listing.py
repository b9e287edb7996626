"""Lists the records of an index in the order of insertion, a few at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..filters.parse import parse
from ..filters.tree import Filter
from ..store.snapshot import Snapshots
from ..store.sql.unmatched import warn_of_unmatched
from ..values.arguments import entrance
from ..values.records import Record

_RECORDS_A_READ = 256  # a text may be long, so few are in memory at once


class Listing:
    """The part of an `Index` that lists records; its method has the name of a type, so it is in a class of its own."""

    _snapshots: Snapshots

    @entrance()
    def list(self, where: Mapping[str, Any] | str | None = None, *, limit: int | None = None) -> Iterator[Record]:
        """The records, with their keys, texts and metadata but without vectors, in the order of insertion.

        They are read from one snapshot, a few at a time, while others may write; `vecindex list` prints them.

        Args:
            where: a filter on metadata, as in `search`.
            limit: the largest number of records.

        Raises:
            InvalidInput, InvalidFilter, CorruptIndex.

        Warns:
            FilterWarning: a condition in ``where`` matches no stored record.
        """
        return self._listed(None if where is None else parse(where), limit)

    def _listed(self, where: Filter | None, limit: int | None) -> Iterator[Record]:
        with self._snapshots.borrow() as catalog, catalog.reading() as manifest:
            if where is None:
                rows = catalog.live_rows(manifest.rows)
            else:
                warn_of_unmatched(catalog, manifest, where)
                rows = np.sort(catalog.rows_where(where, manifest.fields))
            rows = rows[:limit]
            for start in range(0, len(rows), _RECORDS_A_READ):
                for stored in catalog.fetch(rows[start : start + _RECORDS_A_READ].tolist()):
                    yield Record(stored.text, stored.key, catalog.metadata(stored))
