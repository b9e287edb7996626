"""What the meta of a store's documents hold: counts, names, types, and the values of a name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ...values.records import Record
from .documents import meta_of

_TYPES = {bool: "boolean", int: "int", float: "float"}


class Fields:
    """The part of the document store that looks at meta. Names may begin with ``meta.`` or not."""

    def _records(self, filters: dict[str, Any] | None) -> Iterator[Record]:
        raise NotImplementedError

    def count_documents_by_filter(self, filters: dict[str, Any]) -> int:
        """How many documents a filter selects; raises FilterError."""
        return sum(1 for _ in self._records(filters))

    def count_unique_metadata_by_filter(self, filters: dict[str, Any], metadata_fields: list[str]) -> dict[str, int]:
        """How many different values each of these names has in the documents that a filter selects."""
        seen: dict[str, set[str]] = {_bare(field): set() for field in metadata_fields}
        for meta in self._metas(filters):
            for name, texts in seen.items():
                if meta.get(name) is not None:
                    texts.add(_json(meta[name]))
        return {name: len(texts) for name, texts in seen.items()}

    def get_metadata_fields_info(self) -> dict[str, dict[str, str]]:
        """The names in the meta of all documents, each with the type "boolean", "int", "float" or "keyword"."""
        types: dict[str, str] = {}
        for meta in self._metas():
            types |= {name: _TYPES.get(type(value), "keyword") for name, value in meta.items() if value is not None}
        return {name: {"type": type} for name, type in types.items()}

    def get_metadata_field_min_max(self, metadata_field: str) -> dict[str, Any]:
        """The least and the greatest value of a name; both are None if it has none, or values of several types."""
        name = _bare(metadata_field)
        least = greatest = None
        for meta in self._metas():
            value = meta.get(name)
            if isinstance(value, (int, float, str)):
                try:
                    least = value if least is None else min(least, value)
                    greatest = value if greatest is None else max(greatest, value)
                except TypeError:
                    return {"min": None, "max": None}
        return {"min": least, "max": greatest}

    def get_metadata_field_unique_values(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int = 10,
        filters: dict[str, Any] | None = None,
    ) -> tuple[list[Any], int]:
        """A page of the different values of a name, in the order of their texts, and how many there are.

        Args:
            metadata_field: the name.
            search_term: only values whose text contains this, in upper or lower case.
            from_: how many values come before the page.
            size: the largest number of values on the page.
            filters: a filter for the documents.
        """
        name = _bare(metadata_field)
        values: dict[str, Any] = {}
        for meta in self._metas(filters):
            if meta.get(name) is not None:
                values.setdefault(_json(meta[name]), meta[name])
        wanted = (search_term or "").lower()
        found = [(str(value), type(value).__name__, text) for text, value in values.items()]
        ordered = sorted(each for each in found if wanted in each[0].lower())
        return [values[text] for _, _, text in ordered[from_ : from_ + size]], len(ordered)

    def _metas(self, filters: dict[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        return (meta_of(record.metadata or {}) for record in self._records(filters))


def _bare(field: str) -> str:
    return field.removeprefix("meta.")


def _json(value: Any) -> str:
    """A text that differs wherever values or their types do."""
    return json.dumps(value, sort_keys=True)
