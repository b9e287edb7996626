"""Reads csv and tsv tables with a header row.

Quotes differ on purpose. In csv they protect commas, line ends and quotes (RFC 4180). In tsv they are ordinary
characters (IANA text/tab-separated-values), since sentences often begin with one. Reading tsv with csv's quotes would
refuse 60 of the 1,500 rows of the STS Benchmark's dev.tsv, and 4 would lose their quotes; of Common Voice's 1,206,630
rows, 4,076 and 6,861. One form is read as in csv even in a tsv: a cell in quotes with doubled quotes inside. pandas
writes sentences with quotes that way, and only one row of Common Voice looks like it, which is indeed csv.
"""

from __future__ import annotations

import contextlib
import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import IO, Any, Literal, TypedDict

from ...errors import Advice, InvalidInput, SourceError
from ...values.keys import checked_key
from ...values.records import Origin, Record
from ..cells import Value, column_kinds, json_object, number
from ..fields import OF_HITS, is_blank, listed, metadata_in, repeated, sentence
from ..formats import Format
from ..lines import Line, decoded, lines
from ..origin import Source


class _Dialect(TypedDict):
    delimiter: str
    quoting: Literal[0, 3]  # csv.QUOTE_MINIMAL, csv.QUOTE_NONE


_DIALECTS: dict[Format, _Dialect] = {
    Format.CSV: {"delimiter": ",", "quoting": csv.QUOTE_MINIMAL},
    Format.TSV: {"delimiter": "\t", "quoting": csv.QUOTE_NONE},
}
_SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}


def read(source: Source, stream: IO[bytes]) -> Iterator[Record | SourceError]:
    """Every row after the header. Raises SourceError if the header cannot be used."""
    table = _table(source, lines(stream, source.name))
    if table is None:
        return
    feed, columns, cells = table
    for row in cells:
        if isinstance(row, SourceError):
            yield row
            continue
        try:
            record = columns.record(row, feed.end())
        except InvalidInput as error:
            yield feed.error(error.message, error.advice)
        else:
            yield record


def learn(source: Source) -> None:
    """Detects the column types of a table, once, if they are wanted; raises SourceError as `read` does."""
    if source.format not in _DIALECTS or source.options.types == "text" or source.learnt:
        return
    with source.opened() as stream:
        table = _table(source, lines(stream, source.name))
        if table is not None:
            _, columns, cells = table
            usable = (columns.plain(row) for row in cells if not isinstance(row, SourceError) and columns.fit(row))
            source.learnt.append(column_kinds(columns.others, usable))


def _table(source: Source, given: Iterator[Line]) -> tuple[_Feed, _Columns, Iterator[list[str] | SourceError]] | None:
    """The columns that the header names, and the rows after it; None if there is no header."""
    separator = _DIALECTS[source.format]["delimiter"]
    if source.format is Format.CSV:
        given, separator = _separator(given, separator)
    feed = _Feed(source.name, given)
    cells = _cells(feed, source.format, separator)
    header = next(cells, None)
    if header is None:
        return None
    if isinstance(header, SourceError):
        raise header
    try:
        return feed, _columns(header, source, separator), cells
    except InvalidInput as error:
        raise feed.error(error.message, error.advice) from None


def _separator(given: Iterator[Line], usual: str) -> tuple[Iterator[Line], str]:
    """The lines without a first line like ``sep=;``, which tells Excel the separator; and the separator."""
    first = next(given, None)
    if first is None:
        return given, usual
    said = re.fullmatch(rb'"?sep=([,;|\t])"?[\r\n]*', first[1], re.IGNORECASE)
    return (given, said[1].decode()) if said else (chain([first], given), usual)


class _Feed:
    """Decoded lines for csv.reader; remembers where a row began and which of its bytes were bad."""

    def __init__(self, name: str, given: Iterator[Line]) -> None:
        self._name = name
        self._lines = given
        self._number = 0
        self.begin()

    def begin(self) -> None:
        """The next line is the first of a row."""
        self._start = self._number + 1
        self.fault: SourceError | None = None
        self._quotes = 0

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        raw = self._next()
        try:
            return decoded(raw)
        except InvalidInput as error:
            # csv.reader continues to the end of the row; then the fault is reported instead of the row.
            self.fault = self.fault or SourceError(self._name, self._number, error.message, error.advice)
            return raw.replace(b"\0", b"?").decode("utf-8", "replace")

    def is_blank(self, row: Sequence[str]) -> bool:
        """Whether ``row`` is blank: an empty line, or the bare commas that spreadsheets leave at the end."""
        return not self._quotes and all(is_blank(cell) for cell in row)

    def skip_quoted(self) -> None:
        """Skips the lines to the end of the quoted field in which the last line ended.

        Otherwise the field's lines would be read as rows, and in a table with one column as records.
        """
        with contextlib.suppress(StopIteration):
            while self._quotes % 2:
                self._next()

    def error(self, reason: str, advice: str | None) -> SourceError:
        """A SourceError at the line where the row began."""
        return SourceError(self._name, self._start, reason, advice)

    def end(self) -> Origin:
        """The file and the line in which the row ended."""
        return Origin(self._name, self._number)

    def span(self) -> str:
        """Names the lines of the row so far, if there are several."""
        return "" if self._number <= self._start else f", in the row of lines {self._start} to {self._number}"

    def _next(self) -> bytes:
        self._number, raw = next(self._lines)
        self._quotes += raw.count(b'"')
        return raw


def _cells(feed: _Feed, format: Format, separator: str) -> Iterator[list[str] | SourceError]:
    """The fields of every row that is not blank; the header is the first."""
    reader = csv.reader(feed, strict=True, delimiter=separator, quoting=_DIALECTS[format]["quoting"])
    while True:
        feed.begin()
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # After an error csv.reader starts again with the next line.
            problem = str(error)
            if problem.startswith("field larger") and format is Format.CSV:
                feed.skip_quoted()
            yield feed.fault or _problem(problem, feed)
        else:
            if feed.fault is not None:
                yield feed.fault
            elif not feed.is_blank(row):
                yield row


def _problem(problem: str, feed: _Feed) -> SourceError:
    """A csv.Error with advice; its text starts the same in Python 3.10 to 3.13."""
    if problem.startswith("field larger"):
        return feed.error(
            f"a field is longer than {csv.field_size_limit():,} characters{feed.span()}",
            "Put texts this long in a .jsonl file. If there are none, a quote is opened here and never closed.",
        )
    if problem.startswith("unexpected end"):
        return feed.error(
            f"a quote is opened and never closed{feed.span()}",
            'Close it. A field that begins with a quote needs quotes around it, and "" for each quote inside.',
        )
    return feed.error(
        f"not valid CSV: {problem}{feed.span()}", 'Put quotes around the whole field, and "" for each quote inside.'
    )


@dataclass(frozen=True)
class _Columns:
    """The columns of a table; ``text``, ``key`` and ``others``, the metadata, are positions in ``names``.

    ``kinds`` are those of the columns that are not text; None keeps every cell as it is written, empty ones too.
    """

    names: Sequence[str]
    text: int
    key: int | None
    others: Sequence[int]
    plain_quotes: bool
    kinds: Mapping[int, Value] | None

    def record(self, cells: Sequence[str], origin: Origin) -> Record:
        """The record in a row; raises InvalidInput."""
        if not self.fit(cells):
            found = "1 field" if len(cells) == 1 else f"{len(cells)} fields"
            raise InvalidInput(
                f"{found} where the header has {len(self.names)}",
                "A tsv field cannot hold a tab or a line end; use csv or jsonl for such texts."
                if self.plain_quotes
                else "Put quotes around a field that holds a comma, a quote or a line end.",
            )
        cells = self.plain(cells)
        key = None if self.key is None else checked_key(cells[self.key])
        return Record(sentence(cells[self.text]), key, self._metadata(cells), origin=origin)

    def fit(self, cells: Sequence[str]) -> bool:
        """Whether there are as many cells as the header has names."""
        return len(cells) == len(self.names)

    def plain(self, cells: Sequence[str]) -> Sequence[str]:
        """The cells, unquoted if they are quoted as in csv."""
        return [_unquoted(cell) for cell in cells] if self.plain_quotes else cells

    def _metadata(self, cells: Sequence[str]) -> dict[str, Any] | None:
        if not self.others:
            return None
        if self.kinds is None:
            return {self.names[position]: cells[position] for position in self.others}
        metadata: dict[str, Any] = {}
        for position in self.others:
            if cell := cells[position]:
                kind = self.kinds.get(position)
                metadata[self.names[position]] = cell if kind is None else kind(cell)
        # `vecindex search --format csv` writes metadata as a column of objects.
        return (metadata_in(metadata) or {}) if isinstance(metadata.get("metadata"), dict) else metadata


def _unquoted(cell: str) -> str:
    """``cell``, unquoted if it is in quotes with doubled quotes inside, as only a csv writer makes it."""
    within = cell[1:-1]
    if '""' in within and cell[0] == cell[-1] == '"' and '"' not in within.replace('""', ""):
        return within.replace('""', '"')
    return cell


def _columns(header: Sequence[str], source: Source, separator: str) -> _Columns:
    for position, name in enumerate(header, start=1):
        if not name.strip():
            raise InvalidInput(
                f"column {position} of the header has no name; the columns are: {listed(header)}",
                "The first row must name every column (pandas: to_csv(..., index=False)).",
            )
    if twice := repeated(header):
        raise InvalidInput(f"the header names a column twice: {listed(twice)}", "Give every column a different name.")
    plain_quotes = _DIALECTS[source.format]["quoting"] == csv.QUOTE_NONE
    if plain_quotes and all(len(name) > 1 and name[0] == name[-1] == '"' for name in header):
        raise InvalidInput(
            "the header is quoted as in csv, but in tsv quotes are part of the text",
            "Save the file as csv or jsonl, or without quotes around fields.",
        )
    text = _text_column(header, source, separator)
    key = _find(header, "key" if source.options.key_column is None else source.options.key_column)
    if source.options.key_column is None:
        key = None if key == text else key
    elif key is None or key == text:
        what = f"no column {source.options.key_column!r}" if key is None else f"{header[text]!r} is already the text"
        raise InvalidInput(
            f"{what}; the columns are: {listed(header)}",
            Advice(
                "Name the column of the keys with key_column=.", typed="Name the column of the keys with --key-column."
            ),
        )
    kinds = next(iter(source.learnt), None)
    others = [position for position in range(len(header)) if position not in (text, key)]
    if kinds is not None and _are_hits(header, kinds):
        others = [position for position in others if header[position] not in OF_HITS]
    return _Columns(header, text, key, others, plain_quotes, kinds)


def _are_hits(header: Sequence[str], kinds: Mapping[int, Value]) -> bool:
    """See `is_hit`."""
    kind_of = {header[position]: kind for position, kind in kinds.items()}
    wanted = {"rank": number, "score": number, "metadata": json_object}
    return {"key", "text"} <= set(header) and all(kind_of.get(name) is kind for name, kind in wanted.items())


def _text_column(header: Sequence[str], source: Source, separator: str) -> int:
    wanted = next(iter(source.options.text_columns), "text")
    text = _find(header, wanted)
    if text is not None:
        return text
    if not source.options.text_columns and len(header) == 1:
        _refuse_other_separators(header[0], source.format, separator)
    raise InvalidInput(
        f"no column {wanted!r}; the columns are: {listed(header)}",
        Advice(
            "The first row is the header. Name the column of the sentences with text_column=, "
            "or read a plain list as txt.",
            typed="The first row is the header. Name the column of the sentences with --text-column, "
            "or use --format txt for a plain list.",
        ),
    )


def _refuse_other_separators(name: str, format: Format, own: str) -> None:
    """Excel writes semicolons in half of Europe; read as one column, whole rows would become sentences."""
    other = next((each for each in _SEPARATORS if each != own and each in name), None)
    if other is not None:
        is_ = f"{format.value} is separated by {_SEPARATORS[own]}"
        if other == "\t":
            typed = f"{is_}, and tsv by tabs: use --format tsv"
            remedy = f"{is_}, and tsv by tabs: pass format='tsv'", typed
        elif format is Format.CSV:
            remedy = (f"{is_}, unless its first line is sep={other}",) * 2
        else:
            remedy = (is_,) * 2
        raise InvalidInput(
            f"the header is one column, {listed([name])}, but looks as if it was separated by {_SEPARATORS[other]}",
            Advice(
                f"{remedy[0]}; if this is one column, name it with text_column=.",
                typed=f"{remedy[1]}; if this is one column, name it with --text-column.",
            ),
        )


def _find(header: Sequence[str], wanted: str) -> int | None:
    """The position of the column ``wanted``; case and surrounding spaces matter only if several match."""
    if wanted in header:
        return header.index(wanted)
    alike = [i for i, name in enumerate(header) if name.strip().casefold() == wanted.strip().casefold()]
    if len(alike) > 1:
        raise InvalidInput(
            f"several columns are called {wanted!r}: {listed([header[i] for i in alike])}",
            Advice(
                "Name one exactly, with text_column= or key_column=.",
                typed="Name one exactly, with --text-column or --key-column.",
            ),
        )
    return alike[0] if alike else None
