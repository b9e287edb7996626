"""Explained searches: what the scores of a hit are made of, its ranks on the way, and what cannot be explained."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import vecindex
from vecindex import Index, RerankUnfinished
from vecindex.encoders.run.tokenized import IntArray
from vecindex.search.explained.hit_explanation import HitExplanation
from vecindex.search.lexical.bm25 import idf, impacts
from vecindex.search.rerank import budget

from ...support.helpers import opened
from ...support.pump_texts import QUERY, TEXTS
from ...support.toy import MAX_TOKENS, BareEncoder, ToyEncoder


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return filled(tmp_path / "i")


def filled(path: Path, **options: Any) -> Index:
    index = opened(path, **options)
    index.add(list(TEXTS.values()), keys=list(TEXTS), metadata=[{"odd": n % 2} for n in range(len(TEXTS))])
    return index


def explained(index: Index, query: Any = QUERY, **options: Any) -> dict[str, HitExplanation]:
    hits, report = index.explain_search(query, **options)
    assert [(each.rank, each.key) for each in report.explanations] == [(hit.rank, hit.key) for hit in hits]
    assert hits == index.search(query, **options)
    return {each.key: each for each in report.explanations}


def ranks(explanation: HitExplanation) -> dict[str, tuple[int, int]]:
    return {each.by: (each.rank, each.of) for each in explanation.standings}


def word(text: str) -> npt.NDArray[np.float64]:
    """The vector of a word before it is brought to unit length."""
    return np.asarray(ToyEncoder().encode_tokens([text])[0].vectors[0], np.float64)


# --- what scores are made of


def test_tokens_add_their_part_of_the_mean_to_the_cosine(index: Index) -> None:
    found = explained(index)["again"]
    words = TEXTS["again"].split(" ")
    query = ToyEncoder().encode([QUERY], role="query")[0].astype(np.float64)
    length = np.linalg.norm(np.sum([word(each) for each in words], axis=0))
    assert [(each.position, each.token) for each in found.tokens] == list(enumerate(words))
    assert [each.contribution for each in found.tokens] == [
        pytest.approx(word(each) @ query / length, abs=1e-6) for each in words
    ]
    assert (found.terms, found.pairs, dict(found.notes)) == ((), (), {})


def test_terms_add_what_bm25_says(index: Index) -> None:
    found = explained(index, mode="lexical")["again"]
    average = sum([4, 5, 7, 5, 4]) / 5  # E-1042 is a code and its two parts
    weight, impact = idf(5, 2), float(impacts(2, 4, average))
    form, term = sorted(found.terms, key=lambda each: not each.is_form)
    assert (term.term, term.in_query, term.count, term.is_form) == ("rain", 1, 2, False)
    assert (form.term, form.count) == ("rain", 2)
    assert form.in_query == pytest.approx(1 / 3)
    assert (term.idf, term.impact, term.score) == pytest.approx((weight, impact, weight * impact))
    assert (found.tokens, dict(found.notes)) == ((), {})


def test_pairs_are_the_tokens_that_met(index: Index) -> None:
    found = explained(index, "Otto rains", rerank="tokens")["rain"]
    words = TEXTS["rain"].split(" ")
    unit = {each: ToyEncoder().encode([each])[0].astype(np.float64) for each in [*words, "Otto", "rains"]}
    likest = max(words, key=lambda each: unit["Otto"] @ unit[each])
    assert [(pair.query_token, pair.text_token, pair.text_position) for pair in found.pairs] == [
        ("Otto", likest, words.index(likest)),
        ("rains", "rains", 1),
    ]
    assert [pair.cosine for pair in found.pairs] == pytest.approx([unit["Otto"] @ unit[likest], 1], abs=1e-6)
    assert [pair.contribution for pair in found.pairs] == [pair.cosine / 2 for pair in found.pairs]


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
@pytest.mark.parametrize("rerank", [None, "tokens"])
def test_every_part_adds_up_to_its_score(index: Index, mode: Any, rerank: Any) -> None:
    hits, report = index.explain_search(QUERY, mode=mode, rerank=rerank)
    assert hits
    for hit, explanation in zip(hits, report.explanations, strict=True):
        sums = {
            "dense": sum(each.contribution or 0.0 for each in explanation.tokens),
            "lexical": sum(each.score for each in explanation.terms),
            "tokens": sum(each.contribution for each in explanation.pairs),
        }
        assert {name: sums[name] for name in hit.scores} == pytest.approx(dict(hit.scores), abs=1e-6)
        assert {name for name, total in sums.items() if total} <= set(hit.scores)
        assert dict(explanation.notes) == {}


def test_pairs_are_of_the_stored_token_vectors_where_there_are_some(index: Index) -> None:
    exact = explained(index, QUERY, rerank="tokens")
    index.index_tokens()
    index.add(["the rain pump"], keys=["new"])
    hits, report = index.explain_search(QUERY, k=6, rerank="tokens")
    for hit, explanation in zip(hits, report.explanations, strict=True):
        total = sum(pair.contribution for pair in explanation.pairs)
        assert total == pytest.approx(hit.scores["tokens"], abs=1e-5)
    stored = {each.key: each.pairs for each in report.explanations}
    assert [pair.text_token for pair in stored["rain"]] == [pair.text_token for pair in exact["rain"].pairs]
    assert [pair.cosine for pair in stored["rain"]] != [pair.cosine for pair in exact["rain"].pairs]


def test_a_vector_as_the_query_explains_the_cosine_as_well(index: Index) -> None:
    query = ToyEncoder().encode([QUERY], role="query")[0]
    by_text, by_vector = explained(index), explained(index, query)
    for key, each in by_text.items():
        added = [token.contribution for token in each.tokens]
        assert [token.contribution for token in by_vector[key].tokens] == pytest.approx(added, abs=1e-6)


def test_words_of_metadata_fields_are_terms_too(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.index_lexical(fields={"title": 2.0})
        index.add(["it leaks", "rain again"], keys=["a", "b"], metadata=[{"title": "the pump"}, {}])
        hits, report = index.explain_search("pump", mode="lexical")
    terms = report.explanations[0].terms
    assert [(each.term, each.count) for each in terms] == [("pump", 2), ("pump", 2)]
    assert sum(each.score for each in terms) == pytest.approx(hits[0].score, abs=1e-9)


# --- ranks


def test_ranks_are_those_of_each_side_among_the_candidates(index: Index) -> None:
    found = explained(index, mode="hybrid", k=4)
    near = [hit.key for hit in index.search(QUERY, k=9)]
    worded = [hit.key for hit in index.search(QUERY, k=9, mode="lexical")]
    for number, (key, explanation) in enumerate(found.items(), 1):
        expected = {"dense": (near.index(key) + 1, 5), "hybrid": (number, 5)}
        if key in worded:
            expected["lexical"] = (worded.index(key) + 1, len(worded))
        assert ranks(explanation) == expected
        by_name = {each.by: each for each in explanation.standings}
        assert by_name["dense"].score == pytest.approx(index.search(QUERY, k=9)[near.index(key)].score)


def test_a_record_without_a_word_of_the_query_has_no_lexical_rank(index: Index) -> None:
    found = explained(index, "Otto", mode="hybrid")
    assert set(ranks(found["name"])) == {"dense", "hybrid"}
    assert (found["name"].terms, ranks(found["otto"])["lexical"]) == ((), (1, 1))


def test_ranks_before_and_after_reranking_are_told(index: Index) -> None:
    found = explained(index, mode="hybrid", rerank="tokens")
    before = [hit.key for hit in index.search(QUERY, mode="hybrid")]
    scores = {hit.key: hit.scores["tokens"] for hit in index.search(QUERY, mode="hybrid", rerank="tokens")}
    by_tokens = sorted(scores, key=lambda key: -scores[key])
    for number, (key, explanation) in enumerate(found.items(), 1):
        told = ranks(explanation)
        assert list(told)[-3:] == ["hybrid", "tokens", "rerank"]
        assert (told["hybrid"][0], told["tokens"][0]) == (before.index(key) + 1, by_tokens.index(key) + 1)
        assert told["rerank"] == (number, 5)
    mixtures = [each.standings[-1].score for each in found.values()]
    assert mixtures == sorted(mixtures, key=lambda each: -(each or 0))


def test_ranks_before_and_after_groups_are_told(index: Index) -> None:
    found = explained(index, group_by="odd", k=2)
    before = [hit.key for hit in index.search(QUERY)]
    for number, (key, explanation) in enumerate(found.items(), 1):
        assert ranks(explanation) == {"dense": (before.index(key) + 1, 5), "groups": (number, 2)}


def test_ranks_before_and_after_diversity_are_told(index: Index) -> None:
    found = explained(index, diversity=0.9, k=3)
    before = [hit.key for hit in index.search(QUERY)]
    assert list(found) != before[:3]
    for number, (key, explanation) in enumerate(found.items(), 1):
        assert ranks(explanation) == {"dense": (before.index(key) + 1, 5), "diversity": (number, 3)}
        assert explanation.standings[-1].score is None


def test_a_later_page_is_explained_as_the_first_is(index: Index) -> None:
    all_, first = explained(index, mode="hybrid"), index.search(QUERY, k=2, mode="hybrid")
    found = explained(index, mode="hybrid", k=2, cursor=first.cursor)
    assert list(found) == list(all_)[2:4]
    for key, explanation in found.items():
        assert explanation.rank == all_[key].rank
        assert (explanation.tokens, explanation.terms) == (all_[key].tokens, all_[key].terms)
        assert ranks(explanation) == ranks(all_[key])


@pytest.mark.parametrize("fusion", ["convex", "rrf"])
@pytest.mark.parametrize("least", [None, 0.2])
def test_the_parts_of_each_side_add_up_to_the_joined_score(index: Index, fusion: Any, least: float | None) -> None:
    found = explained(index, mode="hybrid", fusion=fusion, min_score=least)
    assert (len(found) < 5) == (least is not None)
    for explanation in found.values():
        by_name = {each.by: each for each in explanation.standings}
        parts = by_name["hybrid"].parts
        assert set(parts) == {"dense", "lexical"}
        assert sum(parts.values()) == pytest.approx(by_name["hybrid"].score, abs=1e-9)
        if fusion == "rrf" and least is None:
            places = {side: 1 / (60 + by_name[side].rank) if side in by_name else 0 for side in parts}
            assert parts == pytest.approx(places)
        assert not by_name["dense"].parts


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
def test_the_parts_of_each_side_add_up_to_the_score_of_the_new_order(index: Index, mode: Any) -> None:
    hits, report = index.explain_search(QUERY, mode=mode, rerank="tokens")
    for hit, explanation in zip(hits, report.explanations, strict=True):
        last = explanation.standings[-1]
        assert (last.by, set(last.parts)) == ("rerank", set(hit.scores))
        assert sum(last.parts.values()) == pytest.approx(last.score, abs=1e-9)


def test_equal_scores_are_ranked_by_insertion(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.add(["one"] * 4, keys=list("abcd"))
        assert [ranks(each)["hybrid"][0] for each in explained(index, "one", mode="hybrid").values()] == [1, 2, 3, 4]


# --- what cannot be explained


def test_vectors_made_elsewhere_have_no_tokens(tmp_path: Path) -> None:
    vectors = np.eye(3, 8, dtype=np.float32)
    with vecindex.open(tmp_path / "i") as index:
        index.add(["a", "b", "c"], vectors=vectors, space="theirs")
        found = explained(index, vectors[0])
    for each in found.values():
        assert each.tokens == ()
        assert each.notes["tokens"].startswith("the index holds vectors made elsewhere (theirs)")
        assert ranks(each).keys() == {"dense"}


def test_all_tokens_of_a_long_text_that_was_read_in_parts_add_to_the_mean_of_these(tmp_path: Path) -> None:
    words = [f"w{n}" for n in range(2 * MAX_TOKENS + 5)]
    with opened(tmp_path / "i") as index:
        index.add([" ".join(words), " ".join(reversed(words))], keys=["mean", "other"], on_long="mean")
        index.add([" ".join(words[1:])], keys=["cut"])
        hits, report = index.explain_search("w7 w70")
    found = {each.key: each for each in report.explanations}
    assert [token.token for token in found["mean"].tokens] == words
    assert [token.position for token in found["mean"].tokens] == list(range(len(words)))
    assert [token.token for token in found["cut"].tokens] == words[1 : 1 + MAX_TOKENS]
    for hit in hits:
        assert not found[hit.key].notes
        assert sum(token.contribution or 0.0 for token in found[hit.key].tokens) == pytest.approx(hit.score, abs=1e-6)
        assert sum(token.share for token in found[hit.key].tokens) == pytest.approx(1, abs=1e-6)


def test_a_text_of_too_many_tokens_is_not_explained(tmp_path: Path) -> None:
    with opened(tmp_path / "i", model=ToyEncoder(max_tokens=0)) as index:
        index.add(["rain " * 20_000, "rain"], keys=["long", "short"])
        found = explained(index, "rain")
    assert (found["long"].tokens, len(found["short"].tokens)) == ((), 1)
    assert found["long"].notes["tokens"] == "the text has 20,001 tokens, too many to tell what each adds"


def test_a_vector_that_is_not_the_texts_own_is_noticed(tmp_path: Path) -> None:
    encoder = ToyEncoder()
    with opened(tmp_path / "i", model=encoder) as index:
        index.add(["rain"], keys=["a"], vectors=encoder.encode(["sun"]), space=encoder.space)
        report = index.explain_search("sun")[1]
    (found,) = report.explanations
    own = float(encoder.encode(["rain"])[0] @ encoder.encode(["sun"])[0])
    assert found.notes["tokens"] == (
        f"the stored vector is not what the model makes of the text: its cosine is 1.0000, and the tokens add up to "
        f"{own:.4f}"
    )
    assert [each.contribution for each in found.tokens] == [pytest.approx(own, abs=1e-6)]


@pytest.mark.parametrize(("pooling", "said"), [("cls", "first token alone"), ("max", "max pooling"), ("mean", None)])
def test_a_pooling_that_only_a_convention_divides_is_named(tmp_path: Path, pooling: str, said: str | None) -> None:
    with filled(tmp_path / "i", model=ToyEncoder(pooling=pooling)) as index:
        hits, report = index.explain_search(QUERY)
    for hit, each in zip(hits, report.explanations, strict=True):
        assert sum(token.contribution or 0.0 for token in each.tokens) == pytest.approx(hit.score, abs=1e-6)
        assert said in each.notes["tokens"] if said else not each.notes


def test_a_text_without_a_token_is_said_to_have_none(tmp_path: Path) -> None:
    encoder = BareEncoder()
    with opened(tmp_path / "i", model=encoder) as index:
        index.add(["~"], keys=["a"], vectors=encoder.encode(["rain"]), space=encoder.space)
        report = index.explain_search("rain", rerank="tokens")[1]
    (found,) = report.explanations
    assert (found.tokens, found.pairs) == ((), ())
    assert found.notes["tokens"] == "the model finds no token in the text"


def test_hits_that_were_not_reached_have_no_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(ToyEncoder):
        sharing = 1
        tokens_a_batch = 8
        clock = 0.0

        def forward(self, input_ids: IntArray, attention_mask: IntArray) -> npt.NDArray[np.float32]:
            self.clock += 0.05
            return super().forward(input_ids, attention_mask)

    slow = Slow()
    monkeypatch.setattr(budget, "perf_counter", lambda: slow.clock)
    with filled(tmp_path / "i", model=slow) as index, pytest.warns(RerankUnfinished):
        hits, report = index.explain_search(QUERY, rerank="tokens", rerank_ms=60)
    last = report.explanations[-1]
    assert "tokens" not in hits[-1].scores
    assert (last.pairs, last.notes["pairs"]) == ((), "the text was not reached in time")
    assert {"tokens"} == {each.by for each in report.explanations[0].standings} - {"dense", "rerank"}
    assert last.standings[-1] == dataclasses.replace(last.standings[-1], by="rerank", rank=5, of=5, score=None)


def test_a_search_that_finds_nothing_explains_nothing(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        assert index.explain_search("one")[1].explanations == ()
        index.add(["one"])
        assert index.explain_search("two", mode="lexical")[1].explanations == ()


# --- how


def test_an_explanation_cannot_be_changed(index: Index) -> None:
    found = explained(index, mode="hybrid", rerank="tokens")["otto"]
    parts: list[Any] = [found, *found.standings, *found.tokens, *found.terms, *found.pairs]
    for part in parts:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(part, dataclasses.fields(part)[0].name, None)


def test_only_the_hits_are_encoded_and_only_when_asked(tmp_path: Path) -> None:
    encoder = ToyEncoder()
    with filled(tmp_path / "i", model=encoder) as index:
        before = encoder.encoded
        index.search(QUERY, k=2)
        searched = encoder.encoded - before
        index.explain_search(QUERY, k=2)
        assert encoder.encoded - before - searched == searched + 2


def test_the_time_for_explaining_is_told(index: Index) -> None:
    report = index.explain_search(QUERY)[1]
    assert list(report.milliseconds)[-1] == "explain"
    assert report.milliseconds["explain"] > 0
    assert math.isfinite(sum(report.milliseconds.values()))
