"""Imports read the files of other programs, keep spaces apart, and store nothing of a bad file."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecindex
from vecindex import AddReport
from vecindex.errors import InvalidInput, SourceError, SpaceMismatch
from vecindex.exchange.formats import space_from, space_json
from vecindex.values.space import Space

from ..support.exchange_files import in_every_format, needs_pyarrow, stored, toy_vectors, write_lines
from ..support.helpers import opened, small_index, state_of
from ..support.toy import ToyEncoder, toy_space


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return small_index(tmp_path / "i")


# --- what other programs write


def test_jsonl_without_a_space_needs_a_name_for_it(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "theirs.txt",
        {"text": "one", "vector": [3, 4], "lang": "en"},
        "\n",
        {"text": "two", "key": 7, "vector": [0.0, -1e300], "metadata": {"space": "here"}, "truncated": True},
    )
    with vecindex.open(tmp_path / "r") as index:
        with pytest.raises(InvalidInput) as caught:
            index.import_(path)
        assert caught.value.message == f"{path} does not say what made its vectors"
        assert index.import_(path, space="theirs") == AddReport(added=2)
        assert [(k, t, json.loads(m)) for k, t, m, _, _ in stored(index)] == [
            ("1279146383c56ad6b3a8494a4b5291d5", "one", {"lang": "en"}),
            ("7", "two", {"truncated": True, "space": "here"}),
        ]
        assert index.get("7").vector == pytest.approx([0, -1])
        assert index.search([3, 4], k=1)[0].score == pytest.approx(1)
        assert index.info().model == "theirs"
        assert index.import_(path) == AddReport(unchanged=2)  # by now there is a space of that kind
        with pytest.raises(SpaceMismatch) as mismatch:
            index.import_(path, space="others")
        assert mismatch.value.expected == "theirs (2 dimensions, vectors made elsewhere)"


@needs_pyarrow
def test_parquet_as_pandas_writes_it_is_read(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    vectors = np.array([[3, 4], [0, -2]], np.float64)
    table = pa.table(
        {
            "text": pa.array(["one", "two"], pa.large_string()),
            "key": pa.array([1, 2], pa.int64()),
            "vector": pa.array(vectors.tolist(), pa.list_(pa.float64())),
            "metadata": pa.array([{"lang": "en"}, None]),
            "year": pa.array([2001, None], pa.int32()),
            "__index_level_0__": pa.array([5, 6]),
        }
    )
    pq.write_table(table, tmp_path / "theirs.parquet")
    with vecindex.open(tmp_path / "r") as index:
        assert index.import_(tmp_path / "theirs.parquet", space="theirs") == AddReport(added=2)
        assert state_of(index) == {"1": ("one", {"year": 2001, "lang": "en"}), "2": ("two", {"year": None})}
        assert index.get("1").vector == pytest.approx([0.6, 0.8])


@needs_pyarrow
def test_float32_vectors_stored_as_doubles_are_restored_exactly(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    vectors = toy_vectors("one", "two")
    table = pa.table({"text": ["one", "two"], "vector": vectors.astype(np.float64).tolist()})
    pq.write_table(table, tmp_path / "theirs.parquet")
    with vecindex.open(tmp_path / "r") as index:
        index.import_(tmp_path / "theirs.parquet", space="theirs")
        assert [row[4] for row in stored(index)] == [vector.tobytes() for vector in vectors]


def test_a_folder_with_half_precision_vectors_is_read(tmp_path: Path) -> None:
    (tmp_path / "e").mkdir()
    np.save(tmp_path / "e" / "vectors.npy", np.array([[3, 4], [1, 0]], np.float16))
    write_lines(tmp_path / "e" / "records.jsonl", {"text": "one"}, {"text": "two"})
    with vecindex.open(tmp_path / "r") as index:
        assert index.import_(tmp_path / "e", space="theirs").added == 2
        assert index.search([3, 4], k=1)[0].text == "one"


def test_the_line_with_the_space_may_be_anywhere(folder: Path, tmp_path: Path) -> None:
    with opened(folder) as index:
        index.add(["x " * 40])
        index.export(tmp_path / "e.jsonl")
    lines = (tmp_path / "e.jsonl").read_text().splitlines(keepends=True)
    write_lines(tmp_path / "sorted.jsonl", *reversed(lines))
    others = [line.replace('"key": "', '"key": "other ', 1) for line in lines]
    write_lines(tmp_path / "twice.jsonl", *lines, *others)
    for name, times in (("sorted", 1), ("twice", 2)):
        with opened(tmp_path / name) as copy:
            assert copy.import_(tmp_path / f"{name}.jsonl").added == 4 * times
            assert copy.info().fingerprint == toy_space().fingerprint
            assert copy.info().truncated == times


def test_a_repeated_key_is_an_error_that_names_both_lines(tmp_path: Path) -> None:
    vector = [1.0, 0.0]
    rows = [{"text": text, "key": key, "vector": vector} for text, key in (("one", "a"), ("two", "b"), ("eins", "a"))]
    path = write_lines(tmp_path / "theirs.jsonl", *rows)
    with vecindex.open(tmp_path / "r") as index:
        with pytest.raises(SourceError, match=r"theirs\.jsonl:3: the key 'a' is also that of line 1"):
            index.import_(path, space="theirs")
        assert len(index) == 0
        same = [{"text": "one", "n": n, "vector": vector} for n in (1, 2, 1)]
        path = write_lines(tmp_path / "same.jsonl", *same)
        assert index.import_(path, space="theirs") == AddReport(added=2, duplicates=1)


# --- spaces


@in_every_format
def test_an_error_for_vectors_of_another_space_names_both(folder: Path, tmp_path: Path, format: str) -> None:
    with opened(folder) as index:
        index.export(tmp_path / "e", format)
    other = ToyEncoder(weights="v" * 64)
    with opened(tmp_path / "r", model=other) as index:
        for _ in range(2):  # without records, and with
            with pytest.raises(SpaceMismatch) as caught:
                index.import_(tmp_path / "e")
            assert caught.value.expected == other.space.describe()
            assert caught.value.found == toy_space().describe()
            index.add(["mine"], keys=["m"])
        assert state_of(index) == {"m": ("mine", {})}


def test_vectors_of_unknown_origin_do_not_get_among_those_of_a_model(folder: Path, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "theirs.jsonl", {"text": "one", "vector": [1.0] * 16})
    with opened(folder) as index, pytest.raises(SpaceMismatch) as caught:
        index.import_(path)
    assert caught.value.found == f"vectors of {path}, which does not say what made them"
    with opened(folder) as index, pytest.raises(SpaceMismatch):
        index.import_(path, space="theirs")
    with opened(folder) as index:
        assert index.import_(path, space=toy_space()).added == 1


def test_a_file_that_names_its_space_accepts_no_other(folder: Path, tmp_path: Path) -> None:
    with opened(folder) as index:
        index.export(tmp_path / "e.jsonl")
    with (
        vecindex.open(tmp_path / "r") as index,
        pytest.raises(InvalidInput, match="already says what made"),
    ):
        index.import_(tmp_path / "e.jsonl", space="mine")


def test_a_space_whose_settings_were_changed_is_refused() -> None:
    for space in (None, toy_space(), Space.external("theirs", 3)):
        assert space_from(json.loads(space_json(space))) == space
    fields = json.loads(space_json(toy_space()))
    changed: list[Any] = [[], "toy", {**fields, "max_tokens": 31}, {**fields, "more": 1}, {"fingerprint": "x"}]
    for wrong in changed:
        with pytest.raises(ValueError, match=r"."):
            space_from(wrong)


# --- what is refused

GOOD = '{"text": "one", "vector": [1, 2]}\n'
BAD_LINES = [
    ('{"text": "two", "vector": [1, 2, 3]}', "its vector has 3 numbers, but earlier vectors have 2"),
    ('{"text": "two", "vector": [NaN, 1]}', "NaN is not JSON"),
    ('{"text": "two", "vector": [1e999, 1]}', "the number 1e999 is too large for a double"),
    ('{"text": "two", "vector": [0, -0.0]}', "its vector is zero, so it has no direction"),
    ('{"text": "two", "vector": ["1", 2]}', "its vector is not a list of numbers"),
    ('{"text": "two", "vector": [true, 2]}', "its vector is not a list of numbers"),
    ('{"text": "two", "vector": []}', "its vector is not a list of numbers"),
    ('{"text": "two", "vector": [1' + "0" * 400 + ", 2]}", "its vector holds a number that is too large"),
    ('{"text": "two"}', "the field 'vector' is missing; its fields are: text"),
    ('{"key": "k", "vector": [1, 2]}', "the field 'text' is missing; its fields are: key"),
    ('{"text": 5, "vector": [1, 2]}', "a text must be a string, not int"),
    ('{"text": "two", "key": "", "vector": [1, 2]}', "a key is the empty string"),
    ('{"text": "two", "key": true, "vector": [1, 2]}', "a key must be a string, not bool"),
    (
        '{"text": "two", "metadata": 1, "vector": [1, 2]}',
        "the field 'metadata' must be an object or null, not a number",
    ),
    ('{"text": "two", "a": 1, "metadata": {"a": 2}, "vector": [1, 2]}', "both beside and inside 'metadata': 'a'"),
    ('{"text": "two", "text": "b", "vector": [1, 2]}', "repeated in one object: 'text'"),
    ('{"text": "\\ud800", "vector": [1, 2]}', "a text holds a lone surrogate (U+D800 at character 0), which UTF-8 "),
    ('{"text": "two", "vector": [1, 2', "not valid JSON at column 32: Expecting ',' delimiter"),
    ("[1, 2]", 'it is not an object like {"key": "...", "text": "...", "vector": [...]}'),
    ('{"text": "two", "vector": ' + "[" * 100_000, "not usable JSON: nested too deeply"),
    ('{"text": "two", "vector": [1, 2], "space": {"fingerprint": 1, "architecture": 2}}', "its space is invalid: "),
]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES)
def test_a_bad_line_is_named_and_nothing_is_stored(tmp_path: Path, line: str, reason: str) -> None:
    path = write_lines(tmp_path / "e.jsonl", GOOD, "\n", line)
    with vecindex.open(tmp_path / "r") as index:
        with pytest.raises(SourceError) as caught:
            index.import_(path, space="mine")
        assert (caught.value.path, caught.value.line) == (str(path), 3)
        assert caught.value.reason.startswith(reason)
        assert "nothing was stored" in caught.value.advice
        assert index.info().generation == 0


def test_a_bad_last_line_after_many_good_ones_stores_nothing(tmp_path: Path) -> None:
    lines = [{"text": f"text {n}", "vector": [1, n]} for n in range(20_000)]
    path = write_lines(tmp_path / "e.jsonl", *lines, "oops")
    with vecindex.open(tmp_path / "r") as index:
        with pytest.raises(SourceError) as caught:
            index.import_(path, space="mine")
        assert caught.value.line == 20_001
        assert index.info().generation == 0


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 5)


@pytest.mark.parametrize(
    ("format", "name", "harm", "reason"),
    [
        ("npy", "vectors.npy", cut, "it has 315 bytes, but numbers of the shape (3, 16) need 320"),
        ("npy", "vectors.npy", lambda p: p.write_bytes(b""), "EOF: reading magic string, expected 8 bytes got 0"),
        ("npy", "vectors.npy", lambda p: p.write_bytes(b"x" * 500), "the magic string is not correct"),
        ("npy", "vectors.npy", lambda p: np.save(p, np.array([{}])), "it holds object of the shape (1,), not numbers"),
        ("npy", "vectors.npy", lambda p: np.save(p, np.zeros(3)), "it holds float64 of the shape (3,), not numbers"),
        ("npy", "vectors.npy", lambda p: np.save(p, np.zeros((3, 2), bool)), "it holds bool of the shape (3, 2)"),
        ("npy", "vectors.npy", lambda p: np.save(p, np.full((3, 16), np.nan)), "its vector holds NaN or an infinite"),
        ("npy", "vectors.npy", lambda p: np.save(p, np.ones((3, 15))), "its vectors have 15 numbers, but its space"),
        (
            "npy",
            "vectors.npy",
            lambda p: np.save(p, np.ones((2, 16))),
            "vectors.npy has no vector for it",
        ),
        ("npy", "vectors.npy", lambda p: np.save(p, np.ones((4, 16))), "it holds 3 records, but vectors.npy holds 4"),
        ("npy", "vectors.npy", Path.unlink, "is not a folder with records.jsonl and either vectors.npy or"),
        (
            "npy",
            "records.jsonl",
            Path.unlink,
            "is not a folder with records.jsonl and either vectors.npy or",
        ),
        ("npy", "records.jsonl", cut, "not valid JSON at column"),
        ("npy", "space.json", cut, "not valid JSON at column"),
        ("npy", "space.json", lambda p: p.write_text('{"fingerprint": "x"}'), "missing 11 required positional"),
        ("faiss", "index.faiss", cut, "it has 232 bytes, which do not fit 3 vectors of 16 numbers"),
        ("faiss", "index.faiss", lambda p: p.write_bytes(b"IxFI"), "it is too short for a FAISS index"),
        ("faiss", "index.faiss", lambda p: p.write_bytes(b"x" * 500), "it is not an IndexFlatIP"),
        (
            *("faiss", "index.faiss"),
            lambda p: p.write_bytes(struct.pack("<4siqqq?iQ", b"IxFI", -1, 3, 0, 0, True, 0, 48)),
            "it has 45 bytes, which do not fit 3 vectors of -1 numbers",
        ),
    ],
)
def test_a_damaged_folder_is_refused(
    folder: Path, tmp_path: Path, format: str, name: str, harm: Any, reason: str
) -> None:
    with opened(folder) as index:
        index.export(tmp_path / "e", format)
    harm(tmp_path / "e" / name)
    with opened(tmp_path / "r") as index:
        with pytest.raises(SourceError) as caught:
            index.import_(tmp_path / "e")
        assert caught.value.reason.startswith(reason)
        assert caught.value.path.startswith(str(tmp_path / "e"))
        assert index.info().generation == 0


@needs_pyarrow
def test_damaged_parquet_is_refused(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    with opened(folder) as index:
        index.export(path)
    whole = path.read_bytes()
    for damaged in (whole[:-5], whole[:4], b"", b"PAR1" + b"x" * 500 + b"PAR1", whole[:200] + whole[300:]):
        path.write_bytes(damaged)
        with (
            vecindex.open(tmp_path / "r") as index,
            pytest.raises(SourceError, match="not a readable Parquet") as caught,
        ):
            index.import_(path)
        assert (caught.value.path, caught.value.line) == (str(path), None)


@pytest.mark.parametrize(
    ("column", "line", "reason"),
    [
        ([[1.0, 2.0], [1.0]], 2, "its vector has 1 numbers, but earlier vectors have 2"),
        ([[1.0, 2.0], [None, 1.0]], 2, "its vector holds a null"),
        ([[1.0, 2.0], [float("nan"), 1.0]], 2, "its vector holds NaN or an infinite number"),
        ([["1"], ["2"]], None, "its column 'vector' has the type list<element: string>, not lists of numbers"),
        ([1.0, 2.0], None, "its column 'vector' has the type double, not lists of numbers"),
    ],
)
@needs_pyarrow
def test_unusable_vectors_in_parquet_are_named_by_their_row(
    tmp_path: Path, column: list[Any], line: int | None, reason: str
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "e.parquet"
    pq.write_table(pa.table({"text": ["one", "two"], "vector": column}), path)
    with vecindex.open(tmp_path / "r") as index, pytest.raises(SourceError) as caught:
        index.import_(path, space="mine")
    assert (caught.value.path, caught.value.line, caught.value.reason) == (str(path), line, reason)


@needs_pyarrow
def test_parquet_with_missing_columns_or_invalid_metadata_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "e.parquet"
    vectors = [[1.0, 2.0]]
    for columns, reason in (
        ({"text": ["one"], "emb": vectors}, "it has no column 'vector'; its columns are: text, emb"),
        ({"text": ["one"], "vector": vectors, "metadata": ["{"]}, "not valid JSON at column 2: Expecting property"),
        ({"text": [None], "vector": vectors}, "a text must be a string, not NoneType"),
        (
            {"text": ["one"], "vector": vectors, "raw": [b"x"]},
            "metadata cannot be written as JSON: metadata['raw'] is a bytes",
        ),
    ):
        pq.write_table(pa.table(columns), path)
        with vecindex.open(tmp_path / "r") as index, pytest.raises(SourceError) as caught:
            index.import_(path, space="mine")
        assert caught.value.reason.startswith(reason)


def test_other_paths_are_refused_with_advice(folder: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.ones((2, 2)))
    with vecindex.open(tmp_path / "r") as index:
        for path, message in {
            tmp_path / "none": "no such file or folder. Name a file or folder that an export wrote, or a .jsonl file.",
            folder: "is an index. Open it with vecindex.open.",
            tmp_path / "v.npy": "holds only vectors. Name its folder, which also holds records.jsonl and space.json.",
        }.items():
            with pytest.raises(SourceError) as caught:
                index.import_(path)
            assert str(caught.value) == f"{path}: {message}"
