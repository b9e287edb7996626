"""Records: get one, list them, and count them by a filter or by the values of a field."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from ...index.facade import Index
from ...search.listing import fields_of
from ..problems import json_bytes
from ..schemas import answers as told
from ..schemas.asked import CountInUrl, FacetsInUrl, KeyInUrl, ListInUrl
from ..schemas.filters import limited
from .common import Served, StrictRoute, answers, json_answer

router = APIRouter(prefix="/v1", route_class=StrictRoute, tags=["records"])

RECORD = {"key": "aun", "text": "My name is Aun", "metadata": {"lang": "en"}}


@router.get(
    "/record",
    summary="Get a record",
    response_model=told.FoundRecord,
    responses=answers(404, example={"record": RECORD, "vector": [0.6, 0.8]}),
)
async def get(asked: Annotated[KeyInUrl, Query()], service: Served) -> Response:
    """The record with this key, and its vector. A key may have slashes and dots, so it is a parameter."""

    def found() -> bytes:
        record = service.index.get(asked.key)
        vector = None if record.vector is None else record.vector.tolist()
        return json_bytes({"record": record.to_dict(), "vector": vector})

    return json_answer(await service.run(found))


@router.get(
    "/records",
    summary="List records",
    response_model=told.Records,
    responses=answers(404, example={"records": [RECORD], "after": None, "warnings": []}),
)
async def list_records(asked: Annotated[ListInUrl, Query()], service: Served) -> Response:
    """The records in the order in which they were added, so many at a time."""

    def found(index: Index) -> dict[str, Any]:
        where, limit = limited(asked.where), asked.limit + 1
        records = list(index.list(where, source=asked.source, after=asked.after, limit=limit))
        more = len(records) > asked.limit
        shown = records[: asked.limit]
        return {"records": [each.to_dict() for each in shown], "after": shown[-1].key if more else None}

    return json_answer(await service.read(found))


@router.get(
    "/count",
    summary="Count records",
    response_model=told.Count,
    responses=answers(example={"count": 4, "warnings": []}),
)
async def count(asked: Annotated[CountInUrl, Query()], service: Served) -> Response:
    """How many records a filter selects, or how many there are."""
    return json_answer(await service.read(lambda index: {"count": index.count(limited(asked.where))}))


@router.get(
    "/fields",
    summary="List metadata fields",
    response_model=told.Fields,
    responses=answers(example={"fields": ["lang", "author.name"]}),
)
async def fields(service: Served) -> Response:
    """The metadata fields of the index, as filters write them: those with an index first, then the most frequent.

    Up to 10,000 records are looked at: all, or of more, some that are spread over all.
    """
    return json_answer(await service.run(lambda: json_bytes({"fields": fields_of(service.index)[:_MOST_FIELDS]})))


_MOST_FIELDS = 200
_FACETS = {"field": "lang", "values": [{"value": "en", "count": 3}], "distinct": 1, "missing": 1, "records": 4}


@router.get(
    "/facets",
    summary="Count the values of a field",
    response_model=told.Facets,
    responses=answers(example={**_FACETS, "warnings": []}),
)
async def facets(asked: Annotated[FacetsInUrl, Query()], service: Served) -> Response:
    """The values of a field, with how many records have each, the most frequent first."""
    return json_answer(
        await service.read(lambda index: asdict(index.facets(asked.field, limited(asked.where), top=asked.top)))
    )
