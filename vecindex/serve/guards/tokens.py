"""The tokens of a server: reads them from a file, and says whether a request has one."""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from hashlib import sha256

from ...errors import Advice, InvalidInput

SHORTEST = 16
MOST = 100_000
"""Characters of a file of tokens."""
_TOKEN = re.compile(r"[\x21-\x7e]+")
_BEARER = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([\x21-\x7e]+) *")
_ADVICE = Advice("Make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))' > FILE")


class Tokens:
    """The tokens that are accepted. Only their digests are kept, so that none is ever shown or logged."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self._digests = [sha256(token.encode()).digest() for token in tokens]

    def __repr__(self) -> str:
        return f"<Tokens, {len(self._digests)}>"

    def accept(self, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        """Whether the only Authorization header has one of the tokens.

        Each token is compared, in a time that does not depend on how much of it is right.
        """
        given = [value for name, value in headers if name == b"authorization"]
        found = _BEARER.fullmatch(given[0]) if len(given) == 1 else None
        digest = sha256(found[1] if found else b"").digest()
        right = False
        for each in self._digests:
            right |= hmac.compare_digest(each, digest)
        return right and found is not None


def read_tokens(path: str) -> Tokens:
    """The tokens of a file, one a line; lines that are empty or begin with # are skipped. Raises InvalidInput."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(MOST + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text file in UTF-8"
        raise InvalidInput(f"the file of tokens {path} cannot be read: {reason}", _ADVICE) from error
    if len(text) > MOST:  # the last line that was read may be a part of a token
        raise InvalidInput(f"the file of tokens {path} has more than {MOST:,} characters", _ADVICE)
    lines = [line.strip() for line in text.splitlines()]
    tokens = [line for line in lines if line and not line.startswith("#")]
    if not tokens:
        raise InvalidInput(f"the file of tokens {path} has none", _ADVICE)
    for token in tokens:
        if len(token) < SHORTEST or not _TOKEN.fullmatch(token):
            reason = f"a line of the file of tokens {path} is no token, which is {SHORTEST} or more visible"
            raise InvalidInput(f"{reason} ASCII characters without spaces", _ADVICE)
    return Tokens(tokens)
