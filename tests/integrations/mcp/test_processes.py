"""``vecindex mcp`` in a process of its own, asked by the real client over stdio and over HTTP."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

import vecindex
from vecindex.cli import main
from vecindex.integrations.mcp.answers import LONGEST_ANSWER, LONGEST_SHOWN
from vecindex.integrations.mcp.arguments import LONGEST_PART, LONGEST_TEXT, MOST_HITS, MOST_KEYS, MOST_RECORDS

from ...support.agents import (
    READING,
    WRITING,
    Call,
    answered,
    called,
    over_http,
    over_stdio,
    process,
    refused,
    requests,
    tool_names,
)
from ...support.blocks import GUIDE, blocks
from ...support.commands import no_index, run
from ...support.toy import ToyEncoder

SECONDS = 60
TOKEN = "0123456789abcdef"
EVERY: list[Call] = [
    ("add", {"records": [{"text": "žlutá 🐎 pump", "key": "b", "metadata": {"n": 2}}]}),
    ("search", {"query": "red pump", "k": 2}),
    ("search", {"query": "🐎", "mode": "lexical"}),
    ("similar", {"keys": ["a"]}),
    ("get", {"key": "b"}),
    ("list_sources", {}),
    ("info", {}),
    ("explain", {"text": "red pump", "against": "pump"}),
    ("delete", {"keys": ["b"]}),
]
"""A call of every tool. Together they leave the index as it was."""


@pytest.fixture
def index(tmp_path: Path) -> Path:
    path = tmp_path / "index"
    with vecindex.open(path, model=ToyEncoder()) as opened:
        opened.add(["red pump"], keys=["a"])
    return path


def check(server: Any, mode: str = "auto") -> None:
    """Calls every tool of a server that writes."""
    results = called(server, *EVERY, mode=mode)
    assert [result.is_error for result in results] == [False] * len(EVERY)
    answers: list[Any] = [result.structured_content for result in results]
    assert [hit["key"] for hit in answers[1]["hits"]] == ["a", "b"]
    assert (answers[4]["text"], answers[4]["metadata"]) == ("žlutá 🐎 pump", {"n": 2})
    assert answers[6]["records"] == 2
    assert answers[8] == {"deleted": 1, "records": 1}


# --- over stdio


def test_every_tool_answers_over_stdio(index: Path) -> None:
    check(over_stdio(index, "--write"))


def test_a_missing_index_is_an_error_without_write_and_is_made_with_it(here: Path) -> None:
    assert run("mcp", "--index", "nothing") == no_index(here / "nothing")
    server = over_stdio(here / "new", "--write")
    assert answered(server, "add", records=[{"text": "rain"}])["added"] == 1
    assert tool_names(over_stdio(here / "new")) == READING


def test_what_another_process_commits_is_found_by_the_next_call(index: Path) -> None:
    async def meanwhile() -> list[list[str]]:
        found = []
        async with Client(over_stdio(index)) as client:
            with vecindex.open(index, model=ToyEncoder()) as writer:
                for number in range(3):
                    writer.add(["blue pump"], keys=[f"new {number}"], metadata=[{"n": number}])
                    result: Any = await client.call_tool("search", {"query": "blue pump", "k": 50})
                    found.append([hit["key"] for hit in result.structured_content["hits"]])
                writer.compact()
                result = await client.call_tool("search", {"query": "blue pump", "k": 50})
                found.append([hit["key"] for hit in result.structured_content["hits"]])
        return found

    keys = ["new 0", "new 1", "new 2"]
    assert asyncio.run(meanwhile()) == [[*keys[: n + 1], "a"] for n in range(3)] + [[*keys, "a"]]


def test_standard_output_has_nothing_but_the_protocol(index: Path) -> None:
    asked = requests(("search", {"query": "pump", "where": "colour = 'red'"}), ("get", {"key": "nobody"}))
    with process(index, "--verbose") as started:
        assert started.stdin is not None
        assert started.stdout is not None
        started.stdin.write("no message at all\n\n" + asked)
        started.stdin.flush()
        answers: dict[Any, Any] = {}
        while not answers.keys() >= {0, 1, 2}:
            message = json.loads(started.stdout.readline())
            answers[message.get("id")] = message
        rest, err = started.communicate(timeout=SECONDS)  # closes its standard input
        assert (started.returncode, rest) == (0, "")
        assert "Traceback" not in err
        assert answers[0]["result"]["serverInfo"]["name"] == "vecindex"
        assert answers[1]["result"]["structuredContent"]["notes"]
        assert answers[2]["result"]["isError"] is True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_quietly(index: Path, number: int) -> None:
    with process(index) as started:
        assert started.stdin is not None
        assert started.stdout is not None
        started.stdin.write(requests())
        started.stdin.flush()
        assert json.loads(started.stdout.readline())["id"] == 0
        started.send_signal(number)
        assert started.wait(SECONDS) == 0
        assert started.stderr is not None
        assert (started.stdout.read(), started.stderr.read()) == ("", "")


# --- over HTTP


def test_every_tool_answers_over_http_until_a_signal(index: Path) -> None:
    with over_http(index, "--write") as (address, started):
        check(address)
        check(address, mode="legacy")
        assert tool_names(address) == READING + WRITING
        started.send_signal(signal.SIGINT)
        assert started.communicate(timeout=SECONDS) == ("", "")
        assert started.returncode == 0


def test_many_calls_at_once_are_answered(index: Path) -> None:
    async def at_once(address: str) -> list[int]:
        async with Client(address) as client:
            calls = [client.call_tool("search", {"query": f"pump {number}"}) for number in range(30)]
            answers: list[Any] = [result.structured_content for result in await asyncio.gather(*calls)]
            return [len(answer["hits"]) for answer in answers]

    with over_http(index) as (address, _):
        assert asyncio.run(at_once(address)) == [1] * 30


def test_over_http_nothing_writes_without_write(index: Path) -> None:
    with over_http(index) as (address, _):
        assert tool_names(address) == READING
        assert refused(address, "delete", keys=["a"]).startswith("There is no tool 'delete'.")
        assert answered(address, "info")["records"] == 1


def posted(address: str, content: bytes = b"{}", **headers: str) -> int:
    """The status of a request with these headers."""
    given = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.post(address, content=content, headers=given | named).status_code


def test_web_pages_and_names_from_elsewhere_do_not_reach_it(index: Path) -> None:
    with over_http(index) as (address, _):
        greeting = requests().splitlines()[0].encode()
        port = address.split(":")[2].split("/")[0]
        assert posted(address, greeting) == 200
        assert posted(address, greeting, host=f"localhost:{port}", origin=f"http://localhost:{port}") == 200
        assert posted(address, greeting, host="evil.example") == 421
        assert posted(address, greeting, host=f"evil.example:{port}") == 421
        assert posted(address, greeting, host=f"127.0.0.1.evil.example:{port}") == 421
        assert posted(address, greeting, origin="http://evil.example") == 403
        assert posted(address, greeting, origin="null") == 403
        assert posted(address, b"{" * (5 << 20)) == 413
        assert posted(address, b"[" * 100_000) == 400


def test_a_token_is_needed_where_it_is_given(index: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    with over_http(index, "--token-file", str(tmp_path / "token")) as (address, _):
        assert posted(address) == 401
        for wrong in ("", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}0", "Bearer"):
            assert posted(address, authorization=wrong) == 401

        async def names() -> list[str]:
            async with (
                httpx2.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"}) as http,
                Client(streamable_http_client(address, http_client=http)) as client,
            ):
                return [tool.name for tool in (await client.list_tools()).tools]

        assert asyncio.run(names()) == READING


def test_other_addresses_than_loopback_take_a_token_and_no_web_page(index: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    options = ("--host", "0.0.0.0", "--token-file", str(tmp_path / "token"))
    with over_http(index, *options) as (address, _):
        local, greeting = address.replace("0.0.0.0", "127.0.0.1"), requests().splitlines()[0].encode()
        assert posted(local, greeting, host="search.example") == 401
        assert posted(local, greeting, host="search.example", authorization=f"Bearer {TOKEN}") == 200
        assert posted(local, greeting, authorization=f"Bearer {TOKEN}", origin="http://localhost") == 403


def test_options_that_cannot_be_used_are_refused(index: Path, tmp_path: Path) -> None:
    status, _, err = run("mcp", "--index", index, "--port", "9000")
    assert (status, err.splitlines()[-1]) == (2, "Error: --host, --port and --token-file go with --http.")
    open_to_all = "Error: others can reach 0.0.0.0, and no token is required"
    status, _, err = run("mcp", "--index", index, "--http", "--port", "0", "--host", "0.0.0.0")
    assert (status, err.splitlines()[0]) == (1, open_to_all)
    no_tokens = f"Error: the file of tokens {tmp_path / 'none'} cannot be read: No such file or directory"
    status, _, err = run("mcp", "--index", index, "--http", "--token-file", tmp_path / "none")
    assert (status, err.splitlines()[0]) == (1, no_tokens)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, out, err = run("mcp", "--index", index, "--http", "--port", str(port))
        assert (status, out, err.splitlines()[0]) == (1, "", f"Error: port {port} of 127.0.0.1 is in use")


def test_the_guide_shows_a_configuration_that_works_and_the_limits() -> None:
    page = GUIDE / "agents.md"
    (block,) = blocks(page, "json")
    (entry,) = json.loads(block.text)["mcpServers"].values()
    assert entry["command"] == "vecindex"
    name, *arguments = entry["args"]
    assert main.commands[name].make_context(name, arguments).params["index_path"] == Path("/home/me/notes.vecindex")
    text = page.read_text(encoding="utf-8")
    for limit in (LONGEST_ANSWER, LONGEST_SHOWN, LONGEST_PART, MOST_HITS, MOST_RECORDS, LONGEST_TEXT, MOST_KEYS):
        assert f" {limit:,} " in text or f" {limit:,}." in text
