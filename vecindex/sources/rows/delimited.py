"""Reads csv and tsv tables with a header row, whose separator is detected from it.

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
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import IO, Any, Literal

from ...errors import Advice, InvalidInput, Row, SourceError
from ...values.records import Origin, Record
from ..cells import Value, column_kinds
from ..documents import EmptyText
from ..fields import is_blank, listed
from ..formats import Format
from ..lines import Line, decoded, lines
from ..origin import Source
from .columns import ABSENT, Columns, table_columns
from .rejects import as_written, named_cells

Mark = Literal['"', "'", ""]

_FORMATS = (Format.CSV, Format.TSV)
_SEPARATORS = (",", ";", "\t", "|")
_LINES_OF_A_HEADER = 100
_MOST_KEPT = 2**20
"""Bytes of a row's lines that are remembered in case it is refused."""


@dataclass(frozen=True)
class _Dialect:
    """``separator`` is between cells. ``quote`` is around those that need it; "" makes quotes ordinary characters."""

    separator: str
    quote: Mark = '"'

    def reader(self, given: Iterator[str]) -> Iterator[list[str]]:
        """The rows of lines that are decoded, as csv.reader yields them."""
        if not self.quote:
            return csv.reader(given, strict=True, delimiter=self.separator, quoting=csv.QUOTE_NONE)
        return csv.reader(given, strict=True, delimiter=self.separator, quotechar=self.quote)


def read(source: Source, stream: IO[bytes]) -> Iterator[Record | EmptyText | SourceError]:
    """Every row after the header. Raises SourceError if the header cannot be used."""
    table = _opened(source, stream)
    if table is None:
        return
    kinds = next(iter(source.learnt), None)
    for row in table.rows:
        if isinstance(row, SourceError):
            row.row = table.given(table.feed.cells)
            yield row
            continue
        try:
            record = table.record(row, kinds)
        except InvalidInput as error:
            refused = table.feed.error(error.message, error.advice)
            refused.row = table.given(row)
            yield refused
        else:
            yield record


def learn(source: Source) -> None:
    """Detects the column types of a table, once, if they are wanted; raises SourceError as `read` does."""
    if source.format not in _FORMATS or source.options.types == "text" or source.learnt:
        return
    with source.opened() as stream:
        table = _opened(source, stream)
        if table is not None:
            usable = (table.plain(row) for row in table.rows if not isinstance(row, SourceError) and table.fits(row))
            source.learnt.append(column_kinds(table.columns.others, usable))


def _opened(source: Source, stream: IO[bytes]) -> _Table | None:
    """The table whose header is read; None if there is no header."""
    unread = _Unread()
    given, said = _said_separator(lines(stream, source.name, unread.note))
    if said is not None:
        dialect = _Dialect(said)
    else:
        head, given = _head(given)
        dialect = _detected(head, source)
    feed = _Feed(source.name, given, dialect.quote, unread)
    rows = _rows(feed, dialect)
    header = next(rows, None)
    if header is None:
        return None
    if isinstance(header, SourceError):
        raise header
    for position, name in enumerate(header, start=1):
        if not name.strip():
            raise feed.error(
                f"column {position} of the header has no name; the columns are: {listed(header)}",
                "The first row must name every column (pandas: to_csv(..., index=False)).",
            )
    try:
        return _Table(feed, table_columns(header, source.options), dialect, rows)
    except InvalidInput as error:
        raise feed.error(error.message, _also_a_list(error.advice)) from None


def _also_a_list(advice: str) -> Advice:
    """The advice for a header, which may well be missing."""
    return Advice(
        f"The first row is the header. {advice} A plain list can be read as txt.",
        typed=f"The first row is the header. {getattr(advice, 'typed', advice)} For a plain list use --format txt.",
    )


def _said_separator(given: Iterator[Line]) -> tuple[Iterator[Line], str | None]:
    """The lines without a first line like ``sep=;``, which tells Excel the separator; and that separator."""
    first = next(given, None)
    if first is None:
        return given, None
    said = re.fullmatch(rb'"?sep=([,;|\t])"?[\r\n]*', first[1], re.IGNORECASE)
    return (given, said[1].decode()) if said else (chain([first], given), None)


def _head(given: Iterator[Line]) -> tuple[list[str], Iterator[Line]]:
    """The lines of the header, of which there are several if it has line ends in quotes; and all the lines again."""
    taken: list[Line] = []
    head: list[str] = []
    for line in given:
        taken.append(line)
        try:
            text = decoded(line[1])
        except InvalidInput:
            break  # whoever reads the header says what is wrong with it
        if head or not is_blank(text):
            head.append(text)
        if len(head) >= _LINES_OF_A_HEADER or (head and "".join(head).count('"') % 2 == 0):
            break
    return head, chain(taken, given)


def _detected(head: Sequence[str], source: Source) -> _Dialect:
    """The dialect of a table whose header is in the lines ``head``.

    Only the header decides: another dialect than the format's own is taken where it finds the columns that are asked
    for and the format's own does not. Guessing by the rows would be less safe, since sentences are full of commas.
    """
    own = _Dialect(",") if source.format is Format.CSV else _Dialect("\t", "")
    candidates = [own, *(_Dialect(separator) for separator in _SEPARATORS)]
    candidates += [_Dialect(separator, "'") for separator in _SEPARATORS]
    several = []
    for dialect in candidates:
        try:
            header = next(dialect.reader(iter(head)), [])
        except csv.Error:
            continue
        if not dialect.quote and all(len(name) > 1 and name[0] == name[-1] == '"' for name in header):
            continue  # quoted throughout: a csv with tabs
        try:
            table_columns(header, source.options)
        except InvalidInput:
            if len(header) > 1:
                several.append(dialect)
        else:
            return dialect
    # None finds the columns. Then the error had better list them as they are, not as one column.
    return several[0] if several else own


class _Unread:
    """Counts the quotes in the rest of a line that is too long, so that its row ends where it ends in the file."""

    def __init__(self) -> None:
        self._quotes: Counter[bytes] | None = None

    def note(self, rest: bytes) -> None:
        self._quotes = self._quotes or Counter()
        for quote in (b'"', b"'"):
            self._quotes[quote] += rest.count(quote)

    def take(self, quote: bytes) -> int | None:
        """How many of these quotes there were since this was last asked; None if no line was cut."""
        found, self._quotes = self._quotes, None
        return None if found is None else found[quote]


class _Feed:
    """Decoded lines for csv.reader; remembers where a row began and which of its bytes were bad."""

    def __init__(self, name: str, given: Iterator[Line], quote: Mark, unread: _Unread) -> None:
        self._name = name
        self._unread = unread
        self._lines = given
        self._quote = quote.encode()
        self._number = 0
        self.begin()

    def begin(self) -> None:
        """The next line is the first of a row."""
        self._start = self._number + 1
        self.fault: SourceError | None = None
        self.cells: list[str] | None = None
        """Those of a row with a fault."""
        self._quotes = 0
        self._held: list[bytes] = []
        self._length = 0

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        quotes = self._quotes
        raw = self._next()
        try:
            return decoded(raw)
        except InvalidInput as error:
            # csv.reader continues to the end of the row; then the fault is reported instead of the row.
            self.fault = self.fault or SourceError(self._name, self._number, error.message, error.advice)
            if self._is_cut:  # perhaps within quotes, so only whether these are open after all of the line matters
                return as_written(self._quote) if self._quotes % 2 != quotes % 2 else ""
            return as_written(raw.replace(b"\0", b"?"))

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

    def written(self) -> str | None:
        """The lines of the row, unless they are very long."""
        return None if self._length > _MOST_KEPT else as_written(b"".join(self._held)).rstrip("\r\n")

    def _next(self) -> bytes:
        self._number, raw = next(self._lines)
        self._length += len(raw)
        if self._length <= _MOST_KEPT:
            self._held.append(raw)
        unread = self._unread.take(self._quote)
        self._is_cut = unread is not None
        if self._quote:
            self._quotes += raw.count(self._quote) + (unread or 0)
        return raw


def _rows(feed: _Feed, dialect: _Dialect) -> Iterator[list[str] | SourceError]:
    """The cells of every row that is not blank; the header is the first."""
    reader = dialect.reader(feed)
    while True:
        feed.begin()
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # After an error csv.reader starts again with the next line.
            problem = str(error)
            if problem.startswith("field larger") and dialect.quote:
                feed.skip_quoted()
            yield feed.fault or _problem(problem, feed)
        else:
            if feed.fault is not None:
                feed.cells = None if feed.written() is None else row
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
class _Table:
    """An open table: its columns and the rows after its header."""

    feed: _Feed
    columns: Columns
    dialect: _Dialect
    rows: Iterator[list[str] | SourceError]

    def record(self, cells: Sequence[str], kinds: Mapping[int, Value] | None) -> Record | EmptyText:
        """The record in a row; raises InvalidInput.

        ``kinds`` are those of the columns that are not text; None keeps every cell as it is written, empty ones too.
        """
        if not self.fits(cells):
            found = "1 field" if len(cells) == 1 else f"{len(cells)} fields"
            raise InvalidInput(
                f"{found} where the header has {len(self.columns.names)}",
                "Put quotes around a field that holds a comma, a quote or a line end."
                if self.dialect.quote
                else "A tsv field cannot hold a tab or a line end; use csv or jsonl for such texts.",
            )
        values: list[Any] = list(self.plain(cells))
        if kinds is not None:
            for position in self.columns.others:
                cell, kind = values[position], kinds.get(position)
                if not cell:
                    values[position] = ABSENT
                elif kind is not None:
                    values[position] = kind(cell)
        return self.columns.record(values, self.feed.end())

    def given(self, cells: Sequence[str] | None) -> Row | None:
        """What there is of a row that is refused; ``cells`` None if it could not be taken apart."""
        return self.feed.written() if cells is None else named_cells(self.columns.names, self.plain(cells))

    def fits(self, cells: Sequence[str]) -> bool:
        """Whether there are as many cells as the header has names."""
        return len(cells) == len(self.columns.names)

    def plain(self, cells: Sequence[str]) -> Sequence[str]:
        """The cells, unquoted if they are quoted as in csv."""
        return cells if self.dialect.quote else [_unquoted(cell) for cell in cells]


def _unquoted(cell: str) -> str:
    """``cell``, unquoted if it is in quotes with doubled quotes inside, as only a csv writer makes it."""
    within = cell[1:-1]
    if '""' in within and cell[0] == cell[-1] == '"' and '"' not in within.replace('""', ""):
        return within.replace('""', '"')
    return cell
