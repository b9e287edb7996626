"""The one thread that changes the index: what is asked for waits in order, and at most so much of it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from .problems import Problem

T = TypeVar("T")

Check = Callable[[], None]
"""Called between commits; raises Problem once the server cannot wait any longer."""
Work = Callable[[Check], T]


class _Job(Generic[T]):
    """A change that was asked for. Once it is made, or nobody waits for it any more, it holds no records."""

    def __init__(self, work: Work[T]) -> None:
        self._work: Work[T] | None = work
        self.future: Future[T] = Future()
        self.future.add_done_callback(self._forget)

    def make(self, check: Check) -> None:
        if self.future.set_running_or_notify_cancel() and self._work is not None:
            try:
                check()
                self.future.set_result(self._work(check))
            except BaseException as error:
                self.future.set_exception(error)

    def _forget(self, future: Future[T]) -> None:
        self._work = None


class Writer:
    """Does changes one by one, in the order in which they were submitted, in a thread of its own."""

    def __init__(self, waiting: int) -> None:
        """At most ``waiting`` changes wait while one is made."""
        self._jobs: queue.Queue[_Job[Any] | None] = queue.Queue()
        self._waiting = waiting
        self._lock = threading.Lock()
        self._closed = self._hurried = False
        self.length = 0
        """How many changes are being made or wait."""
        self._thread = threading.Thread(target=self._run, name="vecindex-serve-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Work[T]) -> Future[T]:
        """Queues a change; raises Problem if too many wait, or the server stops."""
        job = _Job(work)
        with self._lock:
            if self._closed:
                raise stopped()
            if self.length > self._waiting:
                raise Problem(
                    *(503, "QueueFull", f"{self.length} changes are made or wait already"),
                    "Try again in a few seconds, or send more records with each request.",
                    retry=2,
                )
            self.length += 1
            self._jobs.put(job)
        job.future.add_done_callback(self._ended)
        return job.future

    def _ended(self, future: Future[Any]) -> None:
        with self._lock:
            self.length -= 1

    def stop(self, seconds: float) -> bool:
        """Makes the changes that wait, and ends; what is not made within so many seconds is given up between commits.

        Returns whether the thread has ended.
        """
        with self._lock:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        self._thread.join(seconds)
        if self._thread.is_alive():
            self.hurry()
            self._thread.join(_LAST_COMMIT)
        return not self._thread.is_alive()

    def hurry(self) -> None:
        """Refuses the changes that wait, and the one that is being made after its next commit."""
        self._hurried = True

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.make(self._check)

    def _check(self) -> None:
        if self._hurried:
            raise stopped()


def stopped() -> Problem:
    return Problem(
        *(503, "Stopping", "the server is stopping, and has not made this change, or not all of it"),
        "Send it again to a server that runs; records that are stored already stay as they are.",
        retry=5,
    )


_LAST_COMMIT = 1.0
"""Seconds that the commit being made may still take."""
