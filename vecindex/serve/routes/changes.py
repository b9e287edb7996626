"""Changes: adding records and deleting them, each durable before it is answered."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import asdict, replace
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Body, Request, Response

from ...errors import InvalidInput
from ...index.facade import Index
from ...values.records import AddReport, EncodeReport, Record
from ..problems import Problem
from ..schemas import answers as told
from ..schemas.asked import Add, Delete, EncodeMissing, NewRecord
from ..schemas.filters import limited
from ..writer import Check
from .common import BODIES, Served, StrictRoute, answers, examples, json_answer, service_of


class _Changing(StrictRoute):
    """A route that a server refuses that only reads, whatever is sent."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            if (await service_of(request)).settings.readonly:
                raise Problem(
                    *(403, "ReadOnly", "this server only reads"), "Start it without --read-only to change the index."
                )
            return await handle(request)

        return handled


router = APIRouter(prefix="/v1/records", route_class=_Changing, tags=["changes"])

_TEXTS = {"records": [{"text": "My name is Aun", "key": "aun", "metadata": {"lang": "en"}}, {"text": "It rains."}]}
_VECTORS = {"records": [{"text": "My name is Aun", "vector": [0.6, 0.8]}], "space": "my-model"}


def _counts(report: AddReport) -> dict[str, Any]:
    return {name: value for name, value in asdict(report).items() if name != "written"}


_ADDED = {**_counts(AddReport(added=2)), "warnings": []}


@router.post("", summary="Add records", response_model=told.Added, responses=answers(409, *BODIES, example=_ADDED))
async def add(
    asked: Annotated[Add, Body(openapi_examples=examples(texts=_TEXTS, vectors_made_elsewhere=_VECTORS))],
    service: Served,
) -> Response:
    """Adds records, and answers once they are durable. A key that is stored is updated, as by `Index.add`."""

    def added(index: Index, check: Check) -> dict[str, Any]:
        records, vectors = _stated(asked.records)
        report = index.add(
            records,
            vectors=vectors,
            space=asked.space,
            on_long=asked.on_long,
            on_duplicate=asked.on_duplicate,
            encode=asked.encode,
            progress=_between_commits(check),
        )
        return _counts(report)

    return json_answer(await service.write(added))


def _stated(given: list[NewRecord]) -> tuple[list[Record], list[Any] | None]:
    """The records, which hold their vectors; if one is null, the vectors apart, since null drops what is stored."""
    records = [Record(each.text, each.key, each.metadata) for each in given]
    vectors = [None if each.vector is None else np.array(each.vector) for each in given]
    silent = [place for place, each in enumerate(given) if "vector" not in each.model_fields_set]
    if len(silent) == sum(vector is None for vector in vectors):
        return [replace(record, vector=vector) for record, vector in zip(records, vectors, strict=True)], None
    if silent:
        raise InvalidInput(
            f"item {silent[0]} has no member vector, but that of others is null", "Give each one a vector or null."
        )
    return records, vectors


def _between_commits(check: Check) -> Callable[[AddReport], None]:
    return lambda report: check()


@router.post(
    "/delete",
    summary="Delete records",
    response_model=told.Deleted,
    responses=answers(404, *BODIES, example={"deleted": 2, "warnings": []}),
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

    def deleted(index: Index, check: Check) -> dict[str, Any]:
        limited(asked.where)
        return {"deleted": index.delete(**given)}

    return json_answer(await service.write(deleted))


@router.post(
    "/encode",
    summary="Encode records that have no vector",
    response_model=told.Encoded,
    responses=answers(409, *BODIES, example={**asdict(EncodeReport(encoded=2)), "warnings": []}),
)
async def encode_missing(
    asked: Annotated[EncodeMissing, Body(openapi_examples=examples(all={}))], service: Served
) -> Response:
    """Gives the records that were added with `encode` false their vectors, as `Index.encode_missing`."""

    def encoded(index: Index, check: Check) -> dict[str, Any]:
        return asdict(index.encode_missing(progress=lambda done, of: check()))

    return json_answer(await service.write(encoded))
