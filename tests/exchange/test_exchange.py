"""Exports restore the same index, and other programs can read them."""

from __future__ import annotations

import errno
import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vecindex
from vecindex import AddReport, Record
from vecindex.errors import CorruptIndex, InvalidInput, MissingExtra, StorageError
from vecindex.exchange.export import ExportReport
from vecindex.exchange.formats import space_from
from vecindex.store.disk.system_calls import replaced
from vecindex.store.stored import record_crc

from ..support.exchange_files import FORMATS, in_every_format, needs_pyarrow, stored, toy_vectors
from ..support.extent import examples
from ..support.faults import Full
from ..support.helpers import SMALL_STATE, names, opened, small_index, sql, state_of
from ..support.places import GOLDEN
from ..support.toy import toy_space


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return small_index(tmp_path / "i")


# --- there and back


@in_every_format
def test_every_format_restores_the_same_index(folder: Path, tmp_path: Path, format: str) -> None:
    with opened(folder) as index:
        index.add(["x " * 40], keys=["long"])
        report = index.export(tmp_path / "e", format)
        expected, space = stored(index), index.encoder.space
        hits = index.search("one two", k=9)
    assert (report.records, report.format) == (4, format)
    assert report.bytes == sum(p.stat().st_size for p in (tmp_path / "e").rglob("*") if p.name != "writer.lock") or (
        report.bytes == (tmp_path / "e").stat().st_size
    )
    with vecindex.open(tmp_path / "r") as copy:
        assert copy.import_(tmp_path / "e") == AddReport(added=4, truncated=1, tokens_lost=9)
        assert copy.import_(tmp_path / "e") == AddReport(unchanged=4)
        assert stored(copy) == expected
        assert copy.info().fingerprint == space.fingerprint
        assert copy.verify() == vecindex.VerifyReport(4, 4, ())
    with opened(tmp_path / "r") as copy:  # with the model of that space
        assert copy.search("one two", k=9) == hits


AWKWARD = ["", "a", " ", "a\0b", "naïve 🦊", "ключ", "\u2028\x85\r\n\t", '"\\', "x " * 40, "\ufeff", "e\u0301"]
TEXTS = st.sampled_from(AWKWARD) | st.text(max_size=20)
KEYS = (st.sampled_from(AWKWARD) | st.text(max_size=5)).filter(bool)
NAMES = st.text(max_size=3).filter(lambda name: "\0" not in name)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)
METADATA = (
    st.dictionaries(NAMES, VALUES, max_size=3)
    | st.sampled_from(["text", "vector", "space", "truncated", "tokens_lost", "key"]).map(lambda name: {name: "mine"})
    | st.booleans().map(lambda value: {"huge": "é" * 100_000, "many": [value, *range(1000)]})
)
VECTORS = st.lists(
    st.floats(width=32, allow_nan=False, allow_infinity=False) | st.just(-0.0), min_size=3, max_size=3
).filter(lambda vector: any(abs(x) > 1e-30 for x in vector))


@given(st.lists(st.tuples(KEYS, TEXTS, METADATA, VECTORS), min_size=1, max_size=8, unique_by=lambda item: item[0]))
@examples(12)
def test_awkward_records_come_back_the_same(items: list[tuple[str, str, dict[str, Any], list[float]]]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch)
        with vecindex.open(path / "i") as index:
            index.add([Record(text, key, data, np.array(v, np.float32)) for key, text, data, v in items], space="mine")
            expected = stored(index)
            for format in FORMATS:
                index.export(path / format, format)
                with vecindex.open(path / f"{format}-back") as copy:
                    assert copy.import_(path / format) == AddReport(added=len(items))
                    assert stored(copy) == expected
                    assert copy._space() == index._space()


@in_every_format
def test_different_vectors_of_one_truncated_text_are_all_kept(tmp_path: Path, format: str) -> None:
    text, space = "x " * 40, toy_space()
    with opened(tmp_path / "i") as index:
        index.add([text, text, "short"], keys=["a", "b", "c"], vectors=np.eye(3, 16), space=space)
        for key in "ab":
            crc = record_crc(key, text, "{}", 8)
            sql(tmp_path / "i", f"update records set lost = 8, crc = {crc} where key = '{key}'")
        index.export(tmp_path / "e", format)
        expected = stored(index)
    assert [row[3] for row in expected] == [8, 8, 0]
    with opened(tmp_path / "r") as copy:
        assert copy.import_(tmp_path / "e") == AddReport(added=3, truncated=2, tokens_lost=16)
        assert stored(copy) == expected


@pytest.mark.parametrize("is_without_space", [True, False])
@in_every_format
def test_an_empty_index_is_restored(tmp_path: Path, format: str, is_without_space: bool) -> None:
    with opened(tmp_path / "i") as index:
        if not is_without_space:
            index.add(["one"])
            index.delete(where="true")
        assert index.export(tmp_path / "e", format).records == 0
    with opened(tmp_path / "r") as copy:
        assert copy.import_(tmp_path / "e") == AddReport()


@in_every_format
def test_a_filter_selects_what_is_exported(folder: Path, tmp_path: Path, format: str) -> None:
    with opened(folder) as index:
        assert index.export(tmp_path / "e", format, where="n >= 2").records == 2
    with opened(tmp_path / "r") as copy:
        copy.import_(tmp_path / "e")
        assert list(state_of(copy).items()) == [("d", ("four", {"n": 3})), ("c", ("drei", {"n": 2}))]


@in_every_format
def test_changes_during_an_export_are_not_exported(tmp_path: Path, format: str) -> None:
    calls: list[tuple[int, int]] = []
    with opened(tmp_path / "i") as index, opened(tmp_path / "i") as writer:
        index.add([f"text {n}" for n in range(600)])

        def change(done: int, total: int) -> None:
            calls.append((done, total))
            writer.delete(where="true")
            writer.add(["new"])
            writer.compact()

        index.export(tmp_path / "e", format, progress=change)
        assert calls == [(256, 600), (512, 600), (600, 600)]
        assert len(index) == 1
    with opened(tmp_path / "r") as copy:
        copy.import_(tmp_path / "e")
        assert [text for text, _ in state_of(copy).values()] == [f"text {n}" for n in range(600)]


@in_every_format
def test_an_import_updates_an_existing_index(folder: Path, tmp_path: Path, format: str) -> None:
    with opened(folder) as index:
        index.export(tmp_path / "e", format)
        index.add(["vier"], keys=["d"])
        index.delete(["a"])
        assert index.import_(tmp_path / "e") == AddReport(added=1, updated=1, unchanged=1)
        assert state_of(index) == SMALL_STATE


def test_progress_of_an_import_is_reported_after_each_commit(folder: Path, tmp_path: Path) -> None:
    reports: list[AddReport] = []
    with opened(folder) as index:
        index.export(tmp_path / "e.jsonl")
    with opened(tmp_path / "r") as copy:
        copy.import_(tmp_path / "e.jsonl", progress=reports.append)
    assert reports == [AddReport(added=3)]


# --- exports of earlier versions


@in_every_format
def test_exports_that_say_truncated_instead_of_tokens_lost_are_read(tmp_path: Path, format: str) -> None:
    with opened(tmp_path / "i") as index:
        report = index.import_(GOLDEN / "exports" / f"export.{format}")
        assert report == AddReport(added=4, truncated=1, tokens_lost=9)
        assert state_of(index) == {**SMALL_STATE, "long": ("x " * 40, {})}
        assert [row[3] for row in stored(index)] == [0, 0, 0, 9]
        vectors = toy_vectors("one", "four", "drei", "x " * 40)
        assert [row[4] for row in stored(index)] == [vector.tobytes() for vector in vectors]


# --- what other programs see


def test_jsonl_has_an_object_a_line_and_the_space_in_the_first(folder: Path, tmp_path: Path) -> None:
    with opened(folder) as index:
        index.add(["x " * 40], keys=["long"], metadata=[{"e": "é"}])
        index.export(tmp_path / "e.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [list(line) for line in lines] == [
        ["key", "text", "metadata", "vector", "space"],
        *[["key", "text", "metadata", "vector"]] * 2,
        ["key", "text", "metadata", "tokens_lost", "vector"],
    ]
    assert [(line["key"], line["text"], line["metadata"]) for line in lines[:2]] == [
        ("a", "one", {"n": 0}),
        ("d", "four", {"n": 3}),
    ]
    assert lines[0]["space"] == {**json.loads(toy_space().to_json()), "fingerprint": toy_space().fingerprint}
    assert lines[3]["tokens_lost"] == 9
    vectors = np.array([line["vector"] for line in lines], np.float32)
    assert np.array_equal(vectors, toy_vectors("one", "four", "drei", "x " * 40))


def test_negative_zero_keeps_its_sign_in_jsonl(tmp_path: Path) -> None:
    with vecindex.open(tmp_path / "i") as index:
        index.add(["a"], vectors=[[-0.0, 1.0, 1e-45]], space="mine")
        index.export(tmp_path / "e.jsonl")
        assert '"vector": [-0.0, 1.0, 1.401298464324817e-45]' in (tmp_path / "e.jsonl").read_text()


def test_npy_is_a_folder_of_an_array_and_records(folder: Path, tmp_path: Path) -> None:
    with opened(folder) as index:
        index.export(tmp_path / "e", "npy")
    assert names(tmp_path / "e") - {"writer.lock"} == {"vectors.npy", "records.jsonl", "space.json"}
    vectors = np.load(tmp_path / "e" / "vectors.npy")
    assert (vectors.dtype, vectors.shape) == (np.float32, (3, 16))
    assert np.array_equal(vectors, toy_vectors("one", "four", "drei"))
    assert (tmp_path / "e" / "records.jsonl").read_text() == (
        '{"key": "a", "text": "one", "metadata": {"n":0}}\n'
        '{"key": "d", "text": "four", "metadata": {"n":3}}\n'
        '{"key": "c", "text": "drei", "metadata": {"n":2}}\n'
    )
    assert json.loads((tmp_path / "e" / "space.json").read_text())["fingerprint"] == toy_space().fingerprint


def test_index_faiss_equals_the_file_that_faiss_writes(folder: Path, tmp_path: Path) -> None:
    import faiss

    with opened(folder) as index:
        index.export(tmp_path / "e", "faiss")
    path = tmp_path / "e" / "index.faiss"
    own = faiss.IndexFlatIP(16)
    own.add(toy_vectors("one", "four", "drei"))
    assert path.read_bytes() == faiss.serialize_index(own).tobytes()
    read = faiss.read_index(str(path))
    assert (type(read), read.ntotal, read.d, read.metric_type) == (faiss.IndexFlatIP, 3, 16, faiss.METRIC_INNER_PRODUCT)
    assert read.search(toy_vectors("drei"), 1)[1].tolist() == [[2]]


@needs_pyarrow
def test_parquet_has_typed_columns_and_the_space_as_metadata(folder: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    with opened(folder) as index:
        index.export(tmp_path / "e.parquet")
    table = pq.read_table(tmp_path / "e.parquet")
    assert [(field.name, str(field.type)) for field in table.schema] == [
        *[(name, "string") for name in ("key", "text", "metadata")],
        ("vector", "fixed_size_list<element: float not null>[16]"),
        ("tokens_lost", "int64"),
    ]
    assert table.column("key").to_pylist() == ["a", "d", "c"]
    assert table.column("metadata").to_pylist() == ['{"n":0}', '{"n":3}', '{"n":2}']
    assert np.array_equal(np.array(table.column("vector").to_pylist(), np.float32), toy_vectors("one", "four", "drei"))
    assert space_from(json.loads(table.schema.metadata[b"vecindex.space"])) == toy_space()


def test_only_jsonl_can_be_written_to_a_stream(folder: Path, tmp_path: Path) -> None:
    out = io.BytesIO()
    with opened(folder) as index:
        report = index.export(out)
        index.export(tmp_path / "e.jsonl")
        with pytest.raises(InvalidInput, match=r"npy cannot be written to a stream\. Use jsonl, or name a path\."):
            index.export(out, "npy")
    assert report == ExportReport(3, "jsonl", len(out.getvalue()))
    assert out.getvalue() == (tmp_path / "e.jsonl").read_bytes()


# --- what is refused


def test_a_missing_pyarrow_is_an_error(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "e.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    message = "reading and writing Parquet files needs the extra 'parquet'. Run: pip install 'vecindex\\[parquet\\]'"
    with opened(folder) as index:
        with pytest.raises(MissingExtra, match=message):
            index.export(tmp_path / "x.parquet")
        with pytest.raises(MissingExtra, match=message):
            index.import_(tmp_path / "e.parquet")
    assert names(tmp_path) == {"i", "e.parquet"}


@in_every_format
def test_an_existing_file_is_never_replaced(folder: Path, tmp_path: Path, format: str) -> None:
    (tmp_path / "e").write_text("mine")
    with opened(folder) as index, pytest.raises(InvalidInput, match=r"already exists\. Name a path that does not"):
        index.export(tmp_path / "e", format)
    assert (tmp_path / "e").read_text() == "mine"


@in_every_format
def test_a_failed_export_leaves_nothing_behind(folder: Path, tmp_path: Path, format: str) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with opened(folder) as index:
        with pytest.raises(KeyboardInterrupt):
            index.export(tmp_path / "e", format, progress=interrupt)
        with replaced(Full(100)), pytest.raises(StorageError, match=os.strerror(errno.ENOSPC)):
            index.export(tmp_path / "e", format)
        with (folder / "vectors-1.f32").open("r+b") as file:
            file.write(b"\x01")
        with pytest.raises(CorruptIndex, match="its row 0 is not what was written"):
            index.export(tmp_path / "e", format)
    assert names(tmp_path) == {"i"}


def test_a_readonly_index_exports_but_does_not_import(folder: Path, tmp_path: Path) -> None:
    with opened(folder, readonly=True) as index:
        index.export(tmp_path / "e.jsonl")
        with pytest.raises(InvalidInput, match="was opened readonly"):
            index.import_(tmp_path / "e.jsonl")
