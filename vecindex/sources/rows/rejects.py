"""Rows that are left out, as objects that can be written as JSON lines, mended and added again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from ...errors import InvalidInput, VecindexError
from ...values.records import Unit
from ..lines import MAX_LINE, without_end
from ..options import ReadOptions
from .columns import ABSENT, Columns
from .json_values import json_value

REJECTED = "rejected"
"""The member that says why a row was left out."""
WITHOUT_NAME = ""
"""The member with the cells of a row for which the header has no name."""

_WHY = frozenset({"path", "reason", "advice", *get_args(Unit)})


def rejected(error: VecindexError) -> dict[str, Any]:
    """A row that was left out: its fields, or its line as ``text``, and in ``rejected`` where it was and why."""
    fields = {"text": error.row} if isinstance(error.row, str) else (error.row or {})
    path, place, unit = getattr(error, "path", None), getattr(error, "line", None), getattr(error, "unit", "line")
    if (origin := getattr(error, "origin", None)) is not None:
        path, place, unit = origin
    reason = getattr(error, "reason", error.message)
    why = {"path": path, **({} if place is None else {unit: place}), "reason": reason, "advice": error.command_advice}
    return {**fields, REJECTED: why}


def without_rejection(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a row, without what `rejected` added if it was left out before."""
    why = fields.get(REJECTED)
    if not isinstance(why, dict) or not {"path", "reason"} <= set(why) <= _WHY:
        return fields
    return {name: value for name, value in fields.items() if name != REJECTED}


def as_written(raw: bytes) -> str:
    """A line that may not be text; each byte that is none becomes a lone surrogate, which is refused again."""
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return raw.decode("utf-8", "surrogateescape")


def written_line(raw: bytes) -> str | None:
    """A line without its end, as it is written; None if it is too long, and so was cut."""
    return without_end(as_written(raw)) if len(raw) <= MAX_LINE else None


def fields_of(columns: Columns, values: Sequence[Any]) -> dict[str, Any]:
    """The fields of a table's row, without those that JSON cannot hold."""
    found = {}
    for name, value in zip(columns.names, values, strict=True):
        if value is ABSENT:
            continue
        try:
            found[name] = json_value(value, name)
        except InvalidInput:
            continue
    return found


def named_cells(names: Sequence[str], cells: Sequence[str]) -> dict[str, Any]:
    """The fields of a row whose number of cells may be another one than that of the names."""
    found: dict[str, Any] = dict(zip(names, cells, strict=False))
    return {**found, WITHOUT_NAME: list(cells[len(names) :])} if len(cells) > len(names) else found


def fields_of_record(
    options: ReadOptions, text: str, key: str | None, metadata: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The fields of a row of which the record is known, under the names that the options expect."""
    named: dict[str, Any] = {(options.text_columns or ("text",))[0]: text}
    if key is not None:
        named[options.key_column or "key"] = key
    if options.metadata_columns is not None:
        return {**(metadata or {}), **named}
    return {**named, "metadata": dict(metadata)} if metadata else named
