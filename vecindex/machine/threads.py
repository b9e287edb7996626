"""Work begun in another thread, and done in this one where no other can be had."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Result = TypeVar("Result")


def in_thread(pool: ThreadPoolExecutor, work: Callable[..., Result], *arguments: Any, **named: Any) -> Future[Result]:
    """``work`` with these arguments in a thread of ``pool``; what it returns or raises is the future's.

    Pools take no more work once the main thread has ended, where an ``atexit`` function or a thread that outlives it
    may still want some; and the system may refuse another thread. Then the work is done now, before this returns.
    """
    unclaimed = threading.Lock()

    def claimed() -> Result:
        # A pool that could not start a thread has queued the work all the same, and a later thread would do it again.
        if not unclaimed.acquire(blocking=False):
            raise RuntimeError("this was done before")
        return work(*arguments, **named)

    try:
        return pool.submit(claimed)
    except RuntimeError:
        done: Future[Result] = Future()
        try:
            done.set_result(claimed())
        except BaseException as error:
            done.set_exception(error)
        return done
