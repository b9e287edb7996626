"""Where a request comes from: the name by which the server was called, and the page whose script asks.

A page of a stranger may have its own name lead to this machine (DNS rebinding); its name is in the Host header then.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..problems import Problem
from ..settings import Settings

Headers = Sequence[tuple[bytes, bytes]]
LOCAL = ("localhost", "127.0.0.1", "[::1]")
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]@/\\\s]+)(:[0-9]*)?")


def values(headers: Headers, name: bytes) -> list[str]:
    """All values of a header."""
    return [value.decode("latin-1") for key, value in headers if key == name]


class Callers:
    """Refuses requests by other names, and those of pages of other servers."""

    def __init__(self, settings: Settings) -> None:
        hosts = (*settings.hosts, *(LOCAL if settings.local else ()))
        self._hosts = frozenset(host.lower() for host in hosts) if settings.local or settings.hosts else None
        self._origins = frozenset(origin.lower() for origin in settings.origins)

    def check(self, headers: Headers) -> None:
        """Raises Problem."""
        named = values(headers, b"host")
        found = _HOST.fullmatch(named[0]) if len(named) == 1 else None
        if found is None or (self._hosts is not None and found[1].lower() not in self._hosts):
            raise Problem(
                *(403, "HostRefused", "the server is not known by the name in the Host header"),
                "Start it with --allow-host NAME if it is to be called by that name.",
            )
        for origin in values(headers, b"origin"):
            if origin.lower() not in self._origins and origin.lower().partition("://")[2] != named[0].lower():
                raise Problem(
                    *(403, "OriginRefused", "pages of that origin may not ask this server"),
                    "Start it with --allow-origin ORIGIN if they may.",
                )
