"""All hits of at least a score come in the order of a search for all records, from one snapshot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecindex import Index, InvalidInput, RecordNotFound
from vecindex.search import hybrid, run
from vecindex.values.records import UNKNOWN

from ..support.commands import run as command
from ..support.helpers import opened, snapshots

WORDS = ["pump", "rain", "name", "otto", "garden", "stone"]
COUNT = 150


@pytest.fixture(autouse=True)
def few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_RECORDS_A_READ", 7)
    monkeypatch.setattr(hybrid, "DEPTHS", {"convex": 3, "rrf": 3})


@pytest.fixture
def index(tmp_path: Path) -> Index:
    drawn = np.random.default_rng(9)
    texts = [" ".join(drawn.choice(WORDS, size=drawn.integers(1, 5))) for _ in range(COUNT)]
    index = opened(tmp_path / "i")
    index.add(texts, keys=[f"k{n}" for n in range(COUNT)], metadata=[{"n": n} for n in range(COUNT)])
    index.delete(["k5", "k6"])
    return index


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
@pytest.mark.parametrize("where", [None, "n < 60"])
def test_they_are_the_hits_of_a_search_for_all_records(index: Index, mode: Any, where: str | None) -> None:
    for query in ("pump rain", "river", "otto -name"):
        every = index.search(query, COUNT, where, mode=mode)
        assert list(index.search_all(query, None, where, mode=mode)) == every
        for least in {hit.score for hit in every[::25]}:
            wanted = [hit.key for hit in every if hit.score >= least]
            found = list(index.search_all(query, least, where, mode=mode))
            assert [hit.key for hit in found] == wanted
            assert [hit.rank for hit in found] == list(range(1, len(wanted) + 1))
        left = [hit.key for hit in every if hit.key not in ("k1", "k2")]
        assert [hit.key for hit in index.search_all(query, None, where, mode=mode, exclude=["k1", "k2"])] == left


@pytest.mark.parametrize("k", [1, 2, 5, 20])
def test_a_hybrid_search_finds_the_best_of_all_however_few_candidates_the_sides_propose(index: Index, k: int) -> None:
    for query in ("pump rain", "otto", "garden stone name pump", "river", "rain -pump"):
        every = list(index.search_all(query, mode="hybrid"))
        assert index.search(query, k, mode="hybrid") == every[:k]
        least = every[len(every) // 3].score
        assert (
            index.search(query, k, mode="hybrid", min_score=least)
            == list(index.search_all(query, least, mode="hybrid"))[:k]
        )


def test_a_change_meanwhile_is_not_seen(index: Index) -> None:
    wanted = index.search("pump", COUNT)
    hits = index.search_all("pump", -1)
    first = next(hits)
    with opened(index._folder) as other:
        other.delete([hit.key for hit in wanted[:50]])
        other.add(["pump"], keys=["new"])
        other.compact()
    assert [first, *hits] == list(wanted)
    assert "new" in [hit.key for hit in index.search_all("pump", -1)]


def test_texts_without_a_known_token_come_last(index: Index) -> None:
    with snapshots(index).borrow() as catalog, catalog.changing() as tables:
        records = catalog.find(["k9", "k80"]).values()
        tables.set_lost([(record, UNKNOWN) for record in records])
    found = list(index.search_all("pump", -1))
    assert found == index.search("pump", COUNT)
    assert {hit.key for hit in found[-2:]} == {"k9", "k80"}


def test_wrong_arguments_are_refused(index: Index) -> None:
    with pytest.raises(InvalidInput, match="a cosine is at most 1"):
        index.search_all("pump", 2)
    with pytest.raises(RecordNotFound):
        list(index.search_all("pump", 0.5, exclude=["x"]))
    assert list(index.search_all("pump", 90, mode="lexical")) == []


def test_the_command_prints_all_of_at_least_a_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with opened(tmp_path / ".vecindex") as index:
        index.add(["pump"] * 12 + ["rain"], keys=[f"k{n}" for n in range(13)])
    arguments = ("search", "pump", "--mode", "lexical", "--all", "--min-score", "0.01")
    assert command(*arguments)[1].count("pump") == 12
    assert command(*arguments, "--exclude", "k3")[1].count("pump") == 11
    wrong = ("-k", "5"), ("--group-by", "n"), ("--context", "1"), ("--diversity", "0.5"), ("--explain",)
    for more in wrong:
        assert command(*arguments, *more)[0] == 2
    assert command("search", "pump", "--mode", "lexical", "--all")[0] == 2
    assert command(*arguments[:-1], "90")[1:] == (
        "",
        "No record scores 90 or more; the best scores 0.3022.\n",
    )
