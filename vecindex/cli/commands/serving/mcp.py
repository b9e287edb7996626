"""``vecindex mcp``: serves the index to an agent, by the Model Context Protocol."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ....errors import InvalidInput
from ...interrupts import stopping_on_sigterm
from ...options import ExpandedPath, ModelOptions, index_option
from ...output import say

if TYPE_CHECKING:
    from ....integrations.mcp.server import Server

DEFAULT_PORT = 8765


@click.command()
@click.option("--write", is_flag=True, help="Also offer the tools that add and delete records.")
@click.option("--http", is_flag=True, help="Serve over HTTP instead of standard input and output.")
@click.option("--host", metavar="ADDRESS", help="The address for --http to listen at.  [default: 127.0.0.1]")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    help=f"The port for --http; 0 is any that is free.  [default: {DEFAULT_PORT}]",
)
@click.option(
    "--token-file",
    type=ExpandedPath(),
    metavar="FILE",
    help="Only answer --http requests that have a token of this file, which has one a line.",
)
@index_option
def mcp(write: bool, http: bool, host: str | None, port: int | None, token_file: str | None, index_path: Path) -> None:
    """Serve the index to an agent (MCP), over stdio or HTTP.

    An agent that speaks the Model Context Protocol starts this command itself and gets the tools search, similar, get,
    list_sources, info and explain; with --write also add and delete. Without --write, nothing can change the index.

    Over HTTP, the address is http://HOST:PORT/mcp. It runs until its standard input ends or until Ctrl-C, and needs the
    extra mcp: pip install 'vecindex[mcp]'

    \b
    Examples:
      vecindex mcp --index notes.vecindex
      vecindex mcp --index notes.vecindex --write
      vecindex mcp --http --port 9000
      vecindex mcp --http --host 0.0.0.0 --token-file token.txt
    """
    if not http and (host, port, token_file) != (None, None, None):
        raise click.UsageError("--host, --port and --token-file go with --http.")
    # A client ends it like this, too, so there is nothing to report.
    with contextlib.suppress(KeyboardInterrupt), stopping_on_sigterm():
        from .... import __version__
        from ....machine.extras import extra_errors

        with extra_errors("serving agents", "mcp"):
            from ....integrations.mcp.running import run_stdio
            from ....integrations.mcp.server import server_of
            from ....integrations.mcp.tools import Tools

        with ModelOptions().open(index_path, create=write, readonly=not write) as index:
            server = server_of(Tools(index), write=write, version=__version__)
            if http:
                _serve(server, host or "127.0.0.1", DEFAULT_PORT if port is None else port, token_file)
            else:
                run_stdio(server)


def _serve(server: Server, host: str, port: int, token_file: str | None) -> None:
    from ....integrations.mcp.running import PATH, run_http
    from ....serve.guards.tokens import read_tokens
    from ....serve.listening import bound, is_loopback, url_of

    tokens = None if token_file is None else read_tokens(token_file)
    with bound(host, port) as listening:
        if tokens is None and not is_loopback(listening):
            raise InvalidInput(
                f"others can reach {host}, and no token is required",
                "Pass --token-file FILE, or leave --host out to answer programs on this machine alone.",
            )
        say(f"Serving agents at {url_of(listening)}{PATH}; Ctrl-C stops.")
        run_http(server, listening, host, tokens)
