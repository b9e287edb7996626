"""Formats records one after another: a line each for people; JSON, JSON lines and CSV for programs."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from .hits import Shown, cells, snippet
from .results import json_line, json_text, printable

if TYPE_CHECKING:
    from ...values.records import Record

RECORD_FORMATS = ("text", "json", "jsonl", "csv")


def records_as(format_: str, records: Iterable[Record], shown: Shown) -> Iterator[str]:
    """Formats records in one of `RECORD_FORMATS`, in pieces to be printed one after another.

    `vecindex add` reads what it makes for programs.
    """
    if format_ == "text":
        for record in records:
            yield f"{printable(snippet(record.text, ''))}  [{printable(record.key or '')}]\n"
    elif format_ == "jsonl":
        for record in records:
            yield json_line(_members(record)) + "\n"
    elif format_ == "csv":
        yield from _csv(records, shown)
    else:
        before = "[\n"
        for record in records:
            yield before + textwrap.indent(json_text(_members(record)).rstrip("\n"), "  ")
            before = ",\n"
        yield "[]\n" if before == "[\n" else "\n]\n"


def _members(record: Record) -> dict[str, Any]:
    return {"key": record.key, "text": record.text, "metadata": record.metadata}


def _csv(records: Iterable[Record], shown: Shown) -> Iterator[str]:
    cell = cells(shown)
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["key", "text", "metadata"])
    for record in records:
        writer.writerow([cell(record.key), cell(record.text), cell(json_line(record.metadata))])
        yield out.getvalue()
        out.seek(0)
        out.truncate()
    yield out.getvalue()
