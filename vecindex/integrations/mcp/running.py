"""Runs the server over standard input and output or over HTTP, until the input ends or a signal comes."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from types import FrameType
from typing import Any

import anyio
import uvicorn
from mcp.server.transport_security import TransportSecuritySettings

from ...serve.connections import LARGEST_HEAD, BoundedProtocol
from ...serve.guards.tokens import Tokens
from ...serve.listening import is_loopback
from .notes import warnings_as_notes
from .server import Server

PATH = "/mcp"
_LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]")
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SECONDS_TO_FINISH = 5
_MOST_BODY = 4 << 20
"""Bytes of a request."""
_BODY_SECONDS = 30.0
"""Within which a request has to arrive, once its head has."""
_MOST_CONNECTIONS = 100
"""Others are told to come back later (503)."""
_PIECE = 1 << 16

_Scope = dict[str, Any]
_Receive = Callable[[], Awaitable[dict[str, Any]]]
_Send = Callable[[dict[str, Any]], Awaitable[None]]
_App = Callable[[Any, Any, Any], Awaitable[None]]


def run_stdio(server: Server) -> None:
    """Serves one client over the file descriptors 0 and 1, until it closes its end or SIGINT or SIGTERM comes."""
    with warnings_as_notes(), _input_ending_at_signals():
        anyio.run(server.run_stdio_async)


def run_http(server: Server, listening: socket.socket, host: str, tokens: Tokens | None) -> None:
    """Serves any number of clients at ``/mcp`` of a listening socket, until SIGINT or SIGTERM comes.

    Requests to a loopback address need a Host and an Origin, if any, of one, so that no web page reaches the server by
    a name of its own that leads here. To another address they need a token, and come from no web page.
    """
    local = is_loopback(listening)
    app: _App = server.streamable_http_app(
        streamable_http_path=PATH,
        host=host,
        json_response=True,
        stateless_http=True,
        max_request_body_size=_MOST_BODY,
        transport_security=_security(host, local),
    )
    with warnings_as_notes(), _signals_passed_on():
        anyio.run(uvicorn.Server(_config(_guarded(app, tokens, local))).serve, [listening])


def _config(app: _App) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        h11_max_incomplete_event_size=LARGEST_HEAD,
        ws="none",
        log_config=None,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        access_log=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=_SECONDS_TO_FINISH,
    )


def _security(host: str, local: bool) -> TransportSecuritySettings:
    hosts = [name for each in (*_LOCAL_NAMES, host) for name in (each, f"{each}:*")]
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=local,
        allowed_hosts=hosts,
        allowed_origins=[f"http://{host}" for host in hosts],
    )


def _guarded(app: _App, tokens: Tokens | None, local: bool) -> _App:
    """The app, which gets whole requests, and none without a token, or of a web page at an address not loopback's."""

    async def guard(scope: _Scope, receive: _Receive, send: _Send) -> None:
        if scope["type"] != "http":
            return await app(scope, receive, send)
        headers = scope["headers"]
        if not local and any(name == b"origin" for name, _ in headers):
            return await _refuse(send, 403, b"Requests of web pages are refused.\n")
        if tokens is not None and not tokens.accept(headers):
            return await _refuse(send, 401, b"A bearer token is needed.\n", (b"www-authenticate", b"Bearer"))
        if scope["method"] != "POST":  # a stream of what the server says by itself, which is nothing, would never end
            return await _refuse(send, 405, b"Send a message with POST.\n", (b"allow", b"POST"))
        messages: deque[dict[str, Any]] = deque()
        try:
            with anyio.fail_after(_BODY_SECONDS):
                await _receive_all(receive, messages)
        except TimeoutError:
            return await _refuse(send, 408, b"The request did not arrive in time.\n", (b"connection", b"close"))
        if messages[-1]["type"] == "http.disconnect":
            return None

        async def replay() -> dict[str, Any]:
            return messages.popleft() if messages else await receive()

        return await app(scope, replay, send)

    return guard


async def _receive_all(receive: _Receive, messages: deque[dict[str, Any]]) -> None:
    """Keeps the messages of a request until it has ended or has more bytes than any may have."""
    size, more = 0, True
    while more and size <= _MOST_BODY:
        message = await receive()
        messages.append(message)
        size += len(message.get("body", b""))
        more = bool(message.get("more_body", False))


async def _refuse(send: _Send, status: int, reason: bytes, *headers: tuple[bytes, bytes]) -> None:
    headers = (*headers, (b"content-type", b"text/plain"), (b"content-length", str(len(reason)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": reason})


@contextlib.contextmanager
def _signals_passed_on() -> Iterator[None]:
    """A server of uvicorn that a signal ends sends it again to whoever handled it before: here to nobody."""

    def ignore(number: int, frame: FrameType | None) -> None:
        return None

    before = {number: signal.signal(number, ignore) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _input_ending_at_signals() -> Iterator[None]:
    """Makes standard input end at SIGINT and SIGTERM, for which a thread hands it on through a pipe.

    Without this, the server's thread that waits for a line could not be ended.
    """
    given, (entry, exit_), (woken, waking) = os.dup(0), os.pipe(), os.pipe()
    os.dup2(entry, 0)
    os.close(entry)
    pump = threading.Thread(target=_hand_on, args=(given, exit_, woken), name="vecindex-stdin", daemon=True)
    pump.start()

    def wake(number: int, frame: FrameType | None) -> None:
        os.write(waking, b".")

    before = {number: signal.signal(number, wake) for number in _SIGNALS}
    try:
        yield
    finally:
        os.write(waking, b".")
        for number, handler in before.items():
            signal.signal(number, handler)


def _hand_on(given: int, to: int, woken: int) -> None:
    """Copies what can be read to a pipe until there is no more, nobody reads the pipe, or ``woken`` can be read."""
    with contextlib.suppress(OSError):
        while True:
            ready, _, _ = select.select([given, woken], [], [])
            if woken in ready or not (piece := os.read(given, _PIECE)):
                break
            while piece:
                piece = piece[os.write(to, piece) :]
    os.close(to)
