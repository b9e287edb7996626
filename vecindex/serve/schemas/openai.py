"""What the `openai` client sends and reads: the parts of OpenAI's API that a server of embeddings has."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field

from ...values.space import Role
from .asked import LONGEST_FIELD, LONGEST_TEXT, Body

MOST_INPUTS = 2_048


def _no_token_ids(value: object) -> object:
    some = value[:1] if isinstance(value, list) else []
    if some and isinstance(some[0], (int, list)):
        raise ValueError("token ids are not taken, as each model has its own; send the texts")
    return value


_Input = Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT)]


class EmbeddingsAsked(Body):
    input: Annotated[
        _Input | Annotated[list[_Input], Field(min_length=1, max_length=MOST_INPUTS)],
        BeforeValidator(_no_token_ids),
        Field(description="A text, or several."),
    ]
    model: Annotated[str, Field(min_length=1, max_length=LONGEST_FIELD)] | None = Field(
        None, description="The model of the index, as /v1/models lists it, which is also used if this is left out."
    )
    encoding_format: Literal["float", "base64"] = Field(
        "float", description="base64 is of numbers of 32 bits in the little-endian order."
    )
    dimensions: int | None = Field(None, ge=1, description="Only the dimension of the index's vectors is taken.")
    user: str | None = Field(None, max_length=LONGEST_FIELD, description="Is not looked at.")
    input_type: Role = Field(
        "document", description="What the texts are, as some models read a query in another way. OpenAI has no such."
    )


class Embedding(BaseModel):
    object: Literal["embedding"]
    index: int = Field(ge=0)
    embedding: list[float] | str


class Usage(BaseModel):
    prompt_tokens: int = Field(ge=0)
    total_tokens: int = Field(ge=0)


class Embeddings(BaseModel):
    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: Usage


class Model(BaseModel):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class Models(BaseModel):
    object: Literal["list"]
    data: list[Model]


class OpenAIErrorBody(BaseModel):
    message: str
    type: str
    param: str | None = Field(description="The member that cannot be used.")
    code: str | None


class OpenAIError(BaseModel):
    error: OpenAIErrorBody


def described(model: type[BaseModel], **examples: Any) -> dict[str, Any]:
    """The body of a request in the OpenAPI."""
    named = {name.replace("_", " "): {"value": value} for name, value in examples.items()}
    content = {"application/json": {"schema": model.model_json_schema(), "examples": named}}
    return {"requestBody": {"required": True, "content": content}}
