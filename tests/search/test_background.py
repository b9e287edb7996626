"""The background: what share of random pairs of records is less near than a cosine, and how it is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vecindex
from vecindex import Index
from vecindex.search import view
from vecindex.search.background import SAMPLE, Background, background, covered, sampled
from vecindex.search.derived import upkeep

from ..support.crafted import rewrite
from ..support.helpers import opened, snapshots, sql
from ..support.toy import ToyEncoder

Vectors = npt.NDArray[np.float32]


def unit(rows: int, dimension: int = 32, seed: int = 0) -> Vectors:
    drawn = np.random.default_rng(seed).standard_normal((rows, dimension))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float32)


def made(vectors: Vectors) -> Background:
    found = background(len(vectors), vectors)
    assert found is not None
    return found


def pairs_of(vectors: Vectors) -> npt.NDArray[np.float64]:
    wide = vectors.astype(np.float64)
    return np.sort((wide @ wide.T)[np.triu_indices(len(vectors), 1)])


# --- pure


def test_a_percentile_is_the_share_of_pairs_with_a_lower_cosine() -> None:
    vectors = unit(400)
    found, pairs = made(vectors), pairs_of(vectors)
    asked = np.linspace(-0.7, 0.9, 100)
    share = 100 * np.searchsorted(pairs, asked) / len(pairs)
    assert found.percentile(asked) == pytest.approx(share, abs=0.5)  # between those that are kept
    assert found.mean == pytest.approx(pairs.mean(), abs=1e-6)
    tail = pairs[-(len(pairs) // 1_000)]  # one pair in a thousand is as near
    assert found.percentile([tail])[0] == pytest.approx(99.9, abs=0.01)
    assert found.percentile([-1.0, 1.0]).tolist() == [0, 100]


def test_a_percentile_and_its_cosine_belong_together() -> None:
    found = made(unit(100))
    for percentile in (0.0, 3.0, 50.0, 99.9, 99.97, 100.0):
        assert found.percentile([found.cosine(percentile)])[0] == pytest.approx(percentile, abs=1e-9)
    assert found.cosine(100) == max(found.cosines)


def test_pairs_that_are_as_near_do_not_count_as_less_near() -> None:
    alike = made(np.tile(unit(1), (9, 1)))
    assert alike.percentile([0.9, 1.0]).tolist() == [0, 0]
    a, b = unit(2)
    two = made(np.stack([a, b]))
    only = float(a @ b)
    assert two.percentile([only - 1e-3, only + 1e-3]).tolist() == [0, 100]
    assert only + 1e-5 > two.cosine(50) > two.cosine(0) == pytest.approx(only, abs=1e-6)


def test_fewer_than_two_records_have_no_background() -> None:
    assert background(0, unit(0)) is None
    assert background(1, unit(1)) is None
    broken = unit(3)
    broken[1:] = np.nan
    assert background(3, broken) is None


def test_the_sample_is_of_the_oldest_records_and_changes_when_their_number_doubles() -> None:
    assert [covered(n) for n in (0, 1, 2, 3, 4, 1_023, 1_024, 5_000)] == [0, 1, 2, 2, 4, 512, 1_024, 4_096]
    live = np.flatnonzero(np.arange(9_000) % 3)  # 6,000 rows
    rows = sampled(live)
    assert len(rows) == SAMPLE
    assert set(rows.tolist()) <= set(live[:4_096].tolist())
    assert (rows[0], rows[-1]) == (live[0], live[4_095])
    assert np.array_equal(sampled(live[:4_096]), rows)
    assert not np.array_equal(sampled(live[:4_095]), rows)
    assert sampled(live[:700]).tolist() == live[:512].tolist()


def test_json_gives_the_same_background_again() -> None:
    found = made(unit(50))
    assert Background.from_json(found.to_json()) == found


GOOD: dict[str, Any] = {"records": 4, "mean": 0.1, "percentiles": [0, 50, 100], "cosines": [-0.5, 0, 0.5]}


@pytest.mark.parametrize(
    "change",
    [
        {"records": 1},
        {"records": 4.0},
        {"mean": 2},
        {"mean": "0"},
        {"percentiles": []},
        {"percentiles": [0, 100]},
        {"percentiles": [0, 50, 101]},
        {"percentiles": [0, 60, 50]},
        {"percentiles": [0, None, 50]},
        {"percentiles": 7},
        {"cosines": [0, 0, 1]},
        {"cosines": [-2, 0, 1]},
        {"cosines": [0, 0.1, float("nan")]},
        {"cosines": [0, 0.1, 10**400]},
        {"mean": -(10**400)},
        {"cosines": [n / 2_000 for n in range(1_500)], "percentiles": [n / 20 for n in range(1_500)]},
        {"more": 1},
    ],
)
def test_what_is_no_background_is_refused(change: dict[str, Any]) -> None:
    assert Background.from_json(json.dumps(GOOD)).mean == 0.1
    with pytest.raises(ValueError, match=r"it is|it has|its (numbers|percentiles)"):
        Background.from_json(json.dumps(GOOD | change))


def test_json_that_is_nested_too_deep_is_no_background() -> None:
    with pytest.raises(ValueError, match="nested too deep"):
        Background.from_json("[" * 100_000)


@given(st.lists(st.lists(st.integers(-3, 3), min_size=2, max_size=2), min_size=2, max_size=30))
def test_percentiles_rise_with_the_cosine(found: list[list[int]]) -> None:
    wide = np.array(found) + 0.25
    of = made((wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float32))
    asked = np.sort(np.concatenate([np.linspace(-1, 1, 21), of.cosines]))
    shares = of.percentile(asked)
    assert (np.diff(shares) >= 0).all()
    assert 0 <= shares.min() <= shares.max() <= 100


# --- kept with an index


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    monkeypatch.setattr(upkeep, "RECORDS_FOR_BACKGROUND", 64)
    with opened(tmp_path / "i") as index:
        yield index


def add(index: Index, count: int, first: int = 0) -> None:
    numbers = range(first, first + count)
    index.add([f"text {n} of {n % 7}" for n in numbers], keys=[f"k{n}" for n in numbers])


def stored(index: Index) -> Background | None:
    return view.stored_background(index._manifest().background)


def seen(index: Index) -> Background | None:
    with snapshots(index).take() as snapshot:
        return index._accelerator.view(snapshot).background


def test_it_is_stored_with_enough_records_and_again_when_they_have_doubled(index: Index) -> None:
    add(index, 40)
    assert stored(index) is None
    add(index, 24, 40)
    first = stored(index)
    assert first is not None
    assert first.records == 64
    add(index, 63, 64)
    assert stored(index) == first
    add(index, 1, 127)
    second = stored(index)
    assert second is not None
    assert (second.records, second != first) == (128, True)
    index.delete([f"k{n}" for n in range(50)])
    assert stored(index) == second
    index.delete([f"k{n}" for n in range(50, 80)])
    third = stored(index)
    assert third is not None
    assert third.records == 32
    assert index.verify().ok


def test_a_search_makes_the_same_one_where_none_is_stored(index: Index, tmp_path: Path) -> None:
    add(index, 100)
    before = stored(index)
    assert before == seen(index) is not None
    rewrite(tmp_path / "i", background=None)
    with opened(tmp_path / "i", readonly=True) as reader:
        assert seen(reader) == before
        assert stored(reader) is None
    add(index, 1, 100)
    assert stored(index) == before


def test_one_of_another_version_is_made_again(index: Index, tmp_path: Path) -> None:
    add(index, 100)
    before = stored(index)
    rewrite(tmp_path / "i", background={"version": 9})
    with opened(tmp_path / "i") as later:
        assert (stored(later), seen(later)) == (None, before)
        assert later.verify().ok
        add(later, 1, 100)
        assert stored(later) == before


def test_a_compaction_keeps_it_and_another_model_has_its_own(index: Index) -> None:
    add(index, 100)
    before = stored(index)
    index.delete([f"k{n}" for n in range(90, 100)])
    index.compact()
    assert stored(index) == before
    index.migrate(ToyEncoder(dimension=48))
    after = stored(index)
    assert after is not None
    assert (after.records, after != before) == (64, True)
    assert after == seen(index)


def test_a_compaction_makes_it_of_the_records_that_are_left(index: Index) -> None:
    add(index, 100)
    before = stored(index)
    index.add([f"w {'x ' * (n % 9)}" for n in range(100)], keys=[f"k{n}" for n in range(100)])
    assert stored(index) == before
    index.compact()
    after = stored(index)
    assert after is not None
    assert after.mean > 0.2 + (before.mean if before else 0)
    index.delete([f"k{n}" for n in range(60)])
    index.compact()
    assert stored(index) is None  # there are too few


def test_small_indexes_see_every_change_of_their_oldest_records(index: Index) -> None:
    assert seen(index) is None
    add(index, 1)
    assert seen(index) is None
    add(index, 4, 1)
    first = seen(index)
    assert first is not None
    assert first.records == 4
    add(index, 1, 5)
    assert seen(index) == first
    index.delete(["k1"])
    assert seen(index) != first
    index.delete(["k0", "k2", "k3", "k4"])
    assert seen(index) is None


def test_a_damaged_background_is_a_damaged_manifest(index: Index, tmp_path: Path) -> None:
    add(index, 100)
    sql(tmp_path / "i", "update manifest set background = replace(background, '0.1', '0.2')")
    with pytest.raises(vecindex.CorruptIndex), opened(tmp_path / "i") as later:
        later.search("text")
