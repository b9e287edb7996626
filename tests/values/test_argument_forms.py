"""Texts, vectors, numbers and flags are accepted as objects of numpy, torch, pandas, polars and pyarrow."""

from __future__ import annotations

import collections
import fractions
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecindex
from vecindex import Record
from vecindex.errors import InvalidInput

from ..support.helpers import opened, small_index, state_of
from ..support.odd_values import Named, Text, WithItems, pandas, polars, pyarrow, torch
from ..support.toy import DIMENSION, ToyEncoder


def forms_of_texts(texts: list[str]) -> dict[str, Any]:
    named: dict[str, Callable[[], Any]] = {
        "a tuple": lambda: tuple(texts),
        "a generator": lambda: (text for text in texts),
        "a deque": lambda: collections.deque(texts),
        "keys of a dict": lambda: dict.fromkeys(texts).keys(),
        "values of a dict": lambda: dict(enumerate(texts)).values(),
        "what has items": lambda: WithItems(texts),
        "subclasses of str": lambda: [Text(text) for text in texts],
        "strings of numpy": lambda: [np.str_(text) for text in texts],
        "an array": lambda: np.array(texts),
        "an array of objects": lambda: np.array(texts, object),
    }
    if pandas:
        named |= {
            "pandas.Series": lambda: pandas.Series(texts, index=range(7, 7 + len(texts))),
            "pandas.Series of strings": lambda: pandas.Series(texts, dtype="string"),
            "pandas.Index": lambda: pandas.Index(texts),
            "pandas.Categorical": lambda: pandas.Categorical(texts),
        }
    if polars:
        named["polars.Series"] = lambda: polars.Series(texts)
    if pyarrow:
        named["pyarrow.Array"] = lambda: pyarrow.array(texts)
        named["pyarrow.ChunkedArray"] = lambda: pyarrow.chunked_array([texts[:1], texts[1:]])
    return {what: make() for what, make in named.items()}


def forms_of_vectors(numbers: Any) -> dict[str, Any]:
    """``numbers`` (2, D) are small integers, which every type can hold."""
    named: dict[str, Callable[[], Any]] = {
        **{kind: lambda kind=kind: numbers.astype(kind) for kind in ("f2", "f4", "f8", "g", "i1", "i2", "i8", ">f4")},  # type: ignore[misc]
        **{"Fortran order": lambda: np.asfortranarray(numbers), "every second": lambda: np.repeat(numbers, 2, 0)[::2]},
        **{"lists": lambda: numbers.tolist(), "tuples": lambda: tuple(map(tuple, numbers.tolist()))},
        **{"arrays in a list": lambda: list(numbers), "a generator": lambda: (row for row in numbers)},
        "an array of arrays": lambda: object_array(list(numbers)),
        "nothing masked": lambda: np.ma.masked_array(numbers),
        "a tensor": lambda: torch.tensor(numbers, dtype=torch.float32),
        "one that needs gradients": lambda: torch.tensor(numbers, dtype=torch.float32, requires_grad=True),
        "bfloat16": lambda: torch.tensor(numbers, dtype=torch.bfloat16, requires_grad=True),
        "tensors in a list": lambda: list(torch.tensor(numbers, dtype=torch.float16, requires_grad=True)),
    }
    if pandas:
        named["pandas.Series"] = lambda: pandas.Series(numbers.tolist(), index=[4, 2])
    if polars:
        named["polars.Series"] = lambda: polars.Series(numbers.tolist())
    if pyarrow:
        named["pyarrow.Array"] = lambda: pyarrow.array(numbers.tolist(), pyarrow.list_(pyarrow.float32()))
        named["pyarrow, fixed in size"] = lambda: pyarrow.array(
            numbers.tolist(), pyarrow.list_(pyarrow.float32(), numbers.shape[1])
        )
    return {what: make() for what, make in named.items()}


def object_array(items: list[Any]) -> Any:
    made = np.empty(len(items), object)
    for place, item in enumerate(items):
        made[place] = item
    return made


VECTORS = np.array([[3, 4, *[0] * (DIMENSION - 2)], [*[0] * (DIMENSION - 1), -2]])


@pytest.mark.parametrize("what", forms_of_texts(["x"]))
def test_texts_are_accepted_in_many_forms(tmp_path: Path, what: str) -> None:
    texts, keys = ["red sun", "blue é"], ["k1", "k2"]
    with opened(tmp_path / "i") as index:
        index.add(forms_of_texts(texts)[what], keys=forms_of_texts(keys)[what], metadata=({"n": n} for n in (1, 2)))
        assert state_of(index) == {"k1": ("red sun", {"n": 1}), "k2": ("blue é", {"n": 2})}
        assert {type(part) for hit in index.search("red sun", k=2) for part in (hit.key, hit.text)} == {str}
        hits = index.search_many(texts)
        assert index.search_many(forms_of_texts(texts)[what]) == hits
        encoder = ToyEncoder()
        assert (encoder.encode(forms_of_texts(texts)[what]) == encoder.encode(texts)).all()
        assert encoder.count_tokens(forms_of_texts(texts)[what]) == [2, 2]
        assert index.delete(forms_of_texts(keys)[what]) == 2


@pytest.mark.parametrize("what", forms_of_vectors(VECTORS))
def test_vectors_are_accepted_in_many_forms(tmp_path: Path, what: str) -> None:
    with vecindex.open(tmp_path / "i") as index:
        index.add(["one", "two"], keys=["1", "2"], vectors=forms_of_vectors(VECTORS)[what], space="theirs")
        assert index.get("1").vector == pytest.approx([0.6, 0.8, *[0] * (DIMENSION - 2)])
        assert index.get("2").vector == pytest.approx([*[0] * (DIMENSION - 1), -1])
        scores = [[hit.score for hit in hits] for hits in index.search_many(forms_of_vectors(VECTORS)[what])]
        assert scores == [pytest.approx([1, 0]), pytest.approx([1, 0])]
        first = next(iter(forms_of_vectors(VECTORS)[what]))
        if "pyarrow" not in what:  # its items are not Python vectors
            assert index.search(first, k=1)[0].key == "1"
            records = [Record("three", "3", vector=first)]
            assert index.add(records, space="theirs").added == 1
            assert index.get("3").vector == pytest.approx(index.get("1").vector)


def test_numpy_numbers_flags_and_strings_are_accepted(tmp_path: Path) -> None:
    small_index(tmp_path / "i")
    with opened(
        tmp_path / "i",
        create=np.bool_(False),
        readonly=np.True_,
        lock_timeout=np.float32(0.5),
        threads=np.int8(1),
    ) as index:
        assert index.readonly is True
        assert [hit.key for hit in index.search(Text("one"), k=np.uint8(1))] == ["a"]
        assert index.get(np.str_("a")).text == "one"
        assert index.similar(Text("a"), k=np.int64(1)) == index.similar("a", k=1)
        expected = index.search("one", where={"n": 3})
        assert [hit.key for hit in expected] == ["d"]
        for three in (np.int64(3), np.float16(3), np.array(3), fractions.Fraction(3).numerator):
            assert index.search("one", where={"n": three}) == expected
            assert index.search("one", where={"n": {"$in": [three]}}) == expected
        assert index.search("one", where={"n": {"$in": np.array([3, 9])}}) == expected
        assert index.search("one", where=np.str_("n = 3")) == expected
    with opened(tmp_path / "i", lock_timeout=fractions.Fraction(1, 2)) as index:
        assert index.delete({"d", np.str_("a")}) == 2
        exported = index.export(Text(tmp_path / "e"), np.str_("npy"))
        assert exported.records == 1
        assert ToyEncoder().encode(["one"], role=np.str_("query")).shape == (1, DIMENSION)


def test_metadata_accepts_numpy_scalars(tmp_path: Path) -> None:
    right = {
        "i": np.int64(1),
        "f": np.float32(0.5),
        "b": np.True_,
        "s": np.str_("x"),
        "a": [np.array(2)],
        "e": Named.RED,
    }
    with opened(tmp_path / "i") as index:
        index.add(["one"], keys=["a"], metadata=[right])
        stored = {"i": 1, "f": 0.5, "b": True, "s": "x", "a": [2], "e": "red"}
        assert index.get("a").metadata == stored
        assert index.search("one", where={"i": 1, "b": True, "e": "red"})[0].key == "a"


def test_pooling_accepts_every_type_of_tensor_but_no_missing_numbers() -> None:
    states, mask = np.array([[[1.0, 2], [3, 6]], [[5, 5], [9, 9]]]), np.array([[1, 1], [1, 0]])
    expected = [[2, 4], [5, 5]]
    for vectors in (states, states.astype("g"), states.astype("f2"), states.tolist(), np.ma.masked_array(states)):
        for real in (mask, mask.astype(bool), mask.astype("u1"), mask.astype("f4"), torch.tensor(mask)):
            assert vecindex.mean_pool(vectors, real).tolist() == expected
    for kind in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        tensor = torch.tensor(states, dtype=kind, requires_grad=True)
        for real in (mask, mask.astype("u1"), mask.tolist(), torch.tensor(mask).bool()):
            assert vecindex.mean_pool(tensor, real).tolist() == expected
        items = [item[None] for item in tensor]
        assert vecindex.pool_features(items).tolist() == [[2, 4], [7, 7]]
    for item in ([[[1.0, None]]], [[[1.0, "2"]]], [[[1j, 2]]], [[[True, False]]]):
        with pytest.raises(InvalidInput, match=r"^the features of item 1 are"):
            vecindex.pool_features([[[[1.0, 2.0]]], item])
    with pytest.raises(InvalidInput, match=r"^the token vectors hold a number that is too large for float32"):
        vecindex.mean_pool(states * 1e300, mask)
