"""Diverse hits are chosen by maximal marginal relevance, as by a brute-force oracle, in every mode and with groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex import Index, InvalidInput
from vecindex.search.dense.exact import scores
from vecindex.search.fusion import convex, total
from vecindex.search.shaping.diversity import candidates, diverse
from vecindex.values.records import UNKNOWN

from ...support.commands import run
from ...support.extent import examples
from ...support.helpers import opened, scale_of, snapshots

WORDS = ["pump", "rain", "name", "otto", "garden", "stone", "river", "lamp"]
COUNT = 200


def unit_vectors(n: int, dimension: int, seed: int) -> npt.NDArray[np.float32]:
    drawn = np.random.default_rng(seed).standard_normal((n, dimension))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float32)


def oracle(relevance: list[float], vectors: npt.NDArray[np.float32], k: int, diversity: float) -> list[int]:
    """Maximal marginal relevance in plain Python, every cosine computed for itself."""
    low, high = min(relevance, default=0), max(relevance, default=0)
    spread = [(each - low) / (high - low) if high > low else 1.0 for each in relevance]
    chosen: list[int] = []
    while len(chosen) < min(k, len(relevance)):
        best, place = -np.inf, -1
        for n in range(len(relevance)):
            if n in chosen:
                continue
            near = [float(np.clip(scores(vectors[n : n + 1], vectors[m])[0], -1, 1)) for m in chosen]
            value = (1 - diversity) * spread[n] - diversity * max(near, default=0.0)
            if value > best:
                best, place = value, n
        chosen.append(place)
    return chosen


@examples(100)
@given(
    st.lists(st.integers(-5, 5), max_size=25),
    st.integers(1, 12),
    st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]),
    st.integers(1, 3),
)
def test_the_chosen_are_those_of_the_oracle(relevance: list[int], k: int, diversity: float, dimension: int) -> None:
    vectors = unit_vectors(len(relevance), dimension, 3)
    given_ = sorted((float(each) for each in relevance), reverse=True)
    found = diverse(np.array(given_), vectors, k, diversity).tolist()
    assert found == oracle(given_, vectors, k, diversity)
    if not diversity:
        assert found == list(range(min(k, len(relevance))))


def test_a_copy_of_a_hit_gives_way_to_another() -> None:
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    assert diverse(np.array([3.0, 2.9, 1.0]), vectors, 3, 0.5).tolist() == [0, 2, 1]
    assert diverse(np.array([np.nan, np.nan]), vectors[:2], 2, 0.5).tolist() == [0, 1]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    drawn = np.random.default_rng(8)
    texts = [" ".join(drawn.choice(WORDS, size=drawn.integers(1, 6))) for _ in range(COUNT)]
    index = opened(tmp_path_factory.mktemp("diversity") / "i")
    index.add(texts, keys=[f"k{n}" for n in range(COUNT)], metadata=[{"g": n % 37, "n": n} for n in range(COUNT)])
    index.delete(["k4"])
    return index


@examples(60)
@given(
    st.sampled_from(["dense", "lexical", "hybrid"]),
    st.sampled_from(["pump rain", "otto lamp stone", "river -pump"]),
    st.integers(1, 60),
    st.sampled_from([0.2, 0.5, 1.0]),
    st.sampled_from([{}, {"where": "n < 70"}, {"group_by": "g"}, {"group_by": "g", "per_group": 3, "where": "n > 20"}]),
    st.sampled_from([{}, {"exclude": ["k1", "k9"]}, {"min_score": 0.3}]),
)
def test_hits_are_chosen_from_the_best_of_the_same_search(
    index: Index, mode: Any, query: str, k: int, diversity: float, shape: dict[str, Any], more: dict[str, Any]
) -> None:
    best = index.search(query, candidates(k), mode=mode, **shape, **more)
    found = index.search(query, k, mode=mode, diversity=diversity, **shape, **more)
    relevance = [hit.score for hit in best]
    if mode == "hybrid":
        dense, lexical = (np.array([hit.scores[side] for hit in best]) for side in ("dense", "lexical"))
        relevance = total(convex(dense, lexical, scale_of(index, query))).tolist()
    vectors = np.array([index.get(hit.key).vector for hit in best], np.float32).reshape(len(best), -1)
    wanted = [best[place] for place in oracle(relevance, vectors, k, diversity)]
    assert [(hit.key, hit.score) for hit in found] == [(hit.key, hit.score) for hit in wanted]
    assert [hit.rank for hit in found] == list(range(1, len(found) + 1))
    assert {hit.ranked_by for hit in found} <= {f"{mode}+diversity"}


def test_similar_records_and_many_queries_differ_too(index: Index) -> None:
    best = index.similar("k7", candidates(5))
    vectors = np.array([index.get(hit.key).vector for hit in best], np.float32)
    wanted = [best[place].key for place in oracle([hit.score for hit in best], vectors, 5, 0.4)]
    assert [hit.key for hit in index.similar("k7", 5, diversity=0.4)] == wanted
    queries = ["pump", "rain otto"]
    several = index.search_many(queries, 4, diversity=0.4)
    assert several == [index.search(query, 4, diversity=0.4) for query in queries]
    assert index.search("pump", diversity=0.0) == index.search("pump")


def test_a_text_without_a_known_token_stays_last(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.add(["one two", "three four", "five six"], keys=["a", "b", "c"])
        with snapshots(index).borrow() as catalog, catalog.changing() as tables:
            (record,) = catalog.find(["b"]).values()
            tables.set_lost([(record, UNKNOWN)])
        assert [hit.key for hit in index.search("three four", 3, diversity=0.9)][-1] == "b"
        assert index.search("three four", 3, diversity=0.9, exclude=list("abc")) == []


def test_a_diversity_beyond_0_to_1_is_refused(index: Index) -> None:
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(InvalidInput, match="diversity is"):
            index.search("pump", diversity=wrong)


def test_the_command_takes_a_diversity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with opened(tmp_path / ".vecindex") as index:
        vectors = np.array([[1, 0.1], [1, 0.1], [1, 0.11], [0, 1]])
        index.add(list("abcd"), keys=list("abcd"), vectors=vectors, space="theirs")
    keys = [line[-2] for line in run("similar", "a", "-k", "3", "--diversity", "0.8")[1].splitlines()]
    assert keys == ["b", "d", "c"]
    assert run("similar", "a", "--diversity", "2")[0] == 2
