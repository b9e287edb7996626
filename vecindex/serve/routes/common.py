"""What all routes share: the service, reading JSON strictly, and what every one of them may answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, cast

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute

from ...errors import InvalidInput
from ...sources.strict_json import parsed
from ...values.nested import MAX_NESTING, nesting
from ..problems import Problem
from ..schemas.answers import Error
from ..service import Service

_LARGE = 100_000
"""Bytes of a body that takes longer to read than to hand to a thread."""
Responses = dict[int | str, dict[str, Any]]
_MEANINGS = {
    400: "The request is not HTTP, its head is too large, or its body is not JSON.",
    401: "The token is missing or wrong.",
    403: "The host or the origin is not allowed, or the server is read-only.",
    404: "There is no such record.",
    408: "The body did not arrive in time.",
    409: "The cursor has expired, or the vectors are of another space.",
    413: "The body is too large.",
    415: "The body is not declared as application/json.",
    422: "A parameter or a member cannot be used.",
    429: "The client asks too often.",
    500: "The index is damaged, or the server has a fault.",
    503: "The server is starting, stopping or busy, or the index is locked or cannot be used now.",
    504: "No answer in time.",
}
EVERY = (400, 401, 403, 422, 429, 500, 503, 504)
BODIES = (408, 413, 415)
"""What a route that reads a body may also answer."""


def answers(*statuses: int, example: Any = None) -> Responses:
    """The documented answers of a route beside `EVERY`, and what it answers when all is well."""
    found: Responses = {
        status: {"model": Error, "description": _MEANINGS[status]} for status in sorted({*EVERY, *statuses})
    }
    if example is not None:
        found[200] = {"content": {"application/json": {"example": example}}}
    return found


def examples(**named: Any) -> dict[str, Any]:
    """Examples of a body, by their names."""
    return {name.replace("_", " "): {"value": value} for name, value in named.items()}


async def service_of(request: Request) -> Service:
    return cast(Service, request.app.state.service)


Served = Annotated[Service, Depends(service_of)]


def json_answer(content: bytes) -> Response:
    return Response(content, media_type="application/json")


class _StrictRequest(Request):
    """A request whose body is JSON without NaN, repeated names and deep nesting."""

    async def json(self) -> Any:
        body = await self.body()
        if len(body) < _LARGE:
            return _read(body)
        return await asyncio.get_running_loop().run_in_executor(None, _read, body)  # others are answered meanwhile


def _read(body: bytes) -> Any:
    """The value of a body; raises Problem."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise _not_json("it is not in UTF-8") from None
    if nesting(text) > MAX_NESTING:
        raise _not_json(f"it is nested more than {MAX_NESTING} deep")
    try:
        return parsed(text, "Send one JSON object.")
    except InvalidInput as error:
        raise _not_json(error.message) from None


class StrictRoute(APIRoute):
    """A route that wants its body to be declared as JSON, and reads it strictly."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            declared = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if "POST" in (self.methods or ()) and declared != "application/json":
                raise Problem(
                    *(415, "NotJson", "the body is not declared as JSON"),
                    "Send the header: Content-Type: application/json",
                )
            return await handle(_StrictRequest(request.scope, request.receive))

        return handled


def _not_json(reason: str) -> Problem:
    return Problem(400, "InvalidJson", f"the body cannot be read: {reason}", "Send one JSON object.")
