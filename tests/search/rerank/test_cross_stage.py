"""Searches whose best records a cross-encoder reads again: their order, their scores, their time, their errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest

import vecindex
from vecindex import Hits, Index, InvalidInput, ModelNotFound, RerankUnfinished, UnsupportedModel
from vecindex.encoders.cross import load
from vecindex.encoders.cross.cross_encoder import CrossEncoder
from vecindex.encoders.cross.pair_tokenizer import PairTokens
from vecindex.search.options import Mode
from vecindex.search.rerank import budget
from vecindex.search.rerank.second_stage import DEPTH

from ...support.helpers import opened
from ...support.models.cross_models import predicted, save_cross_model

TEXTS = {
    "name": "my name is Aun",
    "rain": "it rains on the pump",
    "error": "error E-1042 in the pump",
    "otto": "the pump is named Otto",
    "again": "rain and rain again",
}
MODES: tuple[Mode, ...] = get_args(Mode)


class Toy(CrossEncoder):
    """Prefers short texts; a pair's tokens are the lengths of both, and as many more as the text has words."""

    def __init__(self) -> None:
        self.clock, self.pause = 0.0, 0.0
        self.read: list[int] = []

    @property
    def tokens_at_once(self) -> int:
        return 40

    def tokens(self, query: str, texts: Sequence[str]) -> list[PairTokens]:
        return [PairTokens([len(query), len(text), *[0] * len(text.split())], []) for text in texts]

    def scores(self, pairs: Sequence[PairTokens]) -> npt.NDArray[np.float64]:
        self.clock += self.pause
        self.read.append(len(pairs))
        return np.array([score(*pair.ids[:2]) for pair in pairs])

    def logits(self, inputs: Any, beside: bool = False) -> Any:
        raise AssertionError("scores are made up")


def score(query: int, text: int) -> float:
    return query / 10 - text


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Toy:
    found = Toy()
    monkeypatch.setattr(load, "load_cross_encoder", lambda name, **_: found)
    return found


@pytest.fixture
def index(tmp_path: Path) -> Index:
    index = opened(tmp_path / "i")
    index.add(list(TEXTS.values()), keys=list(TEXTS), metadata=[{"odd": n % 2} for n in range(len(TEXTS))])
    return index


def keys(hits: Hits) -> list[str]:
    return [hit.key for hit in hits]


# --- scores and order


def test_hits_have_the_cross_encoders_own_scores_and_its_order(index: Index, tmp_path: Path) -> None:
    folder = save_cross_model(tmp_path / "model")
    query = "the pump rain"
    expected = predicted(folder, [(query, text) for text in TEXTS.values()])
    for mode in MODES:
        hits = index.search(query, mode=mode, rerank=folder, rerank_ms=math.inf)
        found = {hit.key: hit.scores["cross"] for hit in hits}
        wanted = {key: each for key, each in zip(TEXTS, expected.tolist(), strict=True) if key in found}
        assert found == pytest.approx(wanted, abs=1e-5)
        assert list(found.values()) == sorted(found.values(), reverse=True)
        assert len(hits) == (4 if mode == "lexical" else 5)


@pytest.mark.parametrize("mode", MODES)
def test_the_cross_encoder_alone_orders_the_hits_and_the_score_stays(index: Index, toy: Toy, mode: Mode) -> None:
    hits = index.search("the pump rain", 3, mode=mode, rerank="a/model")
    shortest = sorted(TEXTS, key=lambda key: len(TEXTS[key]))
    matching = [key for key in shortest if mode != "lexical" or key != "name"]
    assert keys(hits) == matching[:3]
    assert [hit.rank for hit in hits] == [1, 2, 3]
    for hit in hits:
        assert hit.ranked_by == f"{mode}+cross"
        assert hit.scores["cross"] == score(len("the pump rain"), len(hit.text))
        assert hit.score == hit.scores["lexical" if mode == "lexical" else "dense"]
        assert hit.to_dict()["scores"] == hit.scores


def test_equal_scores_are_in_the_order_of_insertion(tmp_path: Path, toy: Toy) -> None:
    with opened(tmp_path / "i") as index:
        texts = [f"word {n:02}" for n in range(20)]
        index.add(texts)
        assert [hit.text for hit in index.search("word 07", 20, rerank="a/model")] == texts


def test_the_best_hundred_are_read_or_as_many_as_are_asked_for(tmp_path: Path, toy: Toy) -> None:
    with opened(tmp_path / "i") as index:
        index.add([f"word {n}" for n in range(150)])
        assert len(index.search("word 7", 5, rerank="a/model")) == 5
        assert sum(toy.read) == DEPTH
        toy.read.clear()
        assert len(index.search("word 7", 150, rerank="a/model")) == 150
        assert sum(toy.read) == 150


def test_texts_of_which_the_index_knows_no_token_are_read_too(tmp_path: Path, toy: Toy) -> None:
    with opened(tmp_path / "i") as index:
        index.add(["a word", "🚆", "another one"])
        assert [hit.text for hit in index.search("word", rerank="a/model")] == ["🚆", "a word", "another one"]


def test_groups_are_made_first(index: Index, toy: Toy) -> None:
    hits = index.search("the pump rain", rerank="a/model", group_by="odd")
    assert len({hit.metadata["odd"] for hit in hits}) == len(hits) == 2
    assert hits[0].scores["cross"] >= hits[1].scores["cross"]


def test_many_queries_are_read_one_after_the_other(index: Index, toy: Toy) -> None:
    queries, told = ["rain", "the pump", "my name"], []
    found = index.search_many(queries, rerank="a/model", progress=lambda *done: told.append(done))
    assert [keys(hits) for hits in found] == [keys(index.search(query, rerank="a/model")) for query in queries]
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert index.search_many([], rerank="a/model") == []


def test_progress_is_told_in_texts(tmp_path: Path, toy: Toy) -> None:
    with opened(tmp_path / "i") as index:
        index.add([f"word {n}" for n in range(25)])
        told: list[tuple[int, int]] = []
        index.search("word", rerank="a/model", progress=lambda *done: told.append(done))
    assert told == [(10, 25), (20, 25), (25, 25)]


# --- time


def test_what_was_not_reached_in_time_keeps_its_order_behind_the_others(
    tmp_path: Path, toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.pause = 0.05
    monkeypatch.setattr(budget, "perf_counter", lambda: toy.clock)
    with opened(tmp_path / "i") as index:
        index.add([f"word {'x' * (40 - n)}" for n in range(40)])
        first = keys(index.search("word", 40))
        with pytest.warns(RerankUnfinished, match="of the best 40 hits were reranked within 120 ms"):
            hits = index.search("word", 40, rerank="a/model", rerank_ms=120)
        read = sum("cross" in hit.scores for hit in hits)
        assert read == 20
        assert {hit.key for hit in hits[:read]} == set(first[:read])
        assert keys(hits)[read:] == first[read:]
        assert [hit.scores["cross"] for hit in hits[:read]] == sorted(
            (hit.scores["cross"] for hit in hits[:read]), reverse=True
        )


def test_without_time_nothing_is_read(index: Index, toy: Toy) -> None:
    with pytest.warns(RerankUnfinished, match="0 of the best 5 hits"):
        hits = index.search("rain", rerank="a/model", rerank_ms=0)
    assert keys(hits) == keys(index.search("rain"))
    assert toy.read == []


# --- which model


def test_it_is_loaded_once_while_the_index_is_open(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[tuple[str, Any]] = []

    def toy_named(name: str, **settings: Any) -> Toy:
        loaded.append((name, settings))
        return Toy()

    monkeypatch.setattr(load, "load_cross_encoder", toy_named)
    for name in ("a/model", "a/model", "b/model"):
        index.search("rain", rerank=name)
    assert loaded == [("a/model", {"offline": None, "threads": None}), ("b/model", {"offline": None, "threads": None})]


def test_tokens_means_the_tokens_even_beside_a_folder_of_that_name(index: Index, here: Path, toy: Toy) -> None:
    (here / "tokens").mkdir()
    assert index.search("rain", rerank="tokens")[0].ranked_by == "dense+tokens"
    assert index.search("rain", rerank="./tokens")[0].ranked_by == "dense+cross"
    assert index.search("rain", rerank=Path("tokens"))[0].ranked_by == "dense+cross"


def test_a_model_that_is_not_there_or_is_none_is_an_error(index: Index, tmp_path: Path, hub: Path) -> None:
    with vecindex.open(index.path, model=index.encoder, offline=True) as offline:
        with pytest.raises(ModelNotFound, match=r"cross-encoder/nothing was not found; tried: .* no download"):
            offline.search("rain", rerank="nothing")
        with pytest.raises(UnsupportedModel, match="holds no"):
            offline.search("rain", rerank=tmp_path)


def test_a_vector_cannot_be_reranked(index: Index, toy: Toy) -> None:
    vector = index.encoder.encode(["rain"])[0]
    with pytest.raises(InvalidInput, match="a vector has no text to rerank by"):
        index.search(vector, rerank="a/model")


def test_an_index_of_vectors_made_elsewhere_can_be_reranked(tmp_path: Path, toy: Toy) -> None:
    with vecindex.open(tmp_path / "i") as index:
        index.add(list(TEXTS.values()), keys=list(TEXTS), vectors=np.eye(5, dtype=np.float32))
        hits = index.search("the pump", mode="lexical", rerank="a/model")
        assert keys(hits) == ["rain", "otto", "error"]
        with pytest.raises(InvalidInput, match="vectors made elsewhere"):
            index.search("the pump", mode="lexical", rerank="tokens")


def test_an_empty_index_has_no_hits(tmp_path: Path, toy: Toy) -> None:
    with opened(tmp_path / "i") as index:
        assert index.search("rain", rerank="a/model") == []
        assert toy.read == []


def test_an_explained_search_has_its_rank(index: Index, toy: Toy) -> None:
    _, report = index.explain_search("the pump rain", mode="hybrid", rerank="a/model")
    first = {standing.by: standing for standing in report.explanations[0].standings}
    assert (first["cross"].rank, first["rerank"].rank, first["cross"].of) == (1, 1, 5)
    assert (report.reranked, report.to_rerank) == (5, 5)
    assert (report.explanations[0].pairs, dict(report.explanations[0].notes)) == ((), {})


def test_an_explained_search_says_what_was_not_reached(index: Index, toy: Toy) -> None:
    with pytest.warns(RerankUnfinished, match="0 of the best 5 hits"):
        _, report = index.explain_search("rain", rerank="a/model", rerank_ms=0)
    assert {each.notes["cross"] for each in report.explanations} == {"the text was not reached in time"}


def test_an_evaluation_measures_it_beside_the_others(index: Index, toy: Toy) -> None:
    found = vecindex.evaluate_index(
        index, {"1": "rain", "2": "pump"}, {"1": {"again": 1}, "2": {"otto": 1}}, reranks=[None, "a/model"]
    )
    names = ["dense", "dense+a/model", "lexical", "lexical+a/model", "hybrid", "hybrid+a/model"]
    assert [each.system for each in found.systems] == names
    hits = index.search("rain", 100, rerank="a/model", rerank_ms=math.inf)
    assert found.rankings["dense+a/model"]["1"] == tuple(keys(hits))


def test_pages_go_on_where_the_last_one_ended(index: Index, toy: Toy) -> None:
    first = index.search("the pump rain", 2, rerank="a/model")
    assert first.cursor is not None
    second = index.search("the pump rain", 3, rerank="a/model", cursor=first.cursor)
    assert keys(first) + keys(second) == keys(index.search("the pump rain", 5, rerank="a/model"))
