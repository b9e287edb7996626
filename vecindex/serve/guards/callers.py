"""Where a request comes from: the name by which the server was called, and the page whose script asks.

A page of a stranger may have its own name lead to this machine (DNS rebinding); its name is in the Host header then.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...errors import InvalidInput
from ..problems import Problem
from ..settings import Settings

Headers = Sequence[tuple[bytes, bytes]]
LOCAL = ("localhost", "127.0.0.1", "[::1]")
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]@/\\\s]+)(:[0-9]*)?")
_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(\[[0-9a-fA-F:.]+\]|[^:\[\]@/\\\s*]+)(:[0-9]+)?/?")
_ELSEWHERE = ("cross-site", "same-site")
"""What a browser sends if a page of another server made it ask."""


def values(headers: Headers, name: bytes) -> list[str]:
    """All values of a header."""
    return [value.decode("latin-1") for key, value in headers if key == name]


def read_hosts(names: Sequence[str]) -> tuple[str, ...]:
    """The names as they are compared; raises InvalidInput."""
    for name in names:
        found = _HOST.fullmatch(name)
        if found is None or found[2] is not None or "*" in name:
            raise InvalidInput(f"{name!r} is not the name of a host", "Pass it without scheme, port and path.")
    return tuple(name.lower() for name in names)


def read_origins(origins: Sequence[str]) -> tuple[str, ...]:
    """The origins as browsers send them; raises InvalidInput."""
    for origin in origins:
        if _ORIGIN.fullmatch(origin) is None:
            raise InvalidInput(f"{origin!r} is not the origin of a page", "Pass one such as https://example.com:8443.")
    return tuple(origin.lower().removesuffix("/") for origin in origins)


class Callers:
    """Refuses requests by other names, and those of pages of other servers."""

    def __init__(self, settings: Settings) -> None:
        hosts = (*settings.hosts, *(LOCAL if settings.local else ()))
        self._hosts = frozenset(hosts) or None
        self._origins = frozenset(settings.origins)

    def check(self, headers: Headers, page: bool) -> None:
        """Raises Problem; ``page`` says whether a file of the page is read, to which others may link."""
        named = values(headers, b"host")
        found = _HOST.fullmatch(named[0]) if len(named) == 1 else None
        if found is None or (self._hosts is not None and found[1].lower() not in self._hosts):
            raise Problem(
                *(403, "HostRefused", "the server is not known by the name in the Host header"),
                "Start it with --allow-host NAME if it is to be called by that name.",
            )
        origins = values(headers, b"origin")
        strange = any(
            origin.lower() not in self._origins and origin.lower().partition("://")[2] != named[0].lower()
            for origin in origins
        )
        # Without an origin, a browser asks for the scripts and pictures of a page, which may be anyone's.
        if not origins and not page:
            strange = any(site.strip().lower() in _ELSEWHERE for site in values(headers, b"sec-fetch-site"))
        if strange:
            raise Problem(
                *(403, "OriginRefused", "pages of that origin may not ask this server"),
                "Start it with --allow-origin ORIGIN if they may.",
            )
