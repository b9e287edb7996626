"""Searches in several threads: for one query the codes are split into shares, and many queries are spread.

FAISS's own threads share queries, not rows, and wait for each other on a busy machine. Here the caller scans the shares
that no thread has begun. Whether a scan is cut at all is decided in `pace`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from itertools import count as counter
from time import perf_counter
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from ...machine.cores import available_cores
from ...machine.threads import in_thread
from .load_faiss import load_faiss
from .pace import SEARCHES, Pace
from .sign_scan import ROWS_A_BLOCK, SignScan

Rows = npt.NDArray[np.int64]
Estimates = npt.NDArray[np.float32]
Item = TypeVar("Item")
Result = TypeVar("Result")

LEAST_ROWS = 24_576
"""Scanning a smaller share takes less time than waking a thread twice."""
LEAST_SIGNS = 98_304
"""As `LEAST_ROWS`, for codes of one bit, which `SignScan` scans."""
_MOST = 4


class Share(Protocol):
    """Some of the rows, as FAISS searches them."""

    def search(self, queries: Estimates, count: int) -> tuple[Estimates, Rows]:
        """Estimates (q, count), descending, and rows (q, count), for ``queries`` (q, D)."""


class ParallelScan:
    """Searches copies of an ``IndexRaBitQFastScan``, split into shares; the index itself is not changed."""

    def __init__(self, index: Any) -> None:
        self._are_signs = index.rabitq.nb_bits == 1
        least = LEAST_SIGNS if self._are_signs else LEAST_ROWS
        count = max(1, min(_MOST, available_cores(), index.ntotal // least))
        size = -(-index.ntotal // count)
        size += -size % ROWS_A_BLOCK
        self._starts = list(range(0, index.ntotal, size)) or [0]
        self._shares: list[Share]
        if self._are_signs:
            self._shares = [SignScan(index, start, min(start + size, index.ntotal)) for start in self._starts]
        else:
            self._whole: Share = index
            self._shares = [index] if count == 1 else [_share(index, start, size) for start in self._starts]
        self._pace = Pace()

    def search(self, query: Estimates, count: int) -> tuple[Rows, Estimates]:
        """Rows (1, count) and estimates (1, count), descending, for ``query`` (1, D); -1 stands for no row."""
        if len(self._shares) == 1 or SEARCHES.are_many:
            return self.search_whole(query, count)
        cuts, began = self._pace.cuts(), perf_counter()
        found = self._search_shares(query, count) if cuts else self.search_whole(query, count)
        if not SEARCHES.are_many:  # else the time is also theirs
            self._pace.took(perf_counter() - began, cuts)
        return found

    def search_whole(self, queries: Estimates, count: int) -> tuple[Rows, Estimates]:
        """As `search`, by this thread alone, for any number of queries."""
        if self._are_signs:
            return self._joined([share.search(queries, count) for share in self._shares], count)
        # FAISS is given one query at a time: for several it opens a parallel region, whose threads wait for each other
        # on a busy machine, and it takes as long for each of several as for one.
        found = [self._whole.search(query[None, :], count) for query in queries]
        return np.concatenate([rows for _, rows in found]), np.concatenate([estimates for estimates, _ in found])

    def _search_shares(self, query: Estimates, count: int) -> tuple[Rows, Estimates]:
        others = [_started(share.search, query, count) for share in self._shares[1:]]
        found = [self._shares[0].search(query, count)]
        for share, future in zip(self._shares[1:], others, strict=True):
            is_ours = future is None or future.cancel()  # no thread has begun it
            found.append(share.search(query, count) if is_ours or future is None else future.result())
        return self._joined(found, count)

    def _joined(self, found: list[tuple[Estimates, Rows]], count: int) -> tuple[Rows, Estimates]:
        """The best of what the shares found."""
        if len(found) == 1:
            return found[0][1], found[0][0]
        shifted = [np.where(rows < 0, rows, rows + start) for (_, rows), start in zip(found, self._starts, strict=True)]
        estimates, rows = np.concatenate([each for each, _ in found], axis=1), np.concatenate(shifted, axis=1)
        best = np.argsort(-estimates, axis=1, kind="stable")[:, :count]
        return np.take_along_axis(rows, best, 1), np.take_along_axis(estimates, best, 1)


def _share(index: Any, start: int, size: int) -> Any:
    faiss = load_faiss()
    stride = index.get_block_stride()
    stop = min(start + size, index.ntotal)
    share = faiss.IndexRaBitQFastScan(index.d, index.metric_type, index.bbs, index.rabitq.nb_bits)
    share.center, share.qb, share.centered = index.center, index.qb, index.centered
    codes = faiss.rev_swig_ptr(index.codes.get(), index.codes.size())
    taken = codes[start // ROWS_A_BLOCK * stride : -(-stop // ROWS_A_BLOCK) * stride]
    faiss.copy_array_to_AlignedTable(np.ascontiguousarray(taken), share.codes)
    share.ntotal, share.is_trained = stop - start, True
    share.ntotal2 = stop - start + -(stop - start) % ROWS_A_BLOCK
    return share


# --- threads ---------------------------------------------------------------------------------------------------------


@cache
def _pool(process: int) -> tuple[ThreadPoolExecutor, threading.Semaphore]:
    """The scanning threads of a process, one less than it has cores, and a count of the idle ones."""
    threads = max(1, min(_MOST, available_cores()) - 1)
    return ThreadPoolExecutor(threads, "vecindex-scan"), threading.Semaphore(threads)


def _started(work: Callable[..., Result], *arguments: Any) -> Future[Result] | None:
    """Starts work in another thread; None if no thread is idle."""
    pool, idle = _pool(os.getpid())
    if not idle.acquire(blocking=False):
        return None
    try:
        future = in_thread(pool, work, *arguments)
    except BaseException:
        idle.release()
        raise
    future.add_done_callback(lambda _: idle.release())
    return future


def spread(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """What ``work`` returns for each item: this thread and the idle ones take the next item in turn.

    This thread does all of them while other searches run: they have the other cores. An error ends all threads.
    """
    return list(spread_in_order(work, items))


def spread_in_order(work: Callable[[Item], Result], items: Sequence[Item]) -> Generator[Result, None, None]:
    """As `spread`; each result is given once it and those before it are there, and other threads go on meanwhile."""
    found: dict[int, Result] = {}
    numbers = counter()

    def take_turn() -> bool:
        """Whether there was an item left."""
        try:
            if (number := next(numbers)) >= len(items):
                return False
            found[number] = work(items[number])
        except BaseException:
            end()
            raise
        return True

    def take_turns() -> None:
        while take_turn():
            pass

    def end() -> None:
        while next(numbers) < len(items):
            pass

    helpers: list[Future[None]] = []
    try:
        most = min(available_cores(), len(items)) - 1 if len(items) > 1 else 0
        while len(helpers) < most and not SEARCHES.are_many:
            helper = _started(take_turns)
            if helper is None:
                break
            helpers.append(helper)
        for number in range(len(items)):
            while number not in found and take_turn():
                pass
            if number not in found:
                _wait_for(helpers)
            yield found.pop(number)
    finally:
        end()
        for helper in helpers:
            if not helper.cancel():
                wait([helper])


def _wait_for(helpers: Sequence[Future[None]]) -> None:
    """Waits until the threads have done their last items; raises their errors."""
    for helper in helpers:
        if not helper.cancel():
            helper.result()
