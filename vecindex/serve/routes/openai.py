"""Embeddings for programs that use the `openai` client: the index's model, by OpenAI's API."""

from __future__ import annotations

import base64
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Request, Response
from pydantic import ValidationError

from ...encoders.run.encoder import Encoder
from ...encoders.run.pooling import FloatArray
from ...values.space import EXTERNAL
from ..embedder import Embedder, takes_turns
from ..openai_errors import EMBEDDINGS, MODELS
from ..problems import Problem, first_fault, json_bytes
from ..schemas import openai as shapes
from ..service import Service
from .common import BODIES, Responses, Served, StrictRoute, answers, json_answer

_TEXT = {"input": "My name is Aun"}
_QUERIES = {"input": ["my name", "rain"], "input_type": "query", "encoding_format": "base64"}
_MODEL = {"id": "sentence-transformers/all-MiniLM-L6-v2", "object": "model", "created": 0, "owned_by": "vecindex"}
_PATH = {
    **{"name": "model", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}},
    "example": _MODEL["id"],
}
_DATA = [{"object": "embedding", "index": 0, "embedding": [0.6, 0.8]}]
_EMBEDDED = {
    **{"object": "list", "data": _DATA, "model": _MODEL["id"]},
    "usage": {"prompt_tokens": 6, "total_tokens": 6},
}


def _answers(*statuses: int, example: Any) -> Responses:
    """As `answers`, with errors in OpenAI's shape, of which none is 422."""
    found = answers(*statuses, example=example)
    del found[422]
    found[400] = {"description": "The request is not HTTP or JSON, or a member cannot be used."}
    return {status: each if status == 200 else {**each, "model": shapes.OpenAIError} for status, each in found.items()}


async def _asked(request: Request) -> shapes.EmbeddingsAsked:
    """The body; raises Problem that names the member that cannot be used, which FastAPI's own errors do not."""
    try:
        return shapes.EmbeddingsAsked.model_validate(await request.json())
    except ValidationError as error:
        faults = error.errors()
        first = first_fault(faults)
        place = ".".join(map(str, first.place)) or "the body"
        members = {"param": first.place[0] if first.place else faults[0].get("ctx", {}).get("member")}
        advice = "See /openapi.json for what is taken."
        raise Problem(422, "InvalidInput", f"{place}: {first.reason}", advice, members=members) from None


def openai_routes(embedder: Embedder) -> APIRouter:
    router = APIRouter(route_class=StrictRoute, tags=["openai"])

    @router.post(
        EMBEDDINGS,
        summary="Embed texts",
        response_model=shapes.Embeddings,
        responses=_answers(404, *BODIES, example=_EMBEDDED),
        openapi_extra=shapes.described(shapes.EmbeddingsAsked, a_text=_TEXT, queries=_QUERIES),
    )
    async def embeddings(asked: Annotated[shapes.EmbeddingsAsked, Depends(_asked)], service: Served) -> Response:
        """The vectors of texts, as OpenAI's API answers them. Texts longer than the model reads are cut."""
        texts = [asked.input] if isinstance(asked.input, str) else asked.input

        def found() -> bytes:
            encoder = service.index.encoder
            _check(asked, encoder)
            embedded = embedder.embed(texts, asked.input_type, encoder, service.settings.timeout)
            written = _base64 if asked.encoding_format == "base64" else np.ndarray.tolist
            data = [
                {"object": "embedding", "index": place, "embedding": written(vector)}
                for place, vector in enumerate(embedded.vectors)
            ]
            usage = {"prompt_tokens": embedded.tokens, "total_tokens": embedded.tokens}
            return json_bytes({"object": "list", "data": data, "model": encoder.space.model, "usage": usage})

        return json_answer(await service.run(found, long=takes_turns(texts)))

    @router.get(
        MODELS, summary="List models", response_model=shapes.Models, responses=_answers(example=_models(_MODEL))
    )
    async def models(service: Served) -> Response:
        """The model of the index, if it has one."""
        return json_answer(await service.run(lambda: json_bytes(_models(*_known(service)))))

    @router.get(
        f"{MODELS}/{{model:path}}",
        summary="Get a model",
        response_model=shapes.Model,
        responses=_answers(404, example=_MODEL),
        openapi_extra={"parameters": [_PATH]},
    )
    async def model(request: Request, service: Served) -> Response:
        """The model of the index by its name, which may have slashes."""
        name = request.path_params["model"]

        def found() -> bytes:
            for each in _known(service):
                if each["id"] == name:
                    return json_bytes(each)
            raise _not_found(name)

        return json_answer(await service.run(found))

    return router


def _models(*known: dict[str, Any]) -> dict[str, Any]:
    return {"object": "list", "data": list(known)}


def _known(service: Service) -> list[dict[str, Any]]:
    """The model of the index; there is none if its vectors were made elsewhere."""
    index = service.index
    if index.info().precision == EXTERNAL:
        return []
    return [{**_MODEL, "id": index.encoder.space.model}]


def _check(asked: shapes.EmbeddingsAsked, encoder: Encoder) -> None:
    """Raises Problem unless the model and the dimension are those of the index."""
    space = encoder.space
    if asked.model is not None and asked.model != space.model:
        raise _not_found(asked.model)
    if asked.dimensions not in (None, space.dimension):
        raise Problem(
            *(
                422,
                "InvalidInput",
                f"dimensions is {asked.dimensions}, and the model of the index has {space.dimension}",
            ),
            "Leave dimensions out.",
            members={"param": "dimensions"},
        )


def _not_found(name: str) -> Problem:
    return Problem(
        *(404, "ModelNotFound", f"the index has another model than {name!r}"),
        "Ask for one that /v1/models lists.",
        members={"param": "model"},
    )


def _base64(vector: FloatArray) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")
