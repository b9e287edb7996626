"""Who may use a server: whether an address is loopback's, and the bearer token of a file."""

from __future__ import annotations

import hmac
import ipaddress
import os

from ..errors import InvalidInput

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
"""What a Host header may say of this machine."""
_LONGEST = 4096
_SHORTEST = 16


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine reach a server that listens at ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Token:
    """A bearer token; it never shows itself."""

    def __init__(self, token: bytes) -> None:
        self._token = token

    @classmethod
    def read_from(cls, path: str | os.PathLike[str]) -> Token:
        """The first line of a file; raises InvalidInput."""
        name = os.fspath(path)
        try:
            with open(path, "rb") as file:
                lines = file.read(_LONGEST + 1).split(b"\n")
        except OSError as error:
            raise InvalidInput(f"the token file {name} cannot be read: {error.strerror}", _ADVICE) from None
        token = lines[0].strip()
        if any(line.strip() for line in lines[1:]) or not token.isascii() or len(token.split()) != 1:
            raise InvalidInput(f"the token file {name} does not hold one token", _ADVICE)
        if not _SHORTEST <= len(token) <= _LONGEST:
            reason = f"the token in {name} has {len(token)} characters, not {_SHORTEST} to {_LONGEST}"
            raise InvalidInput(reason, _ADVICE)
        return cls(token)

    def admits(self, authorization: bytes | None) -> bool:
        """Whether this is the value of an Authorization header with the token, compared in constant time."""
        scheme, _, given = (authorization or b"").strip().partition(b" ")
        return hmac.compare_digest(given.strip(), self._token) and scheme.lower() == b"bearer"

    def __repr__(self) -> str:
        return "<Token>"


_ADVICE = "Write one of at least 16 characters into it, such as that of: openssl rand -hex 32"
