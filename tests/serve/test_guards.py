"""Who is refused: without a token, by another name, from another page, and too often."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vecindex.errors import InvalidInput
from vecindex.serve.guards.callers import read_hosts, read_origins
from vecindex.serve.guards.rates import MOST_CLIENTS, Rates
from vecindex.serve.guards.tokens import Tokens
from vecindex.serve.problems import Problem

from ..support.helpers import opened
from ..support.served import Asked, asked, error_of

TOKEN = "correct-horse-battery-staple"
OTHER = "another-token-of-them"
RIGHT = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """A server that asks for a token, and which others can reach."""
    index = opened(tmp_path_factory.mktemp("guarded") / "index")
    index.add(["one"], keys=["one"])
    with asked(index, tokens=Tokens([TOKEN, OTHER]), local=False) as found:
        yield found


# --- tokens


def test_each_token_is_accepted_and_the_scheme_has_no_case(guarded: Asked) -> None:
    for value in (f"Bearer {TOKEN}", f"bearer {OTHER}", f"BEARER  {TOKEN} "):
        assert guarded.ask("GET", "/v1/count", headers={"Authorization": value}).status_code == 200


@pytest.mark.parametrize(
    "value",
    [
        *("", "Bearer", "Bearer ", TOKEN, f"Basic {TOKEN}", f"Token {TOKEN}", f"Bearer{TOKEN}", f"Bearer {TOKEN}x"),
        *(f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN.upper()}", f"Bearer {TOKEN} {OTHER}", f"Bearer {TOKEN},{OTHER}"),
        *(f"Bearer '{TOKEN}'", f"Bearer\t{TOKEN}", f"Bearer Bearer {TOKEN}", "Bearer None", "Bearer *"),
        f"Bearer {TOKEN}\u00ff".encode("latin-1"),
    ],
)
def test_any_other_authorization_is_refused(guarded: Asked, value: str | bytes) -> None:
    answer = guarded.ask("GET", "/v1/count", headers={"Authorization": value})
    assert error_of(answer) == (401, "Unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "headers",
    [
        [("Authorization", f"Bearer {TOKEN}"), ("Authorization", f"Bearer {TOKEN}")],
        [("Authorization", "Bearer wrong"), ("Authorization", f"Bearer {TOKEN}")],
        [("Authorization", f"Bearer {TOKEN}"), ("Authorization", "Bearer wrong")],
        [("X-Authorization", f"Bearer {TOKEN}")],
        [("Proxy-Authorization", f"Bearer {TOKEN}")],
        [("Cookie", f"token={TOKEN}")],
        [("X-Forwarded-For", "127.0.0.1"), ("Forwarded", "for=127.0.0.1")],
        [("X-Original-URL", "/healthz"), ("X-Rewrite-URL", "/healthz")],
        [("X-HTTP-Method-Override", "GET")],
    ],
)
def test_other_headers_do_not_let_in(guarded: Asked, headers: list[tuple[str, str]]) -> None:
    assert guarded.refused("GET", "/v1/count", headers=headers) == (401, "Unauthorized")


PATHS = [
    *("/v1/count", "/v1/count/", "//v1/count", "/v1//count", "/V1/count", "/v1/COUNT", "/v1/count;", "/v1/count%00"),
    *("/healthz/", "/healthz//", "/healthz/../v1", "/healthz/../v1/count", "/healthz/%2e%2e/v1/count", "/Healthz"),
    *("/healthz%2f..%2fv1%2fcount", "/healthz%2e", "/healthz%20", "/healthz;/v1/count", "/healthz%00", "/%68ealthz/"),
    *("/v1/count?token=" + TOKEN, "/v1/count?access_token=" + TOKEN, "/v1/count?authorization=Bearer+" + TOKEN),
    *("/readyz", "/metrics", "/openapi.json", "/docs", "/redoc", "/nothing", "/v1/count?path=/healthz"),
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_no_way_to_write_a_path_lets_in(guarded: Asked, method: str, path: str) -> None:
    assert guarded.refused(method, path) == (401, "Unauthorized")


@pytest.mark.parametrize("path", ["/", "/page/main.js", "//healthz", "/healthz/.."])  # httpx makes / of the last two
def test_the_page_lets_in_only_those_who_read_its_files(guarded: Asked, path: str) -> None:
    assert guarded.ask("GET", path).headers["content-type"].startswith("text/")
    assert guarded.ask("HEAD", path).status_code == 200
    for method in ("POST", "OPTIONS", "PUT", "DELETE"):
        assert guarded.refused(method, path) == (401, "Unauthorized")


@pytest.mark.parametrize("path", ["/", "//healthz", "/healthz/.."])
@pytest.mark.parametrize("method", ["POST", "OPTIONS"])
def test_only_who_reads_the_page_needs_no_token_for_it(guarded: Asked, method: str, path: str) -> None:
    assert guarded.refused(method, path) == (401, "Unauthorized")


@pytest.mark.parametrize("method", ["HEAD", "PUT", "PATCH", "DELETE", "TRACE", "get", "Get", "X"])
def test_no_method_lets_in(guarded: Asked, method: str) -> None:
    assert guarded.ask(method, "/v1/count").status_code == 401


def test_health_needs_no_token_and_says_nothing_else(guarded: Asked) -> None:
    assert guarded.get("/healthz") == {"status": "ok"}
    assert guarded.refused("POST", "/healthz", json={}) == (405, "MethodNotAllowed")


def test_a_websocket_is_refused(guarded: Asked) -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    async def connect() -> None:
        await guarded.app({"type": "websocket", "path": "/v1/count", "headers": []}, receive, send)

    asyncio.run(connect())
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_tokens_do_not_show_themselves() -> None:
    assert TOKEN not in repr(vars(Tokens([TOKEN]))) + repr(Tokens([TOKEN]))


# --- names and pages


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8000", "localhost:1", "LOCALHOST", "[::1]:8000", "[::1]"])
def test_a_local_server_answers_to_its_own_names(server: Asked, host: str) -> None:
    assert server.ask("GET", "/v1/count", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "evil-localhost"),
        *("", "localhost@evil.example", "evil.example#localhost", "localhost:80:80", "localhost, evil.example", "[::1"),
        *("0.0.0.0", "127.1", "2130706433", "localhost.", "local host", "localhost/", "::1"),
    ],
)
def test_a_local_server_answers_to_no_other_name(server: Asked, host: str) -> None:
    assert server.refused("GET", "/healthz", headers={"Host": host}) == (403, "HostRefused")


def test_two_hosts_or_none_are_refused(server: Asked) -> None:
    hosts = [("Host", "localhost"), ("Host", "localhost")]
    assert server.refused("GET", "/v1/count", headers=hosts) == (403, "HostRefused")


def test_names_that_are_allowed_are_answered_to(tmp_path: Path) -> None:
    with asked(opened(tmp_path / "index"), hosts=read_hosts(["Search.Example"])) as named:
        for host in ("search.example", "search.example:443", "localhost"):
            assert named.ask("GET", "/v1/count", headers={"Host": host}).status_code == 200
        assert named.refused("GET", "/v1/count", headers={"Host": "example"}) == (403, "HostRefused")


def test_a_server_that_others_reach_answers_to_any_name(guarded: Asked) -> None:
    assert guarded.ask("GET", "/v1/count", headers={**RIGHT, "Host": "any.example"}).status_code == 200


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "http://127.0.0.1:9000",
        "http://localhost",
        "file://",
        "",
        "http://127.0.0.1:80000",
    ],
)
def test_pages_of_other_servers_are_refused(server: Asked, origin: str) -> None:
    for method, path in (("GET", "/v1/count"), ("POST", "/v1/records"), ("OPTIONS", "/v1/search")):
        answer = server.ask(method, path, headers={"Origin": origin})
        assert error_of(answer) == (403, "OriginRefused")
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_pages_of_the_server_itself_may_ask(server: Asked) -> None:
    answer = server.ask("POST", "/v1/search", json={"query": "name"}, headers={"Origin": "http://127.0.0.1:8000"})
    assert answer.status_code == 200


def test_pages_that_are_allowed_may_ask_and_others_may_not(tmp_path: Path) -> None:
    page = "https://app.example"
    origins = read_origins(["https://App.Example/"])
    with asked(opened(tmp_path / "index"), origins=origins, tokens=Tokens([TOKEN])) as found:
        answer = found.ask("GET", "/v1/count", headers={"Origin": page, **RIGHT})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, page)
        asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        assert found.ask("OPTIONS", "/v1/search", headers={"Origin": page, **asks}).status_code == 200
        assert found.refused("GET", "/v1/count", headers={"Origin": page}) == (401, "Unauthorized")
        for other in ("https://evil.example", f"{page}.evil.example", "http://app.example", "null"):
            answer = found.ask("OPTIONS", "/v1/search", headers={"Origin": other, **asks})
            assert answer.status_code == 400
            assert "access-control-allow-origin" not in answer.headers
            assert found.refused("GET", "/v1/count", headers={"Origin": other, **RIGHT}) == (403, "OriginRefused")


@pytest.mark.parametrize(
    "name", ["", "*", "https://search.example", "search.example:443", "search.example/", "a b", "::1"]
)
def test_a_name_that_no_request_could_have_is_not_allowed(name: str) -> None:
    with pytest.raises(InvalidInput, match="is not the name of a host"):
        read_hosts(["search.example", name])


@pytest.mark.parametrize(
    "origin", ["", "*", "null", "app.example", "https://", "https://*", "https://*.example", "https://a.example/path"]
)
def test_an_origin_that_no_page_could_have_is_not_allowed(origin: str) -> None:
    with pytest.raises(InvalidInput, match="is not the origin of a page"):
        read_origins(["https://app.example", origin])


@pytest.mark.parametrize("site", ["cross-site", "same-site", "Cross-Site"])
def test_a_page_of_another_server_cannot_ask_without_naming_its_origin(server: Asked, site: str) -> None:
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"}
    for path in ("/v1/record?key=aun", "/v1/record?key=nobody", "/healthz", "/openapi.json"):
        assert server.refused("GET", path, headers=headers) == (403, "OriginRefused")
    assert server.ask("GET", "/", headers=headers).status_code == 200  # it may link to the page
    for own in ("same-origin", "none"):
        assert server.ask("GET", "/v1/record?key=aun", headers={"Sec-Fetch-Site": own}).status_code == 200


def test_no_page_can_load_an_answer_as_something_else(server: Asked) -> None:
    for path in ("/v1/record?key=aun", "/v1/record?key=nobody", "/nothing", "/", "/healthz"):
        answer = server.ask("GET", path)
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["x-content-type-options"] == "nosniff"


# --- how often


def test_a_client_that_asks_too_often_has_to_wait() -> None:
    now = 0.0
    rates = Rates(2, lambda: now)
    for _ in range(2):
        rates.check("a")
    with pytest.raises(Problem) as caught:
        rates.check("a")
    assert (caught.value.status_code, caught.value.headers) == (429, {"Retry-After": "1"})
    rates.check("b")
    now = 0.5
    rates.check("a")
    now = 100.0
    for _ in range(2):
        rates.check("a")
    with pytest.raises(Problem):
        rates.check("a")


def test_few_clients_are_remembered() -> None:
    rates = Rates(1, lambda: 0.0)
    for number in range(MOST_CLIENTS + 10):
        rates.check(str(number))
    assert len(rates._left) == MOST_CLIENTS
    with pytest.raises(Problem):
        rates.check(str(MOST_CLIENTS + 9))
    rates.check("0")


def test_a_slow_rate_says_how_long_to_wait(tmp_path: Path) -> None:
    with asked(opened(tmp_path / "index"), rate=0.01) as found:
        assert found.get("/v1/count")["count"] == 0
        answer = found.ask("GET", "/v1/count")
        assert error_of(answer) == (429, "TooManyRequests")
        assert 90 <= int(answer.headers["retry-after"]) <= 100
        assert found.get("/healthz") == {"status": "ok"}


def test_wrong_tokens_count_so_that_not_any_number_can_be_tried(tmp_path: Path) -> None:
    with asked(opened(tmp_path / "index"), rate=0.01, tokens=Tokens([TOKEN])) as found:
        wrong = {"Authorization": "Bearer wrong"}
        assert found.refused("GET", "/readyz", headers=wrong) == (401, "Unauthorized")
        for path in ("/readyz", "/v1/count", "/metrics", "/nothing"):
            assert found.refused("GET", path, headers=wrong) == (429, "TooManyRequests")
        assert found.ask("GET", "/readyz", headers=RIGHT).status_code == 200
