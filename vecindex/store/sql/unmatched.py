"""Finds the conditions of a filter that match nothing, since no record has the field or such a value in it.

Only conditions that may match nothing are looked up, each by a statement that stops at the first record with a match.
If it finds none it reads all records, so that only the first conditions of a long filter are looked up.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ...errors.warnings import FilterWarning, warn
from ...filters.sql import json_path, path_literal
from ...filters.tree import And, Compare, Contains, Exists, Filter, In, Kind, Like, Not, Or, Path, parse_path, path_text
from ...values.nested import on_own_stack
from ..manifest import Manifest
from .placed import relation
from .reads import Catalog

Asked = tuple[Path, tuple[Kind, ...], bool]
"""A field, the kinds of value that a condition wants (none for any), and whether as items of a list."""

MOST = 20
"""Conditions of a filter that are looked up; those that ask for the same count once."""
_LOOKED_AT = 1_000  # records, for the names of fields
_NAMED = 12
_ASKED = {Kind.NULL: "null", Kind.BOOL: "true or false", Kind.NUMBER: "a number", Kind.STRING: "a string"}
_HELD = {
    **{"null": "null", "true": "true or false", "false": "true or false", "integer": "numbers", "real": "numbers"},
    **{"text": "strings", "array": "lists", "object": "objects"},
}


def asked(where: Filter, matched: bool) -> list[Asked]:
    """What the first conditions of a filter ask for, except those that are known to match something.

    ``matched`` says that the filter matches something; if it is a conjunction, so does each of its conditions.
    """
    seen = dict[Asked, None]()
    for what in _asked(where, matched):
        seen[what] = None
        if len(seen) == MOST:
            break
    return list(seen)


def _asked(node: Filter, matched: bool) -> Iterator[Asked]:
    match node:
        case Compare(path, _, value) if not matched:
            yield path, (value.kind,), False
        case In(path, values) if values and not matched:
            yield path, tuple(kind for kind in Kind if any(value.kind is kind for value in values)), False
        case Contains(path, value) if not matched:
            yield path, (value.kind,), True
        case Like(path, _) if not matched:
            yield path, (Kind.STRING,), False
        case Exists(path) if not matched:
            yield path, (), False
        case Not(operand):
            yield from _asked(operand, False)
        case And(operands):
            for operand in operands:
                yield from _asked(operand, matched)
        case Or(operands):
            for operand in operands:
                yield from _asked(operand, False)


def unmatched(catalog: Catalog, what: Asked, indexed: Collection[Path]) -> FilterWarning | None:
    """The warning that no record holds what is asked for; None if one does."""
    path, kinds, in_list = what
    types = [name for kind in kinds for name in kind.value]
    at = path_literal(path) if path in indexed else "?"
    parameters: list[str] = [] if path in indexed else [json_path(path)]
    if in_list:
        items = f"select 1 from json_each(metadata -> ?) where {_one_of('type', types)}"
        condition = f"json_type(metadata, {at}) = 'array' and exists ({items})"
        parameters.append(json_path(path))
    elif types:
        condition = _one_of(f"json_type(metadata, {at})", types)
    else:
        condition = f"json_type(metadata, {at}) > ''"
    begin, table = relation([path])
    with catalog.errors():
        if catalog.sqlite.execute(f"{begin}select 1 from {table} where {condition} limit 1", parameters).fetchone():
            return None
    held = _held(catalog, path, False)
    in_lists = _held(catalog, path, True) if in_list and "lists" in held else ()
    wanted = " or ".join(_ASKED[kind] for kind in kinds)
    return FilterWarning(path_text(path), wanted, in_list, held, in_lists, () if held else _fields(catalog))


def warn_of_unmatched(catalog: Catalog, manifest: Manifest, where: Filter) -> None:
    """Warns of each condition of a filter that no record meets, whatever the filter selects."""
    if manifest.records:
        indexed = frozenset(map(parse_path, manifest.fields))
        for what in on_own_stack(asked, where, False):
            if (warning := unmatched(catalog, what, indexed)) is not None:
                warn(warning)


def _one_of(expression: str, types: list[str]) -> str:
    return f"{expression} in ({', '.join(repr(name) for name in types)})"


def _held(catalog: Catalog, path: Path, in_list: bool) -> tuple[str, ...]:
    """What the records hold in a field, or in lists in that field, in words."""
    begin, table = relation([path])
    sql, parameters = f"{begin}select distinct json_type(metadata, ?) from {table}", [json_path(path)]
    if in_list:
        sql = (
            f"{begin}select distinct type from {table}, json_each(metadata -> ?) where json_type(metadata, ?) = 'array'"
        )
        parameters *= 2
    with catalog.errors():
        found = {name for (name,) in catalog.sqlite.execute(sql, parameters)}
    return tuple(dict.fromkeys(word for name, word in _HELD.items() if name in found))


def _fields(catalog: Catalog) -> tuple[str, ...]:
    """Some fields that records have, as filters write them."""
    sql = (
        f"select distinct key from (select metadata from records limit {_LOOKED_AT}) as some, json_each(some.metadata) "
        f"order by key limit {_NAMED}"
    )
    with catalog.errors():
        return tuple(path_text((key,)) for (key,) in catalog.sqlite.execute(sql))
