"""How do records and vectors become a Parquet file, and back; the one door to pyarrow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ..errors import MissingExtra
from ..sources.fields import listed, repeated
from ..sources.strict_json import parsed
from ..store.stored import Stored
from ..store.vectors import Vectors
from ..values.space import Space
from .formats import ADVICE, SPACE_KEY, space_from, space_json

MAGIC = b"PAR1"
_LEAF = "vector.list.element"  # what Parquet calls the numbers of a vector
_BYTES_A_GROUP = 2**24
_ROWS_A_BATCH = 4_096
_BUFFER = 2**16

Batch = tuple[list[dict[str, Any]], npt.NDArray[Any]]
"""Rows as objects without their vectors, and those, (n, D) of any type of number."""


def write(blocks: Iterable[tuple[list[Stored], Vectors]], space: Space | None, dimension: int, out: BinaryIO) -> None:
    """Writes a file of row groups of about 16 MiB; raises MissingExtra."""
    arrow, pq = _pyarrow()
    string = arrow.string()
    schema = arrow.schema(
        [
            *(arrow.field(name, string, nullable=False) for name in ("key", "text", "metadata")),
            arrow.field("vector", arrow.list_(arrow.field("element", arrow.float32(), nullable=False), dimension)),
            arrow.field("truncated", arrow.int64(), nullable=False),
        ],
        metadata={SPACE_KEY: space_json(space).encode()},
    )
    with pq.ParquetWriter(
        # Vectors do not get smaller by packing, and a dictionary of them would be larger.
        *(out, schema),
        use_dictionary=False,
        compression={**dict.fromkeys(schema.names, "zstd"), _LEAF: "none"},
    ) as writer:
        for records, vectors in _grouped(blocks):
            numbers = arrow.array(np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1))
            columns = [
                *(arrow.array([getattr(r, name) for r in records], string) for name in ("key", "text", "metadata")),
                arrow.FixedSizeListArray.from_arrays(numbers, type=schema.field("vector").type),
                arrow.array([r.lost for r in records], arrow.int64()),
            ]
            writer.write_table(arrow.Table.from_arrays(columns, schema=schema))


def _grouped(blocks: Iterable[tuple[list[Stored], Vectors]]) -> Iterator[tuple[list[Stored], Vectors]]:
    """The same, with as many rows together as make up a row group."""
    records: list[Stored] = []
    pieces: list[Vectors] = []
    size = 0
    for block, vectors in blocks:
        records += block
        pieces.append(vectors)
        size += vectors.nbytes + sum(len(r.text) + len(r.metadata) for r in block)
        if size >= _BYTES_A_GROUP:
            yield records, np.concatenate(pieces)
            records, pieces, size = [], [], 0
    if records:
        yield records, np.concatenate(pieces)


class Parquet:
    """An open Parquet file. What pyarrow says about a damaged one comes out as ValueError."""

    def __init__(self, path: Path) -> None:
        """Raises MissingExtra, and ValueError where it is damaged or lacks a column."""
        self._arrow, pq = _pyarrow()
        with self._errors():
            # Buffered ahead, as is pyarrow's default, the whole file would end up in memory.
            self._file = pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER)
            schema = self._file.schema_arrow
        if twice := repeated(schema.names):
            raise ValueError(f"it has several columns with the same name: {listed(twice)}")
        for name in ("text", "vector"):
            if name not in schema.names:
                raise ValueError(f"it has no column {name!r}; its columns are: {', '.join(schema.names)}")
        stamp = (schema.metadata or {}).get(SPACE_KEY)
        self.space = None if stamp is None else space_from(parsed(stamp.decode(), ADVICE))
        # What pandas calls its index, where that is more than a count.
        self._columns = [name for name in schema.names if not name.startswith("__index_level_")]

    def batches(self) -> Iterator[Batch]:
        """Some thousand rows at a time; raises ValueError where a vector is missing or of another length."""
        with self._errors():
            for batch in self._file.iter_batches(_ROWS_A_BATCH, columns=self._columns):
                if not len(batch):
                    continue
                try:
                    rows = batch.drop_columns(["vector"]).to_pylist()
                except OverflowError as error:
                    raise ValueError(f"it holds a date or a duration that Python does not have: {error}") from None
                yield rows, self._vectors(batch.column("vector"))

    def close(self) -> None:
        self._file.close()

    def _vectors(self, column: Any) -> Any:
        """(n, D) of a column of lists, fixed in size or not."""
        types = self._arrow.types
        kind = column.type
        if types.is_list_view(kind) or types.is_large_list_view(kind):
            column = column.cast(self._arrow.large_list(kind.value_type))
            kind = column.type
        is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
        if not is_list or not (types.is_floating(kind.value_type) or types.is_integer(kind.value_type)):
            raise ValueError(f"its column 'vector' is of the type {kind}, not of lists of numbers")
        if kind.value_type == self._arrow.uint8():
            raise ValueError(
                "its column 'vector' holds uint8, which packed bits look like too: write the numbers as int8 or float32"
            )
        if column.null_count:
            raise MissingVector(column.is_null().to_pylist().index(True), "it has no vector")
        lengths = self._arrow.compute.list_value_length(column).to_numpy()
        if len(odd := np.flatnonzero(lengths != lengths[0])):
            reason = f"its vector has {lengths[odd[0]]} numbers, and those before have {lengths[0]}"
            raise MissingVector(int(odd[0]), reason)
        numbers = column.flatten()
        if numbers.null_count:
            raise MissingVector(numbers.is_null().to_pylist().index(True) // int(lengths[0]), "its vector holds a null")
        return numbers.to_numpy(zero_copy_only=False).reshape(len(column), int(lengths[0]))

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (self._arrow.ArrowException, OSError) as error:
            raise ValueError(f"it is no Parquet file that can be read: {str(error).splitlines()[0]}") from None


class MissingVector(ValueError):
    """Row ``row`` of a batch has no usable vector."""

    def __init__(self, row: int, reason: str) -> None:
        super().__init__(reason)
        self.row = row


def check_installed() -> None:
    """Raises MissingExtra where there is no pyarrow."""
    _pyarrow()


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra("parquet", "reading and writing Parquet files") from None
    return pyarrow, pyarrow.parquet
