"""A least percentile: records nearer than so many random pairs match, which means the same with every model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecindex import Index, InvalidInput

from ...support.commands import run
from ...support.helpers import opened, snapshots

COUNT = 200


def random_index(path: Path, common: float, count: int = COUNT) -> Index:
    """Random vectors, which have a direction in common that makes ``common`` of each cosine."""
    drawn = np.random.default_rng(3).standard_normal((count, 24))
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    vectors = np.hstack([np.full((count, 1), np.sqrt(common)), np.sqrt(1 - common) * drawn])
    index = opened(path, model=None)
    index.add(
        [f"text {n}" for n in range(count)], keys=[f"k{n}" for n in range(count)], vectors=vectors, space="theirs"
    )
    return index


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return random_index(tmp_path / "i", 0.0)


def test_hits_are_the_records_of_at_least_that_percentile(index: Index) -> None:
    with snapshots(index).take() as snapshot:
        background = index._accelerator.view(snapshot).background
    assert background is not None
    every = index.similar("k7", COUNT, min_percentile=0)
    assert len(every) == COUNT - 1
    assert [hit.percentile for hit in every] == background.percentile([hit.score for hit in every]).tolist()
    assert [hit.percentile for hit in every] == sorted((hit.percentile or 0 for hit in every), reverse=True)
    for least in (20.0, 90.0, 99.5, 100.0):
        found = index.similar("k7", COUNT, min_percentile=least)
        assert found == [hit for hit in every if (hit.percentile or 0) >= least]
    both = index.similar("k7", COUNT, min_percentile=20, min_score=every[9].score)
    assert both == every[:10]


def test_hits_have_no_percentile_unless_it_is_asked_for(index: Index) -> None:
    (hit,) = index.similar("k7", 1)
    assert hit.percentile is None
    assert "percentile" not in hit.to_dict()
    assert "percentile" not in repr(hit)
    (hit,) = index.similar("k7", 1, min_percentile=5)
    assert hit.to_dict()["percentile"] == hit.percentile


def test_the_same_threshold_serves_a_model_of_which_all_cosines_are_high(index: Index, tmp_path: Path) -> None:
    with random_index(tmp_path / "narrow", 0.7) as narrow:
        for least in (50, 95, 99):
            wanted, found = (each.similar("k7", COUNT, min_percentile=least) for each in (index, narrow))
            assert [hit.key for hit in found] == [hit.key for hit in wanted]
            assert 0 < len(found) < COUNT / 2 + 20
            assert [hit.percentile for hit in found] == pytest.approx([hit.percentile for hit in wanted], abs=0.01)
            assert min(hit.score for hit in found) > 0.65


@pytest.mark.parametrize("mode", ["dense", "hybrid"])
def test_it_holds_in_every_way_to_search(tmp_path: Path, mode: Any) -> None:
    with opened(tmp_path / "words") as index:
        words = np.random.default_rng(1).choice(["rain", "pump", "name", "otto", "sun"], (60, 4))
        index.add([" ".join(row) for row in words], metadata=[{"g": n % 5} for n in range(60)])
        asked: dict[str, Any] = {"mode": mode, "min_percentile": 80.0}
        found = index.search("rain pump", 60, **asked)
        assert 0 < len(found) < 60
        assert min(hit.percentile or 0 for hit in found) >= 80
        some = {hit.key for hit in found if hit.metadata["g"] < 2}
        assert {hit.key for hit in index.search("rain pump", 60, where="g < 2", **asked)} == some
        assert list(index.search_all("rain pump", mode=mode, min_percentile=80)) == found
        assert index.search_many(["rain pump"], 60, **asked) == [found]
        assert index.explain_search("rain pump", 60, **asked)[0] == found


def test_an_index_without_two_records_has_no_percentiles(tmp_path: Path) -> None:
    with opened(tmp_path / "one") as index:
        assert index.search("rain", min_percentile=99) == []
        index.add(["rain"])
        (hit,) = index.search("sun", min_percentile=99)
        assert hit.percentile is None


def test_what_is_no_percentile_is_refused(index: Index) -> None:
    with pytest.raises(InvalidInput, match="the least percentile is 101"):
        index.similar("k7", min_percentile=101)
    with pytest.raises(InvalidInput, match="min_percentile is -1"):
        index.similar("k7", min_percentile=-1)
    with pytest.raises(InvalidInput, match="a lexical search has none"):
        index.search("text", mode="lexical", min_percentile=50)


def test_the_command_leaves_them_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    random_index(tmp_path / ".vecindex", 0.0).close()
    code, out, _ = run("similar", "k7", "-k", "200", "--min-percentile", "95", "--format", "json")
    hits = json.loads(out)
    assert code == 0
    assert 0 < len(hits) < 30
    assert all(95 <= hit["percentile"] <= 100 for hit in hits)
    assert run("similar", "k7", "--min-percentile", "101")[0] == 2
    assert run("search", "text", "--mode", "lexical", "--min-percentile", "5")[0] == 1
