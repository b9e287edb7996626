"""Filters select what SimpleVectorStore selects: each operator, each condition, and nested ones."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("llama_index.core", reason="llama-index-core is not installed: pip install 'vecindex[llama-index]'")

from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.simple import SimpleVectorStore
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
)

import vecindex
from vecindex.integrations.llama_index import VecindexVectorStore

from ...support.extent import examples
from .agreement import agrees
from .reference import (
    ANY_OPERAND,
    MET,
    QUERY,
    QUIRKS,
    VALUES,
    any_filter,
    every_operand,
    filters_by,
    flat_filters,
    is_quirky,
    is_refused,
    joined_by,
    nested_filters,
    node,
    nodes,
    selects,
    simple_selects,
)

pytestmark = pytest.mark.filterwarnings("ignore::vecindex.FilterWarning")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VecindexVectorStore]:
    """A store whose nodes each example replaces."""
    opened = VecindexVectorStore(tmp_path_factory.mktemp("llama") / "index", space="random")
    yield opened
    opened.client.close()


def check(store: VecindexVectorStore, stored: list[TextNode], filters: MetadataFilters) -> None:
    """As `check_stored`, of nodes that are stored for it."""
    store.clear()
    store.add(stored)
    check_stored(store, stored, filters)


def check_stored(store: VecindexVectorStore, stored: list[TextNode], filters: MetadataFilters) -> None:
    """Every way of selecting nodes gives those that SimpleVectorStore selects, in its order and with its scores."""
    query = VectorStoreQuery(QUERY, len(stored), filters=filters)
    if is_refused(filters):
        with pytest.raises(vecindex.InvalidInput, match="needs"):
            store.query(query)
        with pytest.raises(vecindex.InvalidInput, match="needs"):
            store.get_nodes(filters=filters)
        return
    wanted = {each.node_id for each in stored if selects(filters, each.metadata)}
    everyone = [each.node_id for each in stored]
    found = store.query(query)
    assert set(found.ids or ()) == wanted
    assert {each.node_id for each in store.get_nodes(filters=filters)} == wanted
    # By ids, the same filter is a test in Python, and not SQL.
    query.node_ids = everyone
    assert store.query(query) == found
    assert {each.node_id for each in store.get_nodes(everyone, filters)} == wanted
    query.node_ids = None
    if not any(is_quirky(filters, each.metadata) for each in stored):
        simple = SimpleVectorStore()
        simple.add(stored)
        expected = simple.query(query)
        assert found.ids == expected.ids
        assert found.similarities == pytest.approx(expected.similarities, abs=1e-6)


@pytest.mark.parametrize("operator", list(FilterOperator), ids=lambda each: each.name)
def test_an_operator_agrees(operator: FilterOperator, store: VecindexVectorStore) -> None:
    stored = [node(number, {"a": value}) for number, value in enumerate(VALUES)] + [node(len(VALUES), {"b": 1})]
    store.clear()
    store.add(stored)
    for operand in every_operand(operator):
        part = MetadataFilter(key="a", operator=operator, value=operand)
        check_stored(store, stored, MetadataFilters(filters=[part]))

    @examples(120)
    @given(stored=nodes, part=filters_by(operator))
    def compare(stored: list[TextNode], part: MetadataFilter) -> None:
        check(store, stored, MetadataFilters(filters=[part]))

    compare()
    agrees("operator", operator.name)


@pytest.mark.parametrize("condition", list(FilterCondition), ids=lambda each: each.name)
def test_a_condition_agrees(condition: FilterCondition, store: VecindexVectorStore) -> None:
    @examples(240)
    @given(stored=nodes, filters=joined_by(condition, any_filter))
    def compare(stored: list[TextNode], filters: MetadataFilters) -> None:
        check(store, stored, filters)

    compare()
    agrees("condition", condition.name)


def test_nested_filters_are_what_their_parts_say(store: VecindexVectorStore) -> None:
    @examples(300)
    @given(stored=nodes, filters=nested_filters)
    def compare(stored: list[TextNode], filters: MetadataFilters) -> None:
        check(store, stored, filters)

    compare()
    agrees("condition", "nested")


def test_values_that_an_operator_does_not_take_are_refused(store: VecindexVectorStore) -> None:
    @examples(240)
    @given(stored=nodes, part=st.sampled_from(list(FilterOperator)).flatmap(lambda each: filters_by(each, ANY_OPERAND)))
    def compare(stored: list[TextNode], part: MetadataFilter) -> None:
        check(store, stored, MetadataFilters(filters=[part]))

    compare()


def test_no_condition_is_and(store: VecindexVectorStore) -> None:
    parts = [MetadataFilter(key="a", value=1), MetadataFilter(key="b", value=1)]
    check(store, [node(0, {"a": 1, "b": 1}), node(1, {"a": 1})], MetadataFilters(filters=parts, condition=None))


def test_each_difference_was_met_and_is_one() -> None:
    """What is called a quirk of SimpleVectorStore does differ from it, on an example each."""
    is_met = {quirk.reason: False for quirk in QUIRKS}
    part, found = MetadataFilter, "field"
    cases: list[tuple[MetadataFilter, object]] = [
        (part(key=found, value=None, operator="!="), 1),
        (part(key=found, value=["a"], operator="=="), ["a"]),
        (part(key=found, value="abc", operator="in"), "b"),
        (part(key=found, value=1, operator="text_match"), "1"),
        (part(key=found, value="b", operator="contains"), "abc"),
        (part(key=found, value=1, operator="contains"), [True]),
        (part(key=found, value=0, operator=">"), True),
        (part(key=found, value=0, operator=">"), "a"),
    ]
    for asked, value in cases:
        quirk = next(each for each in QUIRKS if each.applies(asked, value))
        is_met[quirk.reason] = True
        ours = None if quirk.selects is None else quirk.selects(asked, value)
        try:
            theirs: bool | None = simple_selects(asked, {found: value})
        except TypeError:
            theirs = None if ours is not None else True
        assert ours != theirs, quirk.reason
    assert all(is_met.values()), is_met
    assert set(MET) <= set(is_met)


def test_a_key_that_no_filter_can_name_is_tested_in_python(store: VecindexVectorStore) -> None:
    stored = [node(number, {'a "b"': number}) for number in range(3)]
    part = MetadataFilter(key='a "b"', value=1)
    for condition in FilterCondition:
        check(store, stored, MetadataFilters(filters=[part], condition=condition))
    store.delete_nodes(filters=MetadataFilters(filters=[part]))
    assert [each.metadata['a "b"'] for each in store.get_nodes()] == [0, 2]


def test_a_filter_on_the_document_asks_for_that_of_the_node(store: VecindexVectorStore) -> None:
    stored = [node(0, {}, document="one"), node(1, {}, document="two"), node(2, {})]
    simple = SimpleVectorStore()
    simple.add(stored)
    store.clear()
    store.add(stored)
    for key in ("ref_doc_id", "doc_id", "document_id"):
        for operator, value in (("==", "one"), ("!=", "one"), ("in", ["one", "two"]), ("text_match", "w")):
            filters = MetadataFilters(filters=[MetadataFilter(key=key, value=value, operator=operator)])
            query = VectorStoreQuery(QUERY, 3, filters=filters)
            assert store.query(query).ids == simple.query(query).ids
    # There, a node without a document is one of the document "None".
    none = MetadataFilters(filters=[MetadataFilter(key="ref_doc_id", value="None")])
    assert simple.query(VectorStoreQuery(QUERY, 3, filters=none)).ids == ["node-2"]
    assert store.query(VectorStoreQuery(QUERY, 3, filters=none)).ids == []


def test_flat_filters_need_no_test_in_python_where_sql_says_all(store: VecindexVectorStore) -> None:
    from vecindex.integrations.llama_index.filters import selected_by

    slow = {FilterOperator.TEXT_MATCH_INSENSITIVE, FilterOperator.IS_EMPTY}

    @examples(120)
    @given(filters=flat_filters)
    def look(filters: MetadataFilters) -> None:
        operators = {each.operator for each in filters.filters if isinstance(each, MetadataFilter)}
        assert selected_by(filters).is_exact == (not operators & slow)

    look()
