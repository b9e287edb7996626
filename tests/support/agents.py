"""An agent's side: calls tools of a server in this process, of ``vecindex mcp`` over stdio, or over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters
from mcp_types import CallToolResult

from .places import PROJECT
from .toy_command import TOY

Call = tuple[str, dict[str, Any]]
READING = ["search", "similar", "get", "list_sources", "info", "explain"]
WRITING = ["add", "delete"]


def called(server: Any, *calls: Call, mode: str = "auto") -> list[CallToolResult]:
    """The results of these calls, one after the other, in one connection to a server of any kind.

    The mode "legacy" is that of clients before the protocol of 2026.
    """

    async def call() -> list[CallToolResult]:
        async with Client(server, mode=mode) as client:
            return [await client.call_tool(name, arguments) for name, arguments in calls]

    return asyncio.run(call())


def answered(server: Any, name: str, **arguments: Any) -> dict[str, Any]:
    """The answer of a call that succeeds."""
    (result,) = called(server, (name, arguments))
    assert not result.is_error, result.content
    assert isinstance(result.structured_content, dict)
    return result.structured_content


def text_of(result: CallToolResult) -> str:
    (content,) = result.content
    assert content.type == "text"
    text: str = content.text
    return text


def refused(server: Any, name: str, **arguments: Any) -> str:
    """The message of a call that fails."""
    (result,) = called(server, (name, arguments))
    assert result.is_error
    assert result.structured_content is None
    return text_of(result)


def tool_names(server: Any) -> list[str]:
    async def names() -> list[str]:
        async with Client(server) as client:
            return [tool.name for tool in (await client.list_tools()).tools]

    return asyncio.run(names())


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PROJECT), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def over_stdio(index: Path, *options: str) -> StdioServerParameters:
    """A process of its own for each connection, with the toy encoder."""
    command, *arguments = TOY
    return StdioServerParameters(
        command=command, args=[*arguments, "mcp", "--index", str(index), *options], env=_environment()
    )


@contextmanager
def process(index: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """``vecindex mcp`` with the toy encoder; killed at the end if it still runs."""
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    arguments = [*TOY, "mcp", "--index", str(index), *options]
    with subprocess.Popen(arguments, env=_environment(), text=True, **pipes) as started:
        try:
            yield started
        finally:
            started.kill()


@contextmanager
def over_http(index: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address and the process of one that serves over HTTP at a free port."""
    with process(index, "--http", "--port", "0", *options) as started:
        assert started.stderr is not None
        said = started.stderr.readline()
        assert said.startswith("Serving agents at http://"), said + started.stderr.read()
        yield said.split()[3].rstrip(";"), started


def requests(*calls: Call) -> str:
    """What a client writes to standard input to be greeted and to make these calls, whose ids count from 1."""
    client = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    messages: Sequence[dict[str, Any]] = [
        {"id": 0, "method": "initialize", "params": client},
        {"method": "notifications/initialized"},
        *(
            {"id": number, "method": "tools/call", "params": {"name": name, "arguments": arguments}}
            for number, (name, arguments) in enumerate(calls, 1)
        ),
    ]
    return "".join(json.dumps({"jsonrpc": "2.0", **message}) + "\n" for message in messages)
