"""Finds the types of a table's columns, whose cells are all text, without losing a digit.

A column holds numbers only if each number, written back, gives the same characters. One ``01234``, ``+1``, ``1.10``,
``1e5``, `` 1``, ``NaN`` or integer beyond 64 bits makes the whole column text, so all values of a column have one type
in filters. Empty cells have no type, and are left out of the record.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NoReturn, get_args

from ..values.metadata import checked_metadata
from ..values.scalars import choice
from .strict_json import unique_members

Types = Literal["auto", "text"]
"""``auto`` detects the type of each column; ``text`` keeps every cell as it is written, empty ones too."""

Value = Callable[[str], Any]
"""Converts a cell to its value; raises ValueError if the cell is not of this kind."""

checked_types = choice(get_args(Types))


def column_kinds(positions: Iterable[int], rows: Iterable[Sequence[str]]) -> Mapping[int, Value]:
    """How to read the cells of those columns at ``positions`` that are not text.

    Stops reading as soon as all of them are known to be text.
    """
    undecided = set(positions)
    found: dict[int, Value] = {}
    for row in rows:
        for position in [each for each in found if row[each] and not _is(found[each], row[each])]:
            del found[position]
        for position in [each for each in undecided if row[each]]:
            undecided.remove(position)
            if (kind := _kind(row[position])) is not None:
                found[position] = kind
        if not undecided and not found:
            break
    return found


def number(cell: str) -> int | float:
    """The number that is written exactly as ``cell``; raises ValueError."""
    whole = cell[1:] if cell.startswith("-") else cell
    if whole.isdigit():
        found = int(cell) if len(whole) < 20 else 2**63
        if str(found) != cell or not -(2**63) <= found < 2**63:
            raise ValueError(cell)
        return found
    real = float(cell)
    if not math.isfinite(real) or repr(real) != cell:
        raise ValueError(cell)
    return real


def truth(cell: str) -> bool:
    """A boolean as Python, pandas, R or a spreadsheet writes it; raises ValueError."""
    try:
        return _TRUTH[cell]
    except KeyError:
        raise ValueError(cell) from None


def array(cell: str) -> list[Any]:
    """The JSON array in a cell; raises ValueError."""
    value: list[Any] = _json(cell, "[")
    return value


def json_object(cell: str) -> dict[str, Any]:
    """The JSON object in a cell; raises ValueError."""
    value: dict[str, Any] = _json(cell, "{")
    return value


_TRUTH = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_KINDS: tuple[Value, ...] = (number, truth, array, json_object)


def _kind(cell: str) -> Value | None:
    return next((kind for kind in _KINDS if _is(kind, cell)), None)


def _is(kind: Value, cell: str) -> bool:
    try:
        kind(cell)
    except ValueError:
        return False
    return True


def _json(cell: str, bracket: str) -> Any:
    if not cell.startswith(bracket):
        raise ValueError(cell)
    try:
        found = _DECODER.decode(cell)
    except RecursionError:
        raise ValueError(cell) from None
    checked_metadata({"": found})  # what metadata cannot hold, such as deep nesting, stays text
    return found


def _refused(name: str) -> NoReturn:
    raise ValueError(name)


_DECODER = json.JSONDecoder(
    object_pairs_hook=unique_members, parse_int=number, parse_float=number, parse_constant=_refused
)
