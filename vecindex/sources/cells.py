"""What values are in the columns of a table, whose cells are all written as text: no digit is ever lost.

A column is of numbers only if writing each of its numbers back gives the same characters. So ``01234``, ``+1``,
``1.10``, ``1e5``, `` 1``, ``NaN`` and integers beyond 64 bits keep their whole column text, and a filter by it need not
ask which of its cells happen to look like numbers. Empty cells say nothing, of the column or of the record.
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
"""``auto`` finds out what is in each column; ``text`` takes every cell as it is written, an empty one too."""

Value = Callable[[str], Any]
"""The value that a cell holds; raises ValueError where it is not of this kind."""


checked_types = choice(get_args(Types))


def column_kinds(positions: Iterable[int], rows: Iterable[Sequence[str]]) -> Mapping[int, Value]:
    """How to read the cells of each of the columns at these ``positions`` that is not text.

    No more rows are read than are needed to know that all of them are text.
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
    """The number that is written ``cell`` in exactly these characters; raises ValueError."""
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
    """True or false as Python, pandas, R and spreadsheets write them; raises ValueError."""
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
    checked_metadata({"": found})  # what metadata does not hold, as what is nested too deeply, stays text
    return found


def _refused(name: str) -> NoReturn:
    raise ValueError(name)


_DECODER = json.JSONDecoder(
    object_pairs_hook=unique_members, parse_int=number, parse_float=number, parse_constant=_refused
)
