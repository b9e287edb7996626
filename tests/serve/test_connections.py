"""Connections that send too slowly, do not read, or are too many, are closed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from vecindex.serve import connections
from vecindex.serve.connections import BoundedProtocol

LARGE = b"x" * (20 << 20)


async def _app(scope: Any, receive: Any, send: Any) -> None:
    body = LARGE if scope["path"] == "/large" else b"ok"
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def with_server(talk: Callable[[int, ServerState], Awaitable[None]], idle: int = 1) -> None:
    """Runs ``talk`` with the port and the state of a server, which closes an idle connection after so many seconds."""

    async def run() -> None:
        config = uvicorn.Config(
            _app, http=BoundedProtocol, ws="none", lifespan="off", log_config=None, timeout_keep_alive=idle
        )
        config.load()
        state = ServerState()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: BoundedProtocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
        )
        try:
            await asyncio.wait_for(talk(server.sockets[0].getsockname()[1], state), 60)
        finally:
            server.close()
            for each in list(state.connections):
                each.transport.abort()
            await asyncio.sleep(0)

    asyncio.run(run())


@pytest.mark.parametrize(
    "sent", [b"", b"GET", b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HT"]
)
def test_a_request_whose_head_does_not_arrive_is_given_up(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)

    async def talk(port: int, state: ServerState) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        with contextlib.suppress(ConnectionResetError):
            assert (await reader.read()).startswith(b"HTTP/1.1 200" if sent.count(b"GET") == 2 else b"")
        while state.connections:
            await asyncio.sleep(0.01)
        writer.close()

    with_server(talk)


def test_a_request_that_arrives_in_time_keeps_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.6)

    async def talk(port: int, state: ServerState) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert b"200 OK" in await reader.readuntil(b"ok")
            await asyncio.sleep(0.8)
        assert len(state.connections) == 1
        writer.close()

    with_server(talk, idle=300)


def test_an_answer_that_is_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "READ_SECONDS", 0.2)

    async def talk(port: int, state: ServerState) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        while not state.total_requests:
            await asyncio.sleep(0.01)
        while state.connections:
            await asyncio.sleep(0.01)
        writer.close()

    with_server(talk)


def test_more_connections_than_allowed_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST", 2)

    async def talk(port: int, state: ServerState) -> None:
        kept = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        while len(state.connections) < 2:
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        for each in (writer, *(one for _, one in kept)):
            each.close()

    with_server(talk)
