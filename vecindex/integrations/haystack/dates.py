"""The dates in a document's meta, beside it in a form that compares by code point, so that filters can order them.

Haystack compares a date without a time zone with any other by its clock, and two dates with time zones by the moment.
So each string that is a date is kept twice, at the same path as in the meta: its clock time and, if it has a time zone,
that time in UTC.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ...values.nested import MAX_NESTING

_FULL_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[Tt ]|$)")
DATE_PATTERN = "____-__-__%"
"""What each string that Haystack may read as a date is like, in a filter."""

DEEPEST = MAX_NESTING - 4


@dataclass(frozen=True, slots=True)
class Moment:
    """A date as text; ``utc`` is None if it has no time zone."""

    clock: str
    utc: str | None


def moment(value: object) -> Moment | None:
    """The moment that a datetime or an ISO 8601 string means; None for anything else."""
    if isinstance(value, str):
        if not _FULL_DATE.match(value):
            return None
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    if value.tzinfo is None:
        return Moment(_text(value), None)
    if not isinstance(value.tzinfo, timezone):  # in a zone with summer time some clock times mean two moments, or none
        return None
    try:
        return Moment(_text(value.replace(tzinfo=None)), _text(value.astimezone(timezone.utc).replace(tzinfo=None)))
    except OverflowError:  # outside the years 1 to 9999
        return None


def _text(naive: datetime) -> str:
    return naive.isoformat(timespec="microseconds")


def dates_in(meta: dict[str, Any], depth: int = DEEPEST) -> tuple[dict[str, Any], dict[str, Any]]:
    """The clock times and the UTC times of the dates in a meta, each at the same path as there.

    Dates more than ``depth`` deep are left out, since beside the meta they would be nested too deeply to be stored.
    """
    clocks: dict[str, Any] = {}
    utcs: dict[str, Any] = {}
    for name, value in meta.items():
        if isinstance(value, dict):
            inner_clocks, inner_utcs = dates_in(value, depth - 1) if depth > 1 else ({}, {})
            if inner_clocks:
                clocks[name] = inner_clocks
            if inner_utcs:
                utcs[name] = inner_utcs
        elif (found := moment(value)) is not None:
            clocks[name] = found.clock
            if found.utc is not None:
                utcs[name] = found.utc
    return clocks, utcs
