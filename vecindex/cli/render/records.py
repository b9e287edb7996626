"""Formats records one after another: a line each for people; JSON, JSON lines and CSV for programs."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from .hits import Shown, cells, snippet
from .results import aligned, json_line, json_text, on_one_line, printable

if TYPE_CHECKING:
    from ...values.records import Record

RECORD_FORMATS = ("text", "json", "jsonl", "csv")


def records_as(format_: str, records: Iterable[Record], shown: Shown) -> Iterator[str]:
    """Formats records in one of `RECORD_FORMATS`, in pieces to be printed one after another.

    `vecindex add` reads what it makes for programs.
    """
    if format_ == "text":
        for record in records:
            text = on_one_line(snippet(record.text, ""), record.metadata)
            yield f"{text}  [{printable(record.key or '')}]{'' if record.has_vector else ' (no vector)'}\n"
    elif format_ == "jsonl":
        for record in records:
            yield json_line(record.to_dict()) + "\n"
    elif format_ == "csv":
        yield from _csv(records, shown)
    else:
        before = "[\n"
        for record in records:
            yield before + textwrap.indent(json_text(record.to_dict()).rstrip("\n"), "  ")
            before = ",\n"
        yield "[]\n" if before == "[\n" else "\n]\n"


def record_as(format_: str, record: Record) -> str:
    """Formats a record, without its vector."""
    members = record.to_dict()
    if format_ == "json":
        members |= {} if record.has_vector else {"has_vector": False}
        return json_text(members)
    shown = {name: members[name] for name in ("key", "text", "metadata")}
    if record.origin is not None:
        shown["source"] = str(record.origin)
    shown["metadata"] = json_line(record.metadata)
    if not record.has_vector:
        shown["vector"] = "none"
    return aligned(list(shown.items()))


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
