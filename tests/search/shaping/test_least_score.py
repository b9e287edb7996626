"""A least score: exactly the records of at least that score match, in every mode, with filters and groups."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex import Hits, Index, InvalidInput
from vecindex.search import hybrid
from vecindex.values.records import UNKNOWN

from ...support.commands import run
from ...support.extent import examples
from ...support.helpers import opened, snapshots

WORDS = ["pump", "rain", "name", "otto", "garden", "stone", "river", "lamp"]
EVERY = 1_000


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """Short texts of few words, so that many cosines and BM25 scores are equal; some records are dead."""
    drawn = np.random.default_rng(5)
    texts = [" ".join(drawn.choice(WORDS, size=drawn.integers(1, 5))) for _ in range(300)]
    index = opened(tmp_path_factory.mktemp("least") / "i")
    index.add(texts, keys=[f"k{n}" for n in range(300)], metadata=[{"g": n % 40, "n": n} for n in range(300)])
    index.delete(["k3", "k50"])
    return index


def plain(hits: Hits) -> list[tuple[int, str, float]]:
    return [(hit.rank, hit.key, hit.score) for hit in hits]


def expected(hits: Hits, k: int, least: float, most: int | None) -> list[tuple[int, str, float]]:
    """What is left of all hits of a search without a least score."""
    counts: Counter[int] = Counter()
    kept = []
    for hit in hits:
        counts[hit.metadata["g"]] += hit.score >= least
        if hit.score >= least and (most is None or counts[hit.metadata["g"]] <= most):
            kept.append(hit)
    return [(rank, hit.key, hit.score) for rank, hit in enumerate(kept[:k], 1)]


@examples(60)
@given(
    st.sampled_from(["dense", "lexical", "hybrid"]),
    st.sampled_from(["pump rain", "otto lamp stone", '"garden stone"', "river -pump"]),
    st.integers(1, 400),
    st.sampled_from([None, "n < 150"]),
    st.sampled_from([None, 1, 2]),
    st.integers(0, 299),
)
def test_hits_are_those_of_a_search_without_a_least_score_that_reach_it(
    index: Index, mode: Any, query: str, k: int, where: str | None, most: int | None, place: int
) -> None:
    every = index.search(query, EVERY, where, mode=mode)
    least = every[min(place, len(every) - 1)].score if every else 0.5  # exactly that of a record
    groups: dict[str, Any] = {} if most is None else {"group_by": "g", "per_group": most}
    found = index.search(query, k, where, mode=mode, min_score=least, **groups)
    assert plain(found) == expected(every, k, least, most)
    assert index.search_many([query], k, where, mode=mode, min_score=least)[0] == index.search(
        query, k, where, mode=mode, min_score=least
    )


@pytest.mark.parametrize("k", [1, 5, 30])
def test_a_hybrid_search_of_little_depth_still_finds_as_many_as_there_are(
    index: Index, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hybrid, "DEPTHS", {"convex": 3, "rrf": 3})
    near = [hit.score for hit in index.search("pump rain", EVERY)]
    for least in near[::20]:
        found = index.search("pump rain", k, mode="hybrid", min_score=least)
        assert len(found) == min(k, sum(score >= least for score in near))
        assert all(hit.score >= least for hit in found)


def test_similar_records_reach_the_score(index: Index) -> None:
    every = index.similar("k7", EVERY)
    for least in (every[0].score, every[9].score, every[100].score):
        assert plain(index.similar("k7", 20, min_score=least)) == expected(every, 20, least, None)
    assert index.similar("k7", min_score=1) == [hit for hit in every if hit.score == 1][:5]


def test_a_text_without_a_known_token_counts_as_any_other(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.add(["one two", "three four", "five six"], keys=["a", "b", "c"])
        with snapshots(index).borrow() as catalog, catalog.changing() as tables:
            (record,) = catalog.find(["b"]).values()
            tables.set_lost([(record, UNKNOWN)])
        every = index.search("three four", 3)
        assert every[-1].key == "b"
        for k in (1, 2, 3):
            for least in (-1.0, every[0].score, 0.999):
                found = index.search("three four", k, min_score=least)
                assert [hit.key for hit in found] == [hit.key for hit in every if hit.score >= least][:k]


def test_a_least_score_that_no_cosine_has_is_refused(index: Index) -> None:
    for mode in ("dense", "hybrid"):
        with pytest.raises(InvalidInput, match=r"the least score is 1\.5, but a cosine is at most 1"):
            index.search("pump", mode=mode, min_score=1.5)
    assert all(hit.score >= 1.5 for hit in index.search("pump", mode="lexical", min_score=1.5))
    with pytest.raises(InvalidInput, match="min_score is nan"):
        index.search("pump", min_score=float("nan"))


def test_the_command_finds_other_records_instead_of_those_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with opened(tmp_path / ".vecindex") as index:
        vectors = np.array([[1, 0], [0.8, 0.6], [0, 1]])
        index.add(["a", "b", "c"], keys=["a", "b", "c"], vectors=vectors, space="theirs")
    assert run("similar", "a", "--min-score", "0.5")[1] == "1  0.8000  b  [b]\n"
    assert run("search", "c", "--mode", "lexical", "--min-score", "0.1")[1].endswith("c  [c]\n")
    code, out, told = run("search", "c", "--mode", "lexical", "--min-score", "90")
    assert (code, out, told.startswith("No record scores 90 or more; the best scores ")) == (0, "", True)
    assert run("similar", "a", "--where", "x = 1", "--min-score", "0.5")[2].endswith("No record matches.\n")
