"""The index behind all routes: opened once, read by several threads, and written by one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import Advice, ModelNotFound, UnsupportedModel, VecindexError
from ..errors.warnings import VecindexWarning, gathered
from ..values.space import EXTERNAL
from .problems import Problem, json_bytes, problem_of, timed_out
from .settings import Settings
from .writer import Check, Writer

if TYPE_CHECKING:
    from ..index.facade import Index
    from ..search.options import Mode

T = TypeVar("T")


@dataclass(slots=True)
class State:
    """How far a server is: ``ready`` once it is warm, until it is told to stop."""

    ready: bool = False
    stopping: bool = False


class Service:
    """Runs what the routes ask of the index, away from the event loop."""

    def __init__(self, index: Index, settings: Settings) -> None:
        self.index = index
        self.settings = settings
        self.state = State()
        self._readers = ThreadPoolExecutor(settings.readers, "vecindex-serve")
        self._long_readers = ThreadPoolExecutor(settings.long_readers, "vecindex-serve-long")
        self._running: set[Future[Any]] = set()
        self._awaited: set[asyncio.Future[Any]] = set()
        self._hurried = False
        self.writer = Writer(settings.queue)

    def warm(self) -> None:
        """Loads the model and what searches read, so that the first request does not wait for it."""
        index, info = self.index, self.index.info()
        has_model = info.precision != EXTERNAL
        if has_model and (info.records or not self.settings.readonly):
            index.encoder.encode([WARMING], role="query")
        with gathered():
            if has_model:
                index.search(WARMING, k=1)
                index.search(WARMING, k=1, mode="hybrid", rerank="tokens" if info.token_vectors else None)
            else:
                index.search(WARMING, k=1, mode="lexical")
            for name in self.settings.rerankers:
                self._warm_reranker(name, "dense" if has_model else "lexical")

    def _warm_reranker(self, name: str, mode: Mode) -> None:
        try:
            self.index.search(WARMING, k=1, mode=mode, rerank=name)
        except ModelNotFound as error:
            typed = error.command_advice.replace("--rerank ", "--reranker ")
            raise ModelNotFound(error.model, error.tried, Advice(error.advice, typed=typed)) from error
        except UnsupportedModel as error:
            advice = Advice(error.advice, typed="Pass another cross-encoder with --reranker.")
            raise UnsupportedModel(error.model, error.reason, advice) from error

    async def read(self, work: Callable[[Index], dict[str, Any]], *, long: bool = False) -> bytes:
        """The JSON of what ``work`` finds in the index, with the warnings that it issued; raises Problem."""
        return await self.run(lambda: _answer(lambda: work(self.index)), long=long)

    async def run(self, work: Callable[[], T], *, long: bool = False) -> T:
        """What ``work`` returns, done by one of the reading threads in its time; raises Problem.

        A thread goes on with what it does after the request was given up. So ``long`` work, such as many searches in
        one request, is done by few threads of its own, and can never keep all others from working.
        """
        if self._hurried:
            raise _stopped()
        held = [work]
        future = (self._long_readers if long else self._readers).submit(lambda: held[0]())
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        future.add_done_callback(lambda _: held.clear())  # of what was given up before it began, nothing is held
        waiting = asyncio.wrap_future(future)
        self._awaited.add(waiting)
        try:
            return await self._answered(waiting)
        except asyncio.CancelledError:
            if self._hurried:
                raise _stopped() from None
            raise
        finally:
            self._awaited.discard(waiting)

    async def write(self, work: Callable[[Index, Check], dict[str, Any]]) -> bytes:
        """As `read`, of a change that the writing thread makes in its turn."""
        future = self.writer.submit(lambda check: _answer(lambda: work(self.index, check)))
        return await self._answered(asyncio.wrap_future(future))

    async def _answered(self, future: asyncio.Future[T]) -> T:
        try:
            return await asyncio.wait_for(future, self.settings.timeout)
        except VecindexError as error:
            raise problem_of(error) from error
        except asyncio.TimeoutError:
            raise timed_out(self.settings.timeout) from None

    def hurry(self) -> None:
        """Refuses, in the event loop, what has not been answered: reads at once, changes as `Writer.hurry` does."""
        self._hurried = True
        self.writer.hurry()
        for each in list(self._awaited):
            each.cancel()

    def stop(self, seconds: float) -> bool:
        """Ends what waits and runs within so many seconds; returns whether all of it has ended."""
        written = self.writer.stop(seconds)
        for pool in (self._readers, self._long_readers):
            pool.shutdown(wait=False, cancel_futures=True)
        ended = written and not self._running
        if ended:
            with contextlib.suppress(VecindexError):
                self.index.close()
        return ended


def _stopped() -> Problem:
    return Problem(503, "Stopping", "the server is stopping", "Ask a server that runs.", retry=5)


def _answer(work: Callable[[], dict[str, Any]]) -> bytes:
    with gathered() as warnings:
        found = work()
    return json_bytes({**found, "warnings": [described(each) for each in warnings]})


def described(warning: VecindexWarning) -> dict[str, Any]:
    """What JSON has of a warning, with its fields as further members."""
    members = {name: value for name, value in vars(warning).items() if name[0] != "_"}
    return {**members, "type": type(warning).__name__, "message": warning.message, "advice": warning.advice}


WARMING = "a first search"
"""What is searched for before the first request."""
