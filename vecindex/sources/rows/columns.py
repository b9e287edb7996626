"""Makes records of rows: which columns are the text, the key and the metadata, the same way for every format of rows.

A table has the same columns in every row, so `table_columns` finds them once. JSON objects have fields of their own;
`Objects` finds them for each row, and notices a name that no row has.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import Advice, InvalidInput, SourceError
from ...values.keys import checked_key
from ...values.metadata import checked_metadata
from ...values.records import Origin, Record
from ...values.texts import checked_text
from ..documents import EmptyText
from ..fields import OF_HITS, is_blank, is_hit, is_listed, kind, listed, metadata_in, repeated
from ..options import ReadOptions

BETWEEN_TEXTS = "\n\n"
"""What is put between the texts of several columns."""
ABSENT: Any = object()
"""Stands for a value that a row does not have; unlike None, it becomes no field of the metadata."""

_NAMES_KEPT = 1_000

_NAME_THE_TEXT = Advice(
    "Name the {what} of the sentences with text_column=.", typed="Name the {what} of the sentences with --text-column."
)
_NAME_THE_KEY = Advice(
    "Name the {what} of the keys with key_column=.", typed="Name the {what} of the keys with --key-column."
)
_NAME_THE_REST = Advice(
    "Name what becomes metadata with metadata_columns=.", typed="Name what becomes metadata with --metadata-columns."
)


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the parts of a record are in a row: positions in ``names``.

    ``what`` is what the format calls a column. ``needs_key`` says that a row without a key is bad. ``keeps_all`` says
    that the metadata was asked for by name, so nothing is taken out of it.
    """

    names: Sequence[str]
    text: Sequence[int]
    key: int | None
    others: Sequence[int]
    what: str
    needs_key: bool
    keeps_all: bool

    @property
    def used(self) -> list[int]:
        """The positions of all columns that records are made of; the values of others do not matter."""
        return sorted({*self.text, *self.others, *(() if self.key is None else (self.key,))})

    def record(self, values: Sequence[Any], origin: Origin) -> Record | EmptyText:
        """The record in a row of JSON values; raises InvalidInput."""
        texts = [self._text(position, values[position]) for position in self.text]
        written = [text for text in texts if not is_blank(text)]
        if not written:
            return EmptyText(origin)
        text = checked_text(BETWEEN_TEXTS.join(written))
        return Record(text, self._key(values), self._metadata(values), origin=origin)

    def _text(self, position: int, value: Any) -> str:
        if isinstance(value, str):
            return value
        if value is None or value is ABSENT:
            return ""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, (int, float)):
            return repr(value)
        raise InvalidInput(
            f"the {self.what} {self.names[position]!r} must be text, not {kind(value)}",
            self._said(_NAME_THE_TEXT),
        )

    def _key(self, values: Sequence[Any]) -> str | None:
        key = None if self.key is None else values[self.key]
        if self.key is None or (key is None and not self.needs_key):
            return None
        if isinstance(key, int) and not isinstance(key, bool):
            key = str(key)
        if not isinstance(key, str):
            raise InvalidInput(
                f"the {self.what} {self.names[self.key]!r} must be a string or an integer, not {kind(key)}",
                self._said(_NAME_THE_KEY),
            )
        return checked_key(key)

    def _metadata(self, values: Sequence[Any]) -> dict[str, Any] | None:
        if not self.others:
            return None
        found = {self.names[each]: values[each] for each in self.others if values[each] is not ABSENT}
        if not self.keeps_all and (self._is_hit(values, found) or ("source" in found and is_listed(found))):
            found = {name: value for name, value in found.items() if name not in OF_HITS}
        # Only JSON insists that "metadata" is an object; a table may have a column of texts with that name.
        if self.what == "field" or isinstance(found.get("metadata"), dict):
            merged = metadata_in(found)
            found = {} if merged is None else merged
            if merged is None and self.what == "field":
                return None
        checked_metadata(found)
        return found

    def _is_hit(self, values: Sequence[Any], found: dict[str, Any]) -> bool:
        return "rank" in found and is_hit(self.names, found["rank"], found.get("score"), found.get("metadata"))

    def _said(self, advice: Advice) -> Advice:
        return _filled(advice, self.what)


def table_columns(names: Sequence[str], options: ReadOptions, *, only_column_is_text: bool = False) -> Columns:
    """The columns of a table with the header ``names``; raises InvalidInput if one that was asked for is not there.

    ``only_column_is_text`` takes the only column for the text, whatever its name; not for a csv, in which the header
    may be missing.
    """
    if twice := repeated(names):
        raise InvalidInput(f"several columns have the same name: {listed(twice)}", "Give every column its own name.")
    if only_column_is_text and len(names) == 1 and not options.text_columns:
        text = [0]
    else:
        text = [_found(names, wanted, "column", _NAME_THE_TEXT) for wanted in options.text_columns or ("text",)]
    if options.key_column is None:
        key = _position(names, "key", "column")
        key = None if key in text else key
    else:
        key = _found(names, options.key_column, "column", _NAME_THE_KEY)
        if key in text:
            raise InvalidInput(
                f"{names[key]!r} is already the text; the columns are: {listed(names)}",
                _filled(_NAME_THE_KEY, "column"),
            )
    if options.metadata_columns is None:
        others = [position for position in range(len(names)) if position not in text and position != key]
    else:
        others = [_found(names, wanted, "column", _NAME_THE_REST) for wanted in options.metadata_columns]
    return Columns(
        names, text, key, others, "column", options.key_column is not None, options.metadata_columns is not None
    )


class Objects:
    """Makes records of JSON objects. A text or metadata field that some of them lack is absent there.

    At the end, `check` refuses a name that none of them had, which is probably misspelt.
    """

    def __init__(self, options: ReadOptions) -> None:
        self._options = options
        self._last: Columns | None = None
        self._seen: dict[str, None] = {}  # in order
        self._missing = set(options.text_columns) | set(options.metadata_columns or ())

    def record(self, fields: dict[str, Any], origin: Origin) -> Record | EmptyText:
        """The record in an object; raises InvalidInput."""
        names = list(fields)
        if self._last is None or self._last.names != names:
            self._last = self._columns(names)
        return self._last.record(list(fields.values()), origin)

    def check(self, source: str) -> None:
        """Raises SourceError if a field was named that no object had."""
        for name in (*self._options.text_columns, *(self._options.metadata_columns or ())):
            if self._seen and name in self._missing:
                advice = _NAME_THE_TEXT if name in self._options.text_columns else _NAME_THE_REST
                error = _no_column(name, list(self._seen), "field", advice)
                raise SourceError(source, None, error.message, error.advice)

    def _columns(self, names: list[str]) -> Columns:
        options = self._options
        if len(self._seen) < _NAMES_KEPT:
            self._seen.update(dict.fromkeys(names[:_NAMES_KEPT]))
        text = self._there(names, options.text_columns or ("text",))
        if not text:
            raise _no_column((options.text_columns or ("text",))[0], names, "field", _NAME_THE_TEXT)
        if options.key_column is None:
            key = _position(names, "key", "field")
            key = None if key in text else key
        else:
            key = _found(names, options.key_column, "field", _NAME_THE_KEY)
        if options.metadata_columns is None:
            others = [position for position in range(len(names)) if position not in text and position != key]
        else:
            others = self._there(names, options.metadata_columns)
        needs_key, keeps_all = options.key_column is not None, options.metadata_columns is not None
        return Columns(names, text, key, others, "field", needs_key, keeps_all)

    def _there(self, names: list[str], wanted: Iterable[str]) -> list[int]:
        positions = []
        for name in wanted:
            position = _position(names, name, "field")
            if position is not None:
                self._missing.discard(name)
                positions.append(position)
        return positions


def _position(names: Sequence[str], wanted: str, what: str) -> int | None:
    """The position of the column ``wanted``; case and surrounding spaces matter only if several match."""
    if wanted in names:
        return names.index(wanted)
    alike = [i for i, name in enumerate(names) if name.strip().casefold() == wanted.strip().casefold()]
    if len(alike) > 1:
        raise InvalidInput(
            f"several {what}s are called {wanted!r}: {listed([names[i] for i in alike])}",
            Advice(
                "Name one exactly, with text_column=, key_column= or metadata_columns=.",
                typed="Name one exactly, with --text-column, --key-column or --metadata-columns.",
            ),
        )
    return alike[0] if alike else None


def _found(names: Sequence[str], wanted: str, what: str, advice: Advice) -> int:
    position = _position(names, wanted, what)
    if position is None:
        raise _no_column(wanted, names, what, advice)
    return position


def hint(wanted: str, names: Sequence[str]) -> str:
    """The name that is probably meant by ``wanted``, as words in brackets; "" if none is like it."""
    close = difflib.get_close_matches(wanted.casefold(), [name.casefold() for name in names], n=1)
    meant = next((name for name in names if close and name.casefold() == close[0]), None)
    return "" if meant is None else f" (did you mean {meant!r}?)"


def _no_column(wanted: str, names: Sequence[str], what: str, advice: Advice) -> InvalidInput:
    reason = f"no {what} {wanted!r}{hint(wanted, names)}; the {what}s are: {listed(names)}"
    return InvalidInput(reason, _filled(advice, what))


def _filled(advice: Advice, what: str) -> Advice:
    return Advice(advice.format(what=what), typed=advice.typed.format(what=what))
