"""``vecindex serve``: answers searches over HTTP."""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ....errors import InvalidInput
from ...options import ExpandedPath, ModelOptions, gathered, index_option, model_options
from ...output import emit, is_terminal, warn

_LOCK_SECONDS = 3.0
"""For how long a change waits for another program that writes to the index."""


@dataclass(frozen=True, slots=True)
class _Access:
    """The options that say who may ask, and how much."""

    read_only: bool
    token_file: str | None
    allow_host: tuple[str, ...]
    allow_origin: tuple[str, ...]
    reranker: tuple[str, ...]
    rate: float | None
    max_body: int
    timeout: float


class _AtLeast(click.FloatRange):
    """A number from a least one on, which NaN is not, though it is not below it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{number} is not in the range {self._describe_range()}.", param, ctx)
        return number


_access_options = gathered(
    *("access", _Access),
    (
        click.option("--read-only", is_flag=True, help="Refuse to add and to delete."),
        click.option(
            "--token-file",
            type=ExpandedPath(),
            envvar="VECINDEX_TOKEN_FILE",
            show_envvar=True,
            metavar="FILE",
            help="Only answer requests that have a token of this file, which has one a line.",
        ),
        click.option(
            "--allow-host", multiple=True, metavar="NAME", help="Another name of this server; may be repeated."
        ),
        click.option(
            "--allow-origin",
            multiple=True,
            metavar="URL",
            help="Let pages from there ask, such as https://example.com; may be repeated.",
        ),
        click.option(
            "--reranker",
            multiple=True,
            metavar="MODEL",
            help="Let requests rerank by this cross-encoder, a folder or hub name; may be repeated.",
        ),
        click.option(
            "--rate",
            type=_AtLeast(0.01),
            metavar="N",
            help="How many requests a second each client may send.  [default: any number]",
        ),
        click.option(
            "--max-body",
            type=click.IntRange(1, 1024),
            default=16,
            show_default=True,
            metavar="MB",
            help="How large the body of a request may be.",
        ),
        click.option(
            "--timeout",
            type=_AtLeast(0.1),
            default=60.0,
            show_default=True,
            metavar="S",
            help="After how many seconds a request is given up.",
        ),
    ),
)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    metavar="N",
    help="The port; 0 takes a free one.",
)
@click.option("--create", is_flag=True, help="Create an empty index if there is none.")
@_access_options
@model_options
@index_option
def serve(host: str, port: int, create: bool, access: _Access, chosen: ModelOptions, index_path: Path) -> None:
    """Answer searches and changes over HTTP.

    Once the model is loaded, the address is printed on standard output; the guide's page about the server lists what it
    answers. Each request is a line of JSON on standard error, or a shorter one on a terminal.

    Without --token-file, only programs on this machine are answered. Whoever sends a token reads and changes the whole
    index, and the token itself is not encrypted: put a server with TLS before this one.

    It runs until Ctrl-C or SIGTERM, then answers what it was asked, and stores what it accepted. It needs the extra
    serve: pip install 'vecindex[serve]'

    \b
    Examples:
      vecindex serve
      vecindex serve --index notes.vecindex --port 9000 --read-only
      vecindex serve --host 0.0.0.0 --token-file tokens.txt
    """
    from ....machine.extras import extra_errors

    with extra_errors("vecindex serve", "serve"):
        from ....serve.run import serve as run

    from ....serve.guards.callers import read_hosts, read_origins
    from ....serve.guards.tokens import read_tokens
    from ....serve.listening import bound, is_loopback
    from ....serve.logs import Log
    from ....serve.service import Service
    from ....serve.settings import MEGABYTE, Settings

    tokens = None if access.token_file is None else read_tokens(access.token_file)
    with bound(host, port) as listening:
        local = is_loopback(listening)
        if tokens is None and not local:
            raise InvalidInput(
                f"others can reach {host}, and no token is required",
                "Pass --token-file FILE, or leave --host out to answer programs on this machine alone.",
            )
        settings = Settings(
            readonly=access.read_only,
            tokens=tokens,
            local=local,
            hosts=read_hosts(access.allow_host),
            origins=read_origins(access.allow_origin),
            rerankers=access.reranker,
            rate=access.rate,
            max_body=access.max_body * MEGABYTE,
            timeout=access.timeout,
        )
        index = chosen.open(index_path, create=create, readonly=access.read_only, lock_timeout=_LOCK_SECONDS)
        service = Service(index, settings)
        log = Log(warn, as_json=not is_terminal(sys.stderr))
        ended = run(service, listening, log, lambda url: emit(f"Listening on {url}\n"))
    if not ended:  # a thread that is still at work would keep the process from ending
        sys.stdout.flush()
        os._exit(0)
