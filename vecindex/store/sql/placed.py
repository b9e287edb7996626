"""Gives filters the fields ``source``, ``document`` and ``position``, which are columns of a record and not metadata.

A record that has metadata of such a name is filtered by its metadata.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...filters.tree import And, Filter, Not, Or, Path
from ...values.nested import on_own_stack

PLACED = ("source", "document", "position")
_VALUES = {
    "source": "(select location from sources where sources.id = records.source)",
    "document": "(select key from documents where documents.id = records.document)",
    "position": "position",
}


def _with(names: Iterable[str]) -> str:
    """The metadata of a record, and those of its fields above that it has."""
    # At "$" there is a value already, so nothing is inserted where a record has no such place.
    inserted = ", ".join(f"iif({name} is null, '$', '$.{name}'), {_VALUES[name]}" for name in names)
    return f"json_insert(metadata, {inserted})"


PLACED_METADATA = _with(PLACED)
"""The metadata of a record, and the place that it has."""


def relation(paths: Iterable[Path]) -> tuple[str, str]:
    """What to select from to filter by the fields at ``paths``: the statement's beginning, and the table's name."""
    tested = {path[0] for path in paths}
    if not (names := [name for name in PLACED if name in tested]):
        return "", "records"
    return f"with placed as materialized (select row, {_with(names)} as metadata from records) ", "placed"


def paths_of(where: Filter) -> list[Path]:
    """The fields that a filter tests."""
    return on_own_stack(lambda: list(_paths(where)))


def _paths(node: Filter) -> Iterator[Path]:
    match node:
        case Not(operand):
            yield from _paths(operand)
        case And(operands) | Or(operands):
            for operand in operands:
                yield from _paths(operand)
        case _:
            yield node.path
