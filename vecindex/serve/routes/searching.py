"""Searching: by a text or a vector, by several at once, and for what is like stored records."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Response

from ...errors import InvalidInput
from ...index.facade import Index
from ...values.hits import Hits
from ..schemas import answers as told
from ..schemas.asked import Search, SearchInUrl, SearchMany, Similar
from ..schemas.filters import limited
from ..settings import Settings
from .common import BODIES, Served, StrictRoute, answers, examples, json_answer

router = APIRouter(prefix="/v1", route_class=StrictRoute, tags=["search"])

HIT = {"rank": 1, "key": "aun", "score": 0.5415, "text": "My name is Aun", "metadata": {"lang": "en"}}
PAGE: dict[str, Any] = {"hits": [HIT], "cursor": None}
FOUND: dict[str, Any] = {**PAGE, "warnings": []}
SEARCHES = examples(
    by_meaning={"query": "my name"},
    by_meaning_and_words={"query": "error E-1042", "mode": "hybrid", "rerank": "tokens", "k": 10},
    with_a_filter={"query": "my name", "where": "lang = 'en' and year >= 2020"},
    with_a_filter_in_JSON={"query": "my name", "where": {"lang": "en", "year": {"$gte": 2020}}},
)


@router.post("/search", summary="Search", response_model=told.Hits, responses=answers(404, 409, *BODIES, example=FOUND))
async def search(asked: Annotated[Search, Body(openapi_examples=SEARCHES)], service: Served) -> Response:
    """The records that answer a text or a vector best, as `Index.search`."""
    return await _searched(asked, service)


@router.get("/search", summary="Search by a URL", response_model=told.Hits, responses=answers(404, 409, example=FOUND))
async def search_by_url(asked: Annotated[SearchInUrl, Query()], service: Served) -> Response:
    """As the search with a body, for a browser; a list such as `exclude` is repeated."""
    return await _searched(asked, service)


async def _searched(asked: Search | SearchInUrl, service: Served) -> Response:
    def found(index: Index) -> dict[str, Any]:
        return page_of(index.search(**arguments_of(asked, service.settings)))

    return json_answer(await service.read(found))


@router.post(
    "/search-many",
    summary="Search for several texts at once",
    response_model=told.ManyHits,
    responses=answers(404, 409, *BODIES, example={"results": [PAGE], "warnings": []}),
)
async def search_many(
    asked: Annotated[SearchMany, Body(openapi_examples=examples(two={"queries": ["my name", "rain"], "k": 3}))],
    service: Served,
) -> Response:
    """Hits for each of several texts or vectors, of one snapshot, as `Index.search_many`."""

    def found(index: Index) -> dict[str, Any]:
        arguments = arguments_of(asked, service.settings)
        return {"results": [page_of(hits) for hits in index.search_many(**arguments)]}

    return json_answer(await service.read(found, long=True))


@router.post(
    "/similar",
    summary="Find records like others",
    response_model=told.Hits,
    responses=answers(404, *BODIES, example=FOUND),
)
async def similar(
    asked: Annotated[
        Similar,
        Body(openapi_examples=examples(like_one={"keys": ["aun"]}, unlike_another={"keys": ["aun"], "not": ["rain"]})),
    ],
    service: Served,
) -> Response:
    """The nearest records to stored ones, as `Index.similar`."""

    def found(index: Index) -> dict[str, Any]:
        arguments = {**asked.model_dump(), "where": limited(asked.where)}
        return page_of(index.similar(arguments.pop("keys"), **arguments))

    return json_answer(await service.read(found))


def page_of(hits: Hits) -> dict[str, Any]:
    """What JSON has of hits."""
    return {"hits": [hit.to_dict() for hit in hits], "cursor": hits.cursor}


def arguments_of(asked: Search | SearchInUrl | SearchMany, settings: Settings) -> dict[str, Any]:
    """The arguments for a search; raises InvalidInput for a cross-encoder that the server does not allow.

    Else a request could have it read any folder, or download a model.
    """
    if asked.rerank is not None and asked.rerank != "tokens" and asked.rerank not in settings.rerankers:
        reason = "rerank is neither tokens nor a cross-encoder that this server allows"
        raise InvalidInput(reason, "Start the server with --reranker MODEL to allow one.")
    return {**asked.model_dump(), "where": limited(asked.where)}
