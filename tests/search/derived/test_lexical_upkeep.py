"""The words of what an add commits are made of the texts at hand; what is stored is the same as if they were read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecindex
from vecindex import Index
from vecindex.index.adding import texts as adding
from vecindex.search.derived import lexical_upkeep, recent_records, upkeep
from vecindex.search.derived.recent_records import RecentRecords
from vecindex.search.lexical.analysis import Analyzer
from vecindex.search.lexical.building import build, merge
from vecindex.search.lexical.segment import dump
from vecindex.search.lexical.settings import LexicalSettings
from vecindex.search.lexicon import load_segment, read_texts
from vecindex.store.stored import Stored

from ...support.helpers import snapshots

ROWS, A_COMMIT = 200, 20
TEXTS = [f"word{row % 7} caf\u00e9 number {row}, C++ and E-{row}" for row in range(ROWS)]
VECTORS = np.random.default_rng(0).standard_normal((ROWS, 8)).astype(np.float32)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adding, "VECTORS_A_COMMIT", A_COMMIT)
    monkeypatch.setattr(upkeep, "LEXICAL_TAIL", 10)
    monkeypatch.setattr(upkeep, "LEXICAL_TAIL_WITHIN_AN_ADD", 50)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows whose records upkeep has read from the database."""
    rows: list[int] = []

    def noted(*arguments: Any) -> Iterator[Any]:
        for row, found in read_texts(*arguments):
            rows.append(row)
            yield row, found

    monkeypatch.setattr(lexical_upkeep, "read_texts", noted)
    return rows


def add(index: Index, rows: range, **more: Any) -> None:
    index.add(
        TEXTS[rows.start : rows.stop],
        keys=[f"k{row}" for row in rows],
        metadata=[{"title": f"title {row % 3}"} for row in rows],
        vectors=VECTORS[rows.start : rows.stop],
        **more,
    )


def stored(index: Index) -> bytes:
    """What is stored for all rows of the index, as one segment."""
    with snapshots(index).take() as snapshot:
        assert snapshot.manifest.lexical is not None
        whole = merge([load_segment(snapshot.folder, file) for file in snapshot.manifest.lexical.segments])
        assert (whole.first, whole.stop) == (0, snapshot.manifest.rows)
        return b"".join(dump(whole))


def built(settings: LexicalSettings, texts: Sequence[str] = TEXTS) -> bytes:
    documents = [(row, settings.texts(text, {"title": f"title {row % 3}"})) for row, text in enumerate(texts)]
    return b"".join(dump(build(Analyzer(settings), 0, len(texts), documents)))


@pytest.mark.parametrize("fields", [{}, {"title": 2.5}])
def test_what_an_add_commits_is_not_read_back(tmp_path: Path, read: list[int], fields: dict[str, float]) -> None:
    with vecindex.open(tmp_path / "i") as index:
        index.index_lexical(fields=fields)
        add(index, range(ROWS))
        assert read == []
        assert stored(index) == built(LexicalSettings(fields=tuple(fields.items())))
        assert [hit.key for hit in index.search("E-77", k=1, mode="lexical")] == ["k77"]
        assert index.verify().ok


def test_what_finds_no_room_is_read(tmp_path: Path, read: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent_records, "MOST_KEPT", 1000)
    with vecindex.open(tmp_path / "i") as index:
        add(index, range(ROWS))
        assert sorted(read) == list(range(ROWS))
        assert stored(index) == built(LexicalSettings())


def test_what_others_commit_meanwhile_is_there_too(tmp_path: Path) -> None:
    with vecindex.open(tmp_path / "i") as index, vecindex.open(tmp_path / "i") as other:
        add(index, range(5))
        turns: list[int] = []

        def meanwhile(report: object) -> None:
            turns.append(len(turns))
            if turns[-1] == 2:
                other.add(["of another one"], keys=["other"], vectors=VECTORS[:1])

        add(index, range(5, 105), progress=meanwhile)
        texts = [*TEXTS[:65], "of another one", *TEXTS[65:105]]
        assert stored(index) == built(LexicalSettings(), texts)
        assert [hit.key for hit in index.search("another", mode="lexical")] == ["other"]
        assert index.verify().ok


def test_a_compaction_meanwhile_leaves_the_words_of_the_live_records(tmp_path: Path) -> None:
    with vecindex.open(tmp_path / "i") as index, vecindex.open(tmp_path / "i") as other:
        add(index, range(60))
        turns: list[int] = []

        def meanwhile(report: object) -> None:
            turns.append(len(turns))
            if gone := {1: range(10, 30), 3: range(30, 60)}.get(turns[-1]):
                other.delete([f"k{row}" for row in gone])
                other.compact()

        add(index, range(60, ROWS), progress=meanwhile)
        for row in range(ROWS):
            expected = [] if 10 <= row < 60 else [f"k{row}"]
            assert [hit.key for hit in index.search(f"E-{row}", mode="lexical") if hit.key == f"k{row}"] == expected
        assert index.verify().ok


def test_nothing_is_kept_after_an_add(tmp_path: Path) -> None:
    with vecindex.open(tmp_path / "i") as index:
        for rows in (range(5), range(5, ROWS)):
            add(index, rows)
            assert not index._upkeep._recent._commits
        assert index._upkeep._lexical._begun is None

        def stop(report: object) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            index.add(["more"], vectors=VECTORS[:1], progress=stop)
        assert not index._upkeep._recent._commits
    with vecindex.open(tmp_path / "i") as again:
        assert len(again.search("word1", k=ROWS, mode="lexical")) == len(range(1, ROWS, 7))


def records(first: int, count: int) -> list[Stored]:
    return [Stored(row, f"k{row}", "text", "{}", 0) for row in range(first, first + count)]


def test_recent_records_are_taken_in_order(tmp_path: Path) -> None:
    with vecindex.open(tmp_path / "i") as index:
        add(index, range(1))
        manifest = index._manifest()
        recent = RecentRecords()
        assert recent.take(manifest, 0, 100) == ()
        recent.put(manifest, records(10, 5))
        recent.put(manifest, records(20, 5))
        assert recent.take(manifest, 0, 10) == ()
        assert [record.row for record in recent.take(manifest, 0, 12)] == [10, 11]
        assert [record.row for record in recent.take(manifest, 12, 100)] == [12, 13, 14]
        assert [record.row for record in recent.take(manifest, 21, 100)] == [21, 22, 23, 24]
        assert recent.take(manifest, 0, 100) == ()
        assert recent._size == 0


def test_recent_records_have_a_bound_and_are_of_one_vector_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with vecindex.open(tmp_path / "i") as index:
        add(index, range(40))
        before = index._manifest()
        index.delete(["k1"])
        index.compact()
        after = index._manifest()
    recent = RecentRecords()
    monkeypatch.setattr(recent_records, "MOST_KEPT", 3000)
    for first in (0, 10, 20):
        recent.put(before, records(first, 10))
    assert len(recent.take(before, 0, 100)) == 10
    assert recent.take(after, 0, 100) == ()
    recent.put(after, records(0, 2))
    assert recent.take(before, 0, 100) == ()
    assert len(recent.take(after, 0, 100)) == 2
