"""The options of a search: each method takes them by the same names, and each reaches the search."""

from __future__ import annotations

import inspect
from dataclasses import fields

import pytest

from vecindex import Index
from vecindex.errors import InvalidInput
from vecindex.search.options import Grouping, SearchOptions

NAMES = {field.name for field in fields(SearchOptions)} - {"by"} | {"group_by", "per_group"}


def test_every_option_is_a_parameter_with_the_same_default() -> None:
    by_method = {}
    for method in (Index.search, Index.search_many, Index.explain_search):
        parameters = inspect.signature(method).parameters
        by_method[method.__name__] = {n: p.default for n, p in parameters.items() if n in NAMES}
        assert ("cursor" in by_method[method.__name__]) == ("query" in parameters)  # a cursor is of one query
        others = set(parameters) - NAMES - {"self", "progress"}
        assert others in ({"query", "vector"}, {"queries", "vectors"})
    assert SearchOptions.of(by_method["search"]) == SearchOptions()
    assert set(by_method["search"]) == NAMES
    assert by_method["search"] == by_method["explain_search"] == {**by_method["search_many"], "cursor": None}


@pytest.mark.parametrize("method", [Index.search_all, Index.similar, Index.explain_similar])
def test_the_parameters_of_other_searches_are_among_them(method: object) -> None:
    names = set(inspect.signature(method).parameters)  # type: ignore[arg-type]
    assert names - NAMES - {"self"} in ({"query", "vector"}, {"key", "not_"})


def test_options_are_taken_from_among_other_arguments_and_checked() -> None:
    given = {"self": None, "query": "x", "k": 3, "group_by": "a.b", "per_group": 2, "exclude": ["one"], "where": None}
    assert SearchOptions.of(given) == SearchOptions(3, by=Grouping(("a", "b"), 2), exclude=("one",))
    with pytest.raises(InvalidInput, match="a cosine is at most 1"):
        SearchOptions.of({"min_score": 2.0})
    assert SearchOptions.of({"min_score": 2.0, "mode": "lexical"}).min_score == 2
