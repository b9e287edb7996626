"""Makes records of tables in memory: of pandas, polars, Arrow, and whatever can hand its columns over as Arrow does.

None of these is imported: the table's own methods give its rows. Only tables of other libraries need pyarrow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any

from ...errors import InvalidInput
from ...values.records import Origin, Record
from ...values.scalars import shown
from ..documents import EmptyText
from ..options import ReadOptions
from . import arrow
from .columns import ABSENT, Columns, table_columns

_ADVICE = "Name the columns with text=, key= and metadata=."


class TableRows:
    """The records of a table: ``text`` columns joined, the ``key`` column, and ``metadata`` columns, or all others.

    ``in_memory`` says that they can be read again. ``empty`` is the number of rows without a text that were left out.
    """

    def __init__(
        self,
        table: Any,
        text: Sequence[str] | None = None,
        key: str | None = None,
        metadata: Iterable[str] | None = None,
    ) -> None:
        """Raises InvalidInput, and MissingExtra if the table needs pyarrow and it is not there."""
        options = ReadOptions(
            text_columns=tuple(text or ()),
            key_column=key,
            metadata_columns=None if metadata is None else tuple(_name(each) for each in metadata),
        )
        self.in_memory = hasattr(table, "itertuples") or hasattr(table, "iter_rows") or hasattr(table, "to_batches")
        self.empty = 0
        try:
            self._columns, self._rows = _opened(table, options)
        except arrow.Unreadable as error:
            raise InvalidInput(f"the table cannot be read: {error}", "Convert it to a table of pyarrow.") from None
        except InvalidInput as error:
            raise InvalidInput(error.message, _ADVICE) from None

    def __iter__(self) -> Iterator[Record]:
        self.empty = 0
        for number, row in enumerate(self._rows):
            try:
                found = self._columns.record(arrow.json_values(row, self._columns), Origin("the table", number, "row"))
            except InvalidInput as error:
                raise InvalidInput(f"item {number}: {error.message}", error.advice) from None
            if isinstance(found, EmptyText):
                self.empty += 1
            else:
                yield Record(found.text, found.key, found.metadata)


def _opened(table: Any, options: ReadOptions) -> tuple[Columns, Iterable[Sequence[Any]]]:
    """The columns of a table, and its rows, in which columns that are not used may be absent."""
    if hasattr(table, "itertuples"):  # pandas
        columns = table_columns([_name(name) for name in table.columns], options)
        return columns, _spread(table.iloc[:, columns.used].itertuples(index=False, name=None), columns)
    if hasattr(table, "iter_rows"):  # polars
        columns = table_columns(list(table.columns), options)
        names = [columns.names[position] for position in columns.used]
        return columns, _spread(table.select(names).iter_rows(), columns)
    if hasattr(table, "__arrow_c_stream__") or hasattr(table, "__dataframe__"):
        reader = arrow.stream_of(table)
        columns = arrow.columns_of(reader.schema, options, only_column_is_text=False)
        return columns, _rows_of(reader, columns)
    kind = type(table).__name__
    if hasattr(table, "collect"):
        raise InvalidInput(f"records is a {kind}, whose rows are not there yet", "Pass table.collect().")
    raise InvalidInput(f"records is a {kind}, a table whose rows cannot be read", "Convert it to pandas or Arrow.")


def _spread(rows: Iterable[Sequence[Any]], columns: Columns) -> Iterator[list[Any]]:
    """Rows of only the columns that are used, each value at the position of its column."""
    used, width = columns.used, len(columns.names)
    for row in rows:
        spread = list(repeat(ABSENT, width))
        for position, value in zip(used, row, strict=True):
            spread[position] = value
        yield spread


def _rows_of(reader: Any, columns: Columns) -> Iterator[Sequence[Any]]:
    for batch in arrow.batches_of(reader):
        yield from arrow.rows_of(batch, columns)


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise InvalidInput(f"a column is called {shown(name)}, not a string", "Rename it, as with table.rename().")
    return str.__str__(name)
