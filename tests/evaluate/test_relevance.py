"""Are the measures those of their definitions, whatever the names and the judgements look like?"""

from __future__ import annotations

import builtins
import math
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex.errors import InvalidInput, MissingExtra
from vecindex.evaluate.relevance import check_installed, checked_relevance, measure_names, measured
from vecindex.index.comparing import ndcg

NAMES = ["a", "b", "c", "d", "10", "é ü", "\u0000", "with\ttab", "x" * 500, "\ud800"]


def by_definition(ranking: Sequence[str], judged: dict[str, int], k: int) -> list[float]:
    """nDCG, recall, reciprocal rank and average precision, all of the first k."""
    relevant = {name for name, grade in judged.items() if grade > 0}
    ranks = [rank for rank, name in enumerate(ranking[:k], 1) if name in relevant]
    precisions = [place / rank for place, rank in enumerate(ranks, 1)]
    gains = [(2, judged.get(name, 0)) for name in ranking]
    dcg = sum(gain / math.log2(rank + 1) for rank, (_, gain) in enumerate(gains[:k], 1))
    ideal = sorted(judged.values(), reverse=True)[:k]
    best = sum(gain / math.log2(rank + 1) for rank, gain in enumerate(ideal, 1))
    return [
        dcg / best,
        len(ranks) / len(relevant),
        1 / ranks[0] if ranks else 0.0,
        sum(precisions) / len(relevant),
    ]


judged_queries = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 4), min_size=1).filter(
    lambda judged: any(judged.values())
)
ranked_names = st.lists(st.sampled_from(NAMES), unique=True)


@given(st.lists(st.tuples(ranked_names, judged_queries), min_size=1, max_size=4), st.integers(1, 12))
def test_the_measures_are_those_of_their_definitions(queries: list[tuple[list[str], dict[str, int]]], k: int) -> None:
    values = measured([f"nDCG@{k}", f"R@{k}", f"RR@{k}", f"AP@{k}"], *zip(*queries, strict=True))
    for row, (ranking, judged) in zip(values.tolist(), queries, strict=True):
        assert row == pytest.approx(by_definition(ranking, judged, k))
        assert row[0] == pytest.approx(ndcg(ranking, judged, k))


def test_the_depth_of_a_ranking_decides_what_is_measured() -> None:
    assert measure_names(100) == ("nDCG@10", "R@10", "R@100", "RR@10", "AP@100")
    assert measure_names(10) == ("nDCG@10", "R@10", "RR@10", "AP@10")
    assert measure_names(3) == ("nDCG@3", "R@3", "RR@3", "AP@3")


def test_judgements_below_zero_are_irrelevant() -> None:
    assert checked_relevance({"q": {"a": -2, "b": 2.0}}) == {"q": {"a": 0, "b": 2}}


@pytest.mark.parametrize("relevance", [0.5, 1001, 1e300])
def test_judgements_that_are_no_grades_are_refused(relevance: float) -> None:
    with pytest.raises(InvalidInput, match="the relevance of 'a' for the query 'q' is"):
        checked_relevance({"q": {"a": relevance}})


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def without(name: str, *args: Any, **options: Any) -> Any:
        if name.startswith("ir_measures"):
            raise ImportError(name)
        return load(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delitem(sys.modules, "ir_measures", raising=False)
    with pytest.raises(MissingExtra) as caught:
        check_installed()
    assert caught.value.advice == "Run: pip install 'vecindex[eval]'"
