"""Stored token vectors: made, kept in step with the records, searched with, and made again when they are lost."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecindex
from vecindex import Hits, Index, InvalidInput
from vecindex.encoders.run.encoder import Encoder
from vecindex.encoders.run.own_tokens import own_tokens, tokenized
from vecindex.encoders.run.pooling import unit_length
from vecindex.search.derived import token_upkeep, upkeep
from vecindex.search.rerank.late_interaction import pairs, scores
from vecindex.search.rerank.token_codes import decode, encode, turned_back
from vecindex.store.manifest import Manifest

from ...support.helpers import opened, snapshots
from ...support.pump_texts import QUERY, TEXTS
from ...support.toy import BareEncoder, ToyEncoder


@pytest.fixture
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_upkeep, "ROWS_A_PIECE", 4)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with opened(tmp_path / "i") as index:
        index.add(list(TEXTS.values()), keys=list(TEXTS), metadata=[{"n": n} for n in range(len(TEXTS))])
        index.index_tokens()
        yield index


def manifest_of(index: Index) -> Manifest:
    return index._manifest()


def ranges(index: Index) -> list[tuple[int, int]]:
    tokens = manifest_of(index).tokens
    return [] if tokens is None else [(file.first, file.stop) for file in tokens.segments]


def files(index: Index) -> list[Path]:
    return sorted(Path(index.path).glob("tokens-*"))


def expected(query: str, text: str, encoder: Encoder | None = None, quantised: bool = True) -> float:
    """The score of a text, computed from its own token vectors as they are stored, or as they are."""
    encoder = encoder or ToyEncoder()
    asked = own_tokens(encoder, tokenized(encoder, [query], "query"), "query")[0].vectors
    found = own_tokens(encoder, tokenized(encoder, [text], "document"), "document")[0].vectors
    if quantised:
        found = turned_back(decode(encode(found), found.shape[1]))
    return float(scores(asked, [found])[0])


def search(index: Index, query: str = QUERY, milliseconds: float = 0, **options: Any) -> Hits:
    """Without time to encode anything, unless some is given."""
    return index.search(query, k=99, rerank="tokens", rerank_ms=milliseconds, **options)


def check(index: Index, query: str = QUERY) -> None:
    """All records have stored token vectors, and the scores of these."""
    for hit in search(index, query):
        assert hit.scores["tokens"] == pytest.approx(expected(query, hit.text), abs=1e-5)
    assert index.verify().ok


# --- made


def test_stored_token_vectors_take_no_time_of_the_query(index: Index) -> None:
    check(index)
    for mode in ("dense", "lexical", "hybrid"):
        hits, report = index.explain_search(QUERY, mode=mode, rerank="tokens", rerank_ms=0)
        assert report.reranked == report.to_rerank
        assert all("tokens" in hit.scores for hit in hits)


def test_the_report_says_what_is_stored(index: Index) -> None:
    report = index.index_tokens()
    tokens = sum(len(text.split(" ")) for text in TEXTS.values())
    size = sum(path.stat().st_size for path in files(index))
    assert report == vecindex.TokenReport(rows=5, tokens=tokens, bytes=size, bytes_a_token=4, encoded=0)
    assert index.info().token_vectors == "4 bytes a token, 5 rows"


@pytest.mark.usefixtures("_small_pieces")
def test_progress_counts_rows(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.add([f"pump {n}" for n in range(10)])
        told: list[tuple[int, int]] = []
        assert index.index_tokens(progress=lambda done, rows: told.append((done, rows))).encoded == 10
        assert told == [(0, 10), (4, 10), (8, 10), (10, 10)]


@pytest.mark.usefixtures("_small_pieces")
def test_an_interrupted_call_keeps_what_it_made_and_the_next_one_goes_on(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.add([f"pump {n}" for n in range(10)])

        def stop(done: int, rows: int) -> None:
            if done >= 4:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            index.index_tokens(progress=stop)
        assert ranges(index) == [(0, 4)]
        assert index.verify().ok
        hits = search(index, "pump 3", milliseconds=math.inf)
        assert hits[0].text == "pump 3"
        assert index.index_tokens().encoded == 6
        check(index, "pump 3")


def test_an_empty_index_stores_those_of_its_first_records(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        assert index.index_tokens().rows == 0
        index.add(list(TEXTS.values()))
        check(index)


def test_token_vectors_can_be_removed(index: Index) -> None:
    exact = {text: expected(QUERY, text, quantised=False) for text in TEXTS.values()}
    assert index.drop_tokens()
    assert not index.drop_tokens()
    assert (files(index), index.info().token_vectors) == ([], None)
    for hit in search(index, milliseconds=math.inf):
        assert hit.scores["tokens"] == pytest.approx(exact[hit.text], abs=1e-6)
    index.add(["a new one"])
    assert files(index) == []


def test_vectors_made_elsewhere_have_no_token_vectors(tmp_path: Path) -> None:
    with vecindex.open(tmp_path / "i", create=True) as index:
        index.add(["one", "two"], vectors=np.eye(2, dtype=np.float32))
        with pytest.raises(InvalidInput, match=r"made elsewhere .* no model that makes token vectors"):
            index.index_tokens()
        assert index.info().token_vectors is None
    with vecindex.open(tmp_path / "empty", create=True) as index:
        index.index_tokens()
        index.add(["one", "two"], vectors=np.eye(2, dtype=np.float32))
        assert files(index) == []
        assert index.verify().ok


def test_a_readonly_index_is_not_changed(index: Index) -> None:
    with opened(Path(index.path), readonly=True) as other:
        check(other)
        with pytest.raises(InvalidInput, match="readonly"):
            other.index_tokens()
        with pytest.raises(InvalidInput, match="readonly"):
            other.drop_tokens()


def test_texts_without_a_token_have_no_token_vectors_and_no_score(tmp_path: Path) -> None:
    encoder = BareEncoder()
    with opened(tmp_path / "i", model=encoder) as index:
        index.add(["~", "one two"], vectors=encoder.encode(["three", "one two"]), space=encoder.space)
        assert index.index_tokens().tokens == 2
        hits = search(index, "one")
        assert [hit.text for hit in hits] == ["one two", "~"]
        assert ["tokens" in hit.scores for hit in hits] == [True, False]


# --- the vectors of a row


def test_the_vectors_of_a_row_give_the_score_that_a_search_gave(index: Index) -> None:
    encoder = ToyEncoder()
    (asked,) = own_tokens(encoder, tokenized(encoder, [QUERY], "query"), "query")
    with index._snapshots.take() as snapshot:
        stored = index._tokens.of(snapshot)
        for hit in search(index):
            row = snapshot.find([hit.key])[hit.key].row
            vectors = stored.vectors(row)
            assert vectors is not None
            assert vectors.dtype == np.float32
            words = hit.text.split(" ")
            assert len(vectors) == len(words)
            found = pairs(QUERY.split(" "), asked.vectors, words, vectors)
            assert sum(pair.contribution for pair in found) == pytest.approx(hit.scores["tokens"], abs=1e-5)
        assert stored.vectors(99) is None


# --- in step with the records


def test_an_add_keeps_them_and_encodes_nothing_twice(tmp_path: Path) -> None:
    encoder = ToyEncoder()
    with opened(tmp_path / "i", model=encoder) as index:
        index.index_tokens()
        index.add(["pump", "rain again"])
        before = encoder.encoded
        index.add([f"pump {n}" for n in range(30)] + ["pump 3"])
        assert encoder.encoded - before == 30
        check(index, "pump 3")


def test_updates_deletes_and_compaction_are_followed(index: Index) -> None:
    index.add(["the pump is new"], keys=["rain"])
    index.add(["one more pump"], keys=["more"])
    check(index)
    index.delete(["name", "error"])
    check(index)
    assert ranges(index) == [(0, 5), (5, 7)]
    index.compact()
    assert ranges(index) == [(0, 2), (2, 4)]
    check(index)
    assert index.index_tokens().encoded == 0
    index.delete(where="true")
    index.compact()
    assert ranges(index) == []
    index.add(["pump"])
    check(index)


@pytest.mark.usefixtures("_small_pieces")
def test_rows_that_came_with_vectors_are_made_up_for_a_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "TEXTS_MADE_UP", 5)
    encoder = ToyEncoder()
    texts = [f"pump {n}" for n in range(12)]
    with opened(tmp_path / "i", model=encoder) as index:
        index.index_tokens()
        index.add(texts, vectors=encoder.encode(texts), space=encoder.space)
        assert ranges(index) == [(0, 4)]
        index.add(["rain"])
        assert ranges(index) == [(0, 8), (12, 13)]
        assert index.verify().ok
        hits = {hit.text: hit.scores["tokens"] for hit in search(index, "pump 10", milliseconds=math.inf)}
        for text, score in hits.items():
            is_stored = text == "rain" or int(text[5:]) < 8
            assert score == pytest.approx(expected("pump 10", text, quantised=is_stored), abs=1e-5)
        assert index.index_tokens().encoded == 4
        check(index, "pump 10")


def test_an_add_without_a_model_at_hand_succeeds(tmp_path: Path) -> None:
    encoder = ToyEncoder()
    with opened(tmp_path / "i", model=encoder) as index:
        index.add(["pump"])
        index.index_tokens()
    with vecindex.open(tmp_path / "i") as index:
        index.add(["rain"], vectors=encoder.encode(["rain"]), space=encoder.space)
        assert len(index) == 2
    with opened(tmp_path / "i") as index:
        assert len(search(index, "rain", milliseconds=math.inf)) == 2
        assert ranges(index) == [(0, 1)]


def test_segments_are_merged_until_they_are_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_upkeep, "MOST_TOKENS", 40)
    with opened(tmp_path / "i") as index:
        index.index_tokens()
        for n in range(60):
            index.add([f"pump {n}"])
        sizes = [stop - first for first, stop in ranges(index)]
        assert sum(sizes) == 60
        assert max(sizes) <= 20
        assert len(sizes) < 12
        check(index, "pump 10")


def test_another_model_has_other_token_vectors(index: Index) -> None:
    old = {path.name for path in files(index)}
    other = ToyEncoder(weights="x" * 64, dimension=24)
    index.migrate(other)
    assert files(index) == []
    assert index.info().token_vectors == "6 bytes a token, 0 rows"
    assert len(search(index, milliseconds=math.inf)) == 5
    assert index.index_tokens().encoded == 5
    for hit in search(index):
        assert hit.scores["tokens"] == pytest.approx(expected(QUERY, hit.text, other), abs=1e-5)
    assert old


def test_encoding_everything_anew_leaves_no_old_token_vectors(index: Index) -> None:
    index.migrate(anew=True)
    assert (files(index), ranges(index)) == ([], [])
    index.add(["a new pump"])
    check(index)


def test_a_reader_of_an_older_generation_has_its_own(index: Index) -> None:
    with opened(Path(index.path), readonly=True) as other, other._snapshots.take() as snapshot:
        stored = other._tokens.of(snapshot)
        before = [stored.vectors(row) for row in range(5)]
        index.delete(["name"])
        index.compact()
        after = [stored.vectors(row) for row in range(5)]
        for one, two in zip(before, after, strict=True):
            assert one is not None
            assert two is not None
            assert (one == two).all()
    with opened(Path(index.path), readonly=True) as other:
        check(other)


# --- lost and damaged


def test_lost_ones_come_back_with_the_next_add(index: Index) -> None:
    for path in files(index):
        path.unlink()
    assert len(search(index, milliseconds=math.inf)) == 5
    assert not index.verify().ok
    index.add(["a new pump"])
    assert ranges(index) == [(0, 6)]
    check(index)


@pytest.mark.parametrize("at", [0, 30, 44, 60, 100, -1])
def test_damage_is_found_told_and_repaired(index: Index, at: int, caplog: pytest.LogCaptureFixture) -> None:
    (path,) = files(index)
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.unlink()
    path.write_bytes(content)
    with opened(Path(index.path)) as other:
        for hit in search(other, milliseconds=math.inf):
            found = [expected(QUERY, hit.text, quantised=quantised) for quantised in (True, False)]
            assert hit.scores["tokens"] == pytest.approx(
                min(found, key=lambda s: abs(s - hit.scores["tokens"])), abs=1e-5
            )
        if caplog.messages:
            assert "encoding the texts instead" in caplog.messages[0]
        assert len(caplog.messages) <= 1
        assert not other.verify().ok
        assert other.repair().ok
        check(other)


def test_what_no_model_can_make_again_is_left_out(index: Index) -> None:
    (path,) = files(index)
    path.write_bytes(b"rubbish")
    with vecindex.open(index.path) as other:
        report = other.repair()
        assert report.ok
        assert len(report.repaired) == 1
        assert ranges(other) == []


def test_records_of_which_the_model_knows_no_token_have_none(tmp_path: Path) -> None:
    from vecindex.values.records import UNKNOWN

    with opened(tmp_path / "i") as index:
        index.add(["one two", "three four", "three five"], keys=["a", "b", "c"])
        with snapshots(index).borrow() as catalog, catalog.changing() as tables:
            (record,) = catalog.find(["b"]).values()
            tables.set_lost([(record, UNKNOWN)])
        assert index.index_tokens().tokens == 4
        hits = search(index, "three four")
        assert [hit.key for hit in hits][-1] == "b"
        assert ["tokens" in hit.scores for hit in hits] == [True, True, False]


# --- with the real model


def test_the_real_models_scores_are_near_those_of_its_exact_vectors(tmp_path: Path, encoder: Encoder) -> None:
    texts = ["My name is Aun", "The pump is broken.", "Call me Otto; that is what my mother named me.", "It rains."]
    query = "What is your name?"
    with opened(tmp_path / "i", model=encoder) as index:
        index.add(texts)
        exact = {hit.text: hit.scores["tokens"] for hit in search(index, query, milliseconds=math.inf)}
        assert index.index_tokens().bytes_a_token == 96
        hits = search(index, query)
        assert hits[0].text == "My name is Aun"
        for hit in hits:
            assert hit.scores["tokens"] == pytest.approx(exact[hit.text], abs=0.03)
            assert hit.scores["tokens"] == pytest.approx(expected(query, hit.text, encoder), abs=1e-4)
    assert unit_length(encoder.encode(texts)).shape == (4, 384)
