"""Runs a server until it is told to stop: the socket, the warming, the signals and the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn

from ..errors import VecindexError
from .app import make_app
from .connections import LARGEST_HEAD, BoundedProtocol
from .listening import url_of
from .logs import Log
from .service import Service

Announce = Callable[[str], None]
_IDLE_SECONDS = 15


def serve(service: Service, listening: socket.socket, log: Log, announce: Announce) -> bool:
    """Answers until SIGTERM or SIGINT, and calls ``announce`` with the address once it is ready.

    Returns whether all that was being done has ended.

    Raises:
        VecindexError: the index cannot be searched.
    """
    server = _Server(service, listening, log, announce)
    asyncio.run(server.serve(sockets=[listening]))
    ended = service.stop(service.settings.stop_seconds)
    if server.failure is not None:
        raise server.failure
    return ended


class _Server(uvicorn.Server):
    """Uvicorn, which is told to stop in our way."""

    def __init__(self, service: Service, listening: socket.socket, log: Log, announce: Announce) -> None:
        config = uvicorn.Config(
            make_app(service, log),
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=int(service.settings.stop_seconds),
            h11_max_incomplete_event_size=LARGEST_HEAD,
        )
        super().__init__(config)
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # what it would say is in our log
        self.failure: VecindexError | None = None
        self._service, self._log = service, log
        self._listening, self._announce = url_of(listening), announce
        self._warming: asyncio.Task[None] | None = None
        self._told = False

    async def main_loop(self) -> None:
        self._warming = asyncio.get_running_loop().create_task(self._warm())
        await super().main_loop()

    async def _warm(self) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(None, self._service.warm)
        except VecindexError as error:
            self.failure = error
            self.should_exit = True
            return
        self._service.state.ready = True
        self._announce(self._listening)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {each: signal.signal(each, self.handle_exit) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal lets what runs be finished, the second ends the process at once."""
        if self._told:
            os._exit(128 + sig)
        self._told = True
        state = self._service.state
        state.stopping = True
        loop = asyncio.get_event_loop()
        loop.call_soon_threadsafe(self._stop_soon)

    def _stop_soon(self) -> None:
        """Answers go on for a moment, each of them the last of its connection, so that no request is lost."""
        self._log.event("stopping")
        asyncio.get_running_loop().call_later(self._service.settings.drain_seconds, self._stop_now)

    def _stop_now(self) -> None:
        self.should_exit = True
