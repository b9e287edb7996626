"""Reading Parquet and Arrow files: types that JSON has or not, only the columns used, in bounded memory."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vecindex
from vecindex.encoders.run.encoder import Encoder
from vecindex.errors import SourceError
from vecindex.sources import Format, Source, read
from vecindex.sources.options import read_options
from vecindex.values.records import Record

pytestmark = pytest.mark.usefixtures("here")

WRITERS: dict[str, Any] = {
    "parquet": lambda table, path: pq.write_table(table, path),
    "feather": lambda table, path: pyarrow.feather.write_feather(table, path),
    "stream": lambda table, path: _write_stream(table, path),
}
each_format = pytest.mark.parametrize("name", WRITERS)


def _write_stream(table: pa.Table, path: str) -> None:
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table)


def written(name: str, columns: dict[str, Any]) -> None:
    WRITERS[name](pa.table(columns), "a")


def of(name: str, **options: Any) -> Source:
    return Source("a", Format.PARQUET if name == "parquet" else Format.ARROW, read_options(**options))


def refused(name: str, **options: Any) -> str:
    with pytest.raises(SourceError) as caught:
        list(read(of(name, **options)))
    assert caught.value.path == "a"
    return caught.value.reason


@each_format
def test_each_row_is_a_record_with_its_place(name: str) -> None:
    written(name, {"id": [1, 2, 3], "text": ["a", None, "c"], "n": [1.5, 2.0, float("nan")], "ok": [True, None, False]})
    found = list(read(of(name, key_column="id")))
    assert found == [Record("a", "1", {"n": 1.5, "ok": True}), Record("c", "3", {"n": None, "ok": False})]
    assert [str(record.origin) for record in found] == ["a, row 1", "a, row 3"]


@each_format
def test_columns_are_chosen_as_everywhere(name: str) -> None:
    written(name, {"title": ["a"], "body": ["b"], "n": [1], "image": [b"\xff"]})
    options: dict[str, Any] = {"text_column": ["title", "body"], "metadata_columns": ["n"]}
    assert list(read(of(name, **options))) == [Record("a\n\nb", None, {"n": 1})]
    assert refused(name, text_column="titel") == (
        "no column 'titel' (did you mean 'title'?); the columns are: 'title', 'body', 'n', 'image'"
    )
    assert refused(name, text_column="title") == "the column 'image' holds bytes, which JSON cannot hold"


def test_values_become_json_without_losing_a_digit() -> None:
    berlin = dt.timezone(dt.timedelta(hours=2))
    columns: dict[str, Any] = {
        "text": pa.array(["a"]),
        "decimal": pa.array([Decimal("12345678901234567890.10")], pa.decimal128(38, 2)),
        "date": pa.array([dt.date(2024, 2, 29)]),
        "time": pa.array([dt.time(1, 2, 3)]),
        "seconds": pa.array([1_600_000_000], pa.timestamp("s")),
        "micros": pa.array([dt.datetime(2024, 2, 29, 1, 2, 3, 4)]),
        "nanos": pa.array([1_600_000_000_123_456_789], pa.timestamp("ns")),
        "nanos_of_micros": pa.array([1_600_000_000_123_456_000], pa.timestamp("ns")),
        "zoned": pa.array([dt.datetime(2024, 2, 29, tzinfo=berlin)], pa.timestamp("us", "+02:00")),
        "zoned_nanos": pa.array([1_600_000_000_123_456_789], pa.timestamp("ns", "UTC")),
        "duration": pa.array([dt.timedelta(minutes=1, milliseconds=500)], pa.duration("ns")),
        "big": pa.array([2**63 - 1]),
        "list": pa.array([[1, None]]),
        "struct": pa.array([{"x": {"y": [dt.date(2024, 1, 1)]}}]),
        "nested_nanos": pa.array([[1_600_000_000_123_456_789]], pa.list_(pa.timestamp("ns"))),
        "map": pa.array([[("a", 1), ("b", 2)]], pa.map_(pa.string(), pa.int64())),
        "category": pa.array(["x"]).dictionary_encode(),
        "nothing": pa.nulls(1),
    }
    written("parquet", columns)
    (found,) = read(of("parquet"))
    assert found.metadata == {
        "decimal": "12345678901234567890.10",
        "date": "2024-02-29",
        "time": "01:02:03",
        "seconds": "2020-09-13T12:26:40",
        "micros": "2024-02-29T01:02:03.000004",
        "nanos": "2020-09-13T12:26:40.123456789",
        "nanos_of_micros": "2020-09-13T12:26:40.123456",
        "zoned": "2024-02-29T00:00:00+02:00",
        "zoned_nanos": "2020-09-13T12:26:40.123456789+00:00",
        "duration": 60.5,
        "big": 2**63 - 1,
        "list": [1, None],
        "struct": {"x": {"y": ["2024-01-01"]}},
        "nested_nanos": ["2020-09-13T12:26:40.123456"],
        "map": {"a": 1, "b": 2},
        "category": "x",
        "nothing": None,
    }


def test_what_json_cannot_hold_makes_a_row_bad() -> None:
    columns = {"text": ["a", "b", "c"], "n": pa.array([1, 2**64 - 1, 3], pa.uint64()), "x": [1.0, 2.0, float("inf")]}
    written("parquet", columns)
    bad: list[SourceError] = []
    assert [record.text for record in read(of("parquet"), bad.append)] == ["a"]
    assert [(error.line, error.unit) for error in bad] == [(2, "row"), (3, "row")]
    assert "at most 64 bits" in bad[0].reason


@pytest.mark.parametrize("raw", [b"", b"PAR1", b"PAR1" + b"\xff" * 100 + b"PAR1", b"ARROW1\0\0" + b"\xff" * 100])
@each_format
def test_a_damaged_file_is_refused(name: str, raw: bytes) -> None:
    Path("a").write_bytes(raw)
    reason = refused(name)
    assert reason.startswith(f"it is not a readable {'Parquet' if name == 'parquet' else 'Arrow'} file: ")


@each_format
def test_a_file_that_was_cut_off_is_refused(name: str) -> None:
    written(name, {"text": [f"text {number}" for number in range(5000)]})
    raw = Path("a").read_bytes()
    Path("a").write_bytes(raw[: len(raw) * 2 // 3])
    assert "not a readable" in refused(name)


def test_an_index_of_pandas_is_left_out() -> None:
    written("parquet", {"text": ["a"], "__index_level_0__": [7]})
    assert list(read(of("parquet"))) == [Record("a")]


def test_an_export_of_an_index_is_refused_with_the_command_that_imports_it(encoder: Encoder) -> None:
    with vecindex.open("index", model=encoder) as index:
        index.add(["a"])
        index.export("a.parquet")
    with pytest.raises(SourceError, match="it is an export of an index") as caught:
        list(read(Source("a.parquet", Format.PARQUET)))
    assert caught.value.command_advice == "Import it: vecindex import a.parquet"


def test_a_large_file_of_long_texts_is_read_in_bounded_memory() -> None:
    text = "x" * 20_000
    with pq.ParquetWriter("a", pa.schema([("text", pa.string()), ("unused", pa.string())])) as writer:
        for group in range(10):
            texts = [f"{group} {number} {text}" for number in range(500)]
            writer.write_table(pa.table({"text": texts, "unused": texts}), row_group_size=500)
    program = (
        "import resource; from vecindex.sources import *; from vecindex.sources.options import read_options\n"
        "import pyarrow.parquet; before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "a = Source('a', Format.PARQUET, read_options(metadata_columns=[]))\n"
        "assert sum(1 for _ in read(a)) == 5000\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(ran.stdout) < 80_000  # KiB; the texts are 100 MB, twice


TEXT = st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: bool(text.strip(" \t\n\r\v\f")))


@given(
    st.lists(st.tuples(TEXT, st.none() | st.integers(-(2**63), 2**63 - 1), st.none() | TEXT), min_size=1),
    st.sampled_from(sorted(WRITERS)),
)
def test_what_is_written_is_read_the_same(rows: list[tuple[Any, ...]], name: str) -> None:
    text, n, other = zip(*rows, strict=True)
    types = [pa.string(), pa.int64(), pa.string()]
    columns = dict(zip(("text", "n", "other"), map(pa.array, (text, n, other), types), strict=True))
    written(name, columns)
    assert list(read(of(name))) == [Record(text, None, {"n": n, "other": other}) for text, n, other in rows]
