"""Does the test with known items measure what searches find, by the kinds of queries that it makes?"""

from __future__ import annotations

from pathlib import Path

import pytest

import vecindex
from vecindex.errors import InvalidInput

from ..support.helpers import opened

WORDS = (
    *("red", "blue", "green", "old", "new", "warm", "cold", "high", "low", "sun", "moon", "tree", "leaf", "river"),
    *("stone", "house", "road", "bird", "fish", "cloud"),
)


def texts(count: int) -> list[str]:
    return [" ".join(WORDS[(n * step) % len(WORDS)] for step in (1, 3, 7, 9)) + f" {n}" for n in range(count)]


def test_copies_of_records_find_them(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.add(texts(40))
        found = vecindex.self_test(index, sample=30, modes=["dense"])
        assert vecindex.self_test(index, sample=30, modes=["dense"]) == found
        assert vecindex.self_test(index, sample=30, modes=["dense"], seed=1) != found
    assert (found.records, [each.kind for each in found.kinds]) == (30, ["shortened", "misspelt"])
    shortened = found.kinds[0]
    assert (shortened.queries, [each.system for each in shortened.systems]) == (30, ["dense"])
    by_measure = {each.measure: each.mean for each in shortened.systems[0].estimates}
    assert list(by_measure) == ["RR@10", "success@1", "success@10"]
    assert 0.3 < by_measure["success@1"] <= by_measure["RR@10"] <= by_measure["success@10"] <= 1
    assert (found.ann_recall.recall, found.ann_recall.queries, found.ann_recall.is_exact) == (1, 30, True)


def test_a_record_with_the_same_text_is_as_right(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.add(["one two three four five"] * 5, keys=list("abcde"))
        found = vecindex.self_test(index)
    for kind in found.kinds:
        assert [each.system for each in kind.systems] == ["dense", "lexical", "hybrid"]
        assert [[each.mean for each in system.estimates] for system in kind.systems[::2]] == [[1, 1, 1]] * 2
        assert len(kind.differences) == 9


def test_records_without_vectors_are_found_by_their_words(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        every = texts(40)
        index.add(every[:20])
        index.add(every[20:], encode=False)
        found = vecindex.self_test(index)
        for kind in found.kinds:
            dense, lexical, hybrid = (each.estimates[2].mean for each in kind.systems)
            assert dense <= 0.5 < min(lexical, hybrid)
        index.delete([record.key or "" for record in index.list() if record.has_vector])
        with pytest.raises(InvalidInput, match="no record with a vector"):
            vecindex.self_test(index)


def test_sentences_find_the_others_of_their_document(tmp_path: Path) -> None:
    (tmp_path / "tea.md").write_text("Warm the old pot. Warm the old milk. Warm the old cup.\n")
    (tmp_path / "sea.md").write_text("Ships sail far away. Ships sail very fast. Ships sail at night.\n")
    (tmp_path / "one.md").write_text("Nothing stands beside this.\n")
    with opened(tmp_path / "i") as index:
        index.add_files([tmp_path / f"{name}.md" for name in ("tea", "sea", "one")])
        found = vecindex.self_test(index)
    (document,) = (each for each in found.kinds if each.kind == "document")
    assert document.queries == 6
    for system in document.systems:
        assert [each.mean for each in system.estimates] == [1, 1, 1]


def test_a_filter_selects_what_is_drawn_and_found(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.add(texts(20), metadata=[{"n": n} for n in range(20)])
        found = vecindex.self_test(index, where="n < 5")
    assert (found.records, found.ann_recall.queries) == (5, 5)
    assert found.kinds[0].systems[0].estimates[2].mean == 1


def test_progress_counts_the_searches(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    with opened(tmp_path / "i") as index:
        index.add(texts(10))
        vecindex.self_test(index, modes=["dense", "hybrid"], progress=lambda done, total: calls.append((done, total)))
    assert calls == [(n, 40) for n in range(1, 41)]


def test_texts_that_make_no_query_are_an_error(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        with pytest.raises(InvalidInput, match="no record with a vector can be found, and recall needs two"):
            vecindex.self_test(index)
        index.add(["one", "two"])
        with pytest.raises(InvalidInput, match="all are shorter than four words"):
            vecindex.self_test(index)
