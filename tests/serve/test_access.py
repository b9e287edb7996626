"""Who is on this machine, and what is a token."""

from __future__ import annotations

from pathlib import Path

import pytest

from vecindex.errors import InvalidInput
from vecindex.serve.access import Token, is_loopback

TOKEN = b"0123456789abcdef"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "::1"])
def test_loopback_addresses(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.1", "localhost.example", "127.0.0.1.example", "0"])
def test_addresses_that_others_may_reach(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("content", [TOKEN, TOKEN + b"\n", b" " + TOKEN + b"\r\n\n"])
def test_the_token_of_a_file_admits_those_who_have_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    token = Token.read_from(tmp_path / "token")
    assert token.admits(b"Bearer " + TOKEN)
    assert token.admits(b"bearer  " + TOKEN)
    for given in (
        None,
        b"",
        TOKEN,
        b"Bearer",
        b"Bearer " + TOKEN[:-1],
        b"Basic " + TOKEN,
        b"Bearer " + TOKEN + b"\xff",
    ):
        assert not token.admits(given)
    assert repr(token) == "<Token>"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "does not hold one token"),
        (b"two words in it", "does not hold one token"),
        (TOKEN + b"\n" + TOKEN, "does not hold one token"),
        ("tökentökentökentöken".encode(), "does not hold one token"),
        (b"short", "has 5 characters, not 16 to 4096"),
        (b"x" * 5000, "has 4097 characters, not 16 to 4096"),
    ],
)
def test_files_without_a_token_are_refused(tmp_path: Path, content: bytes | None, reason: str) -> None:
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        Token.read_from(tmp_path / "token")
    assert reason in caught.value.message
    assert "openssl rand" in caught.value.advice
