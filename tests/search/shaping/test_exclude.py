"""Excluded records are left out before a search, so that others take their place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex import Hits, Index, InvalidInput, RecordNotFound
from vecindex.search import hybrid

from ...support.commands import run
from ...support.extent import examples
from ...support.helpers import opened

WORDS = ["pump", "rain", "name", "otto", "garden", "stone"]
COUNT = 120


@pytest.fixture(scope="module", params=[False, True], ids=["no record is dead", "some records are dead"])
def index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Index:
    drawn = np.random.default_rng(6)
    texts = [" ".join(drawn.choice(WORDS, size=drawn.integers(1, 4))) for _ in range(COUNT)]
    index = opened(tmp_path_factory.mktemp("exclude") / "i")
    index.add(texts, keys=[f"k{n}" for n in range(COUNT)], metadata=[{"g": n % 30, "n": n} for n in range(COUNT)])
    if request.param:
        index.delete([f"k{n}" for n in range(100, COUNT)])
    return index


def plain(hits: Hits) -> list[tuple[str, float]]:
    return [(hit.key, hit.score) for hit in hits]


@examples(40)
@given(
    st.sampled_from(["dense", "lexical"]),
    st.sets(st.integers(0, 99).map("k{}".format), max_size=100),
    st.integers(1, 120),
    st.sampled_from([None, "n < 60"]),
)
def test_hits_are_the_best_of_the_others(index: Index, mode: Any, exclude: set[str], k: int, where: str | None) -> None:
    every = index.search("pump rain", COUNT, where, mode=mode)
    expected = [(hit.key, hit.score) for hit in every if hit.key not in exclude]
    assert plain(index.search("pump rain", k, where, mode=mode, exclude=exclude)) == expected[:k]
    assert plain(index.search_many(["pump rain"], k, where, mode=mode, exclude=sorted(exclude))[0]) == expected[:k]


def test_hybrid_search_finds_as_many_as_there_are(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hybrid, "DEPTHS", {"convex": 4, "rrf": 4})
    best = [hit.key for hit in index.search("pump rain", 20, mode="hybrid")]
    for k in (1, 7, 100):
        found = [hit.key for hit in index.search("pump rain", k, mode="hybrid", exclude=best)]
        assert len(found) == min(k, len(index) - len(best))
        assert not set(found) & set(best)


def test_groups_and_similar_records_are_of_the_others(index: Index) -> None:
    first = index.search("pump rain", 3, group_by="g")
    others = index.search("pump rain", 60, exclude=[first[0].key])
    again = index.search("pump rain", 3, group_by="g", exclude=[first[0].key])
    assert again[0].key == others[0].key
    assert first[0].key not in [hit.key for hit in again]
    near = index.similar("k1", 5)
    assert plain(index.similar("k1", 3, exclude=[near[0].key])) == plain(near)[1:4]
    assert plain(index.similar("k1", 3, exclude=["k1", near[0].key])) == plain(near)[1:4]


def test_every_record_may_be_excluded(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.add(["one", "two"], keys=["a", "b"])
        for mode in ("dense", "lexical", "hybrid"):
            assert index.search("one", mode=mode, exclude=["a", "b"]) == []
            assert [hit.key for hit in index.search("one two", mode=mode, exclude=["b"])] == ["a"]


def test_an_unknown_key_is_an_error(index: Index, tmp_path: Path) -> None:
    with pytest.raises(RecordNotFound, match="no record has the key 'zebra'"):
        index.search("pump", exclude=["k1", "zebra"])
    with pytest.raises(RecordNotFound), opened(tmp_path / "empty") as empty:
        empty.search("pump", mode="lexical", exclude=["a"])
    with pytest.raises(InvalidInput, match="exclude is a single str, not a sequence") as caught:
        index.search("pump", exclude="k1")
    assert caught.value.advice == "Pass a list: [key]."


def test_the_command_takes_keys_and_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("the pump\na lamp\na pump\n")
    with opened(tmp_path / ".vecindex") as index:
        index.add_files(["notes.txt"], split="line")
        index.add(["pump"], keys=["mine"])
    found = run("search", "pump", "--mode", "lexical", "--exclude", "mine", "--exclude", "notes.txt:1")
    assert (found[0], found[1].splitlines()[0].split("  ")[2], found[2]) == (0, "a pump", ""), found[1]
    assert len(found[1].splitlines()) == 1
    assert "a pump" not in run("similar", "mine", "--exclude", "notes.txt:3")[1]
    code, _, told = run("search", "pump", "--mode", "lexical", "--exclude", "zebra")
    assert (code, "no record has the key 'zebra'" in told) == (1, True)
