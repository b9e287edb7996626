"""The ASGI application: the routes of an index behind `Front`, with every error in one shape."""

from __future__ import annotations

from typing import Any, cast

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from .. import __version__
from ..errors import VecindexError
from .embedder import Embedder
from .front import OPEN, REQUEST, Front, fault
from .logs import Log
from .metrics import Metrics
from .openai_errors import response_to
from .problems import SECONDS, Problem, first_fault, problem_of
from .routes import changes, facts, health, openai, page, records, searching
from .service import Service

_ABOUT = """\
Searches an index of texts by meaning and by words, and changes it. Every error is
`{"error": {"type", "message", "advice"}}`, but where a client of OpenAI asks.
"""

_LONGEST_NAME = 100
"""Characters of the name of a member that are repeated."""


def make_app(service: Service, log: Log) -> ASGIApp:
    """The application that answers for ``service``."""
    metrics = Metrics()
    settings = service.settings
    front: ASGIApp = Front(make_routes(service, metrics), service, metrics, log)
    if settings.origins:
        front = CORSMiddleware(
            front,
            allow_origins=settings.origins,
            allow_methods=("GET", "POST"),
            allow_headers=("Authorization", "Content-Type"),
            expose_headers=(SECONDS, "X-Request-Id"),
        )
    return front


def make_routes(service: Service, metrics: Metrics) -> FastAPI:
    """The routes alone, with the OpenAPI that describes them."""
    app = (FastAPI if service.settings.tokens is None else _WithTokens)(
        title="vecindex",
        version=__version__,
        description=_ABOUT,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    for module in (searching, records, facts):
        app.include_router(module.router)
    app.include_router(changes.router, include_in_schema=not service.settings.readonly)
    app.include_router(openai.openai_routes(Embedder()))
    app.include_router(health.health_routes(metrics))
    app.include_router(page.router)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(VecindexError, _of_index)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _unrouted)
    app.add_exception_handler(Exception, _failed)
    return app


class _WithTokens(FastAPI):
    """Says in its OpenAPI which requests need a token."""

    def openapi(self) -> dict[str, Any]:
        described = super().openapi()
        described["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        described["security"] = [{"token": []}]
        for path in OPEN:
            for operation in described["paths"][path].values():
                operation["security"] = []
        return described


async def _problem(request: Request, error: Exception) -> Response:
    return _answer(request, cast(Problem, error))


async def _of_index(request: Request, error: Exception) -> Response:
    return _answer(request, problem_of(cast(VecindexError, error)))


async def _failed(request: Request, error: Exception) -> Response:
    """`Front` logs the error, which is raised again."""
    return _answer(request, fault(request.scope[REQUEST]))


async def _invalid(request: Request, error: Exception) -> Response:
    """What is wrong with the first member that cannot be used; the value itself is not repeated."""
    first = first_fault(cast(RequestValidationError, error).errors(), outer=1)
    place = ".".join(str(part)[:_LONGEST_NAME] for part in first.place) or "the body"
    more = f" ({first.others} more)" if first.others else ""
    advice = "The OpenAPI at /openapi.json says what is taken."
    problem = Problem(422, "InvalidInput", f"{place}: {first.reason}{more}", advice)
    return _answer(request, problem)


async def _unrouted(request: Request, error: Exception) -> Response:
    found = cast(HTTPException, error)
    if found.status_code == 405:
        problem = Problem(
            *(405, "MethodNotAllowed", "this path does not take that method"),
            "The OpenAPI at /openapi.json says which it takes.",
            headers=found.headers,
        )
    elif found.status_code == 404:
        problem = Problem(404, "NotFound", "there is nothing at this path", "See the paths in /openapi.json.")
    else:
        problem = Problem(found.status_code, "BadRequest", str(found.detail), "See /openapi.json.")
    return _answer(request, problem)


def _answer(request: Request, problem: Problem) -> Response:
    return response_to(request.scope["path"], problem)
