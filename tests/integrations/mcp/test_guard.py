"""What stands before the server over HTTP: requests that are slow, endless, cut off, or of another method."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from vecindex.integrations.mcp import running
from vecindex.serve.connections import BoundedProtocol

PIECE = {"type": "http.request", "body": b"x" * (1 << 20), "more_body": True}
LAST = {"type": "http.request", "body": b"end", "more_body": False}
GONE = {"type": "http.disconnect"}


def asked(*messages: dict[str, Any], method: str = "POST") -> tuple[list[int], list[bytes]]:
    """The status that is answered, if any, and the bodies that reach the app; after the messages nothing comes."""
    statuses: list[int] = []
    bodies: list[bytes] = []
    waiting = list(messages)

    async def receive() -> dict[str, Any]:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more and len(bodies) <= 4:
            message = await receive()
            bodies.append(message["body"])
            more = message["more_body"]
        await send({"type": "http.response.start", "status": 200})

    scope = {"type": "http", "method": method, "headers": []}

    async def ask() -> None:
        await running._guarded(app, None, True)(scope, receive, send)

    asyncio.run(ask())
    return statuses, bodies


def test_a_request_reaches_the_app_whole() -> None:
    assert asked(PIECE, PIECE, LAST) == ([200], [PIECE["body"], PIECE["body"], b"end"])


def test_a_request_that_does_not_end_in_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_BODY_SECONDS", 0.05)
    for messages in ([], [PIECE]):
        assert asked(*messages) == ([408], [])


def test_no_more_is_kept_of_a_request_than_the_app_may_refuse() -> None:
    assert asked(*[PIECE] * 100) == ([200], [PIECE["body"]] * 5)


def test_a_client_that_is_gone_is_not_answered() -> None:
    assert asked(PIECE, GONE) == ([], [])


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS"])
def test_there_is_no_stream_that_would_stay_open_for_ever(method: str) -> None:
    assert asked(LAST, method=method) == ([405], [])


def test_connections_have_a_time_for_their_heads_and_a_greatest_number() -> None:
    config = running._config(lambda scope, receive, send: asyncio.sleep(0))
    assert (config.http, config.limit_concurrency) == (BoundedProtocol, 100)


def test_agents_are_served_without_what_only_the_rest_server_needs() -> None:
    program = (
        "import sys\n"
        "for name in ('fastapi', 'prometheus_client'):\n    sys.modules[name] = None\n"
        "import vecindex.integrations.mcp.running, vecindex.integrations.mcp.server, vecindex.serve.listening"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
