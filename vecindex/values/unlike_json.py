"""What in this metadata has JSON no word for, where is it, and what can be written instead?"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from types import NoneType
from typing import Any

from ..errors import InvalidInput
from .arguments import how_to, is_missing, plain, shown


def unlike_json(members: Mapping[Any, Any], what: str, error: Exception | None = None) -> InvalidInput:
    """The error that names the first name or value within that JSON has not; ``what`` is how it begins."""
    with contextlib.suppress(RecursionError):  # it holds itself
        for place, value, advice in _within("metadata", members):
            return InvalidInput(f"{what}: {place} is {shown(value)}", advice)
    return InvalidInput(
        f"{what}: {error or 'it differs when it is read'}",
        "Use null, true, finite numbers, strings, lists and objects.",
    )


def _within(place: str, value: object) -> Iterator[tuple[str, object, str]]:
    """What JSON has not, where that is as an expression of Python, and what to write instead."""
    if isinstance(value, dict):
        for name, member in value.items():
            if not isinstance(name, str):
                yield f"a name in {place}", name, "Names are strings: convert it with str()."
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
    (lambda value: value is not None and is_missing(value), "Write None, or leave it out."),
    (lambda value: isinstance(value, float) and math.isinf(value), "Write None, or leave it out."),
    (lambda value: isinstance(value, tuple), "Write a list: list(value)."),
    (lambda value: isinstance(value, (set, frozenset)), "Write a list: sorted(value)."),
    (lambda value: isinstance(value, Decimal), "Write float(value), or str(value) to keep every digit."),
    (lambda value: isinstance(value, Mapping), "Write a dict: dict(value)."),
    (lambda value: hasattr(value, "tolist"), "Write its numbers: value.tolist()."),
    (lambda value: not isinstance(value, (str, int, float, NoneType)), ""),
)
"""What JSON has not, and what to write instead; "" leaves that to `how_to`."""
