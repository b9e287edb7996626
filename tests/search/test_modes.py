"""Lexical and hybrid search of an index: what they find, how they score it, and that they keep up with every change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecindex
from vecindex import Hits, Index, InvalidInput, PhraseNotFound
from vecindex.search.derived import upkeep
from vecindex.values.records import UNKNOWN

from ..support.helpers import opened, snapshots
from ..support.toy import ToyEncoder

TEXTS = {
    "name": "my name is Aun",
    "rain": "it rains on the pump",
    "error": "error E-1042 in the pump",
    "otto": "the pump is named Otto",
    "again": "rain and rain again",
}
MODES = ("dense", "lexical", "hybrid")


@pytest.fixture
def index(tmp_path: Path) -> Index:
    index = opened(tmp_path / "i")
    index.add(list(TEXTS.values()), keys=list(TEXTS), metadata=[{"n": n} for n in range(len(TEXTS))])
    return index


def keys(hits: Hits) -> list[str]:
    return [hit.key for hit in hits]


def damage(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


# --- what is found


def test_lexical_search_finds_only_records_with_a_word_of_the_query(index: Index) -> None:
    assert keys(index.search("E-1042", mode="lexical")) == ["error"]
    assert set(keys(index.search("the pump", k=9, mode="lexical"))) == {"rain", "error", "otto"}
    assert index.search("zebra", mode="lexical") == []


def test_words_are_found_by_their_stem(index: Index) -> None:
    assert keys(index.search("raining", mode="lexical")) == ["again", "rain"]


def test_a_phrase_has_to_stand_in_the_text_and_an_excluded_word_must_not(index: Index) -> None:
    for mode in ("lexical", "hybrid"):
        assert set(keys(index.search('"the pump"', k=9, mode=mode))) == {"rain", "error", "otto"}
        assert keys(index.search('"pump is named"', k=9, mode=mode)) == ["otto"]
        assert set(keys(index.search('"the pump" -otto', k=9, mode=mode))) == {"rain", "error"}
        assert set(keys(index.search('pump -"named Otto"', k=9, mode=mode))) - {"name", "again"} == {"rain", "error"}


@pytest.mark.parametrize("mode", ["lexical", "hybrid"])
def test_phrases_that_no_record_has_are_words_like_others(index: Index, mode: Any) -> None:
    with pytest.warns(PhraseNotFound, match='has the phrase "pump the"; the words were looked for without') as caught:
        found = index.search('named "pump the" -rain', k=9, mode=mode)
    assert [hit.scores["lexical"] for hit in found] == [
        hit.scores["lexical"] for hit in index.search("named pump the -rain", k=9, mode=mode)
    ]
    assert found[0].key == "otto"
    assert not {"rain", "again"} & {*keys(found)}
    assert isinstance(warning := caught[0].message, PhraseNotFound)
    assert warning.phrases == ("pump the",)
    assert len(PhraseNotFound(("long " * 1000, "longer")).message) < 400
    with pytest.warns(PhraseNotFound, match='has all of "my name", "the pump"'):
        assert len(index.search('"my name" "the pump"', k=9, mode="lexical")) == 4
    with pytest.warns(PhraseNotFound):  # no record that the filter allows has it
        assert keys(index.search('"is named"', 9, "n < 3", mode="lexical")) == ["name"]
    with pytest.warns(PhraseNotFound):
        index.search_many(["pump", '"pump the"'], mode=mode)
    with pytest.warns(PhraseNotFound):
        assert len(list(index.search_all('"pump the"', mode="lexical"))) == 3
    assert index.search('"pump the"', 9, "n > 10", mode=mode) == []


def test_hybrid_search_encodes_neither_quotation_marks_nor_excluded_words(index: Index) -> None:
    plain = {hit.key: hit.score for hit in index.search("is named pump", k=9)}
    for hit in index.search('"is named" -rain pump -"a b"', k=9, mode="hybrid"):
        assert hit.score == plain[hit.key]
    reranked = index.search('"is named" pump', mode="lexical", rerank="tokens")
    assert reranked[0].scores["tokens"] == index.search("is named pump", rerank="tokens")[0].scores["tokens"]
    marked = index.encoder.encode(['"rain" -pump'], role="query")[0]
    assert index.search('"rain" -pump') == index.search(marked)
    for query in ("-rain", '-"rain again"', '""'):
        with pytest.raises(InvalidInput, match="says nothing to find by meaning"):
            index.search(query, mode="hybrid")
        assert index.search(query, mode="lexical") == []


def test_hybrid_search_finds_as_many_as_dense_search_and_scores_by_cosine(index: Index) -> None:
    found = index.search("E-1042 rain", k=9, mode="hybrid")
    near = {hit.key: hit.score for hit in index.search("E-1042 rain", k=9)}
    worded = {hit.key: hit.score for hit in index.search("E-1042 rain", k=9, mode="lexical")}
    assert len(found) == len(TEXTS)
    for hit in found:
        assert hit.scores == {"dense": near[hit.key], "lexical": worded.get(hit.key, 0.0)}
        assert (hit.score, hit.ranked_by) == (near[hit.key], "hybrid")


def test_the_score_of_lexical_search_is_that_of_bm25(index: Index) -> None:
    (hit,) = index.search("E-1042", mode="lexical")
    assert hit.scores == {"lexical": hit.score}
    assert hit.to_dict()["scores"] == {"lexical": hit.score}
    assert "scores" not in index.search("E-1042", k=1)[0].to_dict()


def test_both_ways_of_joining_put_a_record_first_that_is_first_on_both_sides(index: Index) -> None:
    for fusion in ("convex", "rrf"):
        assert index.search(TEXTS["otto"], k=1, mode="hybrid", fusion=fusion)[0].key == "otto"


@pytest.mark.parametrize("mode", MODES)
def test_filters_and_groups_hold_in_every_mode(index: Index, mode: Any) -> None:
    every = index.search("the pump rain", k=9, where="n >= 1", mode=mode)
    assert {hit.metadata["n"] for hit in every} <= {1, 2, 3, 4}
    assert keys(index.search("the pump rain", k=2, where="n >= 1", mode=mode)) == keys(every)[:2]
    index.add(["the pump", "the pump and rain"], keys=["x", "y"], metadata=[{"n": 1, "g": 1}, {"n": 1, "g": 1}])
    grouped = index.search("the pump rain", k=9, mode=mode, group_by="g")
    assert len({"x", "y"} & set(keys(grouped))) == 1


def test_one_search_for_several_texts_finds_the_same_as_one_for_each(index: Index) -> None:
    queries = ["the pump", "rain", '"my name"', "zebra"]
    for mode in ("dense", "lexical", "hybrid"):
        together = index.search_many(queries, k=3, mode=mode)
        assert together == [index.search(query, k=3, mode=mode) for query in queries]


def test_a_text_of_which_the_model_knows_nothing_is_found_by_its_words(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.add(["one two", "three four"], keys=["a", "b"])
        with snapshots(index).borrow() as catalog, catalog.changing() as tables:
            (record,) = catalog.find(["b"]).values()
            tables.set_lost([(record, UNKNOWN)])
        assert keys(index.search("three four")) == ["a", "b"]
        assert keys(index.search("three four", mode="hybrid")) == ["b", "a"]
        assert keys(index.search("three four", mode="lexical")) == ["b"]


# --- what is refused


@pytest.mark.parametrize("mode", ["lexical", "hybrid"])
def test_a_vector_has_no_words(index: Index, mode: Any) -> None:
    with pytest.raises(InvalidInput, match=f"a vector has no words for a {mode} search to look for"):
        index.search(np.ones(ToyEncoder().space.dimension), mode=mode)
    with pytest.raises(InvalidInput, match="the query is blank"):
        index.search(" ", mode=mode)


def test_lexical_search_loads_no_model(index: Index, tmp_path: Path) -> None:
    with vecindex.open(tmp_path / "i", readonly=True) as other:  # a model of this name does not exist
        assert keys(other.search("E-1042", mode="lexical")) == ["error"]


def test_another_language_has_other_stems(index: Index, tmp_path: Path) -> None:
    index.add(["die alten Häuser"], keys=["haus"])
    assert index.search("Haus", mode="lexical") == []
    assert index.index_lexical(language="german")
    assert keys(index.search("Haus", mode="lexical")) == ["haus"]
    assert not index.index_lexical(language="german")
    assert index.index_lexical(language="none")
    assert index.search("häusern", mode="lexical") == []
    assert keys(index.search("HÄUSER", mode="lexical")) == ["haus"]
    with pytest.raises(InvalidInput, match=r"there are no stems for 'elvish': only for .*, english, "):
        index.index_lexical(language="elvish")


def test_words_of_fields_are_read_with_their_weights_and_follow_every_change(index: Index) -> None:
    index.add(["plain text"], keys=["x"], metadata=[{"title": "Green leaves", "n": 1}])
    assert index.search("green", mode="lexical") == []
    assert index.index_lexical(fields={"title": 2})
    (light,) = index.search("green", mode="lexical")
    assert index.index_lexical(fields={"title": 3})
    (heavy,) = index.search("green", mode="lexical")
    assert heavy.score > light.score
    index.add(["plain text"], keys=["x"], metadata=[{"title": "Red leaves", "n": 1}])
    assert index.search("green", mode="lexical") == []
    assert keys(index.search("red", mode="lexical")) == ["x"]
    assert (len(index), index.verify().ok) == (len(TEXTS) + 1, True)
    for wrong in ({"title": 0}, {"title": float("nan")}, {1: 1}, {"a.": 1}):
        with pytest.raises(InvalidInput):
            index.index_lexical(fields=wrong)  # type: ignore[arg-type]


def test_a_new_row_for_new_metadata_keeps_its_vector_and_its_lost_tokens(index: Index) -> None:
    index.index_lexical(fields={"title": 1})
    index.add(["w " * 40], keys=["long"], metadata=[{"title": "one"}], on_long="truncate")
    (before,) = index.search("one", mode="lexical")
    vector = index.get("long").vector
    index.add(["w " * 40], keys=["long"], metadata=[{"title": "two"}], on_long="truncate")
    (after,) = index.search("two", mode="lexical")
    assert after.lost == before.lost > 0
    assert np.array_equal(index.get("long").vector, vector)  # type: ignore[arg-type]


# --- in step with every change


def test_changes_are_seen_at_once(index: Index, tmp_path: Path) -> None:
    with opened(tmp_path / "i") as reader:
        assert keys(reader.search("otto", mode="lexical")) == ["otto"]
        index.add(["a new pump"], keys=["otto"])
        assert reader.search("otto", mode="lexical") == []
        assert keys(reader.search("new", mode="lexical")) == ["otto"]
        index.delete(["error"])
        assert reader.search("E-1042", mode="lexical") == []
        index.compact()
        assert keys(reader.search("new", mode="lexical")) == ["otto"]


LARGE = 1_000


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    """An index with stored segments."""
    monkeypatch.setattr(upkeep, "LEXICAL_TAIL", 100)
    index = opened(tmp_path / "i")
    for start in range(0, LARGE, 250):
        index.add(
            [f"text {n} of group {n % 7}" for n in range(start, start + 250)],
            keys=list(map(str, range(start, start + 250))),
        )
    return index


def segments(path: Path) -> list[Path]:
    return sorted(path.glob("lexical-*.bin"))


def answers(index: Index) -> list[Hits]:
    return [index.search(query, k=20, mode="lexical") for query in ("777", "group 3", "text 12 13 14", "of")]


def test_stored_segments_give_the_same_answers_as_reading_the_texts(large: Index, tmp_path: Path) -> None:
    with opened(tmp_path / "i") as reader:
        stored = answers(reader)
    for path in segments(tmp_path / "i"):
        path.unlink()
    with opened(tmp_path / "i", readonly=True) as reader:
        assert answers(reader) == stored


def test_lost_segments_are_made_again_by_the_next_change(large: Index, tmp_path: Path) -> None:
    before = answers(large)
    for path in segments(tmp_path / "i"):
        path.unlink()
    with opened(tmp_path / "i") as index:
        index.add(["something else"], keys=["else"])
        index.delete(["else"])
        assert segments(tmp_path / "i")
        assert [keys(hits) for hits in answers(index)] == [keys(hits) for hits in before]
        assert index.verify().ok


@pytest.mark.parametrize("where", [lambda size: 10, lambda size: size // 3, lambda size: size - 9], ids=["a", "b", "c"])
def test_a_damaged_segment_is_told_and_costs_no_answer(
    large: Index, tmp_path: Path, caplog: pytest.LogCaptureFixture, where: Callable[[int], int]
) -> None:
    before = answers(large)
    path = segments(tmp_path / "i")[0]
    damage(path, where(path.stat().st_size))
    with opened(tmp_path / "i") as index:
        assert not index.verify().ok
        assert answers(index) == before
        report = index.repair()
        assert (report.ok, len(report.repaired)) == (True, 1)
        assert answers(index) == before


def test_segments_of_another_version_are_not_used_and_made_again(
    large: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, names = answers(large), [path.name for path in segments(tmp_path / "i")]
    monkeypatch.setattr("vecindex.search.lexical.settings.ANALYSIS", 0)
    with opened(tmp_path / "i") as index:
        assert (answers(index), index.verify().ok) == (before, True)
        index.add(["something else"], keys=["else"])
        index.delete(["else"])
        assert segments(tmp_path / "i")
        assert not set(names) & {path.name for path in segments(tmp_path / "i")}
        assert [keys(hits) for hits in answers(index)] == [keys(hits) for hits in before]


def test_a_compaction_renumbers_the_segments(large: Index, tmp_path: Path) -> None:
    large.delete([str(n) for n in range(0, LARGE, 3)])
    before = answers(large)
    large.compact()
    assert segments(tmp_path / "i")
    assert large._manifest().rows == len(large)
    assert answers(large) == before
    assert large.verify().ok


def test_a_backup_has_the_segments(large: Index, tmp_path: Path) -> None:
    large.backup(tmp_path / "copy")
    assert [path.name for path in segments(tmp_path / "copy")] == [path.name for path in segments(tmp_path / "i")]
    with opened(tmp_path / "copy", readonly=True) as copy:
        assert answers(copy) == answers(large)
        assert copy.verify().ok


def test_small_segments_are_merged_into_few(large: Index, tmp_path: Path) -> None:
    assert 1 <= len(segments(tmp_path / "i")) <= 3
