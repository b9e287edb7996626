"""A server that is told to stop answers what it was asked and stores what it accepted; its limits hold for sockets."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ..support.helpers import opened, state_of
from ..support.served import Running, running


@pytest.fixture
def index(tmp_path: Path) -> Path:
    with opened(tmp_path / "index") as made:
        made.add([f"text number {n}" for n in range(200)], keys=[str(n) for n in range(200)])
    return tmp_path / "index"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_under_load_every_request_is_answered_and_every_accepted_record_is_stored(index: Path, number: int) -> None:
    with running(index) as server:
        accepted: list[str] = []
        answers: list[int] = []
        answered = threading.Event()

        def add(client: httpx.Client, worker: int, n: int) -> httpx.Response:
            key = f"new-{worker}-{n}"
            answer = client.post("/v1/records", json={"records": [{"text": f"new text {worker} {n}", "key": key}]})
            if answer.status_code == 200:
                accepted.append(key)
                answered.set()
            return answer

        def work(worker: int) -> None:
            """Asks until the server does not listen any more."""
            with httpx.Client(base_url=server.url, timeout=30) as client:
                for n in range(100_000):
                    try:
                        if worker % 2:
                            answer = add(client, worker, n)
                        else:
                            answer = client.post("/v1/search", json={"query": f"text {n}", "mode": "hybrid"})
                    except httpx.TransportError:  # whether the server had the request is in its log
                        return
                    answers.append(answer.status_code)

        workers = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
        for each in workers:
            each.start()
        assert answered.wait(30)
        began = time.monotonic()
        assert server.stop(number) == 0
        assert time.monotonic() - began < 10
        for each in workers:
            each.join(30)
        lines = [json.loads(line) for line in server.log]
        assert sorted(answers) == sorted(line["status"] for line in lines if "status" in line)
        assert set(answers) <= {200, 503}
    with opened(index) as after:
        assert set(accepted) <= set(state_of(after))
        assert after.verify().ok
    assert len(accepted) > 0


def test_a_second_signal_ends_it_at_once_and_loses_nothing_that_was_answered(index: Path) -> None:
    with running(index) as server:
        with httpx.Client(base_url=server.url) as client:
            assert client.post("/v1/records", json={"records": [{"text": "kept", "key": "kept"}]}).status_code == 200
        server.process.send_signal(signal.SIGTERM)
        assert server.stop(signal.SIGTERM) in (0, 128 + signal.SIGTERM)
    with opened(index) as after:
        assert after.get("kept").text == "kept"


# --- what only a socket shows


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    path = tmp_path_factory.mktemp("sockets") / "index"
    with opened(path) as made:
        made.add(["one"], keys=["one"])
    with running(path, "--max-body", "1") as found:
        yield found


def exchange(server: Running, *pieces: bytes) -> bytes:
    """What is answered to these bytes, until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        for piece in pieces:
            connection.sendall(piece)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return answer


def body_of(answer: bytes) -> Any:
    return json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["type"]


HEAD = b"Host: localhost\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HEAD + b"X: " + b"x" * 70_000,
        b"GET /v1/search?query=" + b"x" * 70_000,
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"POST /v1/search HTTP/1.1\r\n" + HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /v1/search HTTP/1.1\r\n" + HEAD + b"Content-Length: -1\r\n\r\n",
        b"POST /v1/search HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        b"GET /healthz HTTP/1.1 more\r\n" + HEAD + b"\r\n",
        b"GET /heal\x00thz HTTP/1.1\r\n" + HEAD + b"\r\n",
    ],
    ids=range(10),
)
def test_what_is_not_http_is_answered_in_the_shape_of_all_errors(process: Running, request_: bytes) -> None:
    answer = exchange(process, request_)
    assert answer.split(b" ")[1] in (b"400", b"403")
    assert body_of(answer) in ("BadRequest", "HostRefused")


def test_a_chunked_body_is_counted_while_it_comes(process: Running) -> None:
    head = b"POST /v1/search HTTP/1.1\r\n" + HEAD
    declared = b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    answer = exchange(process, head + declared, *([chunk] * 20), b"0\r\n\r\n")
    assert (answer.split(b" ")[1], body_of(answer)) == (b"413", "BodyTooLarge")
    assert b"connection: close" in answer.lower()


def test_an_upgrade_to_a_websocket_is_not_made(process: Running) -> None:
    upgrade = (
        b"Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n"
    )
    answer = exchange(process, b"GET /v1/count HTTP/1.1\r\nHost: localhost\r\n" + upgrade + b"\r\n")
    assert b" 101 " not in answer


def test_one_request_cannot_be_hidden_in_another(process: Running) -> None:
    smuggled = b"GET /v1/count HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    head = b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = exchange(process, head + b"0\r\n\r\n" + smuggled)
    assert answer.count(b"HTTP/1.1 ") <= 2
    assert b'{"count"' not in answer
