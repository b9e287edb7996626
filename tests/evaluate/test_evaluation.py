"""Does an evaluation measure what the searches of an index find, and does it refuse what it cannot measure?"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vecindex
from vecindex import Index
from vecindex.errors import InvalidInput, SourceError
from vecindex.evaluate.results import Run, differences, reports
from vecindex.evaluate.saved import read_saved, save

from ..support.helpers import opened

TEXTS = {"a": "red apple", "b": "red sun", "c": "blue sky", "d": "green leaf", "e": "old tree"}


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with opened(tmp_path / "index") as index:
        index.add(list(TEXTS.values()), keys=list(TEXTS), metadata=[{"n": n} for n in range(len(TEXTS))])
        yield index


def evaluate(index: Index, queries: Any, qrels: Any, **options: Any) -> vecindex.Evaluation:
    """Of one system, whose rankings the other tests of searches have checked."""
    return vecindex.evaluate_index(index, queries, qrels, **{"modes": ["dense"], **options})


def means(found: vecindex.Evaluation, system: int = 0) -> dict[str, float]:
    return {each.measure: each.mean for each in found.systems[system].estimates}


def test_measures_are_those_of_the_hits(index: Index) -> None:
    first = index.search("red apple", k=5)
    found = evaluate(index, {"q": "red apple"}, {"q": {first[1].key: 1, first[3].key: 0}})
    assert found.rankings == {"dense": {"q": tuple(hit.key for hit in first)}}
    assert means(found) == pytest.approx(
        {"nDCG@10": 0.6309, "R@10": 1, "R@100": 1, "RR@10": 0.5, "AP@100": 0.5}, abs=1e-4
    )
    assert (found.judgements, found.missing, found.unjudged, len(found.queries)) == (1, 0, 0, 1)
    assert found.values["dense"]["q"] == pytest.approx(list(means(found).values()))


def test_queries_and_judgements_may_be_files(index: Index, tmp_path: Path) -> None:
    queries, qrels = tmp_path / "queries.jsonl", tmp_path / "qrels.tsv"
    queries.write_text('{"_id": "1", "text": "red sun"}\n{"_id": "2", "text": "blue sky"}\n')
    qrels.write_text("query-id\tcorpus-id\tscore\n1\tb\t1\n2\tc\t2\n")
    found = evaluate(index, queries, str(qrels))
    assert found == evaluate(index, {"1": "red sun", "2": "blue sky"}, {"1": {"b": 1}, "2": {"c": 2}})
    assert set(means(found).values()) == {1.0}


def test_a_filter_leaves_records_out(index: Index) -> None:
    found = evaluate(index, {"q": "red sun"}, {"q": {"b": 1}}, where="n != 1", k=3)
    assert len(found.rankings["dense"]["q"]) == 3
    assert means(found)["R@3"] == 0


def test_what_the_index_does_not_have_counts_as_not_found(index: Index) -> None:
    found = evaluate(index, {"q": "red sun"}, {"q": {"b": 1, "gone": 1, "nor this": 0}})
    assert (found.missing, means(found)["R@10"]) == (1, 0.5)


def test_queries_without_anything_relevant_are_left_out_and_counted(index: Index) -> None:
    found = evaluate(index, {"q": "red sun", "r": "blue", "not judged": "x"}, {"q": {"b": 1}, "r": {"c": 0}})
    assert (list(found.queries), found.unjudged) == (["q"], 1)


def test_progress_counts_the_searches(index: Index) -> None:
    calls: list[tuple[int, int]] = []
    queries = {str(n): f"red {n}" for n in range(70)}
    evaluate(
        index, queries, {name: {"a": 1} for name in queries}, progress=lambda done, total: calls.append((done, total))
    )
    assert calls == [(n, 70) for n in range(1, 71)]


def test_several_modes_are_measured_side_by_side(index: Index) -> None:
    queries = {"1": "red apple", "2": "tree"}
    found = vecindex.evaluate_index(index, queries, {"1": {"a": 1}, "2": {"e": 1}}, fusions=["convex", "rrf"])
    assert [each.system for each in found.systems] == ["dense", "lexical", "hybrid", "hybrid rrf"]
    assert found.rankings["lexical"] == {"1": ("a", "b"), "2": ("e",)}
    for fusion, system in (("convex", "hybrid"), ("rrf", "hybrid rrf")):
        hits = index.search("red apple", k=100, mode="hybrid", fusion=fusion)  # type: ignore[arg-type]
        assert found.rankings[system]["1"] == tuple(hit.key for hit in hits)
    pairs = {(each.system, each.other) for each in found.differences}
    assert len(pairs) == 6
    assert ("hybrid", "dense") in pairs
    assert len(found.differences) == 6 * 5


def test_second_stages_are_measured_side_by_side_in_any_time(index: Index) -> None:
    queries, modes = {"1": "red apple", "2": "tree"}, ["dense", "hybrid"]
    qrels = {"1": {"a": 1}, "2": {"e": 1}}
    found = vecindex.evaluate_index(index, queries, qrels, modes=modes, reranks=[None, "tokens"])  # type: ignore[arg-type]
    assert [each.system for each in found.systems] == ["dense", "dense+tokens", "hybrid", "hybrid+tokens"]
    hits = index.search("red apple", k=100, mode="hybrid", rerank="tokens", rerank_ms=math.inf)
    assert found.rankings["hybrid+tokens"]["1"] == tuple(hit.key for hit in hits)
    for wrong in ("tokens", [], [""], [3]):
        with pytest.raises(InvalidInput, match="rerank"):
            vecindex.evaluate_index(index, queries, qrels, reranks=wrong)  # type: ignore[arg-type]


# --- documents and sources


@pytest.fixture
def sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """Two files of sentences, and a table with the text of a document."""
    monkeypatch.chdir(tmp_path)
    for name, text in (("tea.md", "Warm the pot. Milk comes last."), ("rain.md", "It rains today. The river is high.")):
        (tmp_path / name).write_text(text)
    (tmp_path / "films.jsonl").write_text(
        json.dumps({"key": "m1", "text": "A man is stranded on Mars. He grows potatoes there."}) + "\n"
    )
    with opened(tmp_path / "index") as index:
        index.add_files(["tea.md", "rain.md"])
        index.add_files(["films.jsonl"], split="sentence")
        yield index


def test_judgements_may_name_the_document_of_a_sentence(sentences: Index) -> None:
    found = evaluate(sentences, {"q": "He grows potatoes there."}, {"q": {"m1": 1}}, by="document")
    assert means(found)["RR@10"] == 1
    names = found.rankings["dense"]["q"]
    assert names[0] == "m1"
    assert len(names) == len(set(names)) == 3
    assert found.missing is None


def test_judgements_may_name_the_source_of_a_sentence(sentences: Index) -> None:
    found = evaluate(sentences, {"q": "Milk comes last."}, {"q": {"tea.md": 1}}, by="source")
    assert means(found)["RR@10"] == 1
    assert set(found.rankings["dense"]["q"]) == {"tea.md", "rain.md", "films.jsonl"}


@pytest.mark.parametrize(("judged", "by"), [("m1", "document"), ("films.jsonl", "source")])
def test_judgements_of_something_else_are_recognised(sentences: Index, judged: str, by: str) -> None:
    with pytest.raises(InvalidInput, match=f"looked for keys like '{judged}', and it has keys like '") as caught:
        evaluate(sentences, {"q": "Milk"}, {"q": {judged: 1}})
    assert caught.value.advice == f'Pass by="{by}".'
    assert f"--by {by}" in caught.value.command_advice


def test_unknown_documents_are_shown_beside_those_of_the_index(sentences: Index) -> None:
    with pytest.raises(InvalidInput, match=r"no document that is judged; looked for documents like 'x', and it has"):
        evaluate(sentences, {"q": "Milk"}, {"q": {"x": 1}}, by="document")


def test_an_index_without_documents_says_so(index: Index) -> None:
    with pytest.raises(InvalidInput, match="looked for documents like 'x', and it has no documents"):
        evaluate(index, {"q": "Milk"}, {"q": {"x": 1}}, by="document")


# --- what cannot be measured


@pytest.mark.parametrize(
    ("queries", "qrels", "message"),
    [
        (["red"], {"q": {"a": 1}}, "the queries have no names"),
        ({"q": "red"}, {"r": {"a": 1}}, "the judgements name 1 query that the queries do not have: 'r'; .* like 'q'"),
        ({"q": "red"}, {}, "the judgements call nothing relevant"),
        ({"q": "red"}, {"q": {"a": 0}}, "the judgements call nothing relevant"),
        ({"q": "red"}, {"q": {"a": 0.5}}, "the relevance of 'a' for the query 'q' is 0.5"),
        (
            {"q": "red"},
            {"q": {"x": 1, "y": 1}},
            "looked for keys like 'x', 'y', and it has keys like 'a', 'b', 'c', 2 more",
        ),
    ],
)
def test_what_cannot_be_measured_is_an_error(index: Index, queries: Any, qrels: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        evaluate(index, queries, qrels)


def test_an_empty_index_has_nothing_that_is_judged(tmp_path: Path) -> None:
    with opened(tmp_path / "index") as index, pytest.raises(InvalidInput, match="and it has no keys"):
        evaluate(index, {"q": "red"}, {"q": {"a": 1}})


# --- comparing


def evaluated(index: Index, names: str = "abc", **options: Any) -> vecindex.Evaluation:
    queries = {name: TEXTS[name].split()[1] for name in names}
    return evaluate(index, queries, {name: {name: 1} for name in names}, **options)


def test_an_evaluation_is_compared_with_a_saved_one(index: Index, tmp_path: Path) -> None:
    path = tmp_path / "saved.json"
    save(evaluated(index), path, index.path)
    index.delete(["a"])
    found = evaluated(index, "abcd", compare=path)
    assert [(each.system, each.queries) for each in found.systems] == [("dense", 4), ("dense (saved)", 3)]
    first = found.differences[0]
    assert (first.system, first.other, first.measure, first.queries) == ("dense", "dense (saved)", "nDCG@10", 3)
    expected = sum(found.values["dense"][name][0] - 1 for name in "abc") / 3
    assert first.difference == pytest.approx(expected)
    assert not first.is_real
    assert list(found.rankings) == ["dense"]


def test_saved_rankings_are_measured_by_the_judgements_of_now(index: Index, tmp_path: Path) -> None:
    path = tmp_path / "saved.json"
    queries = {"q": "red apple"}
    save(evaluate(index, queries, {"q": {"a": 1}}), path, index.path)
    found = evaluate(index, queries, {"q": {"c": 1}}, compare=path)
    assert means(found, 1) == means(found, 0) != dict.fromkeys(found.measures, 1.0)
    assert found.differences[0].p == 1


def test_a_saved_evaluation_has_what_each_query_found(index: Index, tmp_path: Path) -> None:
    path = tmp_path / "saved.json"
    found = evaluated(index)
    save(found, path, index.path)
    members = json.loads(path.read_text(encoding="utf-8"))
    assert members["per_query"]["dense"]["a"]["RR@10"] == found.values["dense"]["a"][3]
    assert members["rankings"]["dense"]["a"] == list(found.rankings["dense"]["a"])
    assert members["systems"] == json.loads(json.dumps(found.to_dict()))["systems"]
    again = read_saved(path)
    assert (again.k, again.by, again.queries, again.rankings) == (100, "record", found.queries, found.rankings)
    with pytest.raises(InvalidInput, match="already exists"):
        save(found, path, index.path)


def test_evaluations_that_cannot_be_compared_are_refused(index: Index, tmp_path: Path) -> None:
    path = tmp_path / "saved.json"
    save(evaluated(index), path, index.path)
    with pytest.raises(InvalidInput, match="has k=100 and by record, and this evaluation has k=5"):
        evaluated(index, k=5, compare=path)
    with pytest.raises(InvalidInput, match="the saved evaluation has none of these queries"):
        evaluated(index, "de", compare=path)


@pytest.mark.parametrize(
    "change",
    [
        {"evaluation": 2},
        {"texts": {"a": 1}},
        {"texts": ["a"]},
        {"rankings": {"dense": {"a": [1]}}},
        {"rankings": {"dense": ["a"]}},
        {"rankings": {"dense": {"a": ["x"] * 101}}},
        {"k": "100"},
        {"k": 0},
        {"by": None},
    ],
)
def test_other_files_are_no_saved_evaluations(index: Index, tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "saved.json"
    save(evaluated(index), path, index.path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(SourceError, match="is no saved evaluation of this version"):
        read_saved(path)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"{", b"\xff\xfe\x00", b"null", b"[" * 100_000])
def test_garbage_is_no_saved_evaluation(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "saved.json"
    path.write_bytes(content)
    with pytest.raises(SourceError):
        read_saved(path)


def test_each_pair_is_compared_and_the_p_values_are_raised_for_it() -> None:
    import numpy as np

    generator = np.random.default_rng(0)
    names = tuple(map(str, range(40)))
    good, better, same = (
        Run(system, names, generator.normal(mean, 0.1, (40, 1)))
        for system, mean in (("good", 0.3), ("better", 0.6), ("same", 0.3))
    )
    found = differences([(better, good), (same, good), (same, better)], ["m"], 0)
    assert [(each.system, each.other, each.is_real) for each in found] == [
        ("better", "good", True),
        ("same", "good", False),
        ("same", "better", True),
    ]
    assert found[0].adjusted_p == pytest.approx(3 * found[0].p)
    assert found[0].low < 0.3 < found[0].high
    assert [each.estimates[0].mean for each in reports([good, better], ["m"], 0)] == pytest.approx([0.3, 0.6], abs=0.05)
