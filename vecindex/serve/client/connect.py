"""Begins to use a server: `connect` and `connect_async`."""

from __future__ import annotations

from typing import Any

from ...errors import InvalidInput
from ...values.arguments import entrance
from ...values.scalars import Check, real, string
from .asynchronous import AsyncRemoteIndex
from .sync import RemoteIndex
from .transport import Server

TIMEOUT = 60.0


def _url(name: str, value: Any) -> str:
    if value is None:  # as an environment without it gives
        raise InvalidInput("the URL is None", 'Pass one like "http://127.0.0.1:8000".')
    return string(value, "a URL")


_CHECKS: dict[str, Check] = {
    "url": _url,
    "token": lambda name, value: string(value, "a token"),
    "timeout": real("Pass a number of seconds.", 0),
}


@entrance(**_CHECKS)
def connect(url: str, *, token: str | None = None, timeout: float = TIMEOUT) -> RemoteIndex:
    """An index that ``vecindex serve`` serves at a URL, such as ``http://127.0.0.1:8000``.

    Nothing is sent until a method is called. A proxy that the environment names, as for other programs, is used, but
    not for this machine; certificates of ``https://`` are checked, also against those of ``SSL_CERT_FILE``.

    Args:
        url: the address that the server prints when it starts, or that of a proxy before it, with its path.
        token: a line of the server's token file, if it has one.
        timeout: seconds within which each request has to be answered.

    Raises:
        InvalidInput: this is no address of a server.
        MissingExtra: httpx is not installed.
    """
    server = Server(url, token, timeout)
    return RemoteIndex(server, server.blocking())


@entrance(**_CHECKS)
def connect_async(url: str, *, token: str | None = None, timeout: float = TIMEOUT) -> AsyncRemoteIndex:
    """As `connect`, for programs that use asyncio: the methods are awaited."""
    server = Server(url, token, timeout)
    return AsyncRemoteIndex(server, server.asynchronous())
