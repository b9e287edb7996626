"""Searches whose best records are read again, token by token: their order, their scores, their time, their errors."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vecindex
from vecindex import Hits, Index, InvalidInput, RerankUnfinished
from vecindex.encoders.run.encoder import Encoder
from vecindex.encoders.run.own_tokens import own_tokens, tokenized
from vecindex.encoders.run.pooling import unit_length
from vecindex.encoders.run.tokenized import IntArray
from vecindex.search import fusion
from vecindex.search.options import Mode
from vecindex.search.rerank import budget
from vecindex.search.rerank.late_interaction import pairs
from vecindex.search.rerank.second_stage import DEPTH
from vecindex.values.records import UNKNOWN

from ...support.extent import examples
from ...support.helpers import opened, scale_of, snapshots
from ...support.toy import BareEncoder, ToyEncoder

TEXTS = {
    "name": "my name is Aun",
    "rain": "it rains on the pump",
    "error": "error E-1042 in the pump",
    "otto": "the pump is named Otto",
    "again": "rain and rain again",
}
MODES: tuple[Mode, ...] = ("dense", "lexical", "hybrid")
WORDS = ("the", "pump", "rain", "named", "again", "my", "Otto")


@pytest.fixture
def index(tmp_path: Path) -> Index:
    index = opened(tmp_path / "i")
    index.add(list(TEXTS.values()), keys=list(TEXTS), metadata=[{"n": n, "odd": n % 2} for n in range(len(TEXTS))])
    return index


def keys(hits: Hits) -> list[str]:
    return [hit.key for hit in hits]


def token_score(query: str, text: str) -> float:
    """From the vectors of single words, which the toy encoder gives wherever a word stands."""
    words = {word: ToyEncoder().encode([word])[0].astype(float) for word in (query + " " + text).split(" ")}
    return float(np.mean([max(words[a] @ words[b] for b in text.split(" ")) for a in query.split(" ")]))


# --- scores and order


@pytest.mark.parametrize("mode", MODES)
def test_hits_have_the_mean_of_the_largest_cosines_of_the_querys_tokens(index: Index, mode: Any) -> None:
    hits = index.search("the pump rain", mode=mode, rerank="tokens")
    assert hits
    for hit in hits:
        assert hit.scores["tokens"] == pytest.approx(token_score("the pump rain", hit.text), abs=1e-6)
        assert hit.ranked_by == f"{mode}+tokens"
        assert hit.to_dict()["scores"] == hit.scores
        assert hit.score == hit.scores["lexical" if mode == "lexical" else "dense"]
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))


def test_a_text_with_all_words_of_the_query_scores_one(index: Index) -> None:
    scores = {hit.key: hit.scores["tokens"] for hit in index.search("Otto pump", rerank="tokens")}
    assert scores["otto"] == pytest.approx(1)
    assert max(score for key, score in scores.items() if key != "otto") < 0.99


@examples(60)
@given(
    st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6), min_size=1, max_size=130),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=4),
    st.sampled_from(MODES),
    st.integers(1, 120),
    st.booleans(),
)
def test_the_order_is_that_of_the_weighted_sum_of_all_sides(
    tmp_path_factory: pytest.TempPathFactory,
    texts: list[list[str]],
    query_words: list[str],
    mode: Any,
    k: int,
    filtered: bool,
) -> None:
    query, where = " ".join(query_words), "even = true" if filtered else None
    with opened(tmp_path_factory.mktemp("index") / "i") as index:
        index.add([" ".join(words) for words in texts], metadata=[{"even": n % 2 == 0} for n in range(len(texts))])
        first = index.search(query, max(DEPTH, k), where, mode=mode)
        hits = index.search(query, k, where, mode=mode, rerank="tokens", rerank_ms=math.inf)
        scale = scale_of(index, query)
    sides = {name: np.array([hit.scores[name] for hit in first]) for name in (first[0].scores if first else ())}
    again = np.array([token_score(query, hit.text) for hit in first])
    total = dict(zip(keys(first), fusion.total(fusion.mixed(sides, again, scale)).tolist(), strict=True))
    assert len(hits) == min(k, len(first)) == len(set(keys(hits)))
    assert [total[hit.key] for hit in hits] == pytest.approx(sorted(total.values(), reverse=True)[:k], abs=1e-5)


def test_equal_texts_are_in_the_order_of_insertion(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        names = [f"{n:02}" for n in range(40)]
        index.add(["my pump" if n % 3 else "rain again and again" for n in range(40)], keys=names)
        for mode in MODES:
            hits = index.search("pump", k=40, mode=mode, rerank="tokens")
            for text in ("my pump", "rain again and again"):
                group = [hit.key for hit in hits if hit.text == text]
                assert group == sorted(group)


def test_several_queries_find_the_same_as_one_after_the_other(index: Index) -> None:
    queries = ["the pump", "rain", "my name"]
    for mode in MODES:
        together = index.search_many(queries, k=3, mode=mode, rerank="tokens", rerank_ms=math.inf)
        alone = [index.search(query, k=3, mode=mode, rerank="tokens", rerank_ms=math.inf) for query in queries]
        assert [keys(hits) for hits in together] == [keys(hits) for hits in alone]


@pytest.mark.parametrize("mode", MODES)
def test_filters_and_groups_hold(index: Index, mode: Any) -> None:
    found = index.search("the pump rain", k=9, where="n >= 3", mode=mode, rerank="tokens")
    assert set(keys(found)) == {"otto", "again"}
    grouped = index.search("the pump rain", k=9, mode=mode, group_by="odd", rerank="tokens")
    assert sorted(hit.metadata["odd"] for hit in grouped) == [0, 1]


def test_prompts_are_no_part_of_the_query_and_the_text(tmp_path: Path) -> None:
    prompted = ToyEncoder(query_prompt="ask for ", document_prompt="text: ")
    with opened(tmp_path / "i", model=prompted) as index:
        index.add(list(TEXTS.values()))
        (hit,) = index.search("Otto ask", k=1, rerank="tokens")
        assert hit.scores["tokens"] == pytest.approx(token_score("Otto ask", hit.text), abs=1e-6)


def test_what_the_model_does_not_read_of_a_text_does_not_count(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.add(["rain " * 40 + "pump", "again rain pump"], keys=["long", "short"])
        scores = {hit.key: hit.scores["tokens"] for hit in index.search("pump", rerank="tokens")}
        assert scores == {"short": pytest.approx(1), "long": pytest.approx(token_score("pump", "rain"), abs=1e-6)}


def test_texts_that_mean_nothing_to_the_model_come_last_unless_they_have_a_word(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.add(["one two", "three four", "three five"], keys=["a", "b", "c"])
        with snapshots(index).borrow() as catalog, catalog.changing() as tables:
            (record,) = catalog.find(["b"]).values()
            tables.set_lost([(record, UNKNOWN)])
        hits = index.search("three four", rerank="tokens")
        assert keys(hits)[-1] == "b"
        assert ["tokens" in hit.scores for hit in hits] == [True, True, False]
        hybrid = {hit.key: hit for hit in index.search("four", mode="hybrid", rerank="tokens")}
        assert "tokens" not in hybrid["b"].scores
        assert keys(index.search("four", mode="lexical", rerank="tokens")) == ["b"]


def test_a_text_without_a_token_has_no_token_score(tmp_path: Path) -> None:
    encoder = BareEncoder()
    with opened(tmp_path / "i", model=encoder) as index:
        index.add(["~", "one two"], vectors=encoder.encode(["three", "one two"]), space=encoder.space)
        hits = index.search("one", rerank="tokens")
        assert [hit.text for hit in hits] == ["one two", "~"]
        assert ["tokens" in hit.scores for hit in hits] == [True, False]


def test_an_empty_index_has_no_hit(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        assert index.search("one", rerank="tokens") == []
        assert index.search_many(["one", "two"], mode="hybrid", rerank="tokens") == [[], []]


# --- time


class SlowEncoder(ToyEncoder):
    """One that reads 32 tokens at once, and takes a while by its clock for each batch after the first ones."""

    quick, clock = 0, 0.0

    @property
    def tokens_a_batch(self) -> int:
        return 32

    def forward(self, input_ids: IntArray, attention_mask: IntArray) -> npt.NDArray[np.float32]:
        if self.quick > 0:
            self.quick -= 1
        else:
            self.clock += 0.05
        return super().forward(input_ids, attention_mask)


def test_without_time_the_order_stays_and_a_warning_says_so(index: Index) -> None:
    with pytest.warns(RerankUnfinished, match="0 of the best 5 hits were reranked within 0 ms") as caught:
        hits = index.search("the pump rain", rerank="tokens", rerank_ms=0)
    assert "rerank_ms" in str(caught[0].message)
    assert keys(hits) == keys(index.search("the pump rain"))
    assert all("tokens" not in hit.scores for hit in hits)


def test_the_best_are_read_first_and_the_rest_keep_their_order_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = SlowEncoder()
    monkeypatch.setattr(budget, "perf_counter", lambda: encoder.clock)
    with opened(tmp_path / "i", model=encoder) as index:
        encoder.quick = 1_000
        index.add([f"pump {n} " + "rain " * (n % 11) for n in range(110)])
        first = keys(index.search("pump again", k=100))
        encoder.quick = 1  # the query
        with pytest.warns(RerankUnfinished):
            hits, report = index.explain_search("pump again", k=100, rerank="tokens", rerank_ms=120)
    assert (report.to_rerank, 0 < report.reranked < 100) == (100, True)
    assert "rerank" in report.milliseconds
    assert set(keys(hits)[: report.reranked]) == set(first[: report.reranked])
    assert keys(hits)[report.reranked :] == first[report.reranked :]
    assert ["tokens" in hit.scores for hit in hits] == [n < report.reranked for n in range(100)]


# --- what is refused


def test_a_vector_has_no_text(index: Index) -> None:
    with pytest.raises(InvalidInput, match="a vector has no text to rerank by"):
        index.search(np.ones(ToyEncoder().space.dimension), rerank="tokens")


@pytest.mark.parametrize("mode", MODES)
def test_an_index_of_given_vectors_has_no_model_to_compare_tokens(tmp_path: Path, mode: Any) -> None:
    with vecindex.open(tmp_path / "i", create=True) as index:
        index.add(["one", "two"], vectors=np.eye(2, dtype=np.float32))
        with pytest.raises(InvalidInput, match="vectors made elsewhere"):
            index.search("one", mode=mode, rerank="tokens")


def test_hits_are_either_reranked_or_chosen_to_differ(index: Index) -> None:
    with pytest.raises(InvalidInput, match="two orders"):
        index.search("one", rerank="tokens", diversity=0.5)


def test_options_are_checked(index: Index) -> None:
    with pytest.raises(InvalidInput, match="rerank is 3"):
        index.search("one", rerank=3)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="rerank is ''"):
        index.search("one", rerank="")
    for wrong in (-1, math.nan, "1 s", True):
        with pytest.raises(InvalidInput, match="rerank_ms is"):
            index.search("one", rerank="tokens", rerank_ms=wrong)  # type: ignore[arg-type]


# --- with the real model


def test_the_real_models_token_scores_are_those_of_all_pairs_without_special_tokens(
    tmp_path: Path, encoder: Encoder
) -> None:
    texts = ["My name is Aun", "The pump is broken.", "Call me Otto; that is what my mother named me.", "It rains."]
    query = "What is your name?"
    with opened(tmp_path / "i", model=encoder) as index:
        index.add(texts)
        hits = index.search(query, k=4, mode="hybrid", rerank="tokens", rerank_ms=math.inf)
    (asked,) = own_tokens(encoder, tokenized(encoder, [query], "query"), "query")
    own = unit_length(encoder.encode_tokens([query], "query")[0].vectors[1:-1])
    np.testing.assert_allclose(asked.vectors, own, atol=1e-5)
    for hit in hits:
        expected = (own @ unit_length(encoder.encode_tokens([hit.text])[0].vectors[1:-1]).T).max(axis=1).mean()
        assert hit.scores["tokens"] == pytest.approx(float(expected), abs=1e-5)
        (found,) = own_tokens(encoder, tokenized(encoder, [hit.text], "document"), "document")
        strings = encoder.tokenizer.strings
        named = pairs(strings(asked.ids), asked.vectors, strings(found.ids), found.vectors)
        assert [pair.query_token for pair in named] == ["what", "is", "your", "name", "?"]
        assert sum(pair.contribution for pair in named) == pytest.approx(hit.scores["tokens"], abs=1e-5)
    assert hits[0].text == "My name is Aun"
