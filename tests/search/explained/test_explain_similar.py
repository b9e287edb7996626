"""`Index.explain_similar` explains the neighbours of stored records as `explain_search` does those of a vector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecindex import Index
from vecindex.search.dense.plan import Route
from vecindex.search.shaping.direction import direction

from ...support.helpers import opened
from ...support.pump_texts import TEXTS
from ...support.toy import ToyEncoder


@pytest.fixture
def index(tmp_path: Path) -> Index:
    index = opened(tmp_path / "i")
    index.add(list(TEXTS.values()), keys=list(TEXTS), metadata=[{"odd": n % 2} for n in range(len(TEXTS))])
    return index


@pytest.mark.parametrize(
    "options",
    [{}, {"k": 2, "diversity": 0.5}, {"group_by": "odd", "where": "odd = 1"}, {"min_score": -0.5}],
    ids=["plainly", "diversity", "groups and a filter", "least score"],
)
@pytest.mark.parametrize(("like", "unlike"), [(["rain"], []), (["rain", "again"], []), (["rain"], ["again"])])
def test_the_hits_are_those_of_similar_and_tokens_add_up_to_their_cosines(
    index: Index, like: list[str], unlike: list[str], options: dict[str, Any]
) -> None:
    hits, report = index.explain_similar(like, not_=unlike, **options)
    assert hits
    assert hits == index.similar(like, not_=unlike, **options)
    assert [(each.rank, each.key) for each in report.explanations] == [(hit.rank, hit.key) for hit in hits]
    for hit, each in zip(hits, report.explanations, strict=True):
        assert sum(token.contribution or 0.0 for token in each.tokens) == pytest.approx(hit.score, abs=1e-6)
        assert (each.terms, each.pairs, each.notes) == ((), (), {})


def test_it_explains_what_a_search_by_the_same_vector_does(index: Index) -> None:
    keys = ["rain", "again"]
    vectors = np.array([index.get(key).vector for key in keys])
    mean = direction(vectors, vectors[:0])
    _, report = index.explain_similar(keys)
    _, expected = index.explain_search(mean, exclude=keys)
    for found, wanted in zip(report.explanations, expected.explanations, strict=True):
        assert (found.rank, found.key, found.standings) == (wanted.rank, wanted.key, wanted.standings)
        contributions = [token.contribution for token in wanted.tokens]
        assert [token.contribution for token in found.tokens] == pytest.approx(contributions, abs=1e-6)
    assert (report.mode, report.route, report.rows) == ("dense", Route.RANK, len(TEXTS))
    assert (report.route, report.allowed, report.rescored) == (expected.route, expected.allowed, expected.rescored)
    assert {"filter", "fetch", "explain"} <= set(report.milliseconds)


def test_what_cannot_be_explained_is_left_out_and_said(tmp_path: Path) -> None:
    encoder = ToyEncoder()
    with opened(tmp_path / "own", model=encoder) as index:
        given = encoder.encode(["sun", "rain"])
        index.add(["sun", "sun again"], keys=["a", "b"], vectors=given, space=encoder.space)
        (found,) = index.explain_similar("a")[1].explanations
        assert found.notes["tokens"].startswith("the stored vector is not what the model makes of the text: ")
    with opened(tmp_path / "other") as index:
        index.add(["sun", "rain"], keys=["a", "b"], vectors=given, space="theirs")
        hits, report = index.explain_similar("a")
        (found,) = report.explanations
        assert (found.key, found.tokens, [each.by for each in found.standings]) == ("b", (), ["dense"])
        assert "theirs" in found.notes["tokens"]
        assert hits == index.similar("a")
