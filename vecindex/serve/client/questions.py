"""What is asked of a server: a request for each method, and how its answer is read. Nothing is sent here."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from typing import Any, Generic, TypeVar

import numpy as np

from ...encoders.explain import Explanation
from ...errors import InvalidInput
from ...filters.parse import parse
from ...search.run import SearchReport
from ...values.arrays import numbers
from ...values.facets import Facets
from ...values.hits import Hits
from ...values.records import AddReport, EncodeReport, IndexInfo, Record
from ...values.sources import SourceInfo
from ...values.texts import checked_text
from .answers import hits_of, record_of
from .rebuild import rebuilt

T = TypeVar("T")
Where = Mapping[str, Any] | str

RECORDS_A_REQUEST = 1_000
BYTES_A_REQUEST = 6_000_000
"""About; with one more text of the longest that a server takes, still less than it takes in one request."""
_BYTES_A_NUMBER = 22
RECORDS_A_PAGE = HITS_A_PAGE = 1_000
"""As many as a server gives at once."""
LONGEST_RERANK_MS = 60_000.0
"""As long as a server reads texts for one request."""
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """A request: ``body`` is sent as JSON and ``parameters`` in the URL. ``read`` makes the result of the answer."""

    method: str
    path: str
    read: Callable[[Any], T]
    body: Mapping[str, Any] | None = None
    parameters: Mapping[str, Any] | None = None


def as_json(value: Any) -> bytes:
    """JSON; raises InvalidInput for what has none."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"it cannot be sent as JSON: {error}", "Pass plain values.") from None


def search(given: Mapping[str, Any]) -> Question[Hits]:
    """Of the arguments of `Index.search`."""
    return Question("POST", "/v1/search", hits_of, _options(given))


def search_many(given: Mapping[str, Any]) -> Question[list[Hits]]:
    return Question("POST", "/v1/search-many", lambda found: list(map(hits_of, found["results"])), _options(given))


def explain_search(given: Mapping[str, Any]) -> Question[tuple[Hits, SearchReport]]:
    def read(found: Any) -> tuple[Hits, SearchReport]:
        return hits_of(found), rebuilt(SearchReport, found["report"])

    return Question("POST", "/v1/explain-search", read, _options(given))


def similar(given: Mapping[str, Any]) -> Question[Hits]:
    body = _options(given)
    body["keys"] = list(body.pop("key"))
    body["not"] = list(body.pop("not_"))
    return Question("POST", "/v1/similar", hits_of, body)


def get(key: str) -> Question[Record]:
    return Question(
        "GET", "/v1/record", lambda found: record_of(found["record"], found["vector"]), parameters={"key": key}
    )


def list_page(
    where: Where | None, source: str | os.PathLike[str] | None, after: str | None, limit: int
) -> Question[tuple[list[Record], str | None]]:
    """At most ``limit`` records, and the key of the last of them if there are more."""

    def read(found: Any) -> tuple[list[Record], str | None]:
        return list(map(record_of, found["records"])), found["after"]

    named = {"source": None if source is None else os.fspath(source), "after": after, "limit": limit}
    return Question("GET", "/v1/records", read, parameters=_in_url(where=_filter(where), **named))


def count(where: Where | None) -> Question[int]:
    return Question("GET", "/v1/count", lambda found: int(found["count"]), parameters=_in_url(where=_filter(where)))


def facets(field: str, where: Where | None, top: int) -> Question[Facets]:
    parameters = _in_url(field=field, where=_filter(where), top=top)
    return Question("GET", "/v1/facets", partial(rebuilt, Facets), parameters=parameters)


def info() -> Question[IndexInfo]:
    return Question("GET", "/v1/info", partial(rebuilt, IndexInfo))


def sources() -> Question[list[SourceInfo]]:
    return Question("GET", "/v1/sources", lambda found: [rebuilt(SourceInfo, each) for each in found["sources"]])


def explain(text: str, against: str | None) -> Question[Explanation]:
    return Question("POST", "/v1/explain", partial(rebuilt, Explanation), {"text": text, "against": against})


def delete(keys: Iterable[str] | None, where: Where | None, source: str | os.PathLike[str] | None) -> Question[int]:
    given = {
        "keys": None if keys is None else list(keys),
        "where": _filter(where),
        "source": None if source is None else os.fspath(source),
    }
    body = {name: value for name, value in given.items() if value is not None}
    return Question("POST", "/v1/records/delete", lambda found: int(found["deleted"]), body)


def adds(
    records: Iterable[str | Record],
    keys: Iterable[str] | None,
    metadata: Iterable[Mapping[str, Any] | None] | None,
    vectors: Iterable[Any] | None,
    options: Mapping[str, Any],
) -> Iterator[Question[AddReport]]:
    """A request for each so many records, which is a commit or more."""
    items = _items(records, keys, metadata, vectors)
    for window in _windows(items):
        body = {"records": window, **{name: value for name, value in options.items() if value is not None}}
        yield Question("POST", "/v1/records", partial(rebuilt, AddReport), body)


def _windows(items: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    window: list[dict[str, Any]] = []
    size = 0
    for place, item in enumerate(items):
        window.append(item)
        others = {name: value for name, value in item.items() if name != "vector"}
        with _of_item(place):
            checked_text(item["text"])
            size += len(as_json(others)) + _BYTES_A_NUMBER * len(item.get("vector") or ())
        if len(window) == RECORDS_A_REQUEST or size >= BYTES_A_REQUEST:
            yield window
            window, size = [], 0
    if window:
        yield window


@contextmanager
def _of_item(place: int) -> Iterator[None]:
    """Names the item, by its number from 0, in what is said of it."""
    try:
        yield
    except InvalidInput as error:
        raise InvalidInput(f"item {place}: {error.message}", error.advice) from None


def encode_missing() -> Question[EncodeReport]:
    return Question("POST", "/v1/records/encode", partial(rebuilt, EncodeReport), {})


def _items(
    records: Iterable[str | Record],
    keys: Iterable[str] | None,
    metadata: Iterable[Mapping[str, Any] | None] | None,
    vectors: Iterable[Any] | None,
) -> Iterator[dict[str, Any]]:
    columns = {"key": keys, "metadata": metadata, "vector": vectors}
    given = {name: column for name, column in columns.items() if column is not None}
    for place, (record, *values) in enumerate(zip_longest(records, *given.values(), fillvalue=_MISSING)):
        if record is _MISSING or any(value is _MISSING for value in values):
            raise InvalidInput(
                "keys=, metadata= and vectors= have other lengths than the texts", "Give one of each for each text."
            )
        of_text = dict(zip(given, values, strict=True))
        if not isinstance(record, Record):
            item = {"text": record, **of_text}
        elif "key" in given or "metadata" in given:
            raise InvalidInput("keys= and metadata= go with texts; a Record holds its own", "Leave them out.")
        else:
            own = {"text": record.text, "key": record.key, "metadata": record.metadata, "vector": record.vector}
            item = {**own, **of_text}
        if item.get("vector") is not None:
            item["vector"] = _vector(item["vector"], f"the vector of item {place}")
        said = {"text", *(("vector",) if vectors is not None else ())}  # a vector that is None is one, too
        yield {name: value for name, value in item.items() if value is not None or name in said}


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a search as JSON; those that are None are left out."""
    body = {name: value for name, value in given.items() if name not in ("self", "progress") and value is not None}
    _filter(body.get("where"))
    if "exclude" in body:
        body["exclude"] = list(body["exclude"])
    if "rerank_ms" in body:
        body["rerank_ms"] = min(body["rerank_ms"], LONGEST_RERANK_MS)
    if not isinstance(body.get("query", ""), str):
        body["query"] = _vector(body["query"], "the query")
    if "vector" in body:
        body["vector"] = _vector(body["vector"], "vector")
    for name in ("queries", "vectors"):
        if name in body:
            body[name] = _queries(body[name], name)
    return body


def _queries(queries: Sequence[str] | Any, name: str) -> list[Any]:
    each = list(queries)
    return [query if isinstance(query, str) else _vector(query, f"{name}[{i}]") for i, query in enumerate(each)]


def _vector(vector: Any, name: str) -> list[float]:
    found = np.asarray(numbers(vector, name))
    if found.ndim != 1 or not np.isfinite(found).all():
        raise InvalidInput(f"{name} is not a row of finite numbers", "Give an array of the shape (dimension,).")
    listed: list[float] = found.astype(np.float64).tolist()
    return listed


def _filter(where: Where | None) -> Where | None:
    """A filter; raises InvalidFilter for what is none, such as a dict with NaN, which JSON does not have either."""
    if where is not None and not isinstance(where, str):
        parse(where)
    return where


def _in_url(**named: Any) -> dict[str, Any]:
    """Parameters of a URL, in which a filter that is a dict is JSON."""
    shown = {name: json.dumps(value) if isinstance(value, Mapping) else value for name, value in named.items()}
    return {name: value for name, value in shown.items() if value is not None}
