"""The files of the page: their types, that they need no token, and that nothing else is sent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import vecindex.serve
from vecindex import Record
from vecindex.serve.guards.tokens import Tokens

from ...support.helpers import opened
from ...support.served import Asked, asked

FOLDER = Path(vecindex.serve.__path__[0]) / "page"
FILES = {"/": "index.html", **{f"/page/{path.name}": path.name for path in FOLDER.iterdir() if path.suffix != ".html"}}
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """A server that wants a token."""
    index = opened(tmp_path_factory.mktemp("guarded") / "index")
    with asked(index, tokens=Tokens(["correct-horse-battery"])) as found:
        yield found


@pytest.mark.parametrize("path", FILES)
def test_a_file_is_sent_with_its_type_and_a_strict_policy(server: Asked, path: str) -> None:
    answer = server.ask("GET", path)
    assert answer.status_code == 200
    assert answer.content == (FOLDER / FILES[path]).read_bytes()
    assert answer.headers["content-type"] == TYPES[Path(FILES[path]).suffix]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-cache"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "http" not in policy


@pytest.mark.parametrize("path", ["/", "/page/main.js"])
def test_a_file_that_is_known_is_not_sent_again(server: Asked, path: str) -> None:
    tag = server.ask("GET", path).headers["etag"]
    for sent in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        answer = server.ask("GET", path, headers={"If-None-Match": sent})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    assert server.ask("GET", path, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/page/page.css"])
def test_head_tells_what_get_would_send(server: Asked, path: str) -> None:
    answer, whole = server.ask("HEAD", path), server.ask("GET", path)
    assert (answer.status_code, answer.content) == (200, b"")
    for name in ("content-length", "content-type", "etag"):
        assert answer.headers[name] == whole.headers[name]
    assert server.refused("POST", path) == (405, "MethodNotAllowed")


@pytest.mark.parametrize(
    "path",
    [
        *("/page", "/page/", "/page/index.html", "/page/none.js", "/page/__init__.py", "//page/main.js"),
        *("/page/../app.py", "/page/..%2fapp.py", "/page/%2e%2e/app.py", "/page/..\\app.py", "/page/main.js/"),
        *("/page/%00", "/page/main.js%00", "/page//etc/passwd", "/page/%2fetc%2fpasswd", "/page/MAIN.JS"),
    ],
)
def test_no_path_leads_to_another_file(server: Asked, guarded: Asked, path: str) -> None:
    assert server.refused("GET", path) == (404, "NotFound")
    assert guarded.refused("GET", path) == (401, "Unauthorized")


def test_the_files_are_not_counted(tmp_path: Path) -> None:
    with asked(opened(tmp_path / "index"), rate=0.01) as slow:
        for path in FILES:
            assert slow.ask("GET", path).status_code == 200


def test_the_files_need_no_token_and_all_else_needs_one(guarded: Asked) -> None:
    for path in FILES:
        assert guarded.ask("GET", path).status_code == 200
    for path in ("/v1/info", "/v1/fields", "/readyz", "/openapi.json", "/page/none.js"):
        assert guarded.refused("GET", path) == (401, "Unauthorized")


def test_the_page_names_no_other_server_and_has_no_inline_code() -> None:
    html = (FOLDER / "index.html").read_text()
    assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]* src=)", html)
    names = re.findall(r'(?:src|href)="(page/[^"]*)"', html)
    assert {f"/{name}" for name in names} == set(FILES) - {"/"}
    for path in FOLDER.iterdir():
        addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+", path.read_text()))
        assert addresses <= {"http://www.w3.org"}, path  # the name of a namespace, which is not asked for anything
        assert "innerHTML" not in path.read_text()


def test_fields_are_found_in_all_of_the_index_the_indexed_and_the_frequent_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = opened(tmp_path / "index")
    index.add(
        [Record(f"text {number}", metadata={"rare": 1} if number < 2 else {"lang": "en"}) for number in range(40)]
    )
    index.add([Record(f"more {number}", metadata={"late": {"deep": number}}) for number in range(10)])
    index.index_field("year")
    with asked(index) as server:
        assert server.get("/v1/fields") == {"fields": ["year", "lang", "late.deep", "rare"]}
        monkeypatch.setattr("vecindex.search.listing._LOOKED_AT", 10)
        assert server.get("/v1/fields") == {"fields": ["year", "lang", "late.deep", "rare"]}


def test_fields_are_named_as_filters_write_them(server: Asked, tmp_path: Path) -> None:
    assert server.get("/v1/fields") == {"fields": ["lang", "year"]}
    index = opened(tmp_path / "index")
    index.add([Record("one", metadata={"a.b": 1, "author": {"name": "x", "died": {"in": {"year": 1}}}, "and": None})])
    with asked(index) as other:
        assert other.get("/v1/fields") == {"fields": ['"a.b"', "author.name", '"and"']}
