"""What is refused of the bodies of requests: what is too large, too slow, or not what is expected."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vecindex.serve.guards.bodies import Bodies
from vecindex.serve.problems import Problem

from ..support.helpers import opened
from ..support.served import Asked, asked, error_of


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """A server that takes bodies of up to 2,000 bytes."""
    with asked(opened(tmp_path_factory.mktemp("small") / "index"), max_body=2_000, max_bodies=3_000) as found:
        yield found


def test_a_large_body_is_refused_with_and_without_its_length(small: Asked) -> None:
    body = json.dumps({"text": "x" * 3_000}).encode()

    async def pieces() -> Any:
        for start in range(0, len(body), 100):
            yield body[start : start + 100]

    for content in (body, pieces()):
        answer = small.ask("POST", "/v1/explain", content=content, headers={"Content-Type": "application/json"})
        assert error_of(answer) == (413, "BodyTooLarge")
        assert answer.headers["connection"] == "close"
    assert small.refused("GET", "/v1/count", content=body) == (413, "BodyTooLarge")


def test_a_body_that_comes_too_slowly_is_refused(tmp_path: Path) -> None:
    async def pieces() -> Any:
        yield b'{"text": '
        await asyncio.sleep(60)
        yield b'"x"}'

    with asked(opened(tmp_path / "index"), body_seconds=0.5) as server:
        answer = server.ask("POST", "/v1/explain", content=pieces(), headers={"Content-Type": "application/json"})
    assert error_of(answer) == (408, "BodyTimedOut")


def test_bodies_together_are_limited_and_are_forgotten_with_their_requests(small: Asked) -> None:
    bodies = Bodies(small.service.settings)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"x" * 1_600}

    async def read() -> None:
        first = await bodies.read([], receive)
        with bodies.holding(first):
            with pytest.raises(Problem) as caught:
                await bodies.read([], receive)
            assert (caught.value.status_code, caught.value.kind) == (503, "Busy")
        with bodies.holding(await bodies.read([], receive)):
            pass
        assert bodies._held == 0

    asyncio.run(read())


@pytest.mark.parametrize(
    ("content", "declared", "error"),
    [
        (b"", "application/json", (422, "InvalidInput")),
        (b"{", "application/json", (400, "InvalidJson")),
        (b'{"text": NaN}', "application/json", (400, "InvalidJson")),
        (b'{"text": "a", "text": "b"}', "application/json", (400, "InvalidJson")),
        (b'{"text": "\xff"}', "application/json", (400, "InvalidJson")),
        (b"[" * 500 + b"]" * 500, "application/json", (400, "InvalidJson")),
        (b"[" * 1_900, "application/json", (400, "InvalidJson")),
        (b'{"text": 1e999}', "application/json", (400, "InvalidJson")),
        (b'{"text": ' + b"9" * 1_900 + b"}", "application/json", (422, "InvalidInput")),
        (b'{"text": "\\ud800"}', "application/json", (422, "InvalidInput")),
        (b"null", "application/json", (422, "InvalidInput")),
        (b"[]", "application/json", (422, "InvalidInput")),
        (b'{"text": "a", "more": 1}', "application/json", (422, "InvalidInput")),
        (b'{"text": 1}', "application/json", (422, "InvalidInput")),
        (b'{"text": "a"}', "text/plain", (415, "NotJson")),
        (b"text=a", "application/x-www-form-urlencoded", (415, "NotJson")),
        (b'{"text": "a"}', "application/jsonp", (415, "NotJson")),
    ],
)
def test_a_body_that_is_not_what_is_expected_is_refused(
    small: Asked, content: bytes, declared: str, error: tuple[int, str]
) -> None:
    headers = {"Content-Type": declared}
    assert error_of(small.ask("POST", "/v1/explain", content=content, headers=headers)) == error


def test_a_message_does_not_repeat_what_was_sent(small: Asked) -> None:
    answer = small.ask("POST", "/v1/explain", json={"text": ["secret"], "secret_member": "secret"})
    assert 'secret"' not in answer.text.replace("secret_member", "")


def test_millions_of_members_that_are_not_known_are_one_error(server: Asked) -> None:
    unknown = {str(n): 1 for n in range(100_000)}
    for path, body in (("/v1/explain", {"text": "a", **unknown}), ("/v1/embeddings", {"input": "a", **unknown})):
        message = server.ask("POST", path, json=body).json()["error"]["message"].lower()
        assert "there is no member '0'" in message
        assert "more)" not in message


def test_a_name_that_is_not_known_is_not_repeated_in_full(server: Asked) -> None:
    for path, body in (("/v1/explain", {"x" * 10_000: 1}), ("/v1/embeddings", {"x" * 10_000: 1})):
        assert len(server.ask("POST", path, json=body).text) < 500
    assert len(server.ask("GET", "/v1/count", params={"x" * 10_000: "1"}).text) < 500


def test_a_filter_as_json_is_as_long_as_one_that_is_a_text(server: Asked) -> None:
    where = {"year": {"$in": list(range(100_000))}}
    answer = server.ask("POST", "/v1/search", json={"query": "name", "where": where})
    assert error_of(answer) == (422, "InvalidInput")
    assert "100,000 characters" in answer.json()["error"]["message"]
    assert server.post("/v1/search", query="name", where={"year": {"$in": list(range(10_000))}})["hits"]
