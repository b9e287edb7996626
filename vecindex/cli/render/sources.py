"""Formats the list of an index's sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from .results import counted, json_text, printable

if TYPE_CHECKING:
    from ...values.sources import SourceInfo

_HEADER = ("state", "records", "format", "source")


def sources_as(format_: str, sources: Sequence[SourceInfo]) -> str:
    """Formats sources: a line each, below a header, or a JSON array."""
    if format_ == "json":
        return json_text([asdict(source) for source in sources])
    if not sources:
        return ""
    rows = [_HEADER, *((each.state, str(each.records), each.reader, _named(each)) for each in sources)]
    states, records, formats, _ = (max(map(len, column)) for column in zip(*rows, strict=True))
    return "".join(
        f"{state:<{states}}  {number:>{records}}  {format:<{formats}}  {name}\n" for state, number, format, name in rows
    )


def _named(source: SourceInfo) -> str:
    query = f": {source.query}" if source.query else ""
    stale = f" ({counted(source.stale, 'record')} no longer in it)" if source.stale else ""
    return printable(f"{source.location}{query}{stale}")
