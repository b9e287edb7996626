"""SimpleVectorStore as a reference: what its filters select, where it differs on purpose, and random nodes and filters.

The differences are in `QUIRKS`, each with its reason. Whatever is not there has to agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.simple import SimpleVectorStore
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
)

Op = FilterOperator
DIMENSION = 5
ORDERINGS = (Op.GT, Op.GTE, Op.LT, Op.LTE)
IN_LISTS = (Op.CONTAINS, Op.ANY, Op.ALL)

# --- what differs on purpose


@dataclass(frozen=True)
class Quirk:
    """Where the two differ: for which filter and which value of the field, what vecindex selects there, and why.

    ``selects`` is None where vecindex refuses the filter.
    """

    reason: str
    applies: Callable[[MetadataFilter, Any], bool]
    selects: Callable[[MetadataFilter, Any], bool] | None


def _never(part: MetadataFilter, found: Any) -> bool:
    return False


def _simple_raises(part: MetadataFilter, found: Any) -> bool:
    try:
        simple_selects(part, {part.key: found})
    except TypeError:
        return True
    return False


def _not_flags(part: MetadataFilter, found: Any) -> bool:
    wanted = part.value if isinstance(part.value, list) else [part.value]
    has = [any(item == value and not isinstance(item, bool) for item in found) for value in wanted]
    return any(has) if part.operator is Op.ANY else all(has)


REFUSED = (
    Quirk(
        "without a value SimpleVectorStore finds nothing, or everything, or raises; is_empty asks for what is missing",
        lambda part, found: part.value is None and part.operator is not Op.IS_EMPTY,
        None,
    ),
    Quirk(
        "a list as the value of a comparison is compared as Python compares lists; LlamaIndex documents these "
        "operators for strings and numbers",
        lambda part, found: isinstance(part.value, list) and part.operator in (Op.EQ, Op.NE, *ORDERINGS, Op.CONTAINS),
        None,
    ),
    Quirk(
        "with a single string for a list of values, `in` looks for a part of it, and any and all for its characters",
        lambda part, found: isinstance(part.value, str) and part.operator in (Op.IN, Op.NIN, Op.ANY, Op.ALL),
        None,
    ),
    Quirk(
        "a number where a list or a string is needed raises a bare TypeError, but only once a record has the field",
        lambda part, found: (
            (isinstance(part.value, (int, float, list)) and part.operator in (Op.TEXT_MATCH, Op.TEXT_MATCH_INSENSITIVE))
            or (isinstance(part.value, (int, float)) and part.operator in (Op.IN, Op.NIN, Op.ANY, Op.ALL))
        ),
        None,
    ),
)
"""Filters that are an error in vecindex, whatever the records hold."""
OTHERS = (
    Quirk(
        "contains, any and all are documented for lists; in a string they find parts, in an object its names",
        lambda part, found: part.operator in IN_LISTS and isinstance(found, (str, dict)) and part.value != [],
        _never,
    ),
    Quirk(
        "true and false within a list are found as 1 and 0",
        lambda part, found: (
            part.operator in IN_LISTS
            and isinstance(found, list)
            and any(isinstance(item, bool) for item in found)
            and part.value != []
        ),
        _not_flags,
    ),
    Quirk(
        "true and false are ordered among numbers, which LlamaIndex documents for numbers",
        lambda part, found: part.operator in ORDERINGS and isinstance(found, bool),
        _never,
    ),
    Quirk(
        "a record whose value has another type ends the query of all with a TypeError; here it does not match",
        _simple_raises,
        _never,
    ),
)
QUIRKS = (*REFUSED, *OTHERS)
MET: Counter[str] = Counter()
"""How often each quirk was met, by its reason."""


def is_refused(part: MetadataFilter | MetadataFilters) -> bool:
    """Whether vecindex raises for a filter."""
    if isinstance(part, MetadataFilters):
        return any(is_refused(each) for each in part.filters)
    return any(quirk.applies(part, None) for quirk in REFUSED)


# --- the reference


def simple_selects(part: MetadataFilter, metadata: Mapping[str, Any]) -> bool:
    """Whether SimpleVectorStore itself selects a node with this metadata."""
    store = SimpleVectorStore()
    store.add([TextNode(id_="one", text="", metadata=dict(metadata), embedding=[1.0])])
    found = store.query(VectorStoreQuery([1.0], 1, filters=MetadataFilters(filters=[part])))
    return bool(found.ids)


def selects(part: MetadataFilter | MetadataFilters, metadata: Mapping[str, Any]) -> bool:
    """Whether a filter selects a node: by SimpleVectorStore, or by the rule of the quirk that is met.

    It refuses nested filters, so these are resolved from the inside.
    """
    if isinstance(part, MetadataFilters):
        if not part.filters:
            return True
        inner = [selects(each, metadata) for each in part.filters]
        return {FilterCondition.AND: all(inner), FilterCondition.OR: any(inner), FilterCondition.NOT: not any(inner)}[
            part.condition or FilterCondition.AND
        ]
    found = metadata.get(part.key)
    for quirk in OTHERS:
        if found is not None and quirk.applies(part, found):
            MET[quirk.reason] += 1
            assert quirk.selects is not None
            return quirk.selects(part, found)
    return simple_selects(part, metadata)


def is_quirky(part: MetadataFilter | MetadataFilters, metadata: Mapping[str, Any]) -> bool:
    """Whether SimpleVectorStore as a whole cannot be asked about a node."""
    if isinstance(part, MetadataFilters):
        return any(isinstance(each, MetadataFilters) or is_quirky(each, metadata) for each in part.filters)
    found = metadata.get(part.key)
    return found is not None and any(quirk.applies(part, found) for quirk in OTHERS)


# --- random nodes and filters

KEYS = ["a", "b", "a.b", "two words", "it's", "in", "\u00e9"]
STRINGS = [
    "",
    "a",
    "A",
    "ab",
    "aB",
    "b",
    "100%",
    "a_b",
    "axb",
    "a\\b",
    "[a]",
    "\u00e9",
    "\u00c9",
    "\u0130",
    "i",
    "1",
    "true",
]
NUMBERS: list[int | float] = [0, 1, -1, 2, 0.0, 1.0, 0.5, -2.5, 2**53, 2**53 + 1, float(2**53), 10**15]

LISTS: list[list[Any]] = [[], ["a"], ["a", "b"], [""], [1], [0, 1.0], [True], [None], ["a_b", "100%"], [["a"]]]
VALUES: list[Any] = [None, True, False, *STRINGS, *NUMBERS, *LISTS, {}, {"a": 1}]
"""What a field may hold."""

strings = st.sampled_from(STRINGS) | st.text("aAbB%_\\ \u00e9\u00c9", max_size=4)
whole = st.sampled_from([n for n in NUMBERS if isinstance(n, int)]) | st.integers(-3, 3)
floats = st.sampled_from([n for n in NUMBERS if isinstance(n, float)]) | st.floats(-4, 4)
scalars = st.none() | st.booleans() | whole | floats | strings
values = (
    scalars
    | st.lists(strings, max_size=3)
    | st.lists(whole | floats | st.booleans(), max_size=3)
    | st.lists(scalars, max_size=3)
    | st.dictionaries(st.sampled_from(STRINGS), scalars, max_size=2)
)
metadata = st.dictionaries(st.sampled_from(KEYS), values, max_size=4)
lists = st.lists(strings, max_size=3) | st.lists(whole, max_size=3) | st.lists(floats, max_size=3)

_SCALAR, _TEXT, _MANY = whole | floats | strings, strings, lists
OPERANDS: dict[FilterOperator, st.SearchStrategy[Any]] = {
    **dict.fromkeys((Op.EQ, Op.NE, *ORDERINGS, Op.CONTAINS), _SCALAR),
    **dict.fromkeys((Op.IN, Op.NIN, Op.ANY, Op.ALL), _MANY),
    **dict.fromkeys((Op.TEXT_MATCH, Op.TEXT_MATCH_INSENSITIVE), _TEXT),
    Op.IS_EMPTY: st.none(),
}
"""What each operator takes."""
ANY_OPERAND = st.none() | _SCALAR | _MANY


def every_operand(operator: FilterOperator) -> list[Any]:
    """Each of `VALUES` that this operator takes."""
    if operator is Op.IS_EMPTY:
        return [None]
    if operator in (Op.TEXT_MATCH, Op.TEXT_MATCH_INSENSITIVE):
        return list(STRINGS)
    if operator in (Op.IN, Op.NIN, Op.ANY, Op.ALL):
        return [[], ["a"], ["a", "100%"], ["a_b"], ["\u00c9", ""], [1], [0, 2], [1.0, 0.5], [2**53 + 1]]
    return [*STRINGS, *NUMBERS]


def filters_by(operator: FilterOperator, operands: st.SearchStrategy[Any] | None = None) -> st.SearchStrategy[Any]:
    """Filters with this operator."""
    return st.builds(
        MetadataFilter,
        key=st.sampled_from(KEYS),
        operator=st.just(operator),
        value=OPERANDS[operator] if operands is None else operands,
    )


any_filter = st.sampled_from(list(Op)).flatmap(filters_by)


def joined_by(condition: FilterCondition, inner: st.SearchStrategy[Any]) -> st.SearchStrategy[MetadataFilters]:
    """Several filters under one condition."""
    return st.builds(MetadataFilters, filters=st.lists(inner, max_size=3), condition=st.just(condition))


any_condition = st.sampled_from(list(FilterCondition))
flat_filters = any_condition.flatmap(lambda condition: joined_by(condition, any_filter))
nested_filters = st.recursive(
    flat_filters, lambda inner: any_condition.flatmap(lambda each: joined_by(each, any_filter | inner)), max_leaves=6
)


def embedding(number: int) -> list[float]:
    """A vector that is near to no other."""
    vector: list[float] = np.random.default_rng(number).normal(size=DIMENSION).tolist()
    return vector


QUERY = embedding(1_000)
"""A query's vector, which is that of no node."""


def node(number: int, metadata: Mapping[str, Any], text: str = "", document: str | None = None) -> TextNode:
    """A node with the id of its number."""
    relationships = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=document)} if document else {}
    return TextNode(
        id_=f"node-{number}",
        text=text or f"text {number}",
        metadata=dict(metadata),
        embedding=embedding(number),
        relationships=relationships,
    )


nodes = st.lists(metadata, min_size=1, max_size=6).map(
    lambda every: [node(number, each) for number, each in enumerate(every)]
)
