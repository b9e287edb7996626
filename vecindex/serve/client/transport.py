"""Sends requests to a server with httpx, and makes results or errors of what comes back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from ...errors import InvalidInput, ServerError
from ...machine.extras import extra_errors
from .answers import failure, give_warnings, not_understood
from .questions import Question, as_json

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

_CONNECTIONS = 32
_LONGEST_TIMEOUT = 1e6
"""Seconds; a socket takes no more than three weeks, so that longer is for ever."""
LARGEST_ANSWER = 1 << 30
"""Bytes of an answer, so that no server fills the memory of its clients."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server is, and how it is asked."""

    url: str
    token: str | None
    timeout: float

    def __post_init__(self) -> None:
        if not _is_address(self.url):
            raise InvalidInput(f"{self.url!r} is not the address of a server", 'Pass one like "http://127.0.0.1:8000".')
        if self.token is not None and not _is_token(self.token):
            raise InvalidInput(
                "the token is empty, or has characters that no token has", "Pass a line of the server's token file."
            )
        if not self.timeout:
            raise InvalidInput("timeout is 0", "Pass a number of seconds; math.inf waits for as long as it takes.")

    def blocking(self) -> httpx.Client:
        with _needs_httpx():
            import httpx
        with _unusable(self.url):
            direct = httpx.HTTPTransport(limits=self._limits()) if self._is_local() else None
            return httpx.Client(transport=direct, **self._settings())

    def asynchronous(self) -> httpx.AsyncClient:
        with _needs_httpx():
            import httpx
        with _unusable(self.url):
            direct = httpx.AsyncHTTPTransport(limits=self._limits()) if self._is_local() else None
            return httpx.AsyncClient(transport=direct, **self._settings())

    def _settings(self) -> dict[str, Any]:
        headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        timeout = None if self.timeout > _LONGEST_TIMEOUT else self.timeout
        return {"base_url": self.url, "headers": headers, "timeout": timeout, "limits": self._limits()}

    def _limits(self) -> httpx.Limits:
        import httpx

        return httpx.Limits(max_connections=_CONNECTIONS)

    def _is_local(self) -> bool:
        """Whether the server runs on this machine, which no proxy of the environment reaches."""
        host = urlsplit(self.url).hostname or ""
        try:
            return host == "localhost" or ip_address(host).is_loopback
        except ValueError:
            return False


def _is_token(token: str) -> bool:
    """Whether a header can have it, as a server reads it; so no error of httpx shows the token either."""
    return token != "" and token.isascii() and token.isprintable() and " " not in token


def _is_address(url: str) -> bool:
    """Whether this is an http or https URL with nothing but a host, a port and a path."""
    try:
        parts = urlsplit(url)
        named = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return False
    return bool(named) and url.isprintable() and not any(mark in url for mark in " @?#")


class Received:
    """The body of an answer as it arrives, within its time and its length."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._end = time.monotonic() + server.timeout
        self.content = bytearray()

    def take(self, piece: bytes) -> None:
        """Adds what has come; raises ServerError if that takes too long or is too much."""
        if time.monotonic() > self._end:
            raise _timed_out(self._server)
        if len(self.content) + len(piece) > LARGEST_ANSWER:
            raise ServerError(
                *(self._server.url, None, "TooLarge", f"the answer has more than {LARGEST_ANSWER:,} bytes"),
                "Ask for less at once.",
            )
        self.content += piece


def request_of(question: Question[Any]) -> dict[str, Any]:
    """The arguments of httpx's ``stream``."""
    request: dict[str, Any] = {"method": question.method, "url": question.path, "params": question.parameters}
    if question.body is not None:
        request["headers"] = {"Content-Type": "application/json"}
        request["content"] = as_json(question.body)
    return request


def answered(server: Server, question: Question[T], answer: httpx.Response, content: bytearray) -> T:
    """What the question asked for; raises what the server answered instead, and issues its warnings."""
    if answer.has_redirect_location:
        raise ServerError(
            *(server.url, answer.status_code, "Redirected", f"the answer leads to {answer.headers['location']!r}"),
            "If that is a server that you trust, pass its address to connect.",
        )
    try:
        members = json.loads(content)
    except (ValueError, RecursionError):
        members = None
    if answer.status_code != 200 or not isinstance(members, dict):
        raise failure(server.url, answer.status_code, members, answer.headers.get("retry-after"))
    try:
        found = question.read(members)
        give_warnings(members)
    except (LookupError, TypeError, ValueError, AttributeError):
        raise not_understood(server.url, answer.status_code) from None
    return found


@contextmanager
def asking(server: Server, client: httpx.Client | httpx.AsyncClient) -> Iterator[Received]:
    """Maps the failures of a connection to `ServerError`; what the block receives goes through what it gets."""
    import httpx

    if client.is_closed:
        raise InvalidInput("the index is closed", "Connect again with vecindex.connect(url).")
    try:
        yield Received(server)
    except httpx.TimeoutException:
        raise _timed_out(server) from None
    except httpx.InvalidURL:
        raise InvalidInput(
            "the filter, or another argument, is too long for a URL", "Ask with a shorter one."
        ) from None
    except (httpx.RequestError, UnicodeError) as error:  # a name that no host has cannot be encoded
        raise ServerError(
            *(server.url, None, "Unreachable", f"there is no connection: {error or type(error).__name__}"),
            "Check the URL, and that `vecindex serve` runs there.",
        ) from error


def _timed_out(server: Server) -> ServerError:
    return ServerError(
        *(server.url, None, "TimedOut", f"no answer within {server.timeout:g} s"),
        "Ask for less at once, or pass a longer timeout= to connect. A change may still be made.",
    )


@contextmanager
def _unusable(url: str) -> Iterator[None]:
    """Maps what httpx says of an address, or of what the environment names, to InvalidInput."""
    import httpx

    try:
        yield
    except (httpx.InvalidURL, UnicodeError) as error:
        raise InvalidInput(f"{url!r} is not the address of a server: {error}", "Check the URL.") from None
    except OSError as error:
        raise InvalidInput(
            f"the certificates that the environment names cannot be read: {error}",
            "Correct SSL_CERT_FILE or SSL_CERT_DIR, or unset it.",
        ) from None
    except (ValueError, ImportError) as error:
        raise InvalidInput(
            f"the proxy that the environment names cannot be used: {error}",
            "Correct HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, or name the server's host in NO_PROXY.",
        ) from None


def _needs_httpx() -> AbstractContextManager[None]:
    return extra_errors("vecindex.connect()", "client")
