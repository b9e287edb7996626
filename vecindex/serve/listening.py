"""The socket that a server listens on: made, named, and whether others can reach it."""

from __future__ import annotations

import errno
import socket
from ipaddress import ip_address

from ..errors import InvalidInput


def bound(host: str, port: int) -> socket.socket:
    """A socket at this address, on which nothing is accepted yet; raises InvalidInput."""
    where = f"port {port} of {host}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise InvalidInput(f"{host!r} is not an address of this machine: {error}", "Pass --host 127.0.0.1.") from error
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind(address)
        made.listen(2048)
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            advice = "Stop the program that listens there, or pass another --port; --port 0 takes a free one."
            raise InvalidInput(f"{where} is in use", advice) from error
        advice = "Pass another --host or --port; those below 1024 are for root."
        raise InvalidInput(f"{where} cannot be used: {error.strerror}", advice) from error
    return made


def is_loopback(listening: socket.socket) -> bool:
    """Whether only this machine reaches the socket."""
    return ip_address(listening.getsockname()[0].partition("%")[0]).is_loopback


def url_of(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
