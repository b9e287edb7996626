"""Formats the hits of several queries, each in the formats of `hits`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .hits import Shown, csv_of, hits_as, members
from .results import json_line, json_text, on_one_line, printable

if TYPE_CHECKING:
    from ...values.records import Hit


@dataclass(frozen=True, slots=True)
class Query:
    """A query of a file, and its name there, if it has one."""

    text: str
    name: str | None = None


Found = Sequence[tuple[Query, "Sequence[Hit]"]]


def found_as(format_: str, found: Found, shown: Shown) -> str:
    """Formats queries with their hits in one of `hits.HIT_FORMATS`; snippets are chosen by each query."""
    return _FOUND[format_](found, shown)


def _text(found: Found, shown: Shown) -> str:
    blocks = []
    for query, hits in found:
        name = "" if query.name is None else f"{printable(query.name)}: "
        by_query = shown if shown.query is None else replace(shown, query=query.text)
        blocks.append(f"{name}{on_one_line(query.text)}\n{hits_as('text', hits, by_query)}")
    return "\n".join(blocks)


def _objects(found: Found, shown: Shown) -> list[dict[str, Any]]:
    return [
        {
            **({} if query.name is None else {"id": query.name}),
            **{"query": query.text, "hits": [members(hit, shown) for hit in hits]},
        }
        for query, hits in found
    ]


def _json(found: Found, shown: Shown) -> str:
    return json_text(_objects(found, shown))


def _jsonl(found: Found, shown: Shown) -> str:
    return "".join(json_line(each) + "\n" for each in _objects(found, shown))


def _csv(found: Found, shown: Shown) -> str:
    every = [(query, hit) for query, hits in found for hit in hits]
    columns: dict[str, list[str]] = {"query": [query.text for query, _ in every]}
    if any(query.name is not None for query, _ in found):
        columns = {"id": [query.name or "" for query, _ in every], **columns}
    return csv_of([hit for _, hit in every], shown, columns)


_FOUND: dict[str, Callable[[Found, Shown], str]] = {"text": _text, "json": _json, "jsonl": _jsonl, "csv": _csv}
