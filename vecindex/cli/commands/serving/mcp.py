"""``vecindex mcp``: serves the index to an agent, by the Model Context Protocol."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...interrupts import stopping_on_sigterm
from ...options import ExpandedPath, ModelOptions, index_option
from ...output import say

if TYPE_CHECKING:
    from ....serve.access import Token

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
    help="Require the bearer token in this file of --http clients; needed for a --host other than loopback.",
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
    host = "127.0.0.1" if host is None else host
    token = _token(host, token_file)
    # A client ends it like this, too, so there is nothing to report.
    with contextlib.suppress(KeyboardInterrupt), stopping_on_sigterm():
        _serve(index_path, write, http, host, DEFAULT_PORT if port is None else port, token)


def _serve(index_path: Path, write: bool, http: bool, host: str, port: int, token: Token | None) -> None:
    from .... import __version__
    from ....machine.extras import extra_errors

    with extra_errors("serving agents", "mcp"):
        from ....integrations.mcp.running import PATH, run_http, run_stdio
        from ....integrations.mcp.server import server_of
        from ....integrations.mcp.tools import Tools

    with ModelOptions().open(index_path, create=write, readonly=not write) as index:
        server = server_of(Tools(index), write=write, version=__version__)
        if not http:
            run_stdio(server)
            return
        with _listening(host, port) as listening:
            name = f"[{host}]" if ":" in host else host
            say(f"Serving agents at http://{name}:{listening.getsockname()[1]}{PATH}; Ctrl-C stops.")
            run_http(server, listening, host, token)


def _token(host: str, file: str | None) -> Token | None:
    from ....serve.access import Token, is_loopback

    if file is None and not is_loopback(host):
        raise click.UsageError(f"Others can reach {host}: pass --token-file FILE with a token that they must know.")
    return None if file is None else Token.read_from(file)


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]  # the address follows, which is said already
        advice = "Pass another --port, or another --host."
        raise click.ClickException(f"cannot listen at {host}, port {port}: {reason}. {advice}") from None
