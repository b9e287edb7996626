"""Finds the record that stands at a place, written as search prints it, for commands that take keys."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from ..errors import InvalidInput, RecordNotFound
from .render.hits import snippet
from .render.results import counted, on_one_line

if TYPE_CHECKING:
    from ..index.facade import Index

_UNITS = ("page", "slide", "row", "message", "cell", "item")
_PLACE = re.compile(
    rf"(?P<source>.+?)(?::(?P<line>[0-9]+)|, (?P<unit>{'|'.join(_UNITS)}) (?P<number>[0-9]+))", re.DOTALL
)
_MOST = 5
_SHORT = 40

T = TypeVar("T")
Meant = Callable[[str], str]
"""The key of the record that is meant by what was typed."""


def by_key_or_place(index: Index, typed: str, action: Callable[[str], T]) -> T:
    """``action(key)`` of the record that is meant by ``typed``, as `by_keys_or_places`."""
    return by_keys_or_places(index, lambda meant: action(meant(typed)))


def by_keys_or_places(index: Index, action: Callable[[Meant], T]) -> T:
    """What ``action`` returns, which is told what key is meant by what was typed.

    That is a key itself, or else what search prints of the place of a record: ``README.md:90``,
    ``report.pdf, page 3`` or ``KEY in films.csv:7``, also in brackets. Raises RecordNotFound, and InvalidInput if no
    record or several begin there.
    """
    known: dict[str, str] = {}
    while True:
        try:
            return action(lambda typed: known.get(typed, typed))
        except RecordNotFound as error:
            typed = error.key
            if typed in known or typed in known.values():
                raise
            key = _key_at(index, typed[1:-1] if typed.startswith("[") and typed.endswith("]") else typed)
            if key is None:
                raise
            known[typed] = key


def _key_at(index: Index, typed: str) -> str | None:
    """The key of the only record at a place; None if no place is written, or it is in no source of the index."""
    found = _PLACE.fullmatch(typed)
    if found is None:
        return None
    place = (found["unit"] or "line", int(found["line"] or found["number"]))
    given, _, source = found["source"].rpartition(" in ")
    for name in (found["source"], source):
        try:
            records = index.list(source=name) if name else iter(())
        except InvalidInput:
            continue  # nothing was added from there
        here = [each for each in records if each.origin is not None and (each.origin.unit, each.origin.place) == place]
        if name == source and given:
            here = [each for each in here if each.key == given] or here
        if len(here) == 1:
            return here[0].key
        if not here:
            raise InvalidInput(f"no record begins at {typed}", f"See `vecindex list --source {name}`.")
        keys = [f"{each.key} ({on_one_line(snippet(each.text, '', _SHORT))})" for each in here[:_MOST]]
        more = f" and {len(here) - _MOST:,} more" if len(here) > _MOST else ""
        what = f"{counted(len(here), 'record')} begin at {typed}"
        raise InvalidInput(what, f"Name one by its key: {', '.join(keys)}{more}.")
    return None
