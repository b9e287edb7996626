"""How ``vecindex serve`` starts, what it refuses to start with, and what its log says."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ..support.commands import failed, no_index, run
from ..support.helpers import opened
from ..support.served import Running, running

TOKEN = "correct-horse-battery-staple"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("started") / "index"
    with opened(path) as made:
        made.add(["my name is Aun", "it rains today"], keys=["aun", "rain"])
    return path


@pytest.fixture(scope="module")
def process(index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    tokens = tmp_path_factory.mktemp("tokens") / "tokens.txt"
    tokens.write_text(f"# ours\n\n{TOKEN}\nanother-token-of-them\n")
    with running(index, "--token-file", str(tokens), "--read-only") as found:
        yield found


def test_it_prints_its_address_once_it_is_ready_and_answers_there(process: Running) -> None:
    assert process.url.startswith("http://127.0.0.1:")
    with httpx.Client(base_url=process.url) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/readyz").status_code == 401
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        assert client.get("/readyz").status_code == 200
        assert client.post("/v1/search", json={"query": "name", "k": 1}).json()["hits"][0]["key"] == "aun"


def test_each_request_is_a_line_of_the_log_without_texts_keys_and_tokens(index: Path, tmp_path: Path) -> None:
    (tmp_path / "tokens.txt").write_text(TOKEN)
    with running(index, "--token-file", str(tmp_path / "tokens.txt")) as server:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=server.url, headers=headers) as client:
            found = client.post("/v1/search", json={"query": "secret words"})
            client.get("/v1/record", params={"key": "secret"})
            client.get("/v1/secret", headers={"Authorization": "Bearer secret"})
        assert server.stop() == 0
    lines = [json.loads(line) for line in server.log]
    assert [(each["method"], each["route"], each["status"]) for each in lines[:-1]] == [
        ("POST", "/v1/search", 200),
        ("GET", "/v1/record", 404),
        ("GET", "other", 401),
    ]
    assert lines[0]["request"] == found.headers["x-request-id"]
    assert set(lines[0]) == {"time", "method", "route", "status", "ms", "request"}
    assert lines[-1]["event"] == "stopping"
    assert "secret" not in str(lines)
    assert TOKEN not in str(lines)


def test_a_port_in_use_is_an_error(index: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert run("serve", "--index", index, "--port", port) == failed(
            f"port {port} of 127.0.0.1 is in use",
            "Stop the program that listens there, or pass another --port; --port 0 takes a free one.",
        )


def test_an_address_that_is_not_of_this_machine_is_an_error(index: Path) -> None:
    code, out, err = run("serve", "--index", index, "--host", "192.0.2.1", "--port", "0")
    assert (code, out) == (1, "")
    assert "port 0 of 192.0.2.1 cannot be used: " in err


def test_no_token_is_refused_where_others_reach_the_server(index: Path) -> None:
    assert run("serve", "--index", index, "--host", "0.0.0.0", "--port", "0") == failed(
        "others can reach 0.0.0.0, and no token is required",
        "Pass --token-file FILE, or leave --host out to answer programs on this machine alone.",
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"\n# only this\n", "has none"),
        (b"short\n", "is no token, which is 16 or more visible ASCII characters without spaces"),
        (b"with spaces in the middle of it\n", "is no token, which"),
        (b"#" * 99_990 + b"\n" + b"t" * 40, "has more than 100,000 characters"),
        (b"\xff\xfe" * 20, "cannot be read: it is not a text file in UTF-8"),
    ],
)
def test_a_file_without_good_tokens_is_an_error(
    index: Path, tmp_path: Path, content: bytes | None, reason: str
) -> None:
    if content is not None:
        (tmp_path / "tokens.txt").write_bytes(content)
    code, out, err = run("serve", "--index", index, "--token-file", tmp_path / "tokens.txt", "--port", "0")
    assert (code, out) == (1, "")
    assert reason in err
    assert "secrets.token_urlsafe" in err


@pytest.mark.parametrize("option", ["--timeout", "--rate"])
def test_nan_is_no_number_of_seconds_or_requests(option: str) -> None:
    code, out, err = run("serve", option, "nan")
    assert (code, out) == (2, "")
    assert f"Invalid value for '{option}': nan is not in the range" in err


def test_no_index_is_an_error_unless_one_is_to_be_created(tmp_path: Path) -> None:
    assert run("serve", "--index", tmp_path / "none", "--port", "0") == no_index(tmp_path / "none")
    with running(tmp_path / "none", "--create") as server, httpx.Client(base_url=server.url) as client:
        assert client.get("/v1/count").json()["count"] == 0
        assert client.post("/v1/records", json={"records": [{"text": "the first"}]}).json()["added"] == 1
        assert client.post("/v1/search", json={"query": "first"}).json()["hits"][0]["text"] == "the first"


def test_without_the_extra_it_says_what_to_install(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("vecindex.serve")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert run("serve", "--index", index) == failed(
        "vecindex serve needs the extra 'serve'", "Run: pip install 'vecindex[serve]'"
    )
