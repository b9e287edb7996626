"""Finds which metadata fields some records have, and how many of these records have each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...errors import CorruptIndex
from ...filters.tree import Path
from .reads import Catalog

_A_STATEMENT = 500
_MOST = 1_000
_DEEPEST = 3


def read_fields(catalog: Catalog, rows: Sequence[int]) -> dict[Path, int]:
    """The fields that the records at these rows have, each with the number of them that have it.

    Of a field that is an object, these are the fields in it; those more than 3 levels deep, or beyond the first 1,000,
    are left out.
    """
    found: dict[Path, int] = {}
    with catalog.errors():
        for start in range(0, len(rows), _A_STATEMENT):
            some = ", ".join(map(str, rows[start : start + _A_STATEMENT]))
            sql = f"select metadata from records where row in ({some}) order by row"
            for (text,) in catalog.sqlite.execute(sql):
                for path in _paths(_object(catalog, text)):
                    if path in found or len(found) < _MOST:
                        found[path] = found.get(path, 0) + 1
    return found


def _object(catalog: Catalog, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, TypeError):
        value = None
    if not isinstance(value, dict):
        raise CorruptIndex(str(catalog.path), "the metadata of a record is not a JSON object")
    return value


def _paths(values: Mapping[str, Any], above: Path = ()) -> Iterator[Path]:
    for name, value in values.items():
        path = (*above, name)
        if not isinstance(value, Mapping):
            yield path
        elif len(path) < _DEEPEST:
            yield from _paths(value, path)
