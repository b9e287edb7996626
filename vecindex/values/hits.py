"""The list of hits that a search returns: a table in a notebook, and one of pandas on request."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, SupportsIndex, overload

from ..errors import located
from ..machine.extras import extra_errors
from .nested import on_own_stack
from .records import Hit, Metadata

_LONGEST_CELL = 300
"""Characters of a text or of metadata in a notebook's table."""


class Hits(list[Hit]):
    """A list of `Hit`, best first. Notebooks show it as a table, and ``to_pandas()`` makes a DataFrame of it."""

    __slots__ = ("ahead",)

    ahead: Callable[[], str]
    """Makes the cursor; set by a search that has more hits."""

    @property
    def cursor(self) -> str | None:
        """What to pass to ``search`` as ``cursor`` for the hits after these; None if there are no more.

        Of hits in groups, the page that it is for may be empty.
        """
        ahead = getattr(self, "ahead", None)
        return None if ahead is None else ahead()

    @overload
    def __getitem__(self, place: SupportsIndex) -> Hit: ...
    @overload
    def __getitem__(self, place: slice) -> Hits: ...
    def __getitem__(self, place: SupportsIndex | slice) -> Hit | Hits:
        found = super().__getitem__(place)
        return Hits(found) if isinstance(found, list) else found

    def to_pandas(self) -> Any:
        """A pandas DataFrame with a row for each hit.

        The columns are rank, key, score, text and metadata (a dict each), and those of `where_columns` that a hit has.

        Raises:
            MissingExtra: pandas is not installed.
        """
        with extra_errors("to_pandas()", "pandas"):
            import pandas
        names = ("rank", "key", "score", "text", "metadata")
        columns: dict[str, Any] = {name: [getattr(hit, name) for hit in self] for name in names}
        for name, cells in where_columns(self).items():
            are_numbers = any(isinstance(cell, int) for cell in cells)
            columns[name] = pandas.array(cells, dtype="Int64") if are_numbers else pandas.Series(cells, dtype=object)
        return pandas.DataFrame(columns)

    def _repr_html_(self) -> str:
        """A table for notebooks: rank, score, text and key, and the source and the metadata of hits that have any."""
        cells: dict[str, Sequence[str]] = {
            "rank": [str(hit.rank) for hit in self],
            "score": [f"{hit.score:.4f}" for hit in self],
            "text": [_with_context(hit) for hit in self],
        }
        if any(hit.source is not None for hit in self):
            cells["source"] = [html.escape(where(hit)) for hit in self]
        cells["key"] = [html.escape(_shortened(hit.key)) for hit in self]
        if any(hit.metadata for hit in self):
            cells["metadata"] = [html.escape(_compact(hit.metadata)) for hit in self]
        head = "".join(f"<th>{name}</th>" for name in cells)
        rows = ("".join(f"<td>{cell}</td>" for cell in row) for row in zip(*cells.values(), strict=True))
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def where(hit: Hit) -> str:
    """The source of a hit and its place there, like ``notes.txt:3`` or ``report.pdf, page 3``; "" if unknown."""
    if hit.source is None:
        return ""
    return located(hit.source, *((hit.place[1], hit.place[0]) if hit.place else (None,)))


def where_columns(hits: Sequence[Hit]) -> Mapping[str, Sequence[Any]]:
    """What is known of where hits come from and what is around them, by name, with None where a hit has no such value.

    These are source, one for each unit of places (line, page), start and end of the span, before and after. A column
    that would be None for all hits is left out.
    """
    units = dict.fromkeys(hit.place[0] for hit in hits if hit.place)
    columns: dict[str, list[Any]] = {
        "source": [hit.source for hit in hits],
        **{unit: [hit.place[1] if hit.place and hit.place[0] == unit else None for hit in hits] for unit in units},
        "start": [hit.span and hit.span[0] for hit in hits],
        "end": [hit.span and hit.span[1] for hit in hits],
        **{name: [list(getattr(hit, name)) or None for hit in hits] for name in ("before", "after")},
    }
    return {name: cells for name, cells in columns.items() if any(cell is not None for cell in cells)}


def _with_context(hit: Hit) -> str:
    text = html.escape(_shortened(hit.text))
    if not (hit.before or hit.after):
        return text
    before, after = (html.escape(_shortened(" ".join(some))) for some in (hit.before, hit.after))
    return f"{before} <b>{text}</b> {after}".strip()


def _compact(metadata: Metadata) -> str:
    return _shortened(on_own_stack(partial(json.dumps, ensure_ascii=False), metadata)) if metadata else ""


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_CELL else f"{text[: _LONGEST_CELL - 1]}…"
