"""What answers have in their JSON. The routes write it; these models only describe it in the OpenAPI."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Warned(BaseModel):
    """A warning has its fields as further members."""

    model_config = ConfigDict(extra="allow")

    type: str
    message: str
    advice: str


class ErrorBody(BaseModel):
    """An error of the index has its fields as further members."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="The name of the error.")
    message: str = Field(description="What is wrong.")
    advice: str = Field(description="What to do about it.")


class Error(BaseModel):
    error: ErrorBody


class Record(BaseModel):
    """Where it is known: `source`, the line or page there, and `span`."""

    model_config = ConfigDict(extra="allow")

    key: str
    text: str
    metadata: dict[str, Any]


class Hit(Record):
    """As `vecindex search --format json` prints it."""

    rank: int = Field(ge=1)
    score: float


class Page(BaseModel):
    hits: list[Hit]
    cursor: str | None = Field(description="For the hits after these; null if there are no more.")


class Hits(Page):
    warnings: list[Warned]


class ManyHits(BaseModel):
    results: list[Page]
    warnings: list[Warned]


class Records(BaseModel):
    records: list[Record]
    after: str | None = Field(description="The key to go on after; null if there are no more.")
    warnings: list[Warned]


class FoundRecord(BaseModel):
    record: Record
    vector: list[float] | None


class Count(BaseModel):
    count: int = Field(ge=0)
    warnings: list[Warned]


class Fields(BaseModel):
    fields: list[str]


class Facet(BaseModel):
    value: Any
    count: int


class Facets(BaseModel):
    field: str
    values: list[Facet]
    distinct: int
    missing: int
    records: int
    warnings: list[Warned]


class Info(BaseModel):
    """The fields of `IndexInfo`."""

    model_config = ConfigDict(extra="allow")

    path: str
    records: int
    generation: int
    model: str | None
    dimension: int | None
    fingerprint: str | None


class Source(BaseModel):
    """The fields of `SourceInfo`."""

    model_config = ConfigDict(extra="allow")

    location: str
    kind: str
    state: str
    records: int


class Sources(BaseModel):
    sources: list[Source]


class Token(BaseModel):
    position: int
    token: str
    id: int
    share: float
    contribution: float | None


class Explanation(BaseModel):
    """As `vecindex explain --format json` prints it."""

    model_config = ConfigDict(extra="allow")

    text: str
    against: str | None
    model: str
    truncated: int
    tokens: list[Token]
    score: float | None


class Report(BaseModel):
    """The fields of `SearchReport`."""

    model_config = ConfigDict(extra="allow")

    mode: str
    explanations: list[dict[str, Any]]


class ExplainedHits(Hits):
    report: Report


class Added(BaseModel):
    """Counts of records, as in `AddReport`."""

    added: int
    updated: int
    unchanged: int
    truncated: int
    tokens_lost: int
    removed: int
    unknown: int
    duplicates: int
    empty: int
    without_vector: int
    warnings: list[Warned]


class Encoded(BaseModel):
    """Counts of records, as in `EncodeReport`."""

    encoded: int
    truncated: int
    tokens_lost: int
    unknown: int
    without_vector: int
    warnings: list[Warned]


class Deleted(BaseModel):
    deleted: int = Field(description="How many records were deleted.")
    warnings: list[Warned]


class Status(BaseModel):
    status: str
