"""What requests have in their JSON or their URL: the options of `Index.search` and its like, within limits."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from .filters import WHERE, Where, WhereInUrl

MOST_HITS = 1_000
MOST_QUERIES = 1_000
MOST_KEYS = 1_000
MOST_RECORDS = 10_000
LONGEST_QUERY = 20_000
LONGEST_TEXT = 1_000_000
LONGEST_KEY = 10_000
LONGEST_FIELD = 1_000
MOST_DIMENSIONS = 20_000
LONGEST_CURSOR = 10_000

Key = Annotated[str, Field(min_length=1, max_length=LONGEST_KEY)]
FieldName = Annotated[str, Field(min_length=1, max_length=LONGEST_FIELD)]
Text = Annotated[str, Field(max_length=LONGEST_TEXT)]
QueryText = Annotated[str, Field(min_length=1, max_length=LONGEST_QUERY)]
Vector = Annotated[list[float], Field(min_length=1, max_length=MOST_DIMENSIONS)]


class Body(BaseModel):
    """A JSON object without members that are not known, and with values of just the types that are written here."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _first_unknown(cls, given: object) -> object:
        """Stops at the first member that is not known: a body may have millions, each of them an error."""
        known = {field.alias or name for name, field in cls.model_fields.items()}
        for name in given if isinstance(given, dict) else ():
            if name not in known:
                raise PydanticCustomError("extra_forbidden", "there is no member '{member}'", {"member": name[:100]})
        return given


class _Choosing(BaseModel):
    """Which hits, of those that are found."""

    k: int = Field(5, ge=1, le=MOST_HITS, description="How many hits.")
    group_by: FieldName | None = Field(None, description="At most `per_group` hits have the same value in this field.")
    per_group: int = Field(1, ge=1, le=MOST_HITS, description="How many hits a group may have.")
    context: int = Field(0, ge=0, le=20, description="How many sentences to give before and after each hit.")
    min_score: float | None = Field(None, description="Records that score less are left out.")
    min_percentile: float | None = Field(
        None, ge=0, le=100, description="Records are left out that are less near than this share of random pairs."
    )
    exclude: list[Key] = Field([], max_length=MOST_KEYS, description="Keys of records that are left out.")
    diversity: float = Field(0.0, ge=0, le=1, description="How much hits should differ from each other.")


class _Ordering(_Choosing):
    """What finds the hits, and what orders them."""

    mode: Literal["dense", "lexical", "hybrid"] = Field("dense", description="By meaning, by words, or by both.")
    fusion: Literal["convex", "rrf"] = Field("convex", description="How hybrid joins the two: by scores or by ranks.")
    rerank: FieldName | None = Field(
        None, description='What orders the best hits again: "tokens", or a cross-encoder that the server allows.'
    )
    rerank_ms: float = Field(1000.0, ge=0, le=60_000, description="For how long texts may be read for this.")


class Search(_Ordering, Body):
    query: QueryText | Vector = Field(description="A text, or a vector.")
    vector: Vector | None = Field(None, description="The vector of a query that is a text, if it is known already.")
    where: Where | None = Field(None, description=WHERE)
    cursor: str | None = Field(None, max_length=LONGEST_CURSOR, description="That of the hits before.")


class SearchInUrl(_Ordering):
    model_config = ConfigDict(extra="forbid")

    query: QueryText = Field(description="A text.")
    where: WhereInUrl | None = None
    cursor: str | None = Field(None, max_length=LONGEST_CURSOR, description="That of the hits before.")


class SearchMany(_Ordering, Body):
    queries: (
        Annotated[list[QueryText], Field(max_length=MOST_QUERIES)]
        | Annotated[list[Vector], Field(max_length=MOST_QUERIES)]
    ) = Field(description="Texts, or vectors.")
    vectors: list[Vector] | None = Field(
        None, min_length=1, max_length=MOST_QUERIES, description="The vectors of queries that are texts."
    )
    where: Where | None = Field(None, description=WHERE)


class Similar(_Choosing, Body):
    keys: list[Key] = Field(min_length=1, max_length=MOST_KEYS, description="Records that hits should be like.")
    not_: list[Key] = Field([], alias="not", max_length=MOST_KEYS, description="Records that they should be unlike.")
    where: Where | None = Field(None, description=WHERE)


class NewRecord(Body):
    text: Text
    key: Key | None = Field(None, description="A stable name; if left out, one is derived from text and metadata.")
    metadata: dict[str, Any] | None = Field(None, description="A JSON object; null keeps what is stored.")
    vector: Vector | None = Field(
        None, description="Made elsewhere; null stores the text without one. If left out, the text is encoded."
    )


class Add(Body):
    records: list[NewRecord] = Field(min_length=1, max_length=MOST_RECORDS)
    space: FieldName | None = Field(None, description="What made the vectors, if they were made elsewhere.")
    on_long: Literal["truncate", "error", "split", "mean"] = Field(
        "truncate", description="What to do with a text that is longer than the model reads."
    )
    on_duplicate: Literal["error", "last"] = Field("error", description="What to do if two records have the same key.")
    encode: bool = Field(True, description="Whether to make vectors; without, only words and filters find the records.")


class EncodeMissing(Body):
    """Nothing."""


class Delete(Body):
    """One of the three."""

    keys: list[Key] | None = Field(None, max_length=MOST_RECORDS, description="All or none are deleted.")
    where: Where | None = Field(None, description='A filter; "true" deletes every record.')
    source: FieldName | None = Field(None, description="A file, folder or label, as /v1/sources lists it.")


class Explain(Body):
    text: QueryText
    against: QueryText | None = Field(None, description="A query; the contribution of each token is to its cosine.")


class ListInUrl(BaseModel):
    model_config = ConfigDict(extra="forbid")

    where: WhereInUrl | None = None
    source: FieldName | None = Field(None, description="A file, folder or label, as /v1/sources lists it.")
    after: Key | None = Field(None, description="Only records that were added after the record with this key.")
    limit: int = Field(100, ge=1, le=MOST_HITS, description="How many records.")


class CountInUrl(BaseModel):
    model_config = ConfigDict(extra="forbid")

    where: WhereInUrl | None = None


class FacetsInUrl(CountInUrl):
    field: FieldName = Field(description="A metadata field, or source, or document.")
    top: int = Field(20, ge=1, le=MOST_HITS, description="How many values.")


class KeyInUrl(BaseModel):
    model_config = ConfigDict(extra="forbid")

    key: Key = Field(description="The key of the record.")
