"""Adding tables of pandas, polars, Arrow and others: the same records of each."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pytest

import vecindex
from vecindex.encoders.run.encoder import Encoder
from vecindex.errors import InvalidInput
from vecindex.sources.rows.tables import TableRows
from vecindex.values.records import Record

from ..support.odd_values import pandas, polars


class Handing:
    """A table of another library, which only hands its columns over as Arrow."""

    def __init__(self, columns: dict[str, Any]) -> None:
        self._table = pyarrow.table(columns)

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self._table.__arrow_c_stream__(requested_schema)


class Interchanging:
    """A table of another library, which knows the interchange protocol."""

    def __init__(self, columns: dict[str, Any]) -> None:
        self._table = pyarrow.table(columns)

    def __dataframe__(self, **options: Any) -> Any:
        return self._table.__dataframe__(**options)


TABLES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "pyarrow.Table": pyarrow.table,
    "pyarrow.RecordBatch": pyarrow.record_batch,
    "pyarrow.RecordBatchReader": lambda columns: pyarrow.table(columns).to_reader(),
    "__arrow_c_stream__": Handing,
    "__dataframe__": Interchanging,
}
if pandas:
    TABLES["pandas"] = lambda columns: pandas.DataFrame(columns, index=range(7, 7 + len(next(iter(columns.values())))))
    TABLES["pandas of Arrow"] = lambda columns: pandas.DataFrame(columns).convert_dtypes(dtype_backend="pyarrow")
if polars:
    TABLES["polars"] = polars.DataFrame
each_library = pytest.mark.parametrize("library", TABLES)

FILMS = {
    "id": [1, 2, 3],
    "title": ["Jaws", "Alien", "Up"],
    "plot": ["A shark.", None, "A house."],
    "good": [True, False, True],
    "day": [dt.datetime(1975, 6, 20), None, dt.datetime(2009, 5, 29)],
}


@pytest.fixture
def index(tmp_path: Path, encoder: Encoder) -> Iterator[vecindex.Index]:
    with vecindex.open(tmp_path / "index", model=encoder) as opened:
        yield opened


@each_library
def test_each_row_is_a_record(library: str, index: vecindex.Index) -> None:
    report = index.add(TABLES[library](FILMS), text="title", key="id", metadata=["plot", "good", "day"])
    assert (report.added, report.empty, len(index)) == (3, 0, 3)
    assert index.get("1").metadata == {"plot": "A shark.", "good": True, "day": "1975-06-20T00:00:00"}
    assert index.get("2").text == "Alien"
    assert index.get("2").metadata == {"plot": None, "good": False, "day": None}


@each_library
def test_all_other_columns_are_metadata_and_rows_without_a_text_are_counted(
    library: str, index: vecindex.Index
) -> None:
    report = index.add(TABLES[library](FILMS), text="plot", key="id")
    assert (report.added, report.empty) == (2, 1)
    assert index.get("3").metadata == {"title": "Up", "good": True, "day": "2009-05-29T00:00:00"}


@each_library
def test_several_texts_are_joined(library: str, index: vecindex.Index) -> None:
    index.add(TABLES[library](FILMS), text=["title", "plot"], key="id", metadata=[])
    assert [(index.get(key).text, index.get(key).metadata) for key in "12"] == [
        ("Jaws\n\nA shark.", {}),
        ("Alien", {}),
    ]


@each_library
def test_columns_called_text_and_key_need_not_be_named(library: str) -> None:
    table = TABLES[library]({"key": ["a", "b"], "text": ["one", "two"], "n": [1, 2]})
    assert list(TableRows(table)) == [Record("one", "a", {"n": 1}), Record("two", "b", {"n": 2})]


@each_library
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "no column 'text'; the columns are: 'id', 'title', 'plot', 'good', 'day'"),
        ({"text": "titel"}, "no column 'titel' (did you mean 'title'?); the columns are: "),
        ({"text": "title", "key": "ids"}, "no column 'ids' (did you mean 'id'?); the columns are: "),
        ({"text": "title", "metadata": ["plots"]}, "no column 'plots' (did you mean 'plot'?); the columns are: "),
        ({"text": "title", "keys": ["a", "b", "c"]}, "keys= goes with texts"),
        ({"text": "title", "metadata": [{"a": 1}]}, "a column is called a dict, not a string"),
    ],
)
def test_wrong_columns_are_refused(library: str, options: dict[str, Any], reason: str, index: vecindex.Index) -> None:
    with pytest.raises(InvalidInput) as caught:
        index.add(TABLES[library](FILMS), **options)
    assert caught.value.message.startswith(reason)
    assert len(index) == 0


def test_a_bad_row_of_a_table_in_memory_adds_nothing(index: vecindex.Index) -> None:
    table = pyarrow.table({"text": ["a", "b"], "n": pyarrow.array([1, 2**64 - 1], pyarrow.uint64())})
    with pytest.raises(InvalidInput, match=r"^item 1: metadata 'n' holds the integer 18446744073709551615"):
        index.add(table)
    assert len(index) == 0


def test_columns_are_named_only_of_tables(index: vecindex.Index) -> None:
    with pytest.raises(InvalidInput, match="text= and key= name the columns of a table"):
        index.add(["a"], text="text")


def test_vectors_can_be_given_beside_a_table(index: vecindex.Index) -> None:
    report = index.add(pyarrow.table({"text": ["a", "b"]}), vectors=[[1.0, 0.0], [0.0, 1.0]], space="mine")
    assert report.added == 2


@pytest.mark.skipif(pandas is None, reason="pandas is not installed")
def test_values_of_pandas_become_json() -> None:
    frame = pandas.DataFrame(
        {
            "text": ["a", "b"],
            "n": pandas.array([1, None], dtype="Int64"),
            "x": [1.5, float("nan")],
            "category": pandas.Categorical(["red", None]),
            "when": pandas.to_datetime(["2024-01-02T03:04:05.123456789", None]),
            "price": [Decimal("1.10"), None],
            "tags": [["a"], None],
        }
    )
    empty = dict.fromkeys(["n", "x", "category", "when", "price", "tags"])
    assert list(TableRows(frame)) == [
        Record(
            "a",
            None,
            {
                **{"n": 1, "x": 1.5, "category": "red", "when": "2024-01-02T03:04:05.123456789"},
                **{"price": "1.10", "tags": ["a"]},
            },
        ),
        Record("b", None, empty),
    ]
    with pytest.raises(InvalidInput, match="a column is called 0, not a string"):
        TableRows(pandas.DataFrame([["a"]]))


@pytest.mark.skipif(polars is None, reason="polars is not installed")
def test_values_of_polars_become_json_and_a_lazy_table_must_be_collected() -> None:
    frame = polars.DataFrame({"text": ["a"], "day": [dt.date(2024, 1, 2)], "inner": [{"x": [1, None]}], "raw": [b"\0"]})
    assert list(TableRows(frame, metadata=["day", "inner"])) == [
        Record("a", None, {"day": "2024-01-02", "inner": {"x": [1, None]}})
    ]
    with pytest.raises(InvalidInput, match="item 0: the column 'raw' holds bytes"):
        list(TableRows(frame))
    with pytest.raises(InvalidInput, match="a LazyFrame, whose rows are not there yet"):
        TableRows(frame.lazy())
