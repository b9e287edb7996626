"""What a client says of a server that refuses, is not there, is slow, or is none of ours; and the tree of errors."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

import vecindex
from vecindex import InvalidInput, ServerError, VecindexError, errors
from vecindex.errors import warnings
from vecindex.errors.warnings import VecindexWarning
from vecindex.serve.client.answers import failure
from vecindex.serve.client.rebuild import error_of, warning_of
from vecindex.serve.problems import STATUSES, problem_of
from vecindex.serve.service import described

from ...support.helpers import small_index
from ...support.served import running

URL = "http://127.0.0.1:8000"
ERRORS: list[VecindexError] = [
    errors.IndexNotFound("notes"),
    errors.RecordNotFound("nobody"),
    errors.InvalidInput("k is 0", "Pass 1 or more."),
    errors.TextTooLong(1, "d", "word", 41, 32, "toy", ("notes.txt", 3, "line")),
    errors.TextWithoutToken("~", True, 1, "d"),
    errors.InvalidFilter("a word is missing", "n >", 3),
    errors.CursorExpired(1, 2, "the index was compacted"),
    errors.SourceError("notes.csv", 3, "it ends within a quotation", "Close it.", "row"),
    errors.ModelNotFound("no/model", ["the cache"]),
    errors.UnsupportedModel("model", "it has no tokenizer"),
    errors.SpaceMismatch("toy", "theirs", "weights: a / b"),
    errors.MissingExtra("parquet", "to read it"),
    errors.IndexLocked("notes", 7, "there", 10.0, 3.0, "compacted"),
    errors.IncompatibleFormat("notes", 7, 6),
    errors.CorruptIndex("notes/vecindex.db", "it is no database"),
    errors.StorageError("notes", "No space left on device", "Free some."),
    errors.OutOfMemory("the index was verified"),
    errors.EncodingFailed("a worker died", "Try again."),
]
WARNINGS: list[VecindexWarning] = [
    warnings.QueryTruncated(300, 256, "toy", 2),
    warnings.QueryUnknown("toy", "the query"),
    warnings.RerankUnfinished(3, 100, 50.0),
    warnings.PhraseNotFound(("red rose",)),
    warnings.FilterWarning("year", "'2020'", held=("numbers",), known=("lang",)),
    warnings.GroupWarning("topic", ("lang",)),
    warnings.PagesWithoutText("a.pdf", "1 to 3"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_of_the_server_is_the_same_error_here(error: VecindexError) -> None:
    problem = problem_of(error)
    found = failure(URL, problem.status_code, parsed(problem.response().body))
    assert (type(found), str(found)) == (type(error), str(error))


def test_every_error_that_a_server_may_answer_is_tried() -> None:
    kinds = {type(error) for error in ERRORS}
    assert set(STATUSES) <= kinds
    assert kinds == {*subclasses(VecindexError)} - {VecindexError, ServerError}


@pytest.mark.parametrize("warning", WARNINGS, ids=lambda warning: type(warning).__name__)
def test_a_warning_of_the_server_is_the_same_warning_here(warning: VecindexWarning) -> None:
    found = warning_of(described(warning))
    assert (type(found), str(found)) == (type(warning), str(warning))


def test_every_warning_is_tried() -> None:
    assert {type(warning) for warning in WARNINGS} == {*subclasses(VecindexWarning)} - {VecindexWarning}


@pytest.mark.parametrize("kind", ["Other", "VecindexError", "Advice", "", None, 7])
def test_what_a_later_server_says_is_an_error_all_the_same(kind: Any) -> None:
    members = {"type": kind, "message": "what is wrong", "advice": "What to do."}
    assert error_of(members) is None
    found = failure(URL, 418, {"error": members}, "7")
    assert isinstance(found, ServerError)
    assert (found.status, found.kind, found.retry_after) == (418, str(kind), 7.0)
    assert str(found) == f"{URL}: what is wrong. What to do."


def test_a_token_is_sent_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    small_index(tmp_path / "index")
    tokens = tmp_path / "tokens"
    tokens.write_text("a-token-that-nobody-guesses-1\n", encoding="utf-8")
    tokens.chmod(0o600)
    with running(tmp_path / "index", "--token-file", str(tokens)) as server:
        with vecindex.connect(server.url, token="a-token-that-nobody-guesses-1") as index:
            assert len(index) == 3
        for token in (None, "wrong"):
            with vecindex.connect(server.url, token=token) as index, pytest.raises(ServerError) as caught:
                index.search("one")
            assert caught.value.status == 401


def test_a_server_that_only_reads_refuses_changes_until_another_takes_its_place(tmp_path: Path) -> None:
    small_index(tmp_path / "index")
    with running(tmp_path / "index", "--read-only") as server:
        index = vecindex.connect(server.url)
        with pytest.raises(ServerError, match="only reads") as caught:
            index.add(["two"])
        assert (caught.value.status, caught.value.kind) == (403, "ReadOnly")
        assert len(index) == 3
    with pytest.raises(ServerError) as caught:  # over the connection that was kept
        len(index)
    assert caught.value.kind == "Unreachable"
    with answering(b'{"count": 7}', port=server.port), index:  # as after a restart
        assert len(index) == 7


def test_no_server_is_an_error_that_says_what_to_check() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with vecindex.connect(url) as index, pytest.raises(ServerError) as caught:
            index.search("rain")
    assert (caught.value.url, caught.value.status, caught.value.kind) == (url, None, "Unreachable")
    assert "Check the URL, and that `vecindex serve` runs there." in str(caught.value)

    async def ask() -> None:
        async with vecindex.connect_async(url) as index:
            await index.count()

    with pytest.raises(ServerError):
        asyncio.run(ask())


@contextmanager
def answering(
    content: bytes,
    wait: threading.Event | None = None,
    *,
    location: str | None = None,
    slowly: bool = False,
    port: int = 0,
) -> Iterator[str]:
    """Another kind of server, which waits before it answers, leads elsewhere, or sends a byte at a time."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if wait is not None:
                wait.wait(30)
            self.send_response(200 if location is None else 307)
            if location is not None:
                self.send_header("Location", location)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with suppress(ConnectionError):
                for place in range(0, len(content), 1 if slowly else len(content)):
                    self.wfile.write(content[place : place + 1] if slowly else content)
                    time.sleep(0.01 if slowly else 0)

        def log_message(self, *_: Any) -> None:
            pass

    with served(Handler, port) as url:
        try:
            yield url
        finally:
            if wait is not None:
                wait.set()


@contextmanager
def served(handler: type[BaseHTTPRequestHandler], port: int = 0) -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", port), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("content", [b"<html>hello</html>", b"[]", b"\xff", b'{"hello": 1}'])
def test_another_kind_of_server_is_not_understood(content: bytes) -> None:
    with answering(content) as url, vecindex.connect(url) as index, pytest.raises(ServerError) as caught:
        index.count()
    assert caught.value.kind == "NotUnderstood"


def test_a_server_that_is_too_slow_is_given_up() -> None:
    with answering(b"{}", threading.Event()) as url, vecindex.connect(url, timeout=0.2) as index:
        with pytest.raises(ServerError, match="no answer within") as caught:
            index.count()
        assert caught.value.kind == "TimedOut"


def test_an_answer_that_never_ends_is_given_up() -> None:
    content = b'{"count":' + b" " * 100_000 + b"1}"
    with answering(content, slowly=True) as url, vecindex.connect(url, timeout=0.2) as index:
        with pytest.raises(ServerError) as caught:
            index.count()
        assert caught.value.kind == "TimedOut"


def test_an_answer_that_is_too_large_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecindex.serve.client.transport.LARGEST_ANSWER", 10)
    with answering(b'{"count": 12}') as url, vecindex.connect(url) as index, pytest.raises(ServerError) as caught:
        index.count()
    assert (caught.value.kind, caught.value.reason) == ("TooLarge", "the answer has more than 10 bytes")


def test_no_redirect_is_followed_as_it_might_lead_the_token_elsewhere() -> None:
    with answering(b"x", location="https://elsewhere.example/v1/count") as url, vecindex.connect(url) as index:
        with pytest.raises(ServerError, match="leads to 'https://elsewhere") as caught:
            index.count()
        assert (caught.value.status, caught.value.kind) == (307, "Redirected")


@pytest.mark.parametrize(
    "url",
    [
        None,
        *("", "notes.vecindex", "127.0.0.1:8000", "ftp://a.example", "http://", " http://a.example", "http://a b"),
        *("http://a.example/?x=1", "http://a.example/#x", "http://name:word@a.example", "http://a.example\n"),
        *("http://a.example:0", "http://a.example:99999", "http://a.example:9:9", "http://[::1", "http://a\0"),
    ],
)
def test_what_is_no_address_is_refused_at_once(url: Any) -> None:
    for connect in (vecindex.connect, vecindex.connect_async):
        with pytest.raises(InvalidInput, match='Pass one like "http://127'):
            connect(url)


@pytest.mark.parametrize("token", ["", "a secret", "secret ", "secret\n", "gehe\u00edm", "\x7f"])
def test_what_is_no_token_is_refused_at_once_and_not_shown(token: str) -> None:
    with pytest.raises(InvalidInput, match="the token is empty, or has characters that no token has") as caught:
        vecindex.connect(URL, token=token)
    assert not token.strip() or token.strip() not in str(caught.value)


def test_names_that_no_host_has_are_not_reached() -> None:
    for name in ("xn--", "a" * 300):
        with vecindex.connect(f"http://{name}") as index, pytest.raises(ServerError) as caught:
            index.count()
        assert caught.value.kind == "Unreachable"


def test_a_timeout_is_more_than_nothing_and_may_be_endless() -> None:
    with pytest.raises(InvalidInput, match="timeout is 0"):
        vecindex.connect(URL, timeout=0)
    for seconds in (float("inf"), 1e12):
        with answering(b'{"count": 3}') as url, vecindex.connect(url, timeout=seconds) as index:
            assert index.count() == 3


def test_a_server_may_be_under_a_path_of_a_proxy() -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = json.dumps({"count": 3 if self.path == "/notes/v1/count" else 0}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with served(Handler) as url:
        for path in ("/notes", "/notes/"):
            with vecindex.connect(url + path) as index:
                assert len(index) == 3


PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy")


def test_a_proxy_of_the_environment_is_used_but_not_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
    with answering(b'{"count": 3}') as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy)
        with vecindex.connect("http://search.example") as index:
            assert index.count() == 3
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        for url in (proxy, proxy.replace("127.0.0.1", "localhost")):
            with vecindex.connect(url) as index:
                assert index.count() == 3
    monkeypatch.setenv("HTTP_PROXY", "nonsense://a")
    with pytest.raises(InvalidInput, match="the proxy that the environment names cannot be used"):
        vecindex.connect("http://search.example")
    monkeypatch.setenv("SSL_CERT_FILE", "nothing.pem")
    with pytest.raises(InvalidInput, match="the certificates that the environment names cannot be read"):
        vecindex.connect("https://localhost")


def test_a_closed_index_says_so_as_a_local_one_does() -> None:
    index = vecindex.connect(URL)
    index.close()
    index.close()
    with pytest.raises(InvalidInput, match="the index is closed"):
        index.count()

    async def ask() -> None:
        async with vecindex.connect_async(URL) as other:
            pass
        await other.count()

    with pytest.raises(InvalidInput, match="the index is closed"):
        asyncio.run(ask())


def test_a_filter_that_is_too_long_for_a_url_is_refused() -> None:
    with vecindex.connect(URL) as index, pytest.raises(InvalidInput, match="too long for a URL"):
        index.count({"n": {"$in": list(range(50_000))}})


def test_vectors_that_are_not_finite_are_refused_before_they_are_sent() -> None:
    with vecindex.connect(URL) as index:
        for query in ([1.0, float("nan")], [[1.0]], float("inf")):
            with pytest.raises(InvalidInput):
                index.search(query)
        with pytest.raises(InvalidInput, match="cannot be sent as JSON"):
            index.add(["rain"], metadata=[{"a": {1, 2}}])


def test_without_httpx_the_extra_is_named() -> None:
    program = (
        "import sys; sys.modules['httpx'] = None\n"
        "import vecindex\n"
        "try:\n    vecindex.connect('http://127.0.0.1:8000')\n"
        "except vecindex.MissingExtra as error:\n    print(error)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "vecindex.connect() needs the extra 'client'. Run: pip install 'vecindex[client]'\n"


def subclasses(root: type) -> Iterator[type]:
    """The class and all below it that are the package's own."""
    yield root
    below: list[type] = type.__subclasses__(root)
    for each in below:
        if each.__module__.startswith("vecindex."):
            yield from subclasses(each)


def parsed(content: Any) -> Any:
    return json.loads(bytes(content))
