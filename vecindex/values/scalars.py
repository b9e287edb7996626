"""Checks single arguments: strings, choices, flags, numbers, paths and callbacks.

Each check is given the parameter's name and the argument. It returns what the function is to use, as Python's own type,
or raises InvalidInput.
"""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from ..errors import InvalidInput

Check = Callable[[str, Any], Any]
"""Takes a parameter's name and an argument."""

BYTES = (bytes, bytearray, memoryview)


def shown(value: object) -> str:
    """An argument for an error message: its value if that is short, else its type."""
    if value is None or isinstance(value, (str, bool, int, float)):
        try:
            text = repr(value)
        except ValueError:  # an integer of more digits than Python prints
            text = ""
        if text and len(text) <= 60:
            return text
    kind = type(value).__name__
    return f"{'an' if kind[:1].lower() in 'aeiou' else 'a'} {kind}"


def how_to(value: object) -> str:
    """Advice on how to convert something to a string."""
    # This comes first: a missing Timestamp is also a date.
    if is_missing(value):
        return "Leave it out, for example with dropna() of pandas."
    for fits, advice in _CONVERSIONS:
        if fits(value):
            return advice
    return "Convert it with str() first."


def is_missing(value: object) -> bool:
    """Whether this is None, NaN, or a missing value of pandas."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, numbers.Real) and _is_nan(value)


def _is_nan(value: numbers.Real) -> bool:
    try:
        return math.isnan(value)
    except (OverflowError, ValueError, TypeError):  # an integer too large for a double
        return False


_CONVERSIONS: tuple[tuple[Callable[[object], bool], str], ...] = (
    (lambda value: isinstance(value, Enum), "Pass its value: item.value."),
    (lambda value: isinstance(value, BYTES), "Decode it: bytes(item).decode('utf-8')."),
    (lambda value: hasattr(value, "isoformat"), "Pass item.isoformat()."),
    (lambda value: isinstance(value, Mapping), "Pass the text in it, such as item['text']."),
    (lambda value: isinstance(value, (list, tuple)), "Pass one string; join several with ' '.join(item)."),
    (lambda value: hasattr(value, "tolist") and bool(getattr(value, "shape", ())), "Pass one string for each item."),
    (lambda value: hasattr(value, "as_py"), "Convert it: item.as_py()."),
)


def string(value: object, what: str, longest: int = 0) -> str:
    """``value`` as a plain str that UTF-8 can store.

    ``what`` is what errors call it; ``longest`` is the maximum number of bytes, or 0 for any.
    """
    if type(value) is not str:
        if not isinstance(value, str):
            raise InvalidInput(f"{what} must be a string, not {type(value).__name__}", how_to(value))
        value = str.__str__(value)  # str() may return something else, for an Enum or a subclass
    size = len(value) if value.isascii() else _encoded_size(value, what)
    if longest and size > longest:
        raise InvalidInput(
            f"{what} has {size:,} bytes in UTF-8, but at most {longest:,} can be stored",
            "Shorten it, or split it into several.",
        )
    return value


def _encoded_size(value: str, what: str) -> int:
    try:
        return len(value.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"{what} holds a lone surrogate (U+{ord(value[error.start]):04X} at character {error.start}), "
            "which UTF-8 cannot store",
            "Decode the input as UTF-8, or replace such characters.",
        ) from None


def choice(choices: tuple[str, ...], what: str = "") -> Check:
    """A check for one of these strings; ``what`` is what errors call it instead of the parameter's name."""

    def check(name: str, value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            message = f"the {what} {shown(value)} is unknown" if what else f"{name} is {shown(value)}"
            raise InvalidInput(message, f"Use one of: {', '.join(choices)}.")
        return str.__str__(value)

    return check


def flag(name: str, value: object) -> bool:
    """True or False, also numpy's. A string such as "no" is refused, because it would be true."""
    if isinstance(value, bool):
        return value
    if type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    raise InvalidInput(f"{name} is {shown(value)}", "Pass True or False.")


def whole(least: int, advice: str, said: str = "{name} is {value}") -> Check:
    """A check for an integer of any type, also numpy's, that is at least ``least``."""

    def check(name: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
            raise InvalidInput(said.format(name=name, value=shown(value)), advice)
        return int(value)

    return check


def real(advice: str, least: float = -math.inf) -> Check:
    """A check for a number of any type, also numpy's, that is at least ``least`` and not NaN."""

    def check(name: str, value: object) -> float:
        if isinstance(value, numbers.Real) and not isinstance(value, bool):
            try:
                number = float(value)
            except (OverflowError, ValueError):
                number = math.nan
            if number >= least:
                return number
        raise InvalidInput(f"{name} is {shown(value)}", advice)

    return check


def weights_by_name(name: str, value: object) -> dict[str, float]:
    """A mapping of names to numbers."""
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{name} is {shown(value)}, not a mapping", "Pass a dict such as {'title': 2}.")
    weight = real("Pass a number, such as 2 in {'title': 2}.")
    return {string(each, f"a name in {name}"): weight(f"the weight of {shown(each)}", value[each]) for each in value}


def path(name: str, value: object) -> str | os.PathLike[str]:
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, os.PathLike) and isinstance(os.fspath(value), str):
        return value
    advice = "Decode it with os.fsdecode()." if isinstance(value, bytes) else "Pass a string or a pathlib.Path."
    if hasattr(value, "write"):
        advice = "Open the file for writing bytes, as with open(path, 'wb'), or pass its path."
    raise InvalidInput(f"{name} is {shown(value)}, not a path", advice)


def path_or(kind: type) -> Check:
    """A check for a path or an object of this class."""
    return lambda name, value: value if isinstance(value, kind) else path(name, value)


def destination(name: str, value: Any) -> Any:
    """A path, or an open stream of bytes."""
    if not hasattr(value, "write") or hasattr(value, "encoding") or isinstance(value, os.PathLike):
        return path(name, value)
    if getattr(value, "closed", False):
        raise InvalidInput(f"{name} is a closed file", "Open it for writing bytes: open(path, 'wb').")
    return value


def callback(name: str, value: object) -> object:
    if not callable(value):
        raise InvalidInput(f"{name} is {shown(value)}, which is not callable", "Pass a function, or leave it out.")
    return value


def plain(value: Any) -> Any:
    """A numpy scalar as Python's own type; anything else unchanged."""
    if type(value).__module__ != "numpy" or getattr(value, "shape", None) != ():
        return value
    return value.item()
