"""Does the public API of an index do what it says, and say what it did?"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecindex
from vecindex import AddReport, Index, InvalidInput, Record, RecordNotFound, SpaceMismatch, StorageError
from vecindex.index.model import IndexModel
from vecindex.index.searching.second_stages import SecondStages
from vecindex.store.disk.files import folder_bytes
from vecindex.values import keys, metadata, texts
from vecindex.values.keys import derive_key

from ..support.helpers import opened
from ..support.toy import DIMENSION, ToyEncoder, toy_space


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with opened(tmp_path / "i") as index:
        yield index


# --- get and delete --------------------------------------------------------------------------------------------------


def test_get_gives_a_record_whose_vector_is_its_own(index: Index) -> None:
    index.add(["one"], keys=["a"], metadata=[{"n": [1, {"x": None}]}])
    record = index.get("a")
    assert record == Record("one", "a", {"n": [1, {"x": None}]})
    assert record.vector is not None
    assert (record.vector.dtype, record.vector.shape) == (np.dtype(np.float32), (DIMENSION,))
    record.vector[:] = 0
    assert np.linalg.norm(index.get("a").vector) == pytest.approx(1, abs=1e-6)  # type: ignore[arg-type]


def test_delete_is_all_or_none_and_counts_records(index: Index) -> None:
    index.add(["one", "two", "three"], keys=["a", "b", "c"])
    with pytest.raises(RecordNotFound) as caught:
        index.delete(["a", "nobody", "b"])
    assert (caught.value.key, len(index), index.info().generation) == ("nobody", 3, 1)
    assert index.delete(["a", "b", "a"]) == 2
    assert index.delete([]) == 0
    assert (len(index), index.info().generation, index.info().dead_rows) == (1, 2, 2)
    with pytest.raises(InvalidInput, match="keys is a single str, not a sequence"):
        index.delete("c")


NO_CONDITION: list[Any] = [
    {},
    {"$and": []},
    {"$and": [{}, {}]},
    {"$or": [{}, {"n": 1}]},
    {"n": {"$nin": []}},
    {"$not": {"$or": []}},
    {"$not": {"n": {"$in": []}}},
    {"m": {"$not": {"$in": []}}, "$and": [{"n": {"$nin": ()}}]},
    "n not in ()",
    "not false",
    "true or n = 1",
]


@pytest.mark.parametrize("where", NO_CONDITION, ids=str)
def test_a_filter_without_a_condition_finds_everything_and_deletes_nothing(index: Index, where: Any) -> None:
    index.add(["one", "two"], metadata=[{"n": 1}, None])
    assert len(index.search("one", where=where)) == 2
    with pytest.raises(InvalidInput, match="has no condition and would delete every record") as caught:
        index.delete(where=where)
    assert caught.value.advice == "To delete every record, pass the filter 'true'; nothing was deleted."
    assert (len(index), index.info().generation) == (2, 1)


def test_every_record_is_deleted_by_name_and_a_part_by_a_condition(index: Index) -> None:
    index.add(["one", "two", "three"], metadata=[{"n": 1}, {"n": 2}, None])
    assert index.delete(where={"m": {"$nin": []}, "n": 1}) == 1
    assert index.delete(where={"$or": [{"n": {"$in": []}}, {"n": 2}]}) == 1
    assert index.delete(where={"$or": []}) == 0
    assert index.delete(where=" TRUE ") == 1
    assert len(index) == 0


def test_a_deleted_record_can_be_added_again(index: Index) -> None:
    index.add(["one", "two"], keys=["a", "b"], metadata=[{"n": 1}, None])
    index.delete(["a", "b"])
    assert index.search("one") == []
    assert index.add(["one"], keys=["a"]) == AddReport(added=1)
    assert [(hit.key, hit.metadata) for hit in index.search("one")] == [("a", {})]


def test_delete_is_all_or_none_for_an_iterator_too(index: Index) -> None:
    index.add(["one"], keys=["a"])
    with pytest.raises(RecordNotFound):
        index.delete(key for key in ["a", "nobody"])


@pytest.mark.parametrize("key", ["\ud800", ["a"], object()])
def test_a_key_that_can_be_no_key_is_not_found_or_refused(index: Index, key: Any) -> None:
    index.add(["one"], keys=["a"])
    for ask in (index.get, lambda key: index.similar([key]), lambda key: index.delete([key])):
        with pytest.raises((RecordNotFound, InvalidInput)):
            ask(key)


# --- spaces ----------------------------------------------------------------------------------------------------------


def test_another_space_is_refused_on_add_and_search_naming_both_and_what_differs(tmp_path: Path) -> None:
    with vecindex.open(tmp_path / "i", model=ToyEncoder()) as index:
        index.add(["one"], keys=["a"])
    other = ToyEncoder(model="other", pooling="cls", precision="int8")
    with vecindex.open(tmp_path / "i", model=other) as index:
        for change in (lambda: index.add(["two"]), lambda: index.add(["one"], keys=["a"]), lambda: index.search("one")):
            with pytest.raises(SpaceMismatch) as caught:
                change()
            error = caught.value
            assert error.expected == f"toy (16 dimensions, fp32, fingerprint {toy_space().fingerprint[:12]})"
            assert error.found == f"other (16 dimensions, int8, fingerprint {other.space.fingerprint[:12]})"
            assert error.differs == "pooling: 'mean' / 'cls', precision: 'fp32' / 'int8'"
        assert (other.encoded, len(index)) == (0, 1)
        assert index.similar("a") == []  # needs no model


def test_a_model_that_only_has_another_name_is_the_same_space(tmp_path: Path) -> None:
    with vecindex.open(tmp_path / "i", model=ToyEncoder()) as index:
        index.add(["one"])
    with vecindex.open(tmp_path / "i", model=ToyEncoder(model="moved")) as index:
        assert index.add(["two"]).added == 1
        assert index.info().model == "toy"


def test_two_spaces_that_race_for_an_empty_index_never_mix(tmp_path: Path) -> None:
    with (
        vecindex.open(tmp_path / "i", model=ToyEncoder()) as first,
        vecindex.open(tmp_path / "i", model=ToyEncoder(weights="v" * 64)) as second,
    ):

        def overtaken() -> Iterator[str]:
            yield "one"
            first.add(["two"])  # before the window of "one" is written, but after its model was accepted

        with pytest.raises(SpaceMismatch, match=r"\(weights: w{12} / v{12}\)"):
            second.add(overtaken())
        assert (len(second), second.verify().ok) == (1, True)


# --- an index as an object -------------------------------------------------------------------------------------------


def test_an_empty_index_finds_nothing_and_loads_no_model(tmp_path: Path) -> None:
    with vecindex.open(tmp_path / "i", model="no such model", offline=True) as index:
        assert index.search("one") == []
        assert index.search_many(["one", "two"], where={"a": 1}) == [[], []]
        assert index.search([1.0, 2.0]) == []
        assert (len(index), index.verify().ok, index.compact().dropped_rows) == (0, True, 0)
        info = index.info()
        assert (info.records, info.generation, info.model, info.dimension, info.fingerprint) == (0, 0, None, None, None)


def test_info_tells_what_is_there(index: Index, tmp_path: Path) -> None:
    index.add(["one", "two", "word " * 40], keys=["a", "b", "c"])
    index.delete(["a"])
    info = index.info()
    assert info == vecindex.IndexInfo(
        path=str(tmp_path / "i"),
        format=6,
        created=info.created,
        generation=2,
        records=2,
        dead_rows=1,
        tail_rows=3,
        codes=None,
        indexed_fields=(),
        truncated=1,
        tokens_lost=9,
        unknown=0,
        cached_texts=3,
        cache_bytes=108,
        bytes=sum(p.stat().st_size for p in (tmp_path / "i").iterdir()),
        model="toy",
        dimension=16,
        max_tokens=32,
        pooling="mean",
        precision="fp32",
        fingerprint=toy_space().fingerprint,
        runtime="toy",
    )
    assert info.created.endswith("+00:00")


def test_deleting_and_compacting_gives_the_space_back(index: Index) -> None:
    index.add([f"text {n} " + "x" * 500 for n in range(1000)])
    full = index.compact().bytes_after
    index.delete([derive_key(f"text {n} " + "x" * 500) for n in range(950)])
    report = index.compact()
    assert report.dropped_rows == 950
    note = f"{os.getpid()}\n{socket.gethostname()}\n{time.time():.0f}\n"  # in the lock's file as long as it is held
    assert report.bytes_after == index.info().bytes + len(note)
    assert report.bytes_after < full / 5  # of the rest, most are tables of one page each, and SQLite's shared memory


def test_the_context_manager_opens_and_closes_and_repr_names_path_and_size(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with vecindex.open(tmp_path / "i", model=ToyEncoder()) as index:
        index.add(["one", "two"])
        assert repr(index) == f"<Index '{tmp_path / 'i'}', 2 records>"
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("name", ["ünïcode 🦊", "with space", "a?b#c%20d", "-dash", "quote'\""])
def test_an_index_may_have_any_name(tmp_path: Path, name: str) -> None:
    with vecindex.open(str(tmp_path / name), model=ToyEncoder()) as index:
        index.add(["one"], keys=["a"])
    with vecindex.open(tmp_path / name, create=False, readonly=True, model=ToyEncoder()) as index:
        assert [hit.key for hit in index.search("one")] == ["a"]
    assert [p.name for p in tmp_path.iterdir()] == [name]


# --- odd places and races --------------------------------------------------------------------------------------------


def test_an_index_opened_by_a_relative_path_survives_a_change_of_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with vecindex.open("i", model=ToyEncoder()) as index:
        index.add(["one"])
        monkeypatch.chdir("/")
        assert len(index.search("one")) == 1


@pytest.mark.parametrize("kind", ["the current directory", "a link"])
def test_an_index_is_made_in_an_empty_directory_that_cannot_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "link").symlink_to("d")
    monkeypatch.chdir(tmp_path / "d")
    with vecindex.open("." if kind == "the current directory" else tmp_path / "link", model=ToyEncoder()) as index:
        assert index.add(["one"]).added == 1


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"])
def test_an_impossible_path_is_our_error(tmp_path: Path, name: str) -> None:
    with pytest.raises((StorageError, InvalidInput)):
        vecindex.open(tmp_path / name)


def test_threads_that_are_gone_leave_no_connection(index: Index) -> None:
    index.add(["one"])
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        thread = threading.Thread(target=lambda: index.search("one"))
        thread.start()
        thread.join()
    assert len(os.listdir("/proc/self/fd")) <= before + 4


@pytest.mark.parametrize("explained", [False, True])
def test_a_search_that_races_with_the_first_add_finds_all_or_nothing(
    index: Index, tmp_path: Path, explained: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = IndexModel.query_vectors

    def overtaken(self: IndexModel, *arguments: Any) -> Any:
        vectors = real(self, *arguments)
        with vecindex.open(tmp_path / "i", model=ToyEncoder()) as other:
            other.add(["one"])
        return vectors

    monkeypatch.setattr(IndexModel, "query_vectors", overtaken)
    assert len(index.explain_search("one")[0] if explained else index.search("one")) in (0, 1)


def test_a_lexical_search_that_races_with_the_first_add_reranks_what_it_finds(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = SecondStages.tokens

    def overtaken(self: SecondStages, *arguments: Any) -> Any:
        stage = real(self, *arguments)
        with vecindex.open(tmp_path / "i", model=ToyEncoder()) as other:
            other.add(["one"])
        return stage

    monkeypatch.setattr(SecondStages, "tokens", overtaken)
    (hit,) = index.search("one", mode="lexical", rerank="tokens")
    assert hit.scores["tokens"] == pytest.approx(1, abs=1e-3)


def test_a_writer_whose_index_was_replaced_leaves_the_new_one_alone(tmp_path: Path) -> None:
    with vecindex.open(tmp_path / "i", model=ToyEncoder()) as old:
        old.add(["one"])
        (tmp_path / "i").rename(tmp_path / "moved")
        with vecindex.open(tmp_path / "i", model=ToyEncoder()) as new:
            new.add(["two", "three", "four"])
            with pytest.raises(vecindex.VecindexError):
                old.add(["five"])
            assert new.verify().ok


def test_the_bytes_of_a_folder_can_be_counted_while_files_come_and_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stays").write_bytes(b"1234")
    (tmp_path / "goes").write_bytes(b"12")
    real = os.scandir

    @contextlib.contextmanager
    def listing_of_before(path: Path) -> Iterator[Any]:
        with real(path) as entries:
            found = list(entries)
        (tmp_path / "goes").unlink()
        yield found

    monkeypatch.setattr(os, "scandir", listing_of_before)
    assert folder_bytes(tmp_path) == 4


def test_what_is_too_long_for_sqlite_is_refused_before_it_is_taken_for_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # SQLite stores a billion bytes in a row.
    assert texts.LONGEST_TEXT + metadata.LONGEST_METADATA + keys.LONGEST_KEY < 10**9
    monkeypatch.setattr(texts, "LONGEST_TEXT", 40)
    monkeypatch.setattr(metadata, "LONGEST_METADATA", 20)
    monkeypatch.setattr(keys, "LONGEST_KEY", 10)
    with opened(tmp_path / "i") as index:
        index.add(["x" * 40, "é" * 20], keys=["k" * 10, "b"], metadata=[{"a": "x" * 12}, {}])
        for arguments, said in (
            ({"records": ["one", "x" * 41]}, "item 1: a text has 41 bytes in UTF-8, but at most 40 can be stored"),
            ({"records": ["é" * 21]}, "item 0: a text has 42 bytes in UTF-8, but at most 40 can be stored"),
            ({"records": ["y"], "metadata": [{"a": "x" * 13}]}, "item 0: metadata has 21 bytes in UTF-8, but at most"),
            ({"records": ["y"], "keys": ["k" * 11]}, "item 0: a key has 11 bytes in UTF-8, but at most 10 can be"),
        ):
            with pytest.raises(InvalidInput, match=re.escape(said)):
                index.add(**arguments)
        assert len(index) == 2
