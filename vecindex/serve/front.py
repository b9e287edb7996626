"""What every request passes: who asks, how often and how much; then it is answered, counted and logged."""

from __future__ import annotations

import asyncio
import secrets
import time
import traceback
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .guards.bodies import Bodies
from .guards.callers import Callers
from .guards.rates import Rates
from .logs import Log
from .metrics import Metrics
from .openai_errors import response_to
from .problems import Problem
from .routes.page import PATHS
from .service import Service

HEALTH = ("/healthz", "/readyz")
OPEN = {"/healthz"}
"""The paths that need no token, as they are written; every other way to write them needs one. Nor do those who read
the files of the page."""
_NEXT = "/v1/"
REQUEST = "vecindex.request"
"""The member of the scope that has the id of the request."""


_KEPT_IN = [(b"x-content-type-options", b"nosniff"), (b"cross-origin-resource-policy", b"same-origin")]
"""No page of another server can load an answer as a script or a picture, to learn whether it is good."""


@dataclass(slots=True)
class _Answer:
    """What is known of the answer to a request."""

    status: int = 0
    started: bool = False


class Front:
    """An ASGI application that lets through to ``app`` what is allowed."""

    def __init__(self, app: ASGIApp, service: Service, metrics: Metrics, log: Log) -> None:
        self._app, self._service, self._metrics, self._log = app, service, metrics, log
        settings = service.settings
        self._settings = settings
        self._callers = Callers(settings)
        self._bodies = Bodies(settings)
        self._rates = None if settings.rate is None else Rates(settings.rate, time.monotonic)
        self._requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 1008})
            return
        began, answer, name = time.perf_counter(), _Answer(), secrets.token_hex(8)
        scope[REQUEST] = name

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status, answer.started = message["status"], True
                headers = [*message.get("headers", ()), (b"x-request-id", name.encode()), *_KEPT_IN]
                if self._service.state.stopping:
                    headers.append((b"connection", b"close"))
                message = {**message, "headers": headers}
            await send(message)

        try:
            await self._guarded(scope, receive, told)
        except Problem as problem:
            await self._refuse(problem, answer, scope, told)
        except asyncio.CancelledError:
            answer.status = answer.status or 499
            raise
        except Exception as error:
            self._log.failure(name, type(error).__name__, traceback.format_tb(error.__traceback__))
            await self._refuse(fault(name), answer, scope, told)
        finally:
            seconds = time.perf_counter() - began
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.answered(scope["method"], route, answer.status, seconds)
            self._log.request(scope["method"], route, answer.status, seconds, name)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers what is allowed; raises Problem."""
        headers, path = scope["headers"], scope["path"]
        page = path in PATHS and scope["method"] in ("GET", "HEAD")
        self._callers.check(headers, page)
        tokens = self._settings.tokens
        if tokens is not None and not page and path not in OPEN and not tokens.accept(headers):
            self._check_rate(scope)  # so that nobody can try out any number of tokens
            raise Problem(
                *(401, "Unauthorized", "the request has no valid token"),
                *("Send the header: Authorization: Bearer TOKEN",),
                headers={"WWW-Authenticate": "Bearer"},
            )
        if page or path in HEALTH:
            await self._app(scope, receive, send)
            return
        self._check_rate(scope)
        if not self._service.state.ready and not self._service.state.stopping and path.startswith(_NEXT):
            raise Problem(503, "Starting", "the server is loading its model", "Try again in a second.", retry=1)
        if not any(name in (b"content-length", b"transfer-encoding") for name, _ in headers):
            await self._counted(scope, receive, send)
            return
        body = await self._bodies.read(headers, receive)
        with self._bodies.holding(body):
            rest: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

            async def replay() -> Message:
                return rest.pop() if rest else await receive()

            await self._counted(scope, replay, send)

    def _check_rate(self, scope: Scope) -> None:
        """Raises Problem."""
        if self._rates is not None:
            self._rates.check(scope["client"][0] if scope.get("client") else "")

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request unless too many are being answered; raises Problem."""
        if self._requests >= self._settings.requests:
            raise Problem(
                *(503, "Busy", f"{self._requests} requests are worked on already"), "Try again in a second.", retry=1
            )
        self._requests += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._requests -= 1

    async def _refuse(self, problem: Problem, answer: _Answer, scope: Scope, send: Send) -> None:
        if not answer.started:
            await response_to(scope["path"], problem)(scope, _nothing, send)


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


def fault(name: str) -> Problem:
    return Problem(
        *(500, "InternalError", f"the server failed to answer request {name}, by a fault of its own"),
        "Its log says where. Please report it.",
    )
