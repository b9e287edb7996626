"""Reads which records belong together: those that have the same value in a field, as filters know it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...errors import CorruptIndex
from ...filters.sql import json_path
from ...filters.tree import Path
from ...values.nested import read_json
from ...values.records import NO_VECTOR, UNKNOWN
from ..vectors import Rows
from .placed import PLACED, PLACED_METADATA
from .reads import Catalog

_A_STATEMENT = 500
_UNKNOWN = f"lost >= {UNKNOWN} and lost < {NO_VECTOR}"
# A string is compared as JSON text, since json_extract cuts it at a NUL.
_VALUES = (
    f"row, {_UNKNOWN}, json_type(metadata, :path), "
    "case when json_type(metadata, :path) in ('integer', 'real') then json_extract(metadata, :path) "
    "else metadata -> :path end"
)
_JSON = "row, metadata -> :path"
_NUMBER = {"integer": "number", "real": "number"}


class Groups(NamedTuple):
    """The groups of rows (n,): ``numbers`` (n,) are equal for rows of one group; ``unknown`` (n,) as in `Hit`."""

    numbers: Rows
    unknown: npt.NDArray[np.bool_]


def read_groups(catalog: Catalog, path: Path, size: int, rows: Sequence[int] | None = None) -> Groups:
    """The groups of ``rows``, in their order; of all ``size`` rows, in which dead ones mean nothing, if it is None.

    Numbers are compared by value, 1 and 1.0 are equal; lists and objects by their JSON text. A record in which the
    field is missing or null is a group by itself.
    """
    places = range(size) if rows is None else {row: place for place, row in enumerate(rows)}
    numbers = -1 - np.arange(len(places), dtype=np.int64)
    unknown = np.zeros(len(places), np.bool_)
    seen: dict[tuple[str, Any], int] = {}
    at: list[int] = []
    found: list[int] = []
    for row, is_unknown, kind, value in _selected(catalog, _VALUES, path, rows):
        if row not in places:
            raise CorruptIndex(str(catalog.path), f"it holds records beyond its {size} rows")
        if is_unknown:
            unknown[places[row]] = True
        if kind is not None and kind != "null":
            at.append(places[row])
            found.append(seen.setdefault((_NUMBER.get(kind, kind), value), len(seen)))
    numbers[at] = found
    return Groups(numbers, unknown)


def read_unknown(catalog: Catalog, rows: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Which of these rows (n,) are of texts of which the model knows no token."""
    found: set[int] = set()
    with catalog.errors():
        for start in range(0, len(rows), _A_STATEMENT):
            some = ", ".join(map(str, rows[start : start + _A_STATEMENT]))
            sql = f"select row from records where row in ({some}) and {_UNKNOWN}"
            found.update(row for (row,) in catalog.sqlite.execute(sql))
    return np.array([row in found for row in rows], np.bool_)


def read_values(catalog: Catalog, path: Path, rows: Sequence[int]) -> list[Any]:
    """The values at ``path`` of these rows, in their order; None for a record without one."""
    found = dict(_selected(catalog, _JSON, path, rows))
    return [None if found.get(row) is None else read_json(found[row]) for row in rows]


def _selected(catalog: Catalog, columns: str, path: Path, rows: Sequence[int] | None) -> Iterator[Any]:
    """These columns of the rows, or of all.

    `_VALUES` are the row, whether the text is unknown, the value's JSON type, and the value, and `_JSON` the row and
    the value's JSON text.
    """
    parameters: dict[str, Any] = {"path": json_path(path)}
    with catalog.errors():
        if rows is None:
            yield from catalog.sqlite.execute(_statement(columns, path, ""), parameters)
            return
        for start in range(0, len(rows), _A_STATEMENT):
            # Rows are numbers, so that they can be part of the statement.
            some = ", ".join(map(str, rows[start : start + _A_STATEMENT]))
            yield from catalog.sqlite.execute(_statement(columns, path, f"where row in ({some})"), parameters)


def _statement(columns: str, path: Path, condition: str) -> str:
    if path[0] not in PLACED:
        return f"select {columns} from records {condition}"
    chosen = f"select row, lost, {PLACED_METADATA} as metadata from records {condition}"
    return f"with placed as materialized ({chosen}) select {columns} from placed"
