"""A scan in several threads proposes what a scan in one does, also when several run at once; work is spread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest

from vecindex.search.dense import codes, parallel_scan
from vecindex.search.dense.pace import SEARCHES, Pace
from vecindex.search.dense.parallel_scan import ParallelScan, spread, spread_in_order
from vecindex.search.dense.settings import FAST, CodeSettings


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(parallel_scan, "LEAST_ROWS", 256)
    monkeypatch.setattr(parallel_scan, "LEAST_SIGNS", 256)
    monkeypatch.setattr(parallel_scan, "available_cores", lambda: 3)
    monkeypatch.setattr(Pace, "cuts", lambda self: True)
    parallel_scan._pool.cache_clear()  # earlier tests made one for the cores that there are
    yield
    parallel_scan._pool.cache_clear()


def unit(rows: int, seed: int) -> Any:
    drawn = np.random.default_rng(seed).standard_normal((rows, 256)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@pytest.mark.parametrize("rows", [1, 31, 700, 1000, 1024, 2001])
def test_a_parallel_scan_proposes_what_faiss_does(rows: int) -> None:
    made = codes.build(unit(rows, 0), CodeSettings(2, 20)).variant(FAST)
    scan = ParallelScan(made.index)
    queries = unit(100, 1)
    for count in sorted({1, min(rows, 10), min(rows, 200)}):
        common = 0
        for query in queries:
            rotated = made.rotate(query[None, :])
            every, order = made.index.search(rotated, rows)
            estimate_of = dict(zip(order[0].tolist(), every[0].tolist(), strict=True))
            found, guessed = scan.search(rotated, count)
            assert found.shape == guessed.shape == (1, count)
            assert guessed[0].tolist() == pytest.approx([estimate_of[row] for row in found[0].tolist()], abs=1e-6)
            # Of rows that are unlikely to be among the first, FAISS never computes the second bit's estimate.
            common += len(set(found[0].tolist()) & set(made.index.search(rotated, count)[1][0].tolist()))
        assert common >= 0.97 * count * len(queries)


@pytest.mark.parametrize("bits", [1, 2])
def test_concurrent_scans_do_not_mix(bits: int) -> None:
    made = codes.build(unit(2000, 0), CodeSettings(bits, 20)).variant(FAST)
    scan = ParallelScan(made.index)
    queries = made.rotate(unit(40, 2))
    expected = [scan.search(query[None, :], 10)[1].tolist() for query in queries]
    wrong: list[int] = []

    def ask(first: int) -> None:
        for _ in range(20):
            asked = range(first, 40, 8)
            wrong.extend(i for i in asked if scan.search(queries[i][None, :], 10)[1].tolist() != expected[i])

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_share_that_no_thread_has_begun_is_scanned_by_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    made = codes.build(unit(2000, 0), CodeSettings(2, 20)).variant(FAST)
    scan = ParallelScan(made.index)
    never: list[Future[Any]] = []
    queries = made.rotate(unit(4, 1))
    expected = [scan.search(query[None, :], 10)[1].tolist() for query in queries]

    def queued(*_: Any) -> Future[Any]:
        never.append(Future())
        return never[-1]

    monkeypatch.setattr(parallel_scan, "in_thread", queued)
    assert [scan.search(query[None, :], 10)[1].tolist() for query in queries] == expected
    assert len(never) >= 8
    assert all(future.cancelled() for future in never)


def test_a_scan_beside_other_searches_starts_no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    made = codes.build(unit(2000, 0), CodeSettings(1, 20)).variant(FAST)
    scan = ParallelScan(made.index)
    rotated = made.rotate(unit(1, 1))
    expected = scan.search(rotated, 10)[1].tolist()
    monkeypatch.setattr(parallel_scan, "in_thread", None)
    with SEARCHES, SEARCHES:
        assert scan.search(rotated, 10)[1].tolist() == expected
    with SEARCHES, pytest.raises(TypeError):
        scan.search(rotated, 10)


def test_work_is_spread_over_threads_and_its_results_are_in_order() -> None:
    all_of_them = threading.Barrier(3)
    threads: set[int] = set()

    def work(number: int) -> int:
        if number < 3:
            all_of_them.wait(timeout=60)  # passes only if three threads are at work, this one among them
        threads.add(threading.get_ident())
        return number * number

    assert spread(work, range(200)) == [number * number for number in range(200)]
    assert len(threads) == 3
    assert threading.get_ident() in threads
    assert spread(work, range(0)) == []


def test_work_beside_other_searches_stays_in_its_thread() -> None:
    with SEARCHES, SEARCHES:
        assert set(spread(lambda _: threading.get_ident(), range(50))) == {threading.get_ident()}


@pytest.mark.parametrize("bad", [0, 1, 30, 49])
def test_an_error_in_spread_work_is_raised_once_all_threads_have_stopped(bad: int) -> None:
    running: list[int] = []

    def work(number: int) -> None:
        running.append(number)
        try:
            if number == bad:
                raise ValueError("bad")
        finally:
            running.remove(number)

    for _ in range(20):
        with pytest.raises(ValueError, match="bad"):
            spread(work, range(50))
        assert running == []


def test_results_are_given_in_order_while_other_threads_go_on() -> None:
    gates = [threading.Event() for _ in range(8)]
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        assert threading.current_thread() is threading.main_thread() or gates[number].wait(30)
        return number

    results = spread_in_order(work, range(8))
    gates[0].set()
    assert next(results) == 0
    for gate in reversed(gates):
        gate.set()
    assert list(results) == [1, 2, 3, 4, 5, 6, 7]
    assert sorted(begun) == list(range(8))


def test_work_that_nobody_asks_for_any_more_is_not_begun() -> None:
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        return number

    with SEARCHES, SEARCHES:  # no other thread helps
        results = spread_in_order(work, range(100))
        assert next(results) == 0
        results.close()
    assert begun == [0]
