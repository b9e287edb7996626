"""Facts: what the index is, where its records come from, and why a text has the score that it has."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Body, Response

from ...encoders.explain import explain as explain_text
from ...index.facade import Index
from ..problems import json_bytes
from ..schemas import answers as told
from ..schemas.asked import Explain, Search
from .common import BODIES, Served, StrictRoute, answers, examples, json_answer
from .searching import FOUND, SEARCHES, arguments_of, page_of

router = APIRouter(prefix="/v1", route_class=StrictRoute, tags=["facts"])


@router.get("/info", summary="The index at a glance", response_model=told.Info, responses=answers())
async def info(service: Served) -> Response:
    """As `vecindex info --format json` prints it."""
    return json_answer(await service.run(lambda: json_bytes(asdict(service.index.info()))))


@router.get("/sources", summary="Where the records come from", response_model=told.Sources, responses=answers())
async def sources(service: Served) -> Response:
    """The files and other sources that were added, and what has become of them."""
    return json_answer(
        await service.run(lambda: json_bytes({"sources": [asdict(each) for each in service.index.sources()]}))
    )


@router.post(
    "/explain",
    summary="Explain a text",
    response_model=told.Explanation,
    responses=answers(409, *BODIES),
)
async def explain(
    asked: Annotated[
        Explain, Body(openapi_examples=examples(a_cosine={"text": "My name is Aun", "against": "my name"}))
    ],
    service: Served,
) -> Response:
    """How a text becomes one vector, and what each token adds to it, or to the cosine with a query."""

    def found() -> bytes:
        return json_bytes(asdict(explain_text(asked.text, asked.against, encoder=service.index.encoder)))

    return json_answer(await service.run(found))


@router.post(
    "/explain-search",
    summary="Explain a search",
    response_model=told.ExplainedHits,
    responses=answers(404, 409, *BODIES, example={**FOUND, "report": {"mode": "dense", "explanations": []}}),
)
async def explain_search(asked: Annotated[Search, Body(openapi_examples=SEARCHES)], service: Served) -> Response:
    """As a search, with a report of how the hits were found, and why each is where it is."""

    def found(index: Index) -> dict[str, Any]:
        hits, report = index.explain_search(**arguments_of(asked, service.settings))
        return {**page_of(hits), "report": asdict(report)}

    return json_answer(await service.read(found, long=True))
