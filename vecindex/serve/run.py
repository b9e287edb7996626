"""Runs a server until it is told to stop: the socket, the warming, the signals and the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, cast

import h11
import uvicorn

from ..machine.cores import available_cores
from ..machine.memory import share_heaps
from .app import make_app
from .connections import LARGEST_HEAD, BoundedProtocol
from .listening import url_of
from .logs import Log
from .problems import Problem
from .service import Service

Announce = Callable[[str], None]
_IDLE_SECONDS = 15
"""After which a connection without a request is closed."""
_REFUSING_SECONDS = 2
"""In which the changes that cannot be made before the end are refused."""
_LAST_SECONDS = 0.5
"""In which the threads end, whose requests have been answered."""


def serve(service: Service, listening: socket.socket, log: Log, announce: Announce) -> bool:
    """Answers until SIGTERM or SIGINT, and calls ``announce`` with the address once it is ready.

    Returns whether all that was being done has ended.

    Raises:
        VecindexError: the model cannot be loaded, or the index cannot be searched.
    """
    share_heaps(available_cores())
    server = _Server(service, listening, log, announce)
    asyncio.run(server.serve(sockets=[listening]))
    if server.failure is not None:
        raise server.failure
    return not server.is_warming and service.stop(_LAST_SECONDS)


class _Protocol(BoundedProtocol):
    """HTTP within limits, and with errors in the shape of all others."""

    def send_400_response(self, msg: str) -> None:
        """Says in the shape of all errors that a request is not HTTP, or has too large a head, and closes."""
        problem = Problem(
            *(400, "BadRequest", f"the request is not HTTP/1.1, or its head has more than {LARGEST_HEAD:,} bytes"),
            "Send what is long in the body of a POST.",
        )
        answer = problem.response()
        headers = [*answer.raw_headers, (b"connection", b"close")]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=bytes(answer.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


class _Server(uvicorn.Server):
    """Uvicorn, which is told to stop in our way."""

    def __init__(self, service: Service, listening: socket.socket, log: Log, announce: Announce) -> None:
        config = uvicorn.Config(
            make_app(service, log),
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=int(service.settings.stop_seconds) + _REFUSING_SECONDS,
            h11_max_incomplete_event_size=LARGEST_HEAD,
        )
        super().__init__(config)
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # what it would say is in our log
        self.failure: BaseException | None = None
        self._service, self._log = service, log
        self._listening, self._announce = url_of(listening), announce
        self._warming = threading.Thread(target=self._warm, name="vecindex-serve-warming", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def is_warming(self) -> bool:
        return self._warming.is_alive()

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._warming.start()
        await super().main_loop()

    def _warm(self) -> None:
        try:
            self._service.warm()
        except BaseException as error:
            self.failure = error
            self.should_exit = True
        else:
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
        state = self._service.state
        if state.stopping or self._loop is None:
            os._exit(128 + sig)
        state.stopping = True
        self._loop.call_soon_threadsafe(self._stop_soon)

    def _stop_soon(self) -> None:
        """Answers go on for a moment, each of them the last of its connection, so that no request is lost."""
        self._log.event("stopping")
        self._later(self._service.settings.drain_seconds, self._stop_listening)

    def _stop_listening(self) -> None:
        """Takes the connections that were made already, and no more; what comes over them is answered, too."""
        for server in self.servers:
            for listening in server.sockets:
                self._take_all(listening)
            server.close()
        self._later(self._service.settings.drain_seconds, self._stop_now)

    def _take_all(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(listening.fileno())) as waiting:
            waiting.setblocking(False)
            while True:
                made, _ = waiting.accept()
                task = self._running_loop.create_task(self._running_loop.connect_accepted_socket(self._protocol, made))
                self.server_state.tasks.add(cast("asyncio.Task[None]", task))
                task.add_done_callback(cast(Any, self.server_state.tasks.discard))

    def _protocol(self) -> _Protocol:
        return _Protocol(config=self.config, server_state=self.server_state, app_state={})

    def _stop_now(self) -> None:
        """Waits for what runs; what would take too long is refused in time for its answer."""
        self.should_exit = True
        self._later(self._service.settings.stop_seconds, self._service.hurry)

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        self._running_loop.call_later(seconds, what)

    @property
    def _running_loop(self) -> asyncio.AbstractEventLoop:
        assert self._loop is not None
        return self._loop
