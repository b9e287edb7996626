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
# At "$" there is a value already, so nothing is inserted where a record has no such place.
_INSERTED = ", ".join(f"iif({name} is null, '$', '$.{name}'), {value}" for name, value in _VALUES.items())
PLACED_METADATA = f"json_insert(metadata, {_INSERTED})"
"""The metadata of a record, and the place that it has."""
_WITH = f"with placed as materialized (select row, {PLACED_METADATA} as metadata from records) "


def relation(paths: Iterable[Path]) -> tuple[str, str]:
    """What to select from to filter by the fields at ``paths``: the statement's beginning, and the table's name."""
    return (_WITH, "placed") if any(path[0] in PLACED for path in paths) else ("", "records")


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
