"""Lists the records of an index in the order of insertion, a few at a time, and counts them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import Advice, InvalidInput, RecordNotFound
from ..errors.warnings import GroupWarning, VecindexWarning, warn
from ..filters.parse import parse
from ..filters.tree import Exists, Filter, path_text
from ..store.origins import Whence, origins
from ..store.snapshot import Snapshots
from ..store.sql.reads import Catalog
from ..store.sql.unmatched import warn_of_unmatched
from ..store.stored import Stored
from ..values.arguments import entrance
from ..values.facets import Facets
from ..values.records import Origin, Record
from .options import field_path
from .shaping.facets import facets

_RECORDS_A_READ = 256  # a text may be long, so few are in memory at once


class Listing:
    """The part of an `Index` that lists and counts records; ``list`` has the name of a type, so the class is apart."""

    _folder: Path
    _snapshots: Snapshots

    @entrance()
    def list(
        self,
        where: Mapping[str, Any] | str | None = None,
        *,
        source: str | os.PathLike[str] | None = None,
        after: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Record]:
        """The records, in the order of insertion: keys, texts, metadata, ``origin`` and ``span``, but no vectors.

        They are read from one snapshot, a few at a time, while others may write; `vecindex list` prints them.

        Args:
            where: a filter on metadata, as in `search`.
            source: a file that was added, or a folder or an archive for all that is in it; or the URL or other label of
                a source, as `sources` lists it.
            after: the key of a record, for only those that were added after it; to list some at a time, pass the last.
            limit: the largest number of records.

        Raises:
            RecordNotFound: no record has the key ``after``.
            InvalidInput: nothing was added from that source.
            InvalidFilter, CorruptIndex.

        Warns:
            FilterWarning: a condition in ``where`` matches no stored record.
        """
        condition, sources = None if where is None else parse(where), None
        if source is not None:
            with self._snapshots.borrow() as catalog:
                sources = sources_at(catalog, self._folder, os.fspath(source))
        if after is not None:
            with self._snapshots.borrow() as catalog:
                _row_of(catalog, after)  # an unknown key is an error now, and not when the first record is read
        return self._listed(condition, sources, after, limit)

    @entrance()
    def count(self, where: Mapping[str, Any] | str | None = None) -> int:
        """How many records a filter selects, or how many there are; raises InvalidFilter, and warns as `list` does."""
        condition = None if where is None else parse(where)
        with self._snapshots.take() as snapshot:
            count, warnings = snapshot.allowed(condition).count, snapshot.unmatched(condition)
        for warning in warnings:
            warn(warning)
        return count

    @entrance()
    def facets(self, field: str, where: Mapping[str, Any] | str | None = None, *, top: int = 20) -> Facets:
        """The values of a metadata field among the records that a filter selects, with how many records have each.

        Values are told apart as groups are in `search`: ``1`` and ``1.0`` are the same, and lists and objects are
        compared as a whole.

        Args:
            field: ``source``, ``document``, or a metadata field such as ``topic`` or ``author.name``.
            where: a filter on metadata, as in `search`.
            top: how many values, the most frequent first.

        Raises:
            InvalidInput, InvalidFilter, CorruptIndex.

        Warns:
            FilterWarning: a condition in ``where`` matches no stored record.
            GroupWarning: no record has the field.
        """
        path, condition = field_path(field), None if where is None else parse(where)
        with self._snapshots.take() as snapshot:
            found = facets(snapshot, field, path, condition, top)
            warnings: Sequence[VecindexWarning] = snapshot.unmatched(condition)
            if not found.values:
                missing = snapshot.unmatched(Exists(path))
                warnings = [*warnings, *(GroupWarning(warning.field, warning.known) for warning in missing)]
        for warning in warnings:
            warn(warning)
        return found

    def _listed(
        self, where: Filter | None, sources: Ids | None, after: str | None, limit: int | None
    ) -> Iterator[Record]:
        with self._snapshots.borrow() as catalog, catalog.reading() as manifest:
            rows = catalog.live_rows(manifest.rows) if sources is None else catalog.rows_from(sources)
            if after is not None:
                rows = rows[rows > _row_of(catalog, after)]
            if where is not None:
                warn_of_unmatched(catalog, manifest, where)
                rows = np.intersect1d(rows, catalog.rows_where(where, manifest.fields))
            rows = rows[:limit]
            for start in range(0, len(rows), _RECORDS_A_READ):
                some = catalog.fetch(rows[start : start + _RECORDS_A_READ].tolist())
                for stored, whence in zip(some, origins(catalog, some), strict=True):
                    yield record_of(stored, catalog.metadata(stored), whence)


_LOOKED_AT = 10_000  # records, for the names of fields


def fields_of(index: Listing) -> list[str]:
    """The metadata fields of an index, as filters write them: the indexed ones, then those that most records have.

    Up to 10,000 records are looked at: all of them, or of more, some that are spread over all, so that the time for it
    is bounded.
    """
    with index._snapshots.take() as snapshot:
        rows = snapshot.allowed(None).rows()
        step = -(-len(rows) // _LOOKED_AT) or 1
        counts = snapshot.fields(rows[::step].tolist())
        names = [path_text(path) for path in sorted(counts, key=lambda path: -counts[path])]
        return list(dict.fromkeys([*snapshot.manifest.fields, *names]))


Ids: TypeAlias = list[int]


def _row_of(catalog: Catalog, key: str) -> int:
    rows = catalog.rows_of([key])
    if key not in rows:
        raise RecordNotFound(key)
    return rows[key]


def sources_at(catalog: Catalog, folder: Path, typed: str) -> Ids:
    """The ids of the sources that are meant by ``typed``; raises InvalidInput if there is none."""
    from ..sources.locations import Locations

    found = Locations(folder).selected(typed, catalog.sources())
    if not found:
        raise InvalidInput(
            f"nothing was added from {typed!r}",
            Advice("See index.sources().", typed="See `vecindex sources`."),
        )
    return [state.id for state in found]


def record_of(
    stored: Stored, metadata: dict[str, Any], whence: Whence | None, vector: npt.NDArray[np.float32] | None = None
) -> Record:
    """A stored record as users get it."""
    span = None if whence is None else whence.span
    return Record(stored.text, stored.key, metadata, vector, _origin_of(whence), span, stored.has_vector)


def _origin_of(whence: Whence | None) -> Origin | None:
    """The source and the place there, as a record has it."""
    if whence is None or whence.source is None:
        return None
    if whence.place is None:
        return Origin(whence.source)
    unit, number = whence.place
    return Origin(whence.source, number, unit)
