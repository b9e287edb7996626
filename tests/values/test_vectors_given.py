"""Vectors that were made elsewhere: are they checked, kept exactly, and never mixed with another space's?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import vecindex
from vecindex import AddReport, Index, InvalidInput, Record, SpaceMismatch
from vecindex.index.adding.texts import VECTORS_A_COMMIT

from ..support.helpers import opened, sql
from ..support.toy import ToyEncoder, toy_space

TEXTS = ["one", "two", "three"]


def unit(rows: int, dimension: int = 8, seed: int = 0) -> npt.NDArray[np.float32]:
    drawn = np.random.default_rng(seed).standard_normal((rows, dimension))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), dtype=np.float32)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with vecindex.open(tmp_path / "i") as index:
        yield index


def test_they_are_found_by_vector_and_kept_to_the_last_bit(index: Index) -> None:
    vectors = unit(3)
    report = index.add(TEXTS, keys=list("abc"), metadata=[{"n": n} for n in range(3)], vectors=vectors, space="theirs")
    assert report == AddReport(added=3)
    hits = index.search(vectors[1], k=2, where={"n": {"$gte": 1}})
    assert [(hit.key, hit.text, hit.metadata) for hit in hits] == [("b", "two", {"n": 1}), ("c", "three", {"n": 2})]
    for key, vector in zip("abc", vectors, strict=True):
        stored = index.get(key).vector
        assert stored is not None
        assert stored.tobytes() == vector.tobytes()
    info = index.info()
    assert (info.model, info.dimension, info.pooling, info.precision) == ("theirs", 8, "external", "external")


@pytest.mark.parametrize("kind", ["float64", "float16", "int", "list", "memmap", "not of unit length"])
def test_any_numbers_will_do_and_are_brought_to_unit_length(index: Index, tmp_path: Path, kind: str) -> None:
    vectors: Any = unit(3)
    if kind == "memmap":
        vectors.tofile(tmp_path / "v")
        vectors = np.memmap(tmp_path / "v", dtype="<f4", mode="r", shape=(3, 8))
    elif kind == "int":
        vectors = np.arange(1, 25).reshape(3, 8)
    elif kind == "list":
        vectors = vectors.tolist()
    elif kind == "not of unit length":
        vectors = vectors * np.array([[1e-30], [3], [1e30]], np.float32)
    else:
        vectors = vectors.astype(kind)
    index.add(TEXTS, vectors=vectors)
    wide = np.asarray(vectors, np.float64)
    expected = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    for text, vector in zip(TEXTS, expected, strict=True):
        found = index.get(vecindex.values.keys.derive_key(text)).vector
        assert found == pytest.approx(vector, abs=1e-6)
        assert index.search(vector, k=1)[0].text == text


def test_adding_them_again_changes_nothing_and_another_vector_is_an_update(index: Index) -> None:
    vectors = unit(3) * 5
    index.add(TEXTS, keys=list("abc"), vectors=vectors, space="theirs")
    assert index.add(TEXTS, keys=list("abc"), vectors=vectors) == AddReport(unchanged=3)
    stored = [index.get(key).vector for key in "abc"]
    assert index.add(TEXTS, keys=list("abc"), vectors=stored, space="theirs") == AddReport(unchanged=3)
    vectors[1] = vectors[0]
    assert index.add(TEXTS, keys=list("abc"), vectors=vectors) == AddReport(updated=1, unchanged=2)
    assert [hit.key for hit in index.search(vectors[0], k=2)] == ["a", "b"]
    assert (len(index), index.info().dead_rows, index.verify().ok) == (3, 1, True)


def test_the_last_of_a_key_counts(index: Index) -> None:
    vectors = unit(3)
    report = index.add(["x", "x", "x"], keys=["a", "a", "b"], vectors=vectors[[0, 1, 0]], on_duplicate="last")
    assert (report.added, report.updated, report.duplicates, len(index)) == (2, 0, 1, 2)
    assert [hit.key for hit in index.search(vectors[1], k=2)] == ["a", "b"]


BAD: dict[str, tuple[Any, str]] = {
    "fewer": (unit(2), r"there are 3 texts, but vectors has the shape \(2, 8\)"),
    "one row": (unit(3)[0], r"vectors has the shape \(8,\)"),
    "no columns": (np.empty((3, 0)), r"vectors has the shape \(3, 0\)"),
    "ragged": ([[1.0], [1.0, 2.0], [1.0]], "vectors have different lengths"),
    "words": (np.array([["a"], ["b"], ["c"]]), r"vectors are strings \(<U1\), not numbers"),
    "a zero": (np.array([[1.0, 0], [0, 0], [1, 1]]), "the vector of row 1 is zero"),
    "no number": (np.array([[1.0, 0], [1, 0], [np.nan, 1]]), "the vector of row 2 is not finite"),
    "infinite": (np.array([[np.inf, 0], [1, 0], [1, 1]]), "the vector of row 0 is not finite"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_ones_are_refused_by_row_and_nothing_is_stored(index: Index, what: str) -> None:
    vectors, message = BAD[what]
    with pytest.raises(InvalidInput, match=message):
        index.add(TEXTS, vectors=vectors)
    assert (len(index), index.info().model) == (0, None)


def test_a_bad_one_beyond_the_first_commit_is_found_before_it(index: Index) -> None:
    vectors = np.ones((VECTORS_A_COMMIT + 5, 2), np.float32)
    vectors[VECTORS_A_COMMIT + 3] = 0
    with pytest.raises(InvalidInput, match=f"the vector of row {VECTORS_A_COMMIT + 3} is zero"):
        index.add([str(n) for n in range(len(vectors))], vectors=vectors)
    assert len(index) == 0


def test_spaces_never_mix(index: Index) -> None:
    index.add(TEXTS, vectors=unit(3), space="theirs")
    with pytest.raises(SpaceMismatch, match=r"theirs \(8 dimensions, vectors made elsewhere\)"):
        index.add(TEXTS, vectors=unit(3), space="others")
    with pytest.raises(SpaceMismatch):
        index.add(TEXTS, vectors=unit(3, dimension=9))
    for ask in (lambda: index.add(["four"]), lambda: index.search("four")):
        with pytest.raises(InvalidInput, match=r"the index holds vectors made elsewhere \(theirs\)"):
            ask()
    with opened(index.path) as other, pytest.raises(SpaceMismatch):
        other.search("four")
    assert len(index) == 3


def test_vectors_of_the_indexs_own_model_go_with_its_texts(tmp_path: Path) -> None:
    encoder = ToyEncoder()
    with opened(tmp_path / "i") as index:
        index.add(["one"], keys=["a"])
        vectors = encoder.encode(["two"])
        with pytest.raises(InvalidInput, match="vectors were given without space="):
            index.add(["two"], keys=["b"], vectors=vectors)
        with pytest.raises(InvalidInput, match="the vectors have 3 dimensions, but toy has 16"):
            index.add(["two"], keys=["b"], vectors=np.ones((1, 3)), space=toy_space())
        index.add(["two"], keys=["b"], vectors=vectors, space=index.encoder.space)
        assert index.search("two", k=1)[0].key == "b"
        assert index.search("two", k=1)[0].score == pytest.approx(1)


def test_records_hold_their_vectors_all_or_none_unless_it_is_said_otherwise(index: Index) -> None:
    vectors = unit(3)
    records = [Record(t, k, {"k": k}, v) for t, k, v in zip(TEXTS, "abc", vectors, strict=True)]
    assert index.add(iter(records), space="theirs") == AddReport(added=3)
    assert index.add(records) == AddReport(unchanged=3)
    assert index.search(vectors[2], k=1)[0].metadata == {"k": "c"}
    with pytest.raises(InvalidInput, match=r"item 1 holds no vector, but others do\. Give each of them a vector"):
        index.add([records[0], Record("x")])
    with pytest.raises(InvalidInput, match=r"item 1 holds a vector, but the first one does not\. Give .* encode=False"):
        index.add(iter([Record("x"), records[0]]))
    with pytest.raises(InvalidInput, match="the vectors have the shapes"):
        index.add([records[0], Record("x", vector=np.ones(9, np.float32))])
    with pytest.raises(InvalidInput, match="the vector of row 1 is zero"):
        index.add([records[0], Record("x", vector=np.zeros(8, np.float32))])
    assert len(index) == 3


def test_space_without_vectors_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index, pytest.raises(InvalidInput, match="there are none"):
        index.add(["one"], space="theirs")


# --- deleting by a filter, and indexed fields


def test_delete_where_deletes_what_matches(index: Index) -> None:
    index.add([str(n) for n in range(9)], metadata=[{"n": n} for n in range(9)], vectors=unit(9))
    assert index.delete(where="n >= 6") == 3
    assert index.delete(where={"n": 77}) == 0
    assert sorted(hit.metadata["n"] for hit in index.search(unit(1)[0], k=99)) == list(range(6))
    for arguments in ({}, {"keys": ["a"], "where": "n = 1"}):
        with pytest.raises(InvalidInput, match="one of keys, where= and source="):
            index.delete(**arguments)  # type: ignore[arg-type]
    assert (len(index), index.verify().ok) == (6, True)


def test_an_indexed_field_is_remembered_and_used(index: Index) -> None:
    index.add([str(n) for n in range(9)], metadata=[{"n": n, "a b": {"c": n}} for n in range(9)], vectors=unit(9))
    assert (index.index_field("n"), index.index_field("n"), index.index_field('"a b".c')) == (True, False, True)
    assert index.info().indexed_fields == ("n", '"a b".c')
    assert len(index.search(unit(1)[0], k=99, where="n < 4")) == 4
    assert len(index.search(unit(1)[0], k=99, where='"a b".c in (1, 7)')) == 2
    index.add(["new"], metadata=[{"n": 3}], vectors=unit(1, seed=5))
    index.delete(where="n = 0")
    assert len(index.search(unit(1)[0], k=99, where="n < 4")) == 4
    with pytest.raises(InvalidInput, match="is not a field name"):
        index.index_field("a b")
    assert index.verify().ok


def test_an_index_that_another_release_of_sqlite_filled_is_not_used_and_made_again(tmp_path: Path) -> None:
    with vecindex.open(tmp_path / "i") as index:
        index.add(TEXTS, metadata=[{"n": n} for n in range(3)], vectors=unit(3))
        index.index_field("n")
    (name,) = (row[0] for row in sql(tmp_path / "i", "select name from sqlite_master where name like 'field %'"))
    terms = sql(tmp_path / "i", f"select sql from sqlite_master where name = '{name}'")[0][0]
    sql(tmp_path / "i", f'drop index "{name}"')
    sql(tmp_path / "i", terms.replace(name, "field n, SQLite 3.1.0"))
    with vecindex.open(tmp_path / "i") as index:
        assert [hit.text for hit in index.search(unit(3)[1], where="n = 1")] == ["two"]
        index.add(["four"], vectors=unit(1, seed=9))
    assert [row[0] for row in sql(tmp_path / "i", "select name from sqlite_master where name like 'field %'")] == [name]
