"""Parses JSON strictly: no NaN, no repeated names in an object, no number beyond the range of a double.

Python's json accepts these, and they would be stored as something else or not at all.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from ..errors import InvalidInput
from ..values.nested import on_own_stack
from .fields import listed, repeated


def parsed(text: str, advice: str) -> Any:
    """The value in ``text``. Raises InvalidInput, with ``advice`` if it is not JSON at all."""
    try:
        return on_own_stack(DECODER.decode, text)
    except json.JSONDecodeError as error:
        raise InvalidInput(f"not valid JSON at column {error.colno}: {error.msg}", advice) from None
    except RecursionError:
        raise InvalidInput("not usable JSON: nested too deeply", advice) from None


def unique_members(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object with these members; raises InvalidInput if two have the same name."""
    found = dict(members)
    if len(found) < len(members):
        twice = repeated([name for name, _ in members])
        raise InvalidInput(f"repeated in one object: {listed(twice)}", "Keep one; only one value can be stored.")
    return found


def _no_constant(name: str) -> NoReturn:
    raise InvalidInput(f"{name} is not JSON", "Write null, or leave the field out.")


def _integer(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:  # Python's limit, 4,300 digits by default: longer ones take quadratic time
        raise InvalidInput(f"a number of {len(digits):,} digits is too long", "Write it as a string.") from None


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise InvalidInput(f"the number {digits[:40]} is too large for a double", "Write it as a string.")
    return number


DECODER = json.JSONDecoder(
    object_pairs_hook=unique_members, parse_int=_integer, parse_float=_finite, parse_constant=_no_constant
)
