"""Whether the server lives and is ready, and its metrics."""

from __future__ import annotations

from fastapi import APIRouter, Response

from ..metrics import CONTENT_TYPE, Metrics
from ..problems import Problem, json_response
from ..schemas import answers as told
from .common import Served, answers

_STATUS = {"status": "ok"}
_READY = "Whether the server is ready"


def health_routes(metrics: Metrics) -> APIRouter:
    router = APIRouter(tags=["health"])

    @router.head("/healthz", include_in_schema=False)
    @router.get("/healthz", summary="Whether the server lives", response_model=told.Status, responses=_only(400, 403))
    async def healthz() -> Response:
        """Needs no token."""
        return json_response(_STATUS)

    @router.head("/readyz", include_in_schema=False)
    @router.get(
        "/readyz",
        summary=_READY,
        response_model=told.Status,
        responses=_only(400, 401, 403, 503),
    )
    async def readyz(service: Served) -> Response:
        """Ready is a server that has loaded its model, until it is told to stop."""
        if not service.state.ready or service.state.stopping:
            doing = "stopping" if service.state.stopping else "starting"
            raise Problem(503, "NotReady", f"the server is {doing}", "Ask again in a second.", retry=1)
        return json_response(_STATUS)

    @router.get("/metrics", summary="Metrics", response_class=Response, responses=answers())
    async def text(service: Served) -> Response:
        """For Prometheus."""

        def measured() -> bytes:
            info = service.index.info()
            return metrics.text(service.writer.length, info.records, info.generation)

        return Response(await service.run(measured), media_type=CONTENT_TYPE)

    return router


def _only(*statuses: int) -> dict[int | str, dict[str, object]]:
    documented = answers()
    return {status: documented[status] for status in statuses}
