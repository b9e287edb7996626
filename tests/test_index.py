"""Does the public API of an index do what it says, and say what it did?"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecindex
from tests.toy import DIMENSION, ToyEncoder, toy_space
from vecindex import AddReport, Index, InvalidInput, Record, RecordNotFound, SpaceMismatch, StorageError
from vecindex.records import derive_key
from vecindex.store.files import folder_bytes


@pytest.fixture
def encoder() -> ToyEncoder:
    return ToyEncoder()


@pytest.fixture
def index(tmp_path: Path, encoder: ToyEncoder) -> Iterator[Index]:
    with vecindex.open(tmp_path / "i", model=encoder, lock_timeout=0) as index:
        yield index


# --- add -------------------------------------------------------------------------------------------------------------


def test_the_report_counts_added_updated_and_unchanged(index: Index) -> None:
    assert index.add(["one", "two", "two"], keys=["a", "b", "b"]) == AddReport(added=2, unchanged=1)
    assert index.add(["one", "zwei", "three"], keys=["a", "b", "c"]) == AddReport(added=1, updated=1, unchanged=1)
    assert index.add(["one"], keys=["a"], metadata=[{"n": 1}]) == AddReport(updated=1)
    assert index.add([]) == AddReport()


def test_only_texts_that_are_new_are_encoded_and_each_once(index: Index, encoder: ToyEncoder) -> None:
    index.add(["one", "two", "one"], keys=["a", "b", "c"])
    assert encoder.encoded == 2
    index.add(["one", "two", "three"], keys=["a", "b", "d"])
    assert encoder.encoded == 3
    index.add(["one"], keys=["a"], metadata=[{"n": 1}])
    assert encoder.encoded == 3
    assert index.get("c").vector == pytest.approx(ToyEncoder().encode(["one"])[0], abs=1e-6)


def test_without_a_key_the_text_names_the_record(index: Index) -> None:
    index.add(["one", "one", "two"])
    assert len(index) == 2
    assert index.get("7692c3ad3540bb803c020b3aee66cd88").text == "one"  # sha256sum of "one", its first 32 digits
    assert derive_key("one") == "7692c3ad3540bb803c020b3aee66cd88"


@pytest.mark.parametrize("as_iterator", [False, True])
def test_records_and_texts_may_be_mixed_and_come_from_a_generator(index: Index, as_iterator: bool) -> None:
    items: list[str | Record] = ["one", Record("two", "b", {"n": 2}), Record("three")]
    assert index.add(iter(items) if as_iterator else items).added == 3
    assert index.get("b") == Record("two", "b", {"n": 2})
    assert index.get(derive_key("three")).metadata == {}


def test_columns_may_be_iterators(index: Index) -> None:
    texts, keys, metadata = ["one", "two"], ["a", "b"], [{"n": 1}, None]
    assert index.add(iter(texts), keys=iter(keys), metadata=iter(metadata)).added == 2
    assert [index.get(key).metadata for key in "ab"] == [{"n": 1}, {}]


def test_metadata_none_keeps_what_is_stored_and_an_empty_object_clears_it(index: Index) -> None:
    index.add(["one"], keys=["a"], metadata=[{"n": 1}])
    assert index.add(["one"], keys=["a"], metadata=[None]) == AddReport(unchanged=1)
    assert index.add(["eins"], keys=["a"]) == AddReport(updated=1)
    assert index.get("a") == Record("eins", "a", {"n": 1})
    assert index.add(["eins"], keys=["a"], metadata=[{}]) == AddReport(updated=1)
    assert index.get("a").metadata == {}


def test_true_and_one_are_different_metadata(index: Index) -> None:
    index.add(["one"], keys=["a"], metadata=[{"a": True}])
    assert index.add(["one"], keys=["a"], metadata=[{"a": 1}]) == AddReport(updated=1)
    assert index.get("a").metadata["a"] is not True  # type: ignore[index]
    assert index.add(["one"], keys=["a"], metadata=[{"a": 1}]) == AddReport(unchanged=1)


def test_new_metadata_alone_keeps_the_vector_and_the_place_among_ties(index: Index) -> None:
    index.add(["x", "x", "x"], keys=["a", "b", "c"])
    index.add(["x"], keys=["a"], metadata=[{"n": 1}])
    assert [hit.key for hit in index.search("x")] == ["a", "b", "c"]
    index.add(["y"], keys=["a"])
    index.add(["x"], keys=["a"])
    assert [hit.key for hit in index.search("x")] == ["b", "c", "a"]


def test_truncated_texts_are_counted_in_report_and_info(index: Index) -> None:
    long = "word " * 40
    assert index.add([long, "short", long + "x"], keys=["a", "b", "c"]) == AddReport(added=3, truncated=2)
    assert index.info().truncated == 2
    index.add(["short"], keys=["a"])
    assert index.info().truncated == 1


def test_a_text_of_ten_megabytes_comes_back_whole(index: Index) -> None:
    text = "naïve text " * 1_000_000
    assert index.add([text], keys=["big"]) == AddReport(added=1, truncated=1)
    assert index.get("big").text == text
    assert index.search("naïve text", k=1)[0].text == text


@pytest.mark.parametrize(
    "text", ["", " ", "\0", "a\0b", "line\nline\r\n", "🦊", "\ufeffx", "'); drop table records; --"]
)
def test_any_text_comes_back_as_it_is_as_text_key_and_metadata(index: Index, text: str) -> None:
    index.add([text], keys=[text or "empty"], metadata=[{"m": text, "k" + text.replace("\0", ""): 1}])
    record = index.get(text or "empty")
    assert (record.text, record.metadata) == (text, {"m": text, "k" + text.replace("\0", ""): 1})
    assert index.search("x", where={"m": text})[0].key == (text or "empty")


def test_every_1024_records_are_a_commit_that_progress_reports(index: Index) -> None:
    seen: list[tuple[AddReport, int, int]] = []
    report = index.add(
        (f"t{n}" for n in range(2500)), progress=lambda r: seen.append((r, len(index), index.info().generation))
    )
    assert report == AddReport(added=2500)
    assert seen == [(AddReport(added=n), n, g) for n, g in ((1024, 1), (2048, 2), (2500, 3))]


def test_an_error_among_the_records_keeps_whole_commits_and_adding_again_adds_the_rest(
    index: Index, encoder: ToyEncoder
) -> None:
    def failing(limit: int) -> Iterator[str]:
        for n in range(2500):
            if n == limit:
                raise ZeroDivisionError
            yield f"t{n}"

    with pytest.raises(ZeroDivisionError):
        index.add(failing(2100))
    assert (len(index), index.verify().ok) == (2048, True)
    assert index.add(failing(-1)) == AddReport(added=452, unchanged=2048)
    assert encoder.encoded == 2500


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"records": "one text"}, "records is one str, not a sequence"),
        ({"records": b"bytes"}, "records is one bytes, not a sequence"),
        ({"records": ["a", b"b"]}, "a text must be a string, not bytes"),
        ({"records": ["a", 1]}, "a text must be a string, not int"),
        ({"records": ["a", None], "keys": ["a", "b"]}, "a text must be a string, not NoneType"),
        ({"records": ["a", "b"], "keys": ["a"]}, "there are 2 texts, 1 keys and 2 metadata objects"),
        ({"records": ["a"], "metadata": [{}, {}]}, "there are 1 texts, 1 keys and 2 metadata objects"),
        ({"records": [Record("a")], "keys": ["a"]}, "a text must be a string, not Record"),
        ({"records": ["a", "b"], "keys": ["a", ""]}, "a key is the empty string"),
        ({"records": ["a", "b"], "keys": ["a", 7]}, "a key must be a string, not int"),
        ({"records": ["a", "lone \ud800"]}, r"a text holds a lone surrogate \(U\+D800 at character 5\)"),
        ({"records": ["a"], "keys": ["\udfff"]}, r"a key holds a lone surrogate \(U\+DFFF at character 0\)"),
        ({"records": ["a"], "metadata": [{"m": "\ud800"}]}, "metadata holds a lone surrogate"),
        ({"records": ["a"], "metadata": [[1]]}, "metadata must be a JSON object, not list"),
        ({"records": ["a"], "metadata": [{"m": float("nan")}]}, "metadata cannot be written as JSON"),
        ({"records": ["a"], "metadata": [{"m": {1, 2}}]}, "metadata cannot be written as JSON"),
        ({"records": ["a"], "metadata": [{1: 2}]}, "metadata would not come back from JSON as it is"),
        ({"records": ["a"], "metadata": [{"m": (1,)}]}, "metadata would not come back from JSON as it is"),
        ({"records": ["a"], "metadata": [{"a\0b": 1}]}, "a member whose name holds a NUL"),
    ],
)
def test_what_cannot_be_stored_is_refused_and_nothing_is_added(
    index: Index, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        index.add(**arguments)
    assert (len(index), index.info().generation) == (0, 0)


def test_one_string_is_no_sequence_of_keys(index: Index) -> None:
    with pytest.raises(InvalidInput):
        index.add(["one", "two"], keys="ab")


def test_a_vector_made_elsewhere_is_refused_and_not_dropped_silently(index: Index) -> None:
    with pytest.raises(InvalidInput, match="a Record to add holds a vector"):
        index.add([Record("one", "a", vector=np.eye(DIMENSION, dtype=np.float32)[3])])
    assert len(index) == 0


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
    with pytest.raises(InvalidInput, match="keys is one string"):
        index.delete("c")


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
    for ask in (index.get, index.similar, lambda key: index.delete([key])):
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
        format=1,
        created=info.created,
        generation=2,
        records=2,
        dead_rows=1,
        truncated=1,
        bytes=sum(p.stat().st_size for p in (tmp_path / "i").iterdir()),
        model="toy",
        dimension=16,
        max_tokens=32,
        pooling="mean",
        precision="fp32",
        fingerprint=toy_space().fingerprint,
    )
    assert info.created.endswith("+00:00")


def test_deleting_and_compacting_gives_the_space_back(index: Index) -> None:
    index.add([f"text {n} " + "x" * 500 for n in range(1000)])
    full = index.compact().bytes_after
    index.delete([derive_key(f"text {n} " + "x" * 500) for n in range(950)])
    report = index.compact()
    assert report.dropped_rows == 950
    note = f"{os.getpid()}\n{socket.gethostname()}\n"  # in the lock's file as long as it is held
    assert report.bytes_after == index.info().bytes + len(note)
    assert report.bytes_after < full / 8


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


def test_a_search_that_races_with_the_first_add_finds_all_or_nothing(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Index._query_vectors

    def overtaken(self: Index, queries: Any) -> Any:
        vectors = real(self, queries)
        with vecindex.open(tmp_path / "i", model=ToyEncoder()) as other:
            other.add(["one"])
        return vectors

    monkeypatch.setattr(Index, "_query_vectors", overtaken)
    assert len(index.search("one")) in (0, 1)


def test_a_writer_whose_index_was_replaced_leaves_the_new_one_alone(tmp_path: Path, encoder: ToyEncoder) -> None:
    with vecindex.open(tmp_path / "i", model=encoder) as old:
        old.add(["one"])
        (tmp_path / "i").rename(tmp_path / "moved")
        with vecindex.open(tmp_path / "i", model=encoder) as new:
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
