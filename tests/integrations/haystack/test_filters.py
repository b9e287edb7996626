"""Filters select what Haystack's own function selects, and refuse what it refuses, over random documents."""

from __future__ import annotations

import pytest

pytest.importorskip("haystack", reason="Haystack is not installed: pip install 'vecindex[haystack]'")

import tempfile
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from haystack.dataclasses import ByteStream, Document
from haystack.errors import FilterError
from haystack.utils.filters import document_matches_filter
from hypothesis import given
from hypothesis import strategies as st

from vecindex.errors.warnings import gathered
from vecindex.filters.tree import Filter
from vecindex.integrations.haystack import VecindexDocumentStore
from vecindex.integrations.haystack.filters import translate

from ...support.extent import examples

NUMBERS: list[Any] = [0, 1, -1, 2, 1.0, 0.5, -0.0, 2.5, 2**53, 2**53 + 1, 2.0**53, 2**63 - 1, -(2**63), 1e300, 0.1]
DATES = [
    *("2024-01-01", "2024-01-01T00:00:00", "2024-01-01T00:00:00.5", "2024-01-01 00:00", "2023-12-31T23:00:00-01:00"),
    *("2024-01-01T01:00:00+01:00", "2024-01-01T00:00:00+00:00", "2024-01-01T00:00:00Z", "2024-02-29T12:00"),
    *("9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00+14:00", "1969-07-21T20:17:40"),
]
ODD_DATES = ["2024-01-01T24:00:00", "20240101", "May 2024", "2024-13-45", "2024-1-1", "2024-01-01x", "2024"]
STRINGS = ["", "a", "b", "1", "true", "é", "a\0b", "it's", 'say "x"', "%", *DATES, *ODD_DATES]
ALIKE: list[list[Any]] = [
    [True, 1, 1.0, "1", "true", [1], 2, None],
    [False, 0, -0.0, 0.5, "", [], {}, None],
    [[1], [True], [1.0], [[1]], {"a": 1}, {"a": True}, {"a": {"b": 1}}, 1],
    [2**53, 2**53 + 1, 2.0**53, 2**63 - 1, -(2**63), 2.0**63, True],
    [*DATES[:8], None],
    ["2024-01-01", "2024-01-02", *DATES[8:], 2024],
    ["2024-01-01", "2024-01-02T00:00", *ODD_DATES],
]
"""Values that some comparisons take for equal, and others do not."""
values = st.recursive(
    st.sampled_from([None, True, False, *NUMBERS, *STRINGS]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b", "é"]), inner, max_size=2),
    max_leaves=4,
)
NAMES = ["a", "b", "c", "two words", 'a "quoted" name', "meta", "content", ""]
contents = st.sampled_from([None, "", "a", "some text"])
embeddings = st.sampled_from([None, None, [1.0, 0.0], [0.0, 0.0], [3.0, 4.0]])
blobs = st.sampled_from([None, None, None, ByteStream(b"\x00\xff", {"a": 1}, "image/png")])
scores = st.sampled_from([None, 0.5, 1.0])
ids = st.lists(st.sampled_from(["a", "b", "1", "2024-01-01", "x", "y", "z"]), min_size=4, unique=True)
USUAL = ["meta.a", "meta.b", "meta.a", "meta.b", "meta.c", "a", "meta.a.a"]
FIELDS = [
    *("meta.a.b.a", "a.a", "meta.b.é", "meta.two words", 'meta.a "quoted" name', "meta.", "", "meta", "meta.meta"),
    *("meta.content", "id", "content", "embedding", "score", "blob", "sparse_embedding", "blob.meta", "nothing"),
    *("nothing.a", "_haystack", "meta._haystack.id", ".", "meta..a"),
]
INFINITE = float("inf")
ODD_VALUES: list[Any] = [
    *(INFINITE, -INFINITE, float("nan"), 2**63, 2**70, -(2**70), 10**400, "\ud800", Decimal(1), date(2024, 1, 1)),
    *(datetime(2024, 1, 1), datetime(2024, 1, 1, tzinfo=timezone.utc), datetime(2024, 1, 1, tzinfo=ZoneInfo("UTC"))),
    *(datetime(2024, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), (1, 2), {1}),
]
fields = st.sampled_from(USUAL) | st.sampled_from(USUAL) | st.sampled_from(FIELDS)
EQUALITY, ORDER = st.sampled_from(["==", "!="]), st.sampled_from([">", ">=", "<", "<="])


def comparison(field: str, operator: str, value: Any) -> dict[str, Any]:
    return {"field": field, "operator": operator, "value": value}


def join(conditions: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    lists = st.lists(conditions, min_size=1, max_size=3) | st.lists(conditions, max_size=1)
    return st.fixed_dictionaries({"operator": st.sampled_from(["AND", "OR", "NOT"]), "conditions": lists})


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Document], list[dict[str, Any]]]:
    """Documents and filters, whose values are mostly alike."""
    alike = st.sampled_from(draw(st.sampled_from(ALIKE)))
    stored = alike | alike | values
    metas = st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, stored))
    documents = [
        Document(id, draw(contents), draw(blobs), draw(metas), draw(scores), embedding=draw(embeddings))
        for id in draw(ids)
    ]
    asked = alike | alike | alike | values | st.sampled_from(ODD_VALUES)
    lists = st.lists(asked, max_size=4)
    comparisons = st.builds(comparison, fields, EQUALITY | ORDER, asked) | st.builds(
        comparison, fields, st.sampled_from(["in", "not in"]), lists
    )
    return documents, draw(st.lists(st.recursive(comparisons, join, max_leaves=5), min_size=10, max_size=20))


def truth(documents: list[Document], condition: dict[str, Any]) -> list[str] | None:
    """The ids that Haystack's own function selects; None if it raises."""
    try:
        return [document.id for document in documents if document_matches_filter(condition, document)]
    except (FilterError, TypeError, OverflowError):
        return None


def found(store: VecindexDocumentStore, condition: dict[str, Any]) -> list[str] | None:
    try:
        return [document.id for document in store.filter_documents(condition)]
    except FilterError:
        return None


def is_refused(condition: dict[str, Any]) -> bool:
    """Whether a filter is refused whatever the documents are: an order is asked for of what has none."""
    if "conditions" in condition:
        return any(map(is_refused, condition["conditions"]))
    orders = condition["operator"] in (">", ">=", "<", "<=")
    return orders and isinstance(condition["value"], (list, dict, tuple, set))


STORED = [*NUMBERS, *STRINGS, *(value for group in ALIKE for value in group), "a", {"a": None}, [None]]
OPERATORS = ["==", "!=", ">", ">=", "<", "<=", "in", "not in"]


@pytest.mark.parametrize("operator", OPERATORS)
def test_each_value_compares_with_each_other_as_haystack_compares_them(
    document_store: VecindexDocumentStore, operator: str
) -> None:
    documents = {str(number): Document(str(number), meta={"a": value}) for number, value in enumerate(STORED)}
    documents["missing"] = Document("missing", meta={"b": 1})
    document_store.write_documents(list(documents.values()))
    decided = 0
    for value in [*STORED, None, *ODD_VALUES]:
        condition = comparison("meta.a", operator, [value, "other"] if operator in ("in", "not in") else value)
        if is_refused(condition):
            continue
        translated = translate(condition)
        matched, unsure = (selected(document_store, part) for part in (translated.matched, translated.unsure))
        for id, document in documents.items():
            if id not in unsure:
                decided += 1
                wanted = truth([document], condition)
                assert wanted is not None, (document.meta, condition)
                assert (id in matched) == bool(wanted), (document.meta, condition)
    assert decided > 2_000


def selected(store: VecindexDocumentStore, condition: Filter) -> set[str]:
    with gathered():
        return {record.key or "" for record in store.index.list(str(condition))}


@pytest.mark.parametrize(
    "condition",
    [
        comparison("meta.a", "==", 1),
        comparison("meta.a", "in", ["a", 1, True, None]),
        comparison("meta.a", "!=", "2024-01-01"),
        comparison("meta.a", ">=", 0.5),
        comparison("meta.a", "<", "2024-01-01T00:00:00Z"),
        comparison("id", "==", "1"),
        comparison("embedding", "!=", None),
        comparison("content", "==", None),
    ],
    ids=lambda condition: f"{condition['field']} {condition['operator']}",
)
def test_usual_filters_leave_nothing_to_haystack(
    document_store: VecindexDocumentStore, condition: dict[str, Any]
) -> None:
    of_a_type = "2025-01-01" if isinstance(condition["value"], str) else 1
    document_store.write_documents([Document("1", meta={"a": of_a_type}), Document("2", "words", embedding=[1.0])])
    assert selected(document_store, translate(condition).unsure) == set()


@examples(240)
@given(cases())
@pytest.mark.filterwarnings("ignore::dateutil.parser.UnknownTimezoneWarning")
def test_filters_mean_what_they_mean_to_haystack(case: tuple[list[Document], list[dict[str, Any]]]) -> None:
    documents, conditions = case
    with tempfile.TemporaryDirectory() as folder:
        store = VecindexDocumentStore(Path(folder, "index"))
        store.write_documents(documents)
        stored = store.filter_documents()
        for condition in conditions:
            wanted = None if is_refused(condition) else truth(stored, condition)
            assert found(store, condition) == wanted, condition
        store.close()
