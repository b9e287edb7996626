"""The upkeep of stored token vectors: what an add keeps and skips, and what a repair makes again."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from vecindex import AddReport, Index, Record
from vecindex.encoders.run.own_tokens import own_tokens, tokenized
from vecindex.encoders.run.tokenized import Tokens
from vecindex.search.derived import kept_tokens, token_upkeep, upkeep
from vecindex.search.derived.kept_tokens import Kept
from vecindex.search.derived.token_upkeep import TokenUpkeep
from vecindex.search.rerank.stored_tokens import TokenStore
from vecindex.search.rerank.token_codes import Codes, encode
from vecindex.search.rerank.token_segment import build
from vecindex.store.manifest import Manifest

from ...support.helpers import opened
from ...support.toy import DIMENSION, ToyEncoder

TOKEN_BYTES = DIMENSION // 4


class FewAtOnce(ToyEncoder):
    """Its texts are committed twenty at a time."""

    texts_at_once = 20


class Reading(ToyEncoder):
    """Has the texts that it has ``read``."""

    def __init__(self) -> None:
        super().__init__()
        self.read: set[str] = set()

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        self.read.update(texts)
        return super().tokenize(texts)


class Alive:
    """Counts the bytes of arrays that are in memory."""

    def __init__(self) -> None:
        self.now = self.most = self.largest = 0
        self._lock = threading.RLock()

    def seen(self, codes: Codes) -> Codes:
        size = codes.nbytes
        self._add(size)
        weakref.finalize(codes, self._add, -size)
        return codes

    def _add(self, size: int) -> None:
        with self._lock:
            self.now += size
            self.most, self.largest = max(self.most, self.now), max(self.largest, size)


def stored_rows(index: Index) -> int:
    tokens = index._manifest().tokens
    return 0 if tokens is None else tokens.covered


def kept_size(index: Index) -> int:
    return index._upkeep.tokens.kept._size


def put(kept: Kept, encoder: ToyEncoder, text: str) -> None:
    encoder.encode_keeping([text], partial(kept.put, encoder))


def add_with_vectors(index: Index, encoder: ToyEncoder, texts: list[str]) -> None:
    """Adds records that lack their token vectors, as far as these are not made up for."""
    index.add(texts, vectors=encoder.encode(texts), space=encoder.space)


# --- what an add keeps


def test_codes_make_room_once_their_rows_are_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_tokens, "MOST_KEPT", 4 * TOKEN_BYTES)
    kept, encoder = Kept(), ToyEncoder()
    put(kept, encoder, "one two")
    assert kept.is_half_full
    put(kept, encoder, "three four")
    put(kept, encoder, "five six")
    assert kept.get("five six", encoder.space) is None
    kept.published(["one two"], encoder.space)
    assert kept.get("one two", encoder.space) is not None
    put(kept, encoder, "seven eight")
    assert kept.get("one two", encoder.space) is None
    for text in ("three four", "seven eight"):
        codes = kept.get(text, encoder.space)
        (own,) = own_tokens(encoder, tokenized(encoder, [text], "document"), "document")
        assert codes is not None
        assert (codes == encode(own.vectors)).all()
    assert kept._size == 4 * TOKEN_BYTES


def test_an_add_stores_more_token_vectors_than_it_may_keep_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = 160 * 2 * TOKEN_BYTES
    monkeypatch.setattr(kept_tokens, "MOST_KEPT", room)
    monkeypatch.setattr(upkeep, "TEXTS_MADE_UP", 0)
    monkeypatch.setattr(upkeep, "TEXTS_MADE_UP_MEANWHILE", 0)
    with opened(tmp_path / "i", model=FewAtOnce(), lock_timeout=60) as index:
        index.index_tokens()
        for_each_commit: list[int] = []

        def told(report: AddReport) -> None:
            for_each_commit.append(kept_size(index))

        index.add((Record(f"pump {n}") for n in range(800)), progress=told)
        assert stored_rows(index) == 800
        assert max(for_each_commit) <= room
        assert kept_size(index) == 0
        assert index.verify().ok


@pytest.mark.parametrize("texts_at_once", [50, 4096])
def test_codes_in_memory_stay_below_the_stated_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts_at_once: int
) -> None:
    text_bytes = 30 * TOKEN_BYTES
    most_kept, most_a_piece = 40 * text_bytes, 20 * text_bytes
    monkeypatch.setattr(kept_tokens, "MOST_KEPT", most_kept)
    monkeypatch.setattr(token_upkeep, "MOST_A_PIECE", most_a_piece)
    alive, made = Alive(), Alive()
    for module in (kept_tokens, token_upkeep):
        monkeypatch.setattr(module, "encode", lambda vectors: alive.seen(encode(vectors)))
    monkeypatch.setattr(token_upkeep, "build", lambda *of: replace(new := build(*of), codes=made.seen(new.codes)))

    class ManyAtOnce(ToyEncoder):
        @property
        def texts_at_once(self) -> int:
            return texts_at_once

    with opened(tmp_path / "i", model=ManyAtOnce(), lock_timeout=60) as index:
        index.index_tokens()
        words = [f"w{n}" for n in range(400)]
        index.add([" ".join(words[n : n + 30]) for n in range(300)])
        assert stored_rows(index) == 300
        assert 0 < alive.most <= most_kept + most_a_piece + text_bytes  # the last one is looked at, and not kept
        assert 0 < made.largest <= most_a_piece
        assert alive.now == made.now == 0
        assert index.verify().ok

        index.drop_tokens()
        alive.most = 0
        assert index.index_tokens().encoded == 300
        assert 0 < alive.most <= most_a_piece
        assert index.verify().ok


def test_a_text_with_more_codes_than_a_piece_may_have_is_a_piece_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_upkeep, "MOST_A_PIECE", 2 * TOKEN_BYTES)
    monkeypatch.setattr(token_upkeep, "MOST_TOKENS", 0)  # nothing is merged
    encoder = ToyEncoder()
    texts = ["one two three", "four", "five", "six", "seven eight nine ten"]
    with opened(tmp_path / "i", model=encoder) as index:
        index.add(texts, keys=list("abcde"), vectors=encoder.encode(texts), space=encoder.space)
        index.delete(["c"])
        assert index.index_tokens().encoded == 4
        tokens = index._manifest().tokens
        assert tokens is not None
        assert [(file.first, file.stop) for file in tokens.segments] == [(0, 1), (1, 4), (4, 5)]
        assert index.verify().ok


def test_nothing_is_kept_after_an_add_that_failed(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.index_tokens()

        def records() -> Iterator[Record]:
            yield from (Record(f"pump {n}") for n in range(40))
            raise RuntimeError("the source is gone")

        with pytest.raises(RuntimeError):
            index.add(records())
        assert kept_size(index) == 0

        def stop(report: AddReport) -> None:
            assert kept_size(index) > 0
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            index.add((Record(f"rain {n}") for n in range(40)), progress=stop)
        assert kept_size(index) == 0


# --- what is skipped


@pytest.fixture
def _nothing_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_upkeep, "ROWS_A_PIECE", 4)
    monkeypatch.setattr(upkeep, "TEXTS_MADE_UP", 0)


@pytest.mark.usefixtures("_nothing_made_up")
def test_rows_that_were_skipped_are_not_read_again_in_the_same_add(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = ToyEncoder()
    with opened(tmp_path / "i", model=encoder) as index:
        index.index_tokens()
        add_with_vectors(index, encoder, [f"pump {n}" for n in range(12)])
        tokens = index._upkeep.tokens
        read: list[int] = []
        piece = TokenUpkeep._piece

        def counted(*arguments: object) -> object:
            found = piece(*arguments)  # type: ignore[arg-type]
            read.append(found.first)
            return found

        monkeypatch.setattr(TokenUpkeep, "_piece", counted)
        assert tokens.renew(0, meanwhile=True) == 0
        assert read == [0, 4, 8]
        assert tokens.renew(2, meanwhile=True) == 0
        assert read == [0, 4, 8]
        assert tokens.renew(4) == 4
        assert stored_rows(index) == 4
        tokens.end_add()
        assert tokens.renew(4, meanwhile=True) == 4
        assert stored_rows(index) == 8
        index.delete(where="true")
        index.compact()
        add_with_vectors(index, encoder, [f"rain {n}" for n in range(4)])
        assert tokens.renew(4, meanwhile=True) == 4
        assert stored_rows(index) == 4


@pytest.mark.usefixtures("_nothing_made_up")
def test_new_rows_in_a_piece_with_skipped_ones_are_stored(tmp_path: Path) -> None:
    encoder = ToyEncoder()
    with opened(tmp_path / "i", model=encoder) as index:
        index.index_tokens()
        add_with_vectors(index, encoder, [f"pump {n}" for n in range(5)])
        index.add(["one", "two"])
        tokens = index._manifest().tokens
        assert tokens is not None
        assert [(file.first, file.stop) for file in tokens.segments] == [(5, 7)]


# --- what a repair makes again


@pytest.mark.usefixtures("_nothing_made_up")
def test_a_repair_makes_only_the_token_vectors_that_were_damaged(tmp_path: Path) -> None:
    encoder = ToyEncoder()
    with opened(tmp_path / "i", model=encoder) as index:
        index.add(["one", "two", "three"])
        index.index_tokens()
        add_with_vectors(index, encoder, [f"pump {n}" for n in range(9)])
        index.add(["four", "five"])
        assert stored_rows(index) == 5
        (path,) = Path(index.path).glob("tokens-*-0-3-*")
        path.write_bytes(b"rubbish")
    reading = Reading()
    with opened(tmp_path / "i", model=reading) as index:
        assert len(index.repair().repaired) == 1
        assert reading.read - {""} == {"one", "two", "three"}
        assert stored_rows(index) == 5
        assert index.verify().ok


def test_a_repair_makes_token_vectors_of_another_dimension_again(tmp_path: Path) -> None:
    with opened(tmp_path / "i", model=ToyEncoder()) as index:
        index.add(["one", "two", "three"])
        index.index_tokens()
        other = build(0, [np.zeros((1, 6), np.uint8)] * 3, 24)

        def choose(now: Manifest) -> Manifest:
            assert now.tokens is not None
            return replace(now, tokens=replace(now.tokens, segments=(index._upkeep.tokens._life.write(now, other),)))

        with index._writer() as writer:
            assert writer.set_derived(index._manifest().vectors, choose)
        assert "24 dimensions" in str(index.verify().faults[0])
        assert index.repair().ok
        assert stored_rows(index) == 3
        assert index.verify().ok


@pytest.mark.usefixtures("_nothing_made_up")
def test_a_repair_without_damaged_token_vectors_loads_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = ToyEncoder()
    monkeypatch.setattr(upkeep, "LEXICAL_TAIL", 1)
    with opened(tmp_path / "i", model=encoder) as index:
        index.add(["one", "two", "three"])
        index.index_tokens()
        add_with_vectors(index, encoder, [f"pump {n}" for n in range(9)])
        for path in Path(index.path).glob("lexical-*"):
            path.unlink()
    with opened(tmp_path / "i") as index:

        def load() -> ToyEncoder:
            raise AssertionError("the model was loaded")

        monkeypatch.setattr(index._upkeep.tokens, "_encoder", load)
        assert index.repair().repaired
        assert stored_rows(index) == 3
        assert index.verify().ok
        monkeypatch.undo()
        assert index.index_tokens().encoded == 9


# --- searches at the same time


def test_a_segment_may_be_loaded_while_others_are_dropped() -> None:
    store = TokenStore()
    segment: object = object()
    store._loaded = {f"tokens-{n}": segment for n in range(9)}  # type: ignore[misc]

    class Meanwhile(frozenset[str]):
        def __contains__(self, name: object) -> bool:
            store._loaded[f"loaded while {name} was looked at"] = segment  # type: ignore[assignment]
            return super().__contains__(name)

    store.keep_only(Meanwhile({"tokens-3"}))
    assert "tokens-3" in store._loaded
    assert not {f"tokens-{n}" for n in range(9) if n != 3} & set(store._loaded)
