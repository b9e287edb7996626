"""A record loses its vector when None is given for it, and keeps it when nothing is said of vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vecindex import Index, Record

from ..support.helpers import opened


def lacking(index: Index) -> list[str]:
    return [record.key or "" for record in index.list() if not record.has_vector]


def test_none_in_vectors_drops_the_vector_in_the_same_commit(tmp_path: Path) -> None:
    one, two = [1.0, 0.0], [0.0, 1.0]
    with opened(tmp_path / "i", model=None) as index:
        index.add(list("abc"), keys=list("abc"), metadata=[{"n": 1}] * 3, vectors=[one, one, None], space="mine")
        mixed = [Record("a", "a"), Record("b", "b", vector=np.array(one, np.float32))]
        for report in (index.add(mixed, space="mine"), index.add(["a", "b"], keys=["a", "b"], encode=False)):
            assert (report.unchanged, index.get("a").has_vector) == (2, True)  # they say nothing of the vector of "a"
        before = index.info().generation
        report = index.add(list("abc"), keys=list("abc"), vectors=[None, two, None])
        assert (report.updated, report.unchanged, report.without_vector) == (2, 1, 1)
        assert index.info().generation == before + 1
        assert [(record.key, record.metadata) for record in index.list()] == [(key, {"n": 1}) for key in "cab"]
        assert [(hit.key, hit.score) for hit in index.search(two, 9)] == [("b", 1.0)]
        assert [hit.key for hit in index.search("a", mode="lexical")] == ["a"]
        report = index.add(list("ab"), keys=list("ab"), vectors=[None, None])
        assert (report.updated, report.unchanged) == (1, 1)
        assert (index.search(two, 9), lacking(index), index.info().model) == ([], ["c", "a", "b"], "mine")
        assert index.add(["a"], keys=["a"], vectors=[one]).updated == 1
        twice = index.add(["a", "a"], keys=["a", "a"], vectors=[two, None], on_duplicate="last")
        assert (twice.updated, twice.duplicates, lacking(index)) == (1, 1, ["c", "b", "a"])
        index.compact()
        assert index.verify().ok
