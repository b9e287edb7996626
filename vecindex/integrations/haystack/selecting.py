"""Applies Haystack's filters to an index, which decides what it can; Haystack itself is asked about the rest."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from haystack.dataclasses import Document

from ...errors import InvalidFilter, RecordNotFound
from ...errors.warnings import FilterWarning, gathered, warn
from ...filters.parse import parse
from ...filters.sql import compile_sql
from ...filters.tree import EVERYTHING, Filter, all_of, any_of, negate
from ...index.facade import Index
from ...values.records import Hit, Record
from .documents import document_of, facts_of
from .filters import NOTHING, Translated, matches, translate


@dataclass(frozen=True, slots=True)
class Selection:
    """``where`` selects all records that match; if it selects others too, ``filters`` tells them apart."""

    where: str | None
    filters: dict[str, Any] | None = None
    by_embedding: bool = False

    def records(self, index: Index) -> Iterator[Record]:
        """The records that match, without their vectors, in the order of insertion."""
        with _without_filter_warnings():
            listed = index.list(self.where)
            first = list(islice(listed, 1))  # they are issued when it is read
        return (record for record in chain(first, listed) if self._takes(index, record))

    def search(self, index: Index, query: Any, k: int, **options: Any) -> list[Hit]:
        """The best ``k`` hits among the records that match; ``options`` are those of `Index.search`."""
        with _without_filter_warnings():
            if self.filters is None:
                return list(index.search(query, k, self.where, **options))
            hits = index.search_all(query, where=self.where, **options)
            return list(islice((hit for hit in hits if self._takes(index, record_of_hit(hit))), k))

    def _takes(self, index: Index, record: Record) -> bool:
        if self.filters is None:
            return True
        if self.by_embedding:
            whole = with_vector(index, record)
            return whole is not None and matches(self.filters, document_of(whole))
        return matches(self.filters, document_of(record, with_embedding=False))


def select(index: Index, filters: dict[str, Any] | None) -> Selection:
    """What a filter of Haystack selects; raises FilterError, also if a value in the index cannot be compared."""
    if not filters:
        return Selection(None)
    translated = translate(filters)
    if not _fit(translated):
        translated = Translated(NOTHING, EVERYTHING)
    by_embedding = _names_embedding(filters)
    if translated.unsure == NOTHING:
        return Selection(str(translated.matched))
    with _without_filter_warnings():
        has_unsure = index.count(str(translated.unsure)) > 0  # a count is remembered, until the index changes
    # Each is looked at now, since one that cannot be compared is an error even if no search would come to it.
    unsure = Selection(str(translated.unsure), filters, by_embedding).records(index) if has_unsure else ()
    sure = all_of([translated.matched, negate(translated.unsure)])
    if not list(unsure):
        return Selection(str(sure))
    return Selection(str(any_of([sure, translated.unsure])), filters, by_embedding)


def with_vector(index: Index, record: Record) -> Record | None:
    """The record with its vector, if it has one; None if it was deleted meanwhile."""
    facts = facts_of(record.metadata or {})
    if facts and ("length" not in facts or "zeros" in facts):
        return record
    try:
        return index.get(record.key or "")
    except RecordNotFound:
        return None


def record_of_hit(hit: Hit) -> Record:
    return Record(hit.text, hit.key, hit.metadata)


def documents(index: Index, records: Iterator[Record]) -> list[Document]:
    """The documents of records, with their embeddings; those that were deleted meanwhile are left out."""
    whole = (with_vector(index, record) for record in records)
    return [document_of(record) for record in whole if record is not None]


@contextlib.contextmanager
def _without_filter_warnings() -> Iterator[None]:
    """Issues no warning that a condition matches nothing: to Haystack that is an answer like any other."""
    with gathered() as found:
        yield
    for warning in found:
        if not isinstance(warning, FilterWarning):
            warn(warning)


def _fit(translated: Translated) -> bool:
    """Whether the index can evaluate the filters, which may have too many conditions for it."""
    matched, unsure = translated.matched, translated.unsure
    try:
        compile_sql(_parsed(unsure))
        compile_sql(_parsed(any_of([all_of([matched, negate(unsure)]), unsure])))
    except InvalidFilter:
        return False
    return True


def _parsed(filter: Filter) -> Filter:
    return parse(str(filter))


def _names_embedding(filters: dict[str, Any]) -> bool:
    if "field" in filters:
        return "embedding" in filters["field"]
    return any(map(_names_embedding, filters["conditions"]))
