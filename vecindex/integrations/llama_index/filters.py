"""Filters of LlamaIndex: as a filter of vecindex, and as a test in Python of what no such filter says.

A key is the name of a field of the metadata as it is written, dots included. The keys ``ref_doc_id``, ``doc_id`` and
``document_id`` stand for the document that a node is a part of.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from llama_index.core.vector_stores.types import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters

from ...errors import InvalidInput
from ...filters.tree import Refused, parse_path, path_text
from .nodes import NODE_CLASS, REF_DOC_ID

Where = dict[str, Any]
Test = Callable[[Mapping[str, Any]], bool]

EVERYTHING: Where = {}


@dataclass(frozen=True)
class Selection:
    """Which records a filter selects, by their metadata.

    Attributes:
        where: a filter of vecindex that these records pass.
        test: whether a record is one of them.
        is_exact: whether only they pass ``where``.
    """

    where: Where
    test: Test
    is_exact: bool = True


def selected_by(filters: MetadataFilters | None) -> Selection:
    """What filters select: every record if there are none. Raises InvalidInput for a value that does not fit."""
    parts = [_selected_by(each) for each in filters.filters] if filters is not None else []
    if filters is None or not parts:
        return Selection(EVERYTHING, lambda metadata: True)
    return _JOINS[filters.condition or FilterCondition.AND](parts)


def both(one: Selection, other: Selection) -> Selection:
    """The records that both select."""
    return _all_of([one, other])


def in_documents(ids: list[str]) -> Selection:
    """The nodes of these documents."""
    return selected_by(
        MetadataFilters(filters=[MetadataFilter(key="ref_doc_id", value=ids, operator=FilterOperator.IN)])
    )


def _selected_by(part: MetadataFilter | MetadataFilters) -> Selection:
    if isinstance(part, MetadataFilters):
        return selected_by(part)
    make = _OPERATORS[part.operator]
    path = _OF_THE_NODE.get(part.key) or path_text((part.key,))
    kind = make(part, path)
    within = path.split(".") if part.key in _OF_THE_NODE else [part.key]

    def test(metadata: Mapping[str, Any]) -> bool:
        found: Any = metadata
        for name in within:
            found = found.get(name) if isinstance(found, Mapping) else None
        return kind.of_nothing if found is None else kind.test(found)

    if not _can_be_said(path):
        return Selection(EVERYTHING, test, is_exact=False)
    return Selection(kind.where, test, kind.is_exact)


def _can_be_said(path: str) -> bool:
    """Whether a filter of vecindex can name this field: SQLite finds none with a double quote in its name."""
    try:
        parse_path(path)
    except Refused:
        return False
    return True


# --- conditions


def _all_of(parts: list[Selection]) -> Selection:
    where = {"$and": [part.where for part in parts if part.where != EVERYTHING]}
    return Selection(
        where if where["$and"] else EVERYTHING,
        lambda metadata: all(part.test(metadata) for part in parts),
        all(part.is_exact for part in parts),
    )


def _any_of(parts: list[Selection]) -> Selection:
    return Selection(
        {"$or": [part.where for part in parts]},
        lambda metadata: any(part.test(metadata) for part in parts),
        all(part.is_exact for part in parts),
    )


def _none_of(parts: list[Selection]) -> Selection:
    some = _any_of(parts)
    where = {"$not": some.where} if some.is_exact else EVERYTHING
    return Selection(where, lambda metadata: not some.test(metadata), some.is_exact)


_JOINS: dict[FilterCondition, Callable[[list[Selection]], Selection]] = {
    FilterCondition.AND: _all_of,
    FilterCondition.OR: _any_of,
    FilterCondition.NOT: _none_of,
}


# --- operators


@dataclass(frozen=True)
class _Test:
    """What an operator asks of a field: as a filter, of a value in Python, and of a field that is missing or null."""

    where: Where
    test: Callable[[Any], bool]
    of_nothing: bool = False
    is_exact: bool = True


_OF_THE_NODE = {
    **{"ref_doc_id": REF_DOC_ID, "doc_id": REF_DOC_ID, "document_id": REF_DOC_ID},
    "_node_type": NODE_CLASS,
}
"""Keys that stand for fields of the node, as in the other vector stores of LlamaIndex, and where these are."""


def _equal(part: MetadataFilter, path: str) -> _Test:
    return _among(path, [_scalar(part)])


def _not_equal(part: MetadataFilter, path: str) -> _Test:
    return _not(_among(path, [_scalar(part)]), path)


def _in(part: MetadataFilter, path: str) -> _Test:
    return _among(path, _list(part))


def _not_in(part: MetadataFilter, path: str) -> _Test:
    return _not(_among(path, _list(part)), path)


def _among(path: str, values: list[Any]) -> _Test:
    # LlamaIndex has no filter for true and false; as in Python, and in its own store, they are equal to 1 and 0.
    flags = [flag for flag in (True, False) if any(value == flag for value in values)]
    return _Test({path: {"$in": [*values, *flags]}}, lambda found: any(found == value for value in values))


def _not(among: _Test, path: str) -> _Test:
    return _Test({"$not": among.where}, lambda found: not among.test(found), of_nothing=True)


def _ordered(name: str, compare: Callable[[Any, Any], bool]) -> Callable[[MetadataFilter, str], _Test]:
    def make(part: MetadataFilter, path: str) -> _Test:
        value = _scalar(part)
        return _Test({path: {name: value}}, lambda found: _are_alike(found, value) and compare(found, value))

    return make


def _contains(part: MetadataFilter, path: str) -> _Test:
    value = _scalar(part)
    return _Test({path: {"$contains": value}}, lambda found: _holds(found, value))


def _contains_any(part: MetadataFilter, path: str) -> _Test:
    values = _list(part)
    where = {"$or": [{path: {"$contains": value}} for value in values]}
    return _Test(where, lambda found: any(_holds(found, value) for value in values))


def _contains_all(part: MetadataFilter, path: str) -> _Test:
    values = _list(part)
    if not values:
        return _Test({path: {"$null": False}}, lambda found: True)
    where = {"$and": [{path: {"$contains": value}} for value in values]}
    return _Test(where, lambda found: all(_holds(found, value) for value in values))


def _has_text(part: MetadataFilter, path: str) -> _Test:
    value = _string(part)
    pattern = "".join(f"\\{character}" if character in "\\%_" else character for character in value)
    return _Test({path: {"$like": f"%{pattern}%"}}, lambda found: isinstance(found, str) and value in found)


def _has_text_in_any_case(part: MetadataFilter, path: str) -> _Test:
    value = _string(part).lower()
    return _Test(
        {path: {"$exists": True}},
        lambda found: isinstance(found, str) and value in found.lower(),
        is_exact=False,
    )


def _is_empty(part: MetadataFilter, path: str) -> _Test:
    return _Test(EVERYTHING, lambda found: found in ("", []), of_nothing=True, is_exact=False)


_OPERATORS: dict[FilterOperator, Callable[[MetadataFilter, str], _Test]] = {
    FilterOperator.EQ: _equal,
    FilterOperator.NE: _not_equal,
    FilterOperator.GT: _ordered("$gt", operator.gt),
    FilterOperator.GTE: _ordered("$gte", operator.ge),
    FilterOperator.LT: _ordered("$lt", operator.lt),
    FilterOperator.LTE: _ordered("$lte", operator.le),
    FilterOperator.IN: _in,
    FilterOperator.NIN: _not_in,
    FilterOperator.ANY: _contains_any,
    FilterOperator.ALL: _contains_all,
    FilterOperator.CONTAINS: _contains,
    FilterOperator.TEXT_MATCH: _has_text,
    FilterOperator.TEXT_MATCH_INSENSITIVE: _has_text_in_any_case,
    FilterOperator.IS_EMPTY: _is_empty,
}


def _are_alike(found: Any, value: Any) -> bool:
    """Whether two values can be ordered: two strings, or two numbers."""
    if isinstance(found, bool):
        return False
    return isinstance(found, str) if isinstance(value, str) else isinstance(found, (int, float))


def _holds(found: Any, value: Any) -> bool:
    """Whether a value of the metadata is a list with this value in it."""
    return isinstance(found, list) and any(item == value and not isinstance(item, bool) for item in found)


def _scalar(part: MetadataFilter) -> str | int | float:
    if isinstance(part.value, (str, int, float)):
        return part.value
    raise _refused(part, "a string or a number", "To find values in a list, use the operators any, all or contains.")


def _list(part: MetadataFilter) -> list[Any]:
    if isinstance(part.value, list):
        return part.value
    raise _refused(part, "a list of values", "Put the value into a list.")


def _string(part: MetadataFilter) -> str:
    if isinstance(part.value, str):
        return part.value
    raise _refused(part, "a string", "Pass the text to look for.")


def _refused(part: MetadataFilter, wanted: str, advice: str) -> InvalidInput:
    found = "None" if part.value is None else f"a {type(part.value).__name__}"
    return InvalidInput(
        f"the filter on {part.key!r} with the operator {part.operator.value!r} needs {wanted}, not {found}", advice
    )
