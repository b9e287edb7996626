"""Records like some examples and unlike others: by the mean of the ones minus the mean of the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex import Hits, Index, InvalidInput, RecordNotFound

from ...support.commands import run
from ...support.extent import examples
from ...support.helpers import opened

COUNT, DIMENSION = 90, 6
KEYS = [f"k{n}" for n in range(COUNT)]


def unit_vectors() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    drawn = np.random.default_rng(7).standard_normal((COUNT, DIMENSION))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float32)


VECTORS = unit_vectors()


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    index = opened(tmp_path_factory.mktemp("examples") / "i")
    metadata = [{"n": n, "g": n % 20} for n in range(COUNT)]
    index.add([f"t{n}" for n in range(COUNT)], keys=KEYS, metadata=metadata, vectors=VECTORS, space="theirs")
    return index


def expected(like: list[int], unlike: list[int]) -> list[tuple[str, float]]:
    """Every record but the examples, by numpy in double precision."""
    wide = VECTORS.astype(np.float64)
    found = wide[like].mean(axis=0) - (wide[unlike].mean(axis=0) if unlike else 0)
    cosines = wide @ (found / np.linalg.norm(found))
    order = sorted(set(range(COUNT)) - {*like, *unlike}, key=lambda n: -cosines[n])
    return [(KEYS[n], float(cosines[n])) for n in order]


def assert_same(hits: Hits, wanted: list[tuple[str, float]]) -> None:
    assert [hit.key for hit in hits] == [key for key, _ in wanted]
    np.testing.assert_allclose([hit.score for hit in hits], [score for _, score in wanted], atol=1e-5)


@examples(60)
@given(st.lists(st.integers(0, COUNT - 1), min_size=1, max_size=9, unique=True), st.integers(0, 4), st.integers(1, 100))
def test_hits_are_nearest_to_the_mean_of_the_ones_minus_that_of_the_others(
    index: Index, drawn: list[int], others: int, k: int
) -> None:
    others = min(others, len(drawn) - 1)
    like, unlike = drawn[others:], drawn[:others]
    found = index.similar([KEYS[n] for n in like], k, not_=[KEYS[n] for n in unlike])
    assert_same(found, expected(like, unlike)[:k])


def test_one_example_in_a_list_finds_the_same_as_its_key(index: Index) -> None:
    assert index.similar(["k5"], 20) == index.similar("k5", 20) == index.similar(["k5", "k5"], 20)


def test_filters_groups_and_other_options_hold_with_several_examples(index: Index) -> None:
    every = expected([1, 2], [3])
    found = index.similar(["k1", "k2"], 7, "n >= 40", not_=["k3"])
    assert_same(found, [pair for pair in every if int(pair[0][1:]) >= 40][:7])
    least = every[10][1] - 1e-4
    assert_same(index.similar(["k1", "k2"], 50, not_=["k3"], min_score=least), every[:11])
    assert_same(index.similar(["k1", "k2"], 5, not_=["k3"], exclude=[every[0][0]]), every[1:6])
    groups = [hit.metadata["g"] for hit in index.similar(["k1", "k2"], 90, not_=["k3"], group_by="g")]
    assert sorted(groups) == list(range(20))


def test_examples_without_a_direction_are_an_error(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        vectors = np.array([[1, 0], [-1, 0], [1, 0], [0, 1]])
        index.add(list("abcd"), keys=list("abcd"), vectors=vectors, space="theirs")
        for like, unlike in ((["a", "b"], []), (["a"], ["c"])):
            with pytest.raises(InvalidInput, match="the examples cancel each other out"):
                index.similar(like, not_=unlike)
        with pytest.raises(InvalidInput, match="the record 'a' is both an example and a counterexample"):
            index.similar(["a", "b"], not_=["a"])
        with pytest.raises(InvalidInput, match="no key is given"):
            index.similar([])
        for like, unlike in ((["a", "x"], []), (["a"], ["x"])):
            with pytest.raises(RecordNotFound, match="no record has the key 'x'"):
                index.similar(like, not_=unlike)


def test_the_command_takes_several_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with opened(tmp_path / ".vecindex") as index:
        vectors = np.array([[1, 0], [0, 1], [1, 1], [1, -1]])
        index.add(list("abcd"), keys=list("abcd"), vectors=vectors, space="theirs")
    assert run("similar", "a", "b", "-k", "1") == (0, "1  1.0000  c  [c]\n", "")
    assert run("similar", "a", "--not", "b", "-k", "1") == (0, "1  1.0000  d  [d]\n", "")
    assert run("similar")[0] == 2
