"""Writes records and vectors to a Parquet file, and reads them back. Only this module imports pyarrow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ..machine.extras import extra_errors
from ..sources.fields import listed, repeated
from ..sources.strict_json import parsed
from ..store.stored import Stored
from ..store.vectors import Vectors
from ..values.space import Space
from .formats import ADVICE, SPACE_KEY, Exported, space_from, space_json

MAGIC = b"PAR1"
_LEAF = "vector.list.element"  # the path of a vector's numbers in Parquet
_BYTES_A_GROUP = 2**24
_ROWS_A_BATCH = 4_096
_BUFFER = 2**16

Batch = tuple[list[dict[str, Any]], npt.NDArray[Any], npt.NDArray[np.bool_]]
"""Rows without their vectors, the vectors (n, D), of any numeric type, and which rows have none (n,).

D is 0 if none has one.
"""


def write(blocks: Iterable[Exported], space: Space | None, dimension: int, has_places: bool, out: BinaryIO) -> None:
    """Writes a file in row groups of about 16 MiB; raises MissingExtra."""
    arrow, pq = _pyarrow()
    string = arrow.string()
    schema = arrow.schema(
        [
            *(arrow.field(name, string, nullable=False) for name in ("key", "text", "metadata")),
            arrow.field("vector", arrow.list_(arrow.field("element", arrow.float32(), nullable=False), dimension)),
            arrow.field("tokens_lost", arrow.int64(), nullable=False),
            *([arrow.field("from", string)] if has_places else []),
        ],
        metadata={SPACE_KEY: space_json(space).encode()},
    )
    with pq.ParquetWriter(
        # Vectors hardly compress, and a dictionary would make them larger.
        *(out, schema),
        use_dictionary=False,
        compression={**dict.fromkeys(schema.names, "zstd"), _LEAF: "none"},
    ) as writer:
        for records, places, vectors in _grouped(blocks):
            numbers = arrow.array(np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1))
            columns = [
                *(arrow.array([getattr(r, name) for r in records], string) for name in ("key", "text", "metadata")),
                _lists(arrow, numbers, schema.field("vector").type, records),
                arrow.array([r.lost if r.has_vector else 0 for r in records], arrow.int64()),
                *([arrow.array(places, string)] if has_places else []),
            ]
            writer.write_table(arrow.Table.from_arrays(columns, schema=schema))


def _grouped(blocks: Iterable[Exported]) -> Iterator[Exported]:
    """The same rows in larger blocks, one for each row group."""
    records: list[Stored] = []
    places: list[str | None] = []
    pieces: list[Vectors] = []
    size = 0
    for block in blocks:
        records += block.records
        places += block.places
        pieces.append(block.vectors)
        size += block.vectors.nbytes + sum(len(r.text) + len(r.metadata) for r in block.records)
        size += sum(map(len, filter(None, block.places)))
        if size >= _BYTES_A_GROUP:
            yield Exported(records, places, np.concatenate(pieces))
            records, places, pieces, size = [], [], [], 0
    if records:
        yield Exported(records, places, np.concatenate(pieces))


def _lists(arrow: Any, numbers: Any, kind: Any, records: Sequence[Stored]) -> Any:
    """The vectors of these records, null for those without one."""
    if not kind.list_size:
        return arrow.nulls(len(records), kind)
    missing = [not record.has_vector for record in records]
    return arrow.FixedSizeListArray.from_arrays(
        numbers, type=kind, mask=arrow.array(missing, arrow.bool_()) if any(missing) else None
    )


class Parquet:
    """An open Parquet file. Errors of pyarrow are raised as ValueError."""

    def __init__(self, path: Path) -> None:
        """Raises MissingExtra, and ValueError if the file is damaged or lacks a column."""
        self._arrow, pq = _pyarrow()
        with self._errors():
            # pyarrow's default, pre_buffer, would read the whole file into memory.
            self._file = pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER)
            schema = self._file.schema_arrow
        if twice := repeated(schema.names):
            raise ValueError(f"several columns have the same name: {listed(twice)}")
        for name in ("text", "vector"):
            if name not in schema.names:
                raise ValueError(f"it has no column {name!r}; its columns are: {', '.join(schema.names)}")
        stamp = (schema.metadata or {}).get(SPACE_KEY)
        self.space = None if stamp is None else space_from(parsed(stamp.decode(), ADVICE))
        # pandas stores its index as such a column, unless it is a simple range.
        self._columns = [name for name in schema.names if not name.startswith("__index_level_")]

    def batches(self) -> Iterator[Batch]:
        """A few thousand rows at a time; raises ValueError, and MissingVector for a row without a usable vector."""
        with self._errors():
            for batch in self._file.iter_batches(_ROWS_A_BATCH, columns=self._columns):
                if not len(batch):
                    continue
                try:
                    rows = batch.drop_columns(["vector"]).to_pylist()
                except OverflowError as error:
                    raise ValueError(f"it holds a date or duration outside Python's range: {error}") from None
                yield rows, *self._vectors(batch.column("vector"))

    def close(self) -> None:
        self._file.close()

    def _vectors(self, column: Any) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """(n, D) from a column of lists, of fixed or variable size, and which are null (n,)."""
        types = self._arrow.types
        kind = column.type
        if types.is_list_view(kind) or types.is_large_list_view(kind):
            column = column.cast(self._arrow.large_list(kind.value_type))
            kind = column.type
        is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
        if not is_list or not (types.is_floating(kind.value_type) or types.is_integer(kind.value_type)):
            raise ValueError(f"its column 'vector' has the type {kind}, not lists of numbers")
        if kind.value_type == self._arrow.uint8():
            raise ValueError(
                "its column 'vector' holds uint8, which may be packed bits; store numbers as int8 or float32"
            )
        missing = np.asarray(column.is_null().to_numpy(zero_copy_only=False), np.bool_)
        there = np.flatnonzero(~missing)
        if not len(there):
            return np.empty((len(column), 0), np.float32), missing
        if column.null_count:
            column = column.drop_null()
        lengths = self._arrow.compute.list_value_length(column).to_numpy()
        if len(odd := np.flatnonzero(lengths != lengths[0])):
            reason = f"its vector has {lengths[odd[0]]} numbers, but earlier vectors have {lengths[0]}"
            raise MissingVector(int(there[odd[0]]), reason)
        numbers = column.flatten()
        if numbers.null_count:
            row = there[numbers.is_null().to_pylist().index(True) // int(lengths[0])]
            raise MissingVector(int(row), "its vector holds a null")
        given = numbers.to_numpy(zero_copy_only=False).reshape(len(column), int(lengths[0]))
        if len(there) == len(missing):
            return given, missing
        vectors = np.zeros((len(missing), given.shape[1]), given.dtype)
        vectors[there] = given
        return vectors, missing

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (self._arrow.ArrowException, OSError) as error:
            raise ValueError(f"it is not a readable Parquet file: {str(error).splitlines()[0]}") from None


class MissingVector(ValueError):
    """Row ``row`` of a batch, from 0, has no usable vector."""

    def __init__(self, row: int, reason: str) -> None:
        super().__init__(reason)
        self.row = row


def check_installed() -> None:
    """Raises MissingExtra if pyarrow is not installed."""
    _pyarrow()


def _pyarrow() -> tuple[Any, Any]:
    with extra_errors("reading and writing Parquet files", "parquet"):
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet
    return pyarrow, pyarrow.parquet
