"""Sends requests to a server with httpx, and makes results or errors of what comes back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from ...errors import InvalidInput, ServerError
from ...machine.extras import extra_errors
from .answers import failure, give_warnings, not_understood
from .questions import Question, as_json

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

_CONNECT_AGAIN = 2
"""How often a connection is tried again; a request that was sent is not sent again."""
_CONNECTIONS = 32


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server is, and how it is asked."""

    url: str
    token: str | None
    timeout: float

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInput(f"{self.url!r} is not the address of a server", 'Pass one like "http://127.0.0.1:8000".')
        if self.token is not None and not (self.token and self.token.isascii() and self.token.isprintable()):
            raise InvalidInput(
                "the token is empty, or has characters that no token has", "Pass a line of the server's token file."
            )

    def blocking(self) -> httpx.Client:
        with _needs_httpx():
            import httpx
        limits = httpx.Limits(max_connections=_CONNECTIONS)
        transport = httpx.HTTPTransport(retries=_CONNECT_AGAIN, limits=limits)
        return httpx.Client(base_url=self.url, headers=self._headers(), timeout=self.timeout, transport=transport)

    def asynchronous(self) -> httpx.AsyncClient:
        with _needs_httpx():
            import httpx
        limits = httpx.Limits(max_connections=_CONNECTIONS)
        transport = httpx.AsyncHTTPTransport(retries=_CONNECT_AGAIN, limits=limits)
        return httpx.AsyncClient(base_url=self.url, headers=self._headers(), timeout=self.timeout, transport=transport)

    def _headers(self) -> dict[str, str]:
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}


def request_of(question: Question[Any]) -> dict[str, Any]:
    """The arguments of httpx's ``request``."""
    request: dict[str, Any] = {"method": question.method, "url": question.path, "params": question.parameters}
    if question.body is not None:
        request["headers"] = {"Content-Type": "application/json"}
        request["content"] = as_json(question.body)
    return request


def answered(server: Server, question: Question[T], answer: httpx.Response) -> T:
    """What the question asked for; raises what the server answered instead, and issues its warnings."""
    try:
        content = answer.json()
    except ValueError:
        content = None
    if answer.status_code != 200 or not isinstance(content, dict):
        raise failure(server.url, answer.status_code, content, answer.headers.get("retry-after"))
    give_warnings(content)
    try:
        return question.read(content)
    except (LookupError, TypeError, ValueError):
        raise not_understood(server.url, answer.status_code) from None


@contextmanager
def unreachable(server: Server) -> Iterator[None]:
    """Maps the failures of a connection to `ServerError`."""
    import httpx

    try:
        yield
    except httpx.TimeoutException:
        raise ServerError(
            *(server.url, None, "TimedOut", f"no answer within {server.timeout:g} s"),
            "Ask for less at once, or pass a longer timeout= to connect. A change may still be made.",
        ) from None
    except httpx.TransportError as error:
        raise ServerError(
            *(server.url, None, "Unreachable", f"there is no connection: {error or type(error).__name__}"),
            "Check the URL, and that `vecindex serve` runs there.",
        ) from error


def _needs_httpx() -> AbstractContextManager[None]:
    return extra_errors("vecindex.connect()", "client")
