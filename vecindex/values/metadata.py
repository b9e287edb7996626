"""Checks metadata and writes it as JSON, or says what in it JSON cannot hold exactly and what to use instead."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from functools import partial
from types import NoneType
from typing import Any

from ..errors import InvalidInput
from .nested import MAX_NESTING, on_own_stack
from .scalars import how_to, is_missing, plain, shown, string

LONGEST_METADATA = 100_000_000
"""Bytes in UTF-8."""


def _of_numpy(value: object) -> object:
    found = plain(value)
    if found is value or type(found).__module__ == "numpy":
        raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
    return found


_to_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_of_numpy).encode
_SCALARS = frozenset({str, int, float, bool, type(None)})
_LEAST, _GREATEST = -(2**63), 2**63 - 1  # what SQLite compares exactly


def _shown(name: object) -> str:
    """A member's name for an error message."""
    return repr(name if not isinstance(name, str) or len(name) <= 40 else name[:37] + "...")


def checked_metadata(value: object) -> str:
    """The JSON text of ``value``, a mapping; raises InvalidInput for anything that JSON cannot hold exactly."""
    if not isinstance(value, Mapping):
        raise InvalidInput(
            f"metadata must be a JSON object, not {type(value).__name__}", 'Pass a mapping such as {"lang": "en"}.'
        )
    members = dict(value)
    is_flat = True
    for name, member in members.items():
        kind = type(member)
        if kind not in _SCALARS or type(name) is not str:
            is_flat = False
        if kind is int and not _LEAST <= member <= _GREATEST:
            raise _too_large(name, member)
        if kind not in _SCALARS:
            _check_nested(name, member)
    try:
        # JSON turns other names into strings and tuples into lists; what would not be read back the same is refused.
        text, faithful = (_to_json(members), True) if is_flat else on_own_stack(_written, members)
    except RecursionError:
        raise _too_deep("metadata") from None
    except (TypeError, ValueError) as error:
        raise unlike_json(members, "metadata cannot be written as JSON", error) from None
    if not faithful:
        raise unlike_json(members, "metadata would not be the same when it is read back from JSON")
    if "\\u0000" in text:
        # In some releases of SQLite a member's name ends at a NUL, so it would be found under another name.
        on_own_stack(partial(json.loads, object_pairs_hook=_refuse_nul_names), text)
    return string(text, "metadata", LONGEST_METADATA)


def _written(members: dict[str, Any]) -> tuple[str, bool]:
    """The JSON text, and whether reading it gives the same members."""
    text = _to_json(members)
    return text, json.loads(text) == members


def _check_nested(name: object, member: object) -> None:
    """Raises InvalidInput if a member is nested too deeply, or contains an integer that is too large."""
    waiting: list[tuple[Any, int]] = [(member, 2)]
    while waiting:
        value, depth = waiting.pop()
        value = plain(value)
        if isinstance(value, (dict, list, tuple)):
            if depth > MAX_NESTING:
                raise _too_deep(f"metadata {_shown(name)}")
            waiting += [(inner, depth + 1) for inner in (value.values() if isinstance(value, dict) else value)]
        elif isinstance(value, int) and not _LEAST <= value <= _GREATEST:
            raise _too_large(name, value)


def _too_deep(what: str) -> InvalidInput:
    return InvalidInput(
        f"{what} is nested more than {MAX_NESTING} deep", "Flatten it, or store it as a string of JSON."
    )


def _too_large(name: object, number: int) -> InvalidInput:
    digits = str(number) if number.bit_length() < 400 else f"of {number.bit_length():,} bits"
    return InvalidInput(
        f"metadata {_shown(name)} holds the integer {digits}, but integers have at most 64 bits",
        "Write it as a string to keep every digit, or as a float.",
    )


def _refuse_nul_names(members: list[tuple[str, Any]]) -> None:
    for name, _ in members:
        if "\0" in name:
            raise InvalidInput(f"metadata has a name with a NUL character: {name!r}", "Rename it.")


def unlike_json(members: Mapping[Any, Any], what: str, error: Exception | None = None) -> InvalidInput:
    """The error for the first name or value that JSON cannot hold; its message begins with ``what``."""
    with contextlib.suppress(RecursionError):  # it contains itself
        for place, value, advice in _within("metadata", members):
            return InvalidInput(f"{what}: {place} is {shown(value)}", advice)
    return InvalidInput(
        f"{what}: {error or 'it would be read back differently'}",
        "Use None, booleans, finite numbers, strings, lists and dicts.",
    )


def _within(place: str, value: object) -> Iterator[tuple[str, object, str]]:
    """What JSON cannot hold: its place as a Python expression, the value, and advice."""
    if isinstance(value, dict):
        for name, member in value.items():
            if not isinstance(name, str):
                yield f"a name in {place}", name, "Names must be strings; convert it with str()."
            yield from _within(f"{place}[{shown(name)}]", member)
    elif type(value) is list:
        for number, member in enumerate(value):
            yield from _within(f"{place}[{number}]", member)
    else:
        scalar = plain(value)
        for fits, advice in _UNLIKE:
            if fits(scalar):
                yield place, scalar, advice or how_to(value).replace("item", "value")
                return


_UNLIKE: tuple[tuple[Callable[[Any], bool], str], ...] = (
    (lambda value: value is not None and is_missing(value), "Use None, or leave it out."),
    (lambda value: isinstance(value, float) and math.isinf(value), "Use None, or leave it out."),
    (lambda value: isinstance(value, tuple), "Use a list: list(value)."),
    (lambda value: isinstance(value, (set, frozenset)), "Use a list: sorted(value)."),
    (lambda value: isinstance(value, Decimal), "Use float(value), or str(value) to keep every digit."),
    (lambda value: isinstance(value, Mapping), "Use a dict: dict(value)."),
    (lambda value: hasattr(value, "tolist"), "Use its numbers: value.tolist()."),
    (lambda value: not isinstance(value, (str, int, float, NoneType)), ""),
)
"""What JSON cannot hold, and what to use instead; "" stands for the advice of `how_to`."""
