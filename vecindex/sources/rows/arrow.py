"""Reads Parquet and Arrow (Feather) files, a few rows at a time, and only the columns that are used.

pyarrow is the reference implementation of both formats (Apache-2.0). What it makes of a file becomes JSON values; see
`json_values`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import IO, Any

from ...errors import Advice, InvalidInput, SourceError, VecindexError
from ...machine.extras import extra_errors
from ...values.records import Origin, Record
from ..documents import EmptyText
from ..formats import Format
from ..options import ReadOptions
from ..origin import Source
from .columns import ABSENT, Columns, table_columns
from .json_values import has_bytes, json_value
from .rejects import fields_of

_ROWS_A_BATCH = 4_096
_BYTES_A_BATCH = 2**23
_BUFFER = 2**16
_OWN_EXPORT = b"vecindex.space"
_INDEX_OF_PANDAS = "__index_level_"
_COLON_LESS_OFFSET = re.compile(r"([+-]\d\d)(\d\d)$")


def read(source: Source, stream: IO[bytes]) -> Iterator[Record | EmptyText | SourceError]:
    """A record for each row; raises SourceError if the file is damaged, or has no text column."""
    arrow = _pyarrow("reading Parquet and Arrow files")
    called = "Parquet" if source.format is Format.PARQUET else "Arrow"
    try:
        with _errors(arrow):
            table = _ParquetFile(stream) if source.format is Format.PARQUET else _ArrowFile(arrow, stream)
            _refuse_own_export(source, table.schema)
            yield from _rows(source, table)
    except Unreadable as error:
        raise SourceError(
            source.name, None, f"it is not a readable {called} file: {error}", "Check that it is complete."
        ) from None


def _rows(source: Source, table: _ParquetFile | _ArrowFile) -> Iterator[Record | EmptyText | SourceError]:
    try:
        columns = columns_of(table.schema, source.options)
    except InvalidInput as error:
        raise SourceError(source.name, None, error.message, error.advice) from None
    number = 0
    for batch in table.batches([columns.names[position] for position in columns.used]):
        for values in rows_of(batch, columns):
            number += 1
            origin = Origin(source.name, number, "row")
            try:
                yield columns.record(json_values(values, columns), origin)
            except InvalidInput as error:
                yield origin.error(error.message, error.advice, fields_of(columns, values))


class Unreadable(Exception):
    """What pyarrow says of a file or stream that it cannot read."""


class _ParquetFile:
    def __init__(self, stream: IO[bytes]) -> None:
        from pyarrow import parquet

        # pyarrow's default, pre_buffer, would read the whole file into memory.
        self._file = parquet.ParquetFile(stream, pre_buffer=False, buffer_size=_BUFFER)
        self.schema = self._file.schema_arrow

    def batches(self, names: Sequence[str]) -> Iterator[Any]:
        """All rows with the columns ``names``, few at a time where they are long."""
        metadata = self._file.metadata
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        longest = max((group.total_byte_size // max(1, group.num_rows) for group in groups), default=1)
        size = min(_ROWS_A_BATCH, max(1, _BYTES_A_BATCH // max(1, longest)))
        yield from self._file.iter_batches(size, columns=list(names))


class _ArrowFile:
    def __init__(self, arrow: Any, stream: IO[bytes]) -> None:

        is_file = stream.read(6) == b"ARROW1"
        stream.seek(0)
        self._reader = arrow.ipc.open_file(stream) if is_file else arrow.ipc.open_stream(stream)
        self._is_file = is_file
        self.schema = self._reader.schema

    def batches(self, names: Sequence[str]) -> Iterator[Any]:
        """All rows with the columns ``names``. A batch is as large as the file's own, which its writer chose."""
        count = self._reader.num_record_batches if self._is_file else None
        for batch in self._reader if count is None else map(self._reader.get_batch, range(count)):
            for start in range(0, len(batch), _ROWS_A_BATCH):
                yield batch.select(list(names)).slice(start, _ROWS_A_BATCH)


def columns_of(schema: Any, options: ReadOptions, *, only_column_is_text: bool = True) -> Columns:
    """The columns of a table; raises InvalidInput, also if one that is used holds bytes."""
    names = [name for name in schema.names if not name.startswith(_INDEX_OF_PANDAS)]
    columns = table_columns(names, options, only_column_is_text=only_column_is_text)
    for position in columns.used:
        if _holds_bytes(schema.field(names[position]).type):
            raise has_bytes(f"the column {names[position]!r}")
    return columns


def rows_of(batch: Any, columns: Columns) -> Iterator[tuple[Any, ...]]:
    """The rows of a batch as Python's values; those of columns that are not used are absent."""
    used = set(columns.used)
    values = [
        _python_values(batch.column(name)) if position in used else repeat(ABSENT, len(batch))
        for position, name in enumerate(columns.names)
    ]
    return zip(*values, strict=True)


def json_values(values: Sequence[Any], columns: Columns) -> list[Any]:
    """The values of a row as JSON; raises InvalidInput."""
    found = list(values)
    for position in columns.used:
        found[position] = json_value(values[position], f"the column {columns.names[position]!r}")
    return found


def stream_of(table: Any) -> Any:
    """A reader of the batches of ``table``, which any library may have made; raises MissingExtra and InvalidInput."""
    arrow = _pyarrow("reading tables of other libraries")
    with _errors(arrow):
        if hasattr(table, "__arrow_c_stream__"):
            return arrow.RecordBatchReader.from_stream(table)
        import pyarrow.interchange

        return pyarrow.interchange.from_dataframe(table).to_reader()


def batches_of(reader: Any) -> Iterator[Any]:
    """The batches of a reader, cut to a few thousand rows; raises `Unreadable`."""
    with _errors(_pyarrow("reading tables of other libraries")):
        for batch in reader:
            for start in range(0, len(batch), _ROWS_A_BATCH):
                yield batch.slice(start, _ROWS_A_BATCH)


def _python_values(column: Any) -> list[Any]:
    """The values of a column.

    pyarrow makes nanoseconds into objects of pandas, and fails where there is none. Here they are text where
    microseconds do not hold them exactly.
    """
    import pyarrow as arrow

    kind = column.type
    if arrow.types.is_timestamp(kind) and kind.unit == "ns":
        try:
            column = column.cast(arrow.timestamp("us", kind.tz))
        except arrow.ArrowInvalid:
            return [None if text is None else _iso(text) for text in column.cast(arrow.string()).to_pylist()]
    elif (plain := _without_nanoseconds(kind)) != kind:
        column = column.cast(plain, safe=False)
    values: list[Any] = column.to_pylist()
    return values


def _iso(text: str) -> str:
    """A time that Arrow wrote, as Python writes it."""
    return _COLON_LESS_OFFSET.sub(r"\1:\2", text.replace(" ", "T").replace("Z", "+00:00"))


def _without_nanoseconds(kind: Any) -> Any:
    """The same type with microseconds."""
    import pyarrow as arrow

    types = arrow.types
    if types.is_timestamp(kind) and kind.unit == "ns":
        return arrow.timestamp("us", kind.tz)
    if types.is_duration(kind) and kind.unit == "ns":
        return arrow.duration("us")
    if types.is_time64(kind) and kind.unit == "ns":
        return arrow.time64("us")
    if types.is_list(kind):
        return arrow.list_(_without_nanoseconds(kind.value_type))
    if types.is_large_list(kind):
        return arrow.large_list(_without_nanoseconds(kind.value_type))
    if types.is_struct(kind):
        return arrow.struct([(field.name, _without_nanoseconds(field.type)) for field in kind])
    return kind


def _holds_bytes(kind: Any) -> bool:
    import pyarrow as arrow

    types = arrow.types
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return True
    if types.is_dictionary(kind):
        return _holds_bytes(kind.value_type)
    return any(_holds_bytes(kind.field(number).type) for number in range(kind.num_fields))


def _refuse_own_export(source: Source, schema: Any) -> None:
    if _OWN_EXPORT in (schema.metadata or {}):
        raise SourceError(
            source.name,
            None,
            "it is an export of an index, with the vectors of its texts",
            Advice(
                "Import it: index.import_(path).",
                typed=f"Import it: vecindex import {source.path}",
            ),
        )


@contextlib.contextmanager
def _errors(arrow: Any) -> Iterator[None]:
    """Raises what pyarrow raises as `Unreadable`."""
    try:
        yield
    except VecindexError:
        raise
    except (arrow.ArrowException, OSError, ArithmeticError, LookupError, ValueError) as error:
        raise Unreadable(str(error).partition("\n")[0] or type(error).__name__) from None


def _pyarrow(needed_for: str) -> Any:
    with extra_errors(needed_for, "parquet"):
        import pyarrow
    return pyarrow
