"""Formats the counts of a field's values."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from .hits import Shown, cells, snippet
from .results import counted, json_line, json_text, on_one_line

if TYPE_CHECKING:
    from ...values.facets import Facets

FACET_FORMATS = ("text", "json", "csv")


def facets_as(format_: str, found: Facets, shown: Shown) -> str:
    """Formats the values and their counts: a line each, a JSON object, or a table."""
    if format_ == "json":
        values = [{"value": facet.value, "count": facet.count} for facet in found.values]
        counts = {"distinct": found.distinct, "missing": found.missing, "records": found.records}
        return json_text({"field": found.field, "values": values, **counts})
    if format_ == "csv":
        return _csv(found, shown)
    width = max((len(str(facet.count)) for facet in found.values), default=0)
    return "".join(f"{facet.count:>{width}}  {_plain(facet.value)}\n" for facet in found.values)


def not_counted(found: Facets) -> str:
    """What the list of values leaves out, in words; "" for nothing."""
    told = []
    if left := found.distinct - len(found.values):
        told.append(f"{counted(left, 'more value')} not shown")
    if found.missing:
        verb = "does" if found.missing == 1 else "do"
        told.append(f"{counted(found.missing, 'record')} of {found.records} {verb} not have {found.field}")
    return f"{'; '.join(told)}." if told else ""


def _plain(value: Any) -> str:
    """A string as it is, unless it could be taken for another value; anything else as JSON."""
    if isinstance(value, str) and not _is_json(value):
        return on_one_line(snippet(value, ""))
    return on_one_line(snippet(json_line(value), ""))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text == ""
    return True


def _csv(found: Facets, shown: Shown) -> str:
    out, cell = io.StringIO(), cells(shown)
    writer = csv.writer(out)
    writer.writerow(("value", "count"))
    writer.writerows((cell(facet.value), facet.count) for facet in found.values)
    return out.getvalue()
