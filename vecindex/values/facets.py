"""What the counts of a field's values are: `Facets`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Facet:
    """A ``value`` of a metadata field, and how many records have it."""

    value: Any
    count: int


@dataclass(frozen=True, slots=True)
class Facets:
    """How often each value of a metadata field occurs among the records that a filter selects.

    Attributes:
        field: the field.
        values: the most frequent values, those of the same count in the order in which they were first added.
        distinct: how many values there are, also beyond those in ``values``.
        missing: how many records do not have the field, or null in it.
        records: how many records the filter selects.
    """

    field: str
    values: tuple[Facet, ...]
    distinct: int
    missing: int
    records: int
