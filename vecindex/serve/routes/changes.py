"""Changes: adding records and deleting them, each durable before it is answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Body, Depends, Response

from ...errors import InvalidInput
from ...values.records import AddReport, Record
from ..problems import Problem, json_response
from ..schemas import answers as told
from ..schemas.asked import Add, Delete
from ..writer import Check
from .common import BODIES, Served, StrictRoute, answers, examples


async def refuse_if_readonly(service: Served) -> None:
    """Raises Problem."""
    if service.settings.readonly:
        raise Problem(403, "ReadOnly", "this server only reads", "Start it without --read-only to change the index.")


router = APIRouter(
    prefix="/v1/records", route_class=StrictRoute, tags=["changes"], dependencies=[Depends(refuse_if_readonly)]
)

_TEXTS = {"records": [{"text": "My name is Aun", "key": "aun", "metadata": {"lang": "en"}}, {"text": "It rains."}]}
_VECTORS = {"records": [{"text": "My name is Aun", "vector": [0.6, 0.8]}], "space": "my-model"}
_ADDED = {name: value for name, value in asdict(AddReport(added=2)).items() if name != "written"}


@router.post("", summary="Add records", response_model=told.Added, responses=answers(409, *BODIES, example=_ADDED))
async def add(
    asked: Annotated[Add, Body(openapi_examples=examples(texts=_TEXTS, vectors_made_elsewhere=_VECTORS))],
    service: Served,
) -> Response:
    """Adds records, and answers once they are durable. A key that is stored is updated, as by `Index.add`."""
    records = [_record(each.model_dump()) for each in asked.records]

    def added(check: Check) -> AddReport:
        return service.index.add(
            records,
            space=asked.space,
            on_long=asked.on_long,
            on_duplicate=asked.on_duplicate,
            progress=_between_commits(check),
        )

    report = await service.write(added)
    return json_response({name: value for name, value in asdict(report).items() if name != "written"})


def _record(given: dict[str, Any]) -> Record:
    vector = given.pop("vector")
    return Record(**given, vector=None if vector is None else np.array(vector, np.float32))


def _between_commits(check: Check) -> Callable[[AddReport], None]:
    return lambda report: check()


@router.post(
    "/delete",
    summary="Delete records",
    response_model=told.Deleted,
    responses=answers(404, *BODIES, example={"deleted": 2}),
)
async def delete(
    asked: Annotated[
        Delete,
        Body(openapi_examples=examples(by_key={"keys": ["aun"]}, by_a_filter={"where": "year < 2020"})),
    ],
    service: Served,
) -> Response:
    """Deletes records by their keys, by a filter or by their source, and answers once that is durable."""
    given = asked.model_dump(exclude_none=True)
    if len(given) != 1:
        raise InvalidInput("one of keys, where and source is needed", 'To delete all records, send {"where": "true"}.')
    return json_response({"deleted": await service.write(lambda check: service.index.delete(**given))})
