"""What may be handed to a public function: the one door that checks arguments, and converts what stands for the same.

`entrance` checks each argument by its parameter's name, with the table `CHECKS`; a function gives a check of its own
where its parameter means something else. What others made (pandas, polars, pyarrow, numpy, torch) is recognised by
what it can do, and none of them is imported. Arrays of numbers are `encoders.arrays`' matter.
"""

from __future__ import annotations

import functools
import math
import numbers
import os
from collections.abc import Callable, Iterable, KeysView, Mapping
from collections.abc import Set as AnySet
from enum import Enum
from typing import Any, ParamSpec, TypeVar, cast

from ..errors import InvalidInput

Check = Callable[[str, Any], Any]
"""Given a parameter's name and an argument: what the function is to use; raises InvalidInput."""
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_BYTES = (bytes, bytearray, memoryview)


def entrance(**own: Check) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Has a public function's arguments checked; ``own`` are checks for this function alone, by parameter.

    An argument that is left out is not checked, and None passes where it is the default.
    """

    def wrap(function: Callable[P, R]) -> Callable[P, R]:
        code, defaults = cast(Any, function).__code__, cast(Any, function).__defaults__ or ()
        placed = code.co_varnames[: code.co_argcount]
        named = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        default = dict(zip(reversed(placed), reversed(defaults), strict=False)) | (
            cast(Any, function).__kwdefaults__ or {}
        )
        checks: dict[str, Check] = {
            name: _or_none(check) if name in default and default[name] is None else check
            for name, check in (CHECKS | own).items()
            if name in named
        }
        by_place = [(place, name, checks[name]) for place, name in enumerate(placed) if name in checks]

        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            taken = list(args)
            for place, name, check in by_place:
                if place >= len(taken):
                    break
                taken[place] = check(name, taken[place])
            for name in kwargs:
                if name in checks:
                    kwargs[name] = checks[name](name, kwargs[name])
            return function(*cast(Any, taken), **kwargs)

        cast(Any, checked).checks = checks
        return checked

    return wrap


def _or_none(check: Check) -> Check:
    return lambda name, value: None if value is None else check(name, value)


# --- single values


def shown(value: object) -> str:
    """An argument for an error message: itself if it is short and plain, else what it is."""
    if value is None or isinstance(value, (str, bool, int, float)):
        try:
            text = repr(value)
        except ValueError:  # an integer of more digits than Python writes
            text = ""
        if text and len(text) <= 60:
            return text
    kind = type(value).__name__
    return f"{'an' if kind[:1].lower() in 'aeiou' else 'a'} {kind}"


def how_to(value: object) -> str:
    """How to make a string of something that is none."""
    # In this order: a Timestamp is a date, and a missing one is missing.
    if is_missing(value):
        return "Leave it out (pandas: dropna())."
    for fits, advice in _CONVERSIONS:
        if fits(value):
            return advice
    return "Convert it with str() first."


def is_missing(value: object) -> bool:
    """Whether this is None, NaN, or what pandas puts where nothing is."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, numbers.Real) and _is_nan(value)


def _is_nan(value: numbers.Real) -> bool:
    try:
        return math.isnan(value)
    except (OverflowError, ValueError, TypeError):  # an integer that no double holds
        return False


_CONVERSIONS: tuple[tuple[Callable[[object], bool], str], ...] = (
    (lambda value: isinstance(value, Enum), "Write its value: item.value."),
    (lambda value: isinstance(value, _BYTES), "Decode it: bytes(item).decode('utf-8')."),
    (lambda value: hasattr(value, "isoformat"), "Write item.isoformat()."),
    (lambda value: isinstance(value, Mapping), "Take the text out of it, such as item['text']."),
    (lambda value: isinstance(value, (list, tuple)), "Each item is one string; join several with ' '.join(item)."),
    (lambda value: hasattr(value, "tolist") and bool(getattr(value, "shape", ())), "Each item is one string."),
    (lambda value: hasattr(value, "as_py"), "Convert it: item.as_py()."),
)


def string(value: object, what: str, longest: int = 0) -> str:
    """A string that UTF-8 can store: ``value`` itself, or what a subclass of str holds.

    ``what`` is for errors; ``longest`` is how many bytes it may have, where that is not 0.
    """
    if type(value) is not str:
        if not isinstance(value, str):
            raise InvalidInput(f"{what} must be a string, not {type(value).__name__}", how_to(value))
        value = str.__str__(value)  # not str(): an Enum or a stranger's class may write itself otherwise
    size = len(value) if value.isascii() else _encoded_size(value, what)
    if longest and size > longest:
        raise InvalidInput(
            f"{what} has {size:,} bytes in UTF-8, and at most {longest:,} can be stored",
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


def text(name: str, value: object) -> str:
    return string(value, "a text")


def key(name: str, value: object) -> str:
    found = string(value, "a key")
    if not found:
        raise InvalidInput("a key is the empty string", "Leave the key out to derive one from the text.")
    return found


def choice(choices: tuple[str, ...], what: str = "") -> Check:
    """One of these strings; ``what`` is what errors call it, if not by its name."""

    def check(name: str, value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            said = f"the {what} {shown(value)} is not known" if what else f"{name} is {shown(value)}"
            raise InvalidInput(said, f"It is one of: {', '.join(choices)}.")
        return str.__str__(value)

    return check


def flag(name: str, value: object) -> bool:
    """True or False, of numpy too; "no" would be true otherwise."""
    if isinstance(value, bool):
        return value
    if type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    raise InvalidInput(f"{name} is {shown(value)}", "Pass True or False.")


def whole(least: int, advice: str, said: str = "{name} is {value}") -> Check:
    """Any kind of integer from ``least`` on, of numpy too."""

    def check(name: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
            raise InvalidInput(said.format(name=name, value=shown(value)), advice)
        return int(value)

    return check


def real(advice: str, least: float = -math.inf) -> Check:
    """Any kind of number that is a float or stands for one, from ``least`` on; not NaN."""

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
    """A path, or an object of this class."""
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
        raise InvalidInput(f"{name} is {shown(value)}, which cannot be called", "Pass a function, or leave it out.")
    return value


# --- columns: an item for each text


def column(name: str, value: Any) -> Iterable[Any]:
    """Something to take items from, one for each text, in an order: a list where it is not an iterator or a view.

    Series, Index, Array and ndarray become the list of their items. A table is refused, since to go through it gives
    the names of its columns, and so is whatever is one text or has no order.
    """
    if type(value) in (list, tuple):
        return cast(Iterable[Any], value)
    if isinstance(value, (str, Mapping, *_BYTES)):
        raise InvalidInput(f"{name} is one {type(value).__name__}, not a sequence", _ONE.get(name, _ONE_TEXT))
    if isinstance(value, AnySet) and not isinstance(value, KeysView):
        raise InvalidInput(f"{name} is a {type(value).__name__}, which has no order", "Pass sorted(...) of it.")
    if hasattr(value, "readline"):
        raise InvalidInput(
            f"{name} is an open file, whose lines end in line feeds", f"Pass [line.rstrip('\\n') for line in {name}]."
        )
    if is_table(value):
        raise InvalidInput(
            f"{name} is a {type(value).__name__}, a table with several columns", _TABLES.get(name, _TABLE_OF_TEXTS)
        )
    if type(value).__module__.startswith("numpy.ma") and value.count() < value.size:
        raise InvalidInput(f"{name} has masked items", "Leave them out: array.compressed().")
    for method in ("to_pylist", "to_list", "tolist"):
        if hasattr(value, method):
            found = _items(value, method)
            if isinstance(found, list):
                return found
    if hasattr(type(value), "__array__"):
        raise InvalidInput(f"{name} is {shown(value)}, not a sequence", "Put it in a list.")
    try:
        iter(value)
    except TypeError:
        raise InvalidInput(f"{name} is {shown(value)}, not a sequence", "Pass a list.") from None
    return cast(Iterable[Any], value)


def _items(value: Any, method: str) -> object:
    try:
        return getattr(value, method)()
    except Exception:  # a stranger's method of that name; whether it can be gone through is asked next
        return None


_ONE_TEXT = "Put it in a list, one for each text."
_ONE = {"texts": "Put it in a list: [text].", "keys": "Put it in a list: [key]."}
_TABLE_OF_TEXTS = "Pass one of its columns, such as table['text']."
_TABLES = {
    "metadata": "Pass table.to_dict('records') (pandas), table.to_dicts() (polars) or table.to_pylist() (pyarrow)."
}


def _has_any(value: object, *names: str) -> bool:
    return any(hasattr(value, name) for name in names)


def is_table(value: object) -> bool:
    """Whether this is a DataFrame or the like."""
    return any(hasattr(type(value), name) for name in ("columns", "column_names"))


def each(items: Iterable[Any], check: Callable[[Any], T]) -> list[T]:
    """What ``check`` makes of each item; an error names the item by its number, from 0."""
    found = []
    for number, item in enumerate(items):
        try:
            found.append(check(item))
        except InvalidInput as error:
            raise InvalidInput(f"item {number}: {error.message}", error.advice) from None
    return found


def unordered(name: str, value: Any) -> Iterable[Any]:
    """As `column`, where the order means nothing: a set is fine."""
    return cast(Iterable[Any], value) if isinstance(value, AnySet) else column(name, value)


def plain(value: Any) -> Any:
    """What a scalar of numpy holds, as Python's own type; anything else as it is."""
    if type(value).__module__ != "numpy" or getattr(value, "shape", None) != ():
        return value
    return value.item()


def query(name: str, value: Any) -> Any:
    """A text; what else it may be, whoever looks for vectors says."""
    if isinstance(value, str):
        return string(value, "a query")
    several = isinstance(value, (list, tuple)) and bool(value) and isinstance(value[0], str)
    if several or value is None or isinstance(value, (Mapping, AnySet, *_BYTES)) or is_table(value):
        advice = "For several texts there is search_many." if several else how_to(value)
        raise InvalidInput(f"a query is {shown(value)}, neither a text nor a vector of numbers", advice)
    return value


def queries(name: str, value: Any) -> Any:
    """Texts as a list, or vectors as they are."""
    if isinstance(value, (str, *_BYTES)):
        raise InvalidInput(f"{name} is one string, not a sequence", "Call search(query), or pass [query].")
    if isinstance(value, (Mapping, AnySet)) or is_table(value) or _has_any(value, "to_pylist", "readline"):
        value = column(name, value)
    try:
        items = iter(value)
    except TypeError:
        raise InvalidInput(
            f"{name} is {shown(value)}, not a sequence", "Pass a list of texts, or vectors (n, D)."
        ) from None
    if items is value:
        value = list(items)
    return list(column(name, value)) if isinstance(next(iter(value), None), str) else value


def named_texts(name: str, value: Any) -> Any:
    """Texts, or a mapping of names to texts."""
    if not isinstance(value, Mapping):
        return each(column(name, value), lambda item: string(item, "a query"))
    return {
        string(label, f"a name in {name}"): string(item, f"the query {shown(label)}") for label, item in value.items()
    }


def judgements(name: str, value: Any) -> Any:
    """A mapping of queries' names to mappings of keys to numbers."""
    advice = "Pass how relevant each record is, by query and key: {'q1': {'key': 1}}."
    if not isinstance(value, Mapping) or not all(isinstance(judged, Mapping) for judged in value.values()):
        raise InvalidInput(f"{name} is {shown(value)}, not a mapping of mappings", advice)
    number = real(advice)
    return {
        string(label, f"a name in {name}"): {
            key("key", record): number(f"{name}[{shown(label)}][{shown(record)}]", gain)
            for record, gain in judged.items()
        }
        for label, judged in value.items()
    }


CHECKS: dict[str, Check] = {
    # a column has an item for each text
    **dict.fromkeys(("texts", "records", "keys", "metadata"), column),
    "queries": queries,
    "query": query,
    "text": text,
    "against": lambda name, value: string(value, "a query"),
    # options
    **dict.fromkeys(("create", "readonly", "offline", "cache", "anew", "encode"), flag),
    **dict.fromkeys(("path", "destination", "source", "name_or_path"), path),
    **dict.fromkeys(("progress", "on_bad"), callback),
    "key": key,
    "field": lambda name, value: string(value, "a field"),
    "k": whole(1, "Ask for a whole number of hits, 1 or more."),
    "threads": whole(1, "Give a whole number of cores, 1 or more."),
    "dimensions": whole(1, "Give how many numbers to keep, 1 or more.", "{value} dimensions were asked for"),
    "lock_timeout": real("Give a number of seconds, 0 or more.", 0),
    "recall": real("It is a share of the exact hits: more than 0, at most 1."),
    "latency_ms": real("Give a number of milliseconds."),
}
"""The check of each parameter by its name, wherever a public function has one of that name."""
