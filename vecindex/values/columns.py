"""Checks arguments with several items: columns of texts and the like, queries, and judgements.

Objects of pandas, polars, pyarrow, numpy and torch are recognised by their methods; none of these is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, KeysView, Mapping, Sequence
from collections.abc import Set as AnySet
from typing import Any, Protocol, TypeVar, cast

from ..errors import InvalidInput
from .keys import checked_key
from .scalars import BYTES, how_to, real, shown, string
from .texts import checked_query

T = TypeVar("T")


class Table(Protocol):
    """A table that hands over its columns as Arrow does, such as a DataFrame."""

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any: ...


def column(name: str, value: Any) -> Iterable[Any]:
    """An iterable of items in order, one for each text.

    A Series, Index, Array or ndarray becomes a list. A table is refused, because iterating it gives column names; so
    are a single text and a collection without order.
    """
    if type(value) in (list, tuple):
        return cast(Iterable[Any], value)
    if isinstance(value, (str, Mapping, *BYTES)):
        raise InvalidInput(f"{name} is a single {type(value).__name__}, not a sequence", _ONE.get(name, _ONE_TEXT))
    if isinstance(value, AnySet) and not isinstance(value, KeysView):
        raise InvalidInput(f"{name} is a {type(value).__name__}, which has no order", f"Pass sorted({name}).")
    if hasattr(value, "readline"):
        raise InvalidInput(
            f"{name} is an open file, whose lines end in line feeds", f"Pass [line.rstrip('\\n') for line in {name}]."
        )
    if is_table(value):
        raise InvalidInput(
            f"{name} is a {type(value).__name__}, a table with several columns", _TABLES.get(name, _TABLE_OF_TEXTS)
        )
    if type(value).__module__.startswith("numpy.ma") and value.count() < value.size:
        raise InvalidInput(f"{name} has masked items", "Remove them: array.compressed().")
    for method in ("to_pylist", "to_list", "tolist"):
        if hasattr(value, method):
            found = _items(value, method)
            if isinstance(found, list):
                return found
    if hasattr(type(value), "__array__"):
        raise InvalidInput(f"{name} is {shown(value)}, not a sequence", "Pass a list.")
    try:
        iter(value)
    except TypeError:
        raise InvalidInput(f"{name} is {shown(value)}, not a sequence", "Pass a list.") from None
    return cast(Iterable[Any], value)


def _items(value: Any, method: str) -> object:
    try:
        return getattr(value, method)()
    except Exception:  # an unrelated method of that name; whether the value is iterable is checked next
        return None


_ONE_TEXT = "Pass a list with one item for each text."
_ONE = {
    "texts": "Pass a list: [text].",
    **dict.fromkeys(("keys", "exclude", "not_"), "Pass a list: [key]."),
    **dict.fromkeys(("ids", "document_ids", "node_ids"), "Pass a list: [id]."),  # of the integrations
}
_TABLE_OF_TEXTS = "Pass one of its columns, such as table['text']."
_TABLES = {
    "metadata": "Pass table.to_dict('records') (pandas), table.to_dicts() (polars) or table.to_pylist() (pyarrow)."
}


def _has_any(value: object, *names: str) -> bool:
    return any(hasattr(value, name) for name in names)


def is_table(value: object) -> bool:
    """Whether this is a DataFrame or another table."""
    return any(hasattr(type(value), name) for name in ("columns", "column_names"))


def holds_columns(value: object) -> bool:
    """Whether this is a table, or something else that hands over columns as one does; not a single column."""
    hands_over = _has_any(value, "__arrow_c_stream__", "__dataframe__")
    return is_table(value) or (hands_over and not _has_any(value, "to_pylist", "to_list", "tolist"))


def rows_or_table(name: str, value: Any) -> Any:
    """As `column`, but a table is accepted."""
    return value if holds_columns(value) else column(name, value)


def column_names(name: str, value: Any) -> tuple[str, ...]:
    """The name of one column, or of several."""
    if isinstance(value, str):
        return (string(value, name),)
    if not isinstance(value, (list, tuple)) or not value:
        raise InvalidInput(f"{name} is {shown(value)}, not the name of a column", "Pass a name, or a list of names.")
    return tuple(each(value, lambda item: string(item, "the name of a column")))


def each(items: Iterable[Any], check: Callable[[Any], T]) -> list[T]:
    """The checked items; an error names the item by its number, from 0."""
    found = []
    for number, item in enumerate(items):
        try:
            found.append(check(item))
        except InvalidInput as error:
            raise InvalidInput(f"item {number}: {error.message}", error.advice) from None
    return found


def checked_queries(queries: Sequence[Any]) -> list[str]:
    """As `checked_query`, of each; an error about one of several names it by its number, from 0."""
    return each(queries, checked_query) if len(queries) > 1 else [checked_query(query) for query in queries]


def unordered(name: str, value: Any) -> Iterable[Any]:
    """As `column`, but the order is irrelevant, so a set is accepted."""
    return cast(Iterable[Any], value) if isinstance(value, AnySet) else column(name, value)


def keys(name: str, value: Any) -> tuple[str, ...]:
    """Keys in any order."""
    return tuple(each(unordered(name, value), checked_key))


def one_or_more_keys(name: str, value: Any) -> tuple[str, ...]:
    """A single key, or several in any order."""
    if isinstance(value, (str, Mapping, *BYTES)) or not hasattr(type(value), "__iter__"):
        return (checked_key(value),)
    found = keys(name, value)
    if not found:
        raise InvalidInput("no key is given", "Name at least one record.")
    return found


def query(name: str, value: Any) -> Any:
    """A text, or what may be a vector, which is checked later."""
    if isinstance(value, str):
        return string(value, "a query")
    several = isinstance(value, (list, tuple)) and bool(value) and isinstance(value[0], str)
    if several or value is None or isinstance(value, (Mapping, AnySet, *BYTES)) or is_table(value):
        advice = "Use search_many for several texts." if several else how_to(value)
        raise InvalidInput(f"a query is {shown(value)}, neither a text nor a vector of numbers", advice)
    return value


def queries(name: str, value: Any) -> Any:
    """A list of texts, or vectors unchanged."""
    if isinstance(value, (str, *BYTES)):
        raise InvalidInput(f"{name} is a single string, not a sequence", "Call search(query), or pass [query].")
    if isinstance(value, (Mapping, AnySet)) or is_table(value) or _has_any(value, "to_pylist", "readline"):
        value = column(name, value)
    try:
        items = iter(value)
    except TypeError:
        raise InvalidInput(
            f"{name} is {shown(value)}, not a sequence", "Pass a list of texts, or an array of vectors (n, D)."
        ) from None
    if items is value:
        value = list(items)
    return list(column(name, value)) if isinstance(next(iter(value), None), str) else value


def named_texts(name: str, value: Any) -> Any:
    """A list of texts, or a mapping of names to texts."""
    if not isinstance(value, Mapping):
        return each(column(name, value), lambda item: string(item, "a query"))
    return {
        string(label, f"a name in {name}"): string(item, f"the query {shown(label)}") for label, item in value.items()
    }


def judgements(name: str, value: Any) -> Any:
    """A mapping of query names to mappings of keys to numbers."""
    advice = "Pass the relevance of each record by query and key: {'q1': {'key': 1}}."
    if not isinstance(value, Mapping) or not all(isinstance(judged, Mapping) for judged in value.values()):
        raise InvalidInput(f"{name} is {shown(value)}, not a mapping of mappings", advice)
    number = real(advice)
    return {
        string(label, f"a name in {name}"): {
            checked_key(record): number(f"{name}[{shown(label)}][{shown(record)}]", gain)
            for record, gain in judged.items()
        }
        for label, judged in value.items()
    }
