"""Runs work in another thread, or in this one if no thread is available."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Result = TypeVar("Result")


def in_thread(pool: ThreadPoolExecutor, work: Callable[..., Result], *arguments: Any, **named: Any) -> Future[Result]:
    """Submits ``work`` with these arguments to ``pool``.

    A pool accepts no work once the main thread has ended, when ``atexit`` functions and other threads may still have
    some, and the system may refuse to start a thread. In both cases the work is done before this returns.
    """
    unclaimed = threading.Lock()

    def claimed() -> Result:
        # A pool that fails to start a thread has queued the work anyway, and a later thread would repeat it.
        if not unclaimed.acquire(blocking=False):
            raise RuntimeError("this work was already done")
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
