"""Upkeep: codes are made and extended, and dead rows are dropped; tuned settings are kept."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import vecindex
from vecindex import Hit, Index, InvalidInput
from vecindex.search.dense import codes, plan, tune
from vecindex.search.dense.plan import Route
from vecindex.search.dense.settings import CodeSettings
from vecindex.search.derived import upkeep
from vecindex.store.disk.system_calls import Disk, replaced

from ...support.helpers import opened, snapshots

ROWS, DIMENSION = 3000, 64
Vectors = npt.NDArray[np.float32]


def unit(rows: int, seed: int) -> Vectors:
    drawn = np.random.default_rng(seed).standard_normal((rows, DIMENSION))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), dtype=np.float32)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes are used from 500 rows on instead of 10,000."""
    for module, name, value in (
        *((upkeep, "ROWS_FOR_CODES", 500), (upkeep, "TAIL", 100), (upkeep, "TAIL_WITHIN_AN_ADD", 500)),
        *((plan, "CODED_ROWS", 500), (plan, "RANK_ROWS", 50), (tune, "CODED_ROWS", 500)),
        # Scanning so few rows is faster than using codes, and would leave the codes untested.
        *((plan, "_scan", lambda *_: 1e12), (plan, "_rank", lambda rows, allowed, _: 1.0 if allowed < 50 else 1e12)),
    ):
        monkeypatch.setattr(module, name, value)


@pytest.fixture
def vectors() -> Vectors:
    return unit(ROWS, 0)


@pytest.fixture
def index(tmp_path: Path, vectors: Vectors) -> Iterator[Index]:
    with vecindex.open(tmp_path / "i") as index:
        add(index, vectors, range(ROWS))
        yield index


def add(index: Index, vectors: Vectors, rows: range) -> None:
    index.add(
        [f"text {n}" for n in rows],
        keys=[f"k{n}" for n in rows],
        metadata=[{"n": n} for n in rows],
        vectors=vectors[rows.start : rows.stop],
    )


def exact(vectors: Vectors, query: Vectors, keep: Any = slice(None)) -> list[str]:
    scores = vectors @ query
    rows = np.arange(len(vectors))[keep]
    return [f"k{row}" for row in rows[np.lexsort((rows, -scores[rows]))][:10].tolist()]


def files(index: Index) -> set[str]:
    return {path.name for path in Path(index.path).glob("codes-*")}


def test_codes_made_by_an_add_find_the_exact_answer(index: Index, vectors: Vectors) -> None:
    info = index.info()
    assert (info.tail_rows, info.codes) == (0, "4 bits a dimension, 10 candidates a hit, 3000 rows")
    assert len(files(index)) == 2
    for query in unit(20, 1):
        assert [hit.key for hit in index.search(query, k=10)] == exact(vectors, query)
        found = [hit.key for hit in index.search(query, k=10, where={"n": {"$lt": 1500}})]
        assert found == exact(vectors, query, slice(1500))


def test_a_tail_is_searched_exactly_until_it_is_long_enough_for_codes(index: Index) -> None:
    more = unit(ROWS + 150, 0)
    more[ROWS:] = unit(150, 2)
    add(index, more, range(ROWS, ROWS + 90))
    assert index.info().tail_rows == 90
    assert index.search(more[ROWS + 40], k=1)[0].key == f"k{ROWS + 40}"
    before = files(index)
    add(index, more, range(ROWS + 90, ROWS + 150))
    assert index.info().tail_rows == 0
    assert not before & files(index)
    for query in (more[ROWS + 40], more[ROWS + 140], more[3]):
        assert [hit.key for hit in index.search(query, k=10)] == exact(more, query)


def test_explain_search_reports_the_route(index: Index, vectors: Vectors) -> None:
    hits, explanation = index.explain_search(vectors[7], k=3)
    assert [hit.key for hit in hits] == [hit.key for hit in index.search(vectors[7], k=3)]
    assert (explanation.rows, explanation.allowed, explanation.coded, explanation.tail) == (ROWS, ROWS, ROWS, 0)
    assert explanation.route in (Route.CODES, Route.MASKED)
    assert "fetch" in explanation.milliseconds
    _, few = index.explain_search(vectors[7], k=3, where="n < 20")
    assert (few.route, few.allowed) == (Route.RANK, 20)


@pytest.mark.parametrize("what", ["removed", "damaged"])
def test_lost_codes_do_not_change_answers_and_return_with_the_next_change(
    index: Index, vectors: Vectors, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    index.close()
    for path in Path(index.path).glob("codes-*"):
        path.unlink() if what == "removed" else path.write_bytes(b"garbage")
    logging.getLogger("vecindex").propagate = True
    with vecindex.open(index.path) as again:
        query = unit(1, 3)[0]
        for where, keep in ((None, slice(None)), ("n < 1500", slice(1500))):
            assert [hit.key for hit in again.search(query, k=10, where=where)] == exact(vectors, query, keep)
        assert ("is damaged" in caplog.text) == (what == "damaged")
        assert not again.verify().ok
        again.delete(["k0"])
        assert again.verify().ok
        assert [hit.key for hit in again.search(query, k=10)] == exact(vectors, query, slice(1, None))


def keys(hits: list[Hit]) -> list[str]:
    return [hit.key for hit in hits]


ANSWERS: dict[str, Callable[[Index, Vectors], list[str]]] = {
    "search": lambda index, query: keys(index.search(query, k=10, where="n < 1500")),
    "explain_search": lambda index, query: keys(index.explain_search(query, k=10, where="n < 1500")[0]),
    "similar": lambda index, _: ["k7", *keys(index.similar("k7", k=9, where="n < 1500"))],
}


@pytest.mark.parametrize("what", ["damaged", "unreadable"])
@pytest.mark.parametrize("by", ANSWERS)
def test_a_search_goes_on_when_masked_codes_are_found_damaged(
    index: Index,
    vectors: Vectors,
    by: str,
    what: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index.close()
    if what == "damaged":
        (masked,) = Path(index.path).glob("codes-*-masked.faiss")
        masked.write_bytes(masked.read_bytes()[:-1] + b"?")
    else:  # as published, and yet FAISS cannot read it

        def unreadable(*_: object) -> None:
            raise ValueError("the 'masked' codes cannot be read")

        monkeypatch.setattr(codes, "_with_ids", unreadable)
    monkeypatch.setattr(plan, "_codes", lambda *_: 1e13)  # a filter needs the masked codes
    plan.plan.cache_clear()
    logging.getLogger("vecindex").propagate = True
    with vecindex.open(index.path) as again:
        assert again.explain_search(vectors[7])[1].coded == ROWS  # this loads the fast codes only
        assert caplog.text == ""
        for _ in range(2):
            assert ANSWERS[by](again, vectors[7]) == exact(vectors, vectors[7], slice(1500))
        assert caplog.text.count("is damaged") == 1
        assert again.explain_search(vectors[7])[1].coded == 0


@pytest.mark.parametrize("where", [None, "n < 1500"])
def test_codes_that_cannot_be_read_are_tried_once(
    index: Index, vectors: Vectors, where: str | None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.close()

    def unreadable(*_: object) -> None:
        raise ValueError("the 'fast' codes cannot be read")

    monkeypatch.setattr(codes, "_deserialised", unreadable)
    logging.getLogger("vecindex").propagate = True
    with vecindex.open(index.path) as again:
        for _ in range(2):
            assert len(again.search(vectors[7], k=10, where=where)) == 10
        assert caplog.text.count("cannot be read") == 1
        (fault,) = again.verify().faults
        assert Path(fault.path).exists()


def test_more_than_30_percent_of_dead_rows_are_dropped_at_once(index: Index, vectors: Vectors) -> None:
    index.delete(where="n < 800")
    assert (index.info().dead_rows, len(index)) == (800, 2200)
    index.delete(where="n < 1100")
    assert (index.info().dead_rows, index.info().tail_rows, len(index)) == (0, 0, 1900)
    for query in unit(5, 4):
        assert [hit.key for hit in index.search(query, k=10)] == exact(vectors, query, slice(1100, None))


def test_failed_upkeep_does_not_fail_the_change(
    index: Index, vectors: Vectors, caplog: pytest.LogCaptureFixture
) -> None:
    class Full(Disk):
        def rename(self, source: Path, path: Path) -> None:
            raise OSError(28, "No space left on device", str(path))

    logging.getLogger("vecindex").propagate = True
    more = np.concatenate([vectors, unit(200, 5)])
    with replaced(Full()):
        add(index, more, range(ROWS, ROWS + 200))
    assert "nothing is lost, and the next change tries again" in caplog.text
    assert (len(index), index.info().tail_rows) == (ROWS + 200, 200)
    assert index.search(more[ROWS + 7], k=1)[0].key == f"k{ROWS + 7}"
    index.delete(["k1"])
    assert index.info().tail_rows == 0


def test_tuned_settings_are_kept_and_shown(index: Index, vectors: Vectors) -> None:
    trials: list[Any] = []
    chosen = index.tune(recall=0.9, progress=trials.append)
    assert chosen.recall >= 0.9
    assert trials
    info = index.info()
    assert info.codes is not None
    assert f"recall {chosen.recall:.4f} measured on " in info.codes
    more = np.concatenate([vectors, unit(2000, 6)])
    add(index, more, range(ROWS, ROWS + 2000))
    assert index.info().tail_rows == 0
    index.delete(where="n < 100")
    index.compact()
    with snapshots(index).take() as snapshot:
        assert snapshot.codes is not None
        kept = CodeSettings.from_json(snapshot.codes.settings)
    assert (kept.factor, kept.recall) == (chosen.settings.factor, chosen.settings.recall)
    assert index.verify().ok
    with pytest.raises(InvalidInput, match="no settings reach recall 1 within 1e-05 ms"):
        index.tune(recall=1.0, latency_ms=1e-5)


def test_a_small_index_needs_no_tuning(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        with pytest.raises(InvalidInput):
            index.tune()
        index.add(["one", "two"])
        with pytest.raises(InvalidInput, match="every search is exact"):
            index.tune()


def test_an_index_opened_before_a_fork_is_refused_in_the_child(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.add(["one"])
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                index.search([1.0] * 16)
                said = "nothing"
            except BaseException as error:
                said = str(error)
            os.write(write, said.encode())
            os._exit(0)
        os.waitpid(pid, 0)
        os.close(write)
        with os.fdopen(read) as pipe:
            said = pipe.read()
        assert said.startswith(
            f"the index was opened by process {os.getpid()}, of which this process, {pid}, is a fork"
        )
        assert len(index.search("one")) == 1
