"""Downloads, from a server on this machine: what is read, what is refused, and that nothing happens offline."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from vecindex.errors import SourceError
from vecindex.sources import Format, read, source
from vecindex.sources.opening import urls
from vecindex.sources.walk import sources_in

CSV = b"text,lang\nMy name is Aun,en\n"
PAGES: dict[str, tuple[str, bytes]] = {
    "/films.csv": ("application/octet-stream", CSV),
    "/films.csv?page=2": ("text/plain", CSV),
    "/export": ("text/csv; charset=utf-8", CSV),
    "/latin": ("text/csv; charset=iso-8859-1", "text\ncafé\n".encode("latin-1")),
    "/rows": ("application/x-ndjson", b'{"text": "one"}\n{"text": "two"}\n'),
    "/packed.txt.gz": ("application/gzip", gzip.compress(b"one\ntwo\n")),
    "/unknown": ("text/plain", b"Some notes.\n"),
    "/numbers": ("text/plain", b"1 2 3\n4 5 6\n"),
    "/notes.txt": ("text/plain", b"Some notes.\n"),
    "/picture.txt": ("text/plain", b"\x89PNG\r\n\x1a\n\0\0"),
    "/large.txt": ("text/plain", b"one\n" * 50_000),
}


REDIRECTS = {"/file": "file:///etc/passwd", "/ftp": "ftp://127.0.0.1/a.txt", "/loop": "/loop"}


class Handler(BaseHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        Handler.asked.append(self.path)
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to"))
            self.end_headers()
        elif self.path in REDIRECTS:
            self.send_response(302)
            self.send_header("Location", REDIRECTS[self.path])
            self.end_headers()
        elif self.path == "/silent.txt":
            time.sleep(1)
        elif self.path in ("/cut.txt", "/garbage.txt"):
            if self.path == "/cut.txt":
                self.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 99\r\n\r\none\n")
            else:
                self.wfile.write(b"\0\0\0\n")
        elif self.path in PAGES:
            kind, content = PAGES[self.path]
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        else:
            self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Tests print nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.server_port}"
    finally:
        running.shutdown()
        running.server_close()
        thread.join()


def texts(url: str) -> list[str]:
    with source(url) as given:
        assert given.kind == "url"
        assert given.path == given.name == url
        found = [record.text for record in read(given)]
        assert [record.text for record in read(given)] == found  # it is downloaded once and read twice
        return found


def refused(url: str) -> str:
    with pytest.raises(SourceError) as caught:
        texts(url)
    assert (caught.value.path, caught.value.line) == (url, None)
    assert "\n" not in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/films.csv", ["My name is Aun"]),
        ("/films.csv?page=2", ["My name is Aun"]),
        ("/export", ["My name is Aun"]),
        ("/latin", ["café"]),
        ("/rows", ["one", "two"]),
        ("/packed.txt.gz", ["one", "two"]),
        ("/notes.txt", ["Some notes."]),
        ("/unknown", ["Some notes."]),
        ("/to/to/notes.txt", ["Some notes."]),
    ],
)
def test_what_a_server_sends_is_read_as_its_type_name_and_content_say(
    server: str, path: str, expected: list[str]
) -> None:
    Handler.asked.clear()
    assert texts(server + path) == expected
    assert len(Handler.asked) == 1 + path.count("/to")
    for each in sources_in([server + path]):
        with each:
            assert [record.text for record in read(each)] == expected


def test_a_format_may_be_given(server: str) -> None:
    with source(f"{server}/numbers", format=Format.TXT) as given:
        assert [record.text for record in read(given)] == ["1 2 3", "4 5 6"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/missing.txt", "the server answered 404 (Not Found)"),
        ("/numbers", "the name has no suffix, and the content does not look like text"),
        ("/picture.txt", "looks like a PNG image, not text"),
        ("/cut.txt", "the server sent 4 of 99 bytes"),
    ],
)
def test_what_cannot_be_read_is_refused(server: str, path: str, reason: str) -> None:
    assert refused(server + path) == reason


def test_redirects_are_few_and_stay_on_the_web(server: str) -> None:
    assert refused(f"{server}/loop").startswith("the server answered 302 (The HTTP server returned a redirect error")
    assert refused(f"{server}{'/to' * 7}/notes.txt").startswith("the server answered 302 (")
    assert "Redirection to url 'file:///etc/passwd' is not allowed" in refused(f"{server}/file")
    assert refused(f"{server}/ftp") == "leads to ftp://127.0.0.1/a.txt, which is not on the web"


def test_a_download_has_limits(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(texts(f"{server}/large.txt")) == 50_000
    monkeypatch.setattr(urls, "MAX_SECONDS", -1)
    assert refused(f"{server}/large.txt").startswith("takes more than ")
    monkeypatch.undo()
    monkeypatch.setattr(urls, "MAX_SIZE", 100_000)
    assert refused(f"{server}/large.txt") == "has more than 100,000 bytes"
    monkeypatch.setattr(urls, "TIMEOUT", 0.05)
    assert refused(f"{server}/silent.txt") == "cannot be downloaded: the server was silent for 0 seconds"


def test_a_server_that_is_not_there_or_speaks_something_else_is_an_error(server: str) -> None:
    assert refused("http://127.0.0.1:9/a.txt") == "cannot be downloaded: Connection refused"
    assert refused(f"{server}/garbage.txt").startswith("cannot be downloaded: ")
    assert refused("http://127.0.0.1:port/a.txt").startswith("cannot be downloaded: ")
    assert refused("https://").startswith("cannot be downloaded: ")


def test_nothing_is_asked_of_a_server_offline(server: str) -> None:
    Handler.asked.clear()
    for call in (lambda: source(f"{server}/a.txt", offline=True), lambda: list(sources_in([server], offline=True))):
        with pytest.raises(SourceError, match="is on a server, and nothing is downloaded offline"):
            call()
    assert Handler.asked == []
