"""A crafted file or folder is refused in one line: nothing is stored, and nothing outside it is touched."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import sqlite3
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecindex
from vecindex.errors import SourceError
from vecindex.exchange.vector_files import faiss_header

from ..support.sandbox import KINDS, Victim, plant, quick_folder, run, watched

pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs the extra 'parquet'")

LINES = b'{"text": "one"}\n{"text": "two"}\n'
VECTORS = np.array([[3, 4], [0, -2]], "<f4")
READS = "import reads Parquet, jsonl, and folders exported as npy or faiss"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with quick_folder(tmp_path) as quick:
        yield quick


@pytest.fixture
def victim(tmp_path: Path) -> Victim:
    return Victim(tmp_path / "victim")


def npy_folder(path: Path, vectors: bytes) -> Path:
    path.mkdir()
    (path / "vectors.npy").write_bytes(vectors)
    (path / "records.jsonl").write_bytes(LINES)
    return path


def npy(header: str, data: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version == (1, 0) else "<I", len(text)) + text + data


def head(shape: str, kind: str = "'<f4'", order: str = "False") -> str:
    return f"{{'descr': {kind}, 'fortran_order': {order}, 'shape': {shape}, }}"


def saved(array: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array, **options)
    return out.getvalue()


def refused(victim: Victim, path: Path, reason: str) -> str:
    """Runs ``vecindex import`` and checks its error; returns the advice."""
    index = path.parent / "index"
    with watched(victim, seconds=10):
        outcome = run("import", str(path), "--index", str(index), "--space", "mine")
    assert (outcome.exit_code, outcome.stdout) == (1, "")
    error, advice = outcome.stderr.splitlines()
    assert error.startswith(f"Error: {path}")
    assert reason in error
    assert not index.exists()
    return advice


# --- a folder of an array and lines

NPY: dict[str, tuple[bytes, str]] = {
    "a boolean in the shape": (npy(head("(True, 2)"), VECTORS.tobytes()), "of the shape (True, 2), not numbers"),
    "both booleans": (npy(head("(True, False)")), "of the shape (True, False), not numbers"),
    "more than there is": (npy(head("(2, 3)"), VECTORS.tobytes()), "numbers of the shape (2, 3) need"),
    "a huge shape": (npy(head(f"({2**61}, {2**61})"), VECTORS.tobytes()), "bytes, but numbers of the shape"),
    "a huge count of empty vectors": (npy(head(f"({10**400}, 0)")), "not numbers of the shape (records,"),
    "empty vectors": (npy(head("(2, 0)")), "its vector is empty"),
    "a negative shape": (npy(head("(-2, -2)"), VECTORS.tobytes()), "of the shape (-2, -2), not numbers"),
    "one dimension": (npy(head("(4,)"), VECTORS.tobytes()), "of the shape (4,), not numbers"),
    "an integer for a shape": (npy(head("4"), VECTORS.tobytes()), "shape is not valid: 4"),
    "no shape": (npy("{'descr': '<f4', 'fortran_order': False}"), "Header does not contain the correct keys"),
    "an invalid order": (npy(head("(2, 2)", order="1"), VECTORS.tobytes()), "fortran_order is not a valid bool"),
    "objects": (saved(np.array([[{}, []]], object), allow_pickle=True), "it holds object of the shape (1, 2)"),
    "a structured type": (
        npy(head("(2, 2)", "[('a', '<f4')]"), VECTORS.tobytes()),
        "not numbers of the shape (records,",
    ),
    "a subarray type": (npy(head("(2, 1)", "('<f4', (2,))"), VECTORS.tobytes()), "not numbers"),
    "no type": (npy(head("(2, 2)", "'nothing'"), VECTORS.tobytes()), "descr is not a valid dtype descriptor"),
    "text": (saved(np.array([["3", "4"], ["0", "2"]])), "it holds <U1 of the shape (2, 2), not numbers"),
    "complex numbers": (saved(np.ones((2, 2), complex)), "it holds complex128 of the shape (2, 2), not numbers"),
    "truth values": (saved(np.ones((2, 2), bool)), "it holds bool of the shape (2, 2), not numbers"),
    "dates": (saved(np.zeros((2, 2), "M8[s]")), "it holds datetime64[s] of the shape (2, 2), not numbers"),
    "packed bits": (saved(np.packbits(np.ones((2, 16), bool), axis=1)), "it holds uint8, which may be packed bits"),
    "code for a header": (npy("__import__('os').system('true')"), "its header cannot be read: malformed node"),
    "a deeply nested header": (npy("(" * 5_000), "its header cannot be read: "),
    "a long header": (npy(head("(2, 2)") + " " * 20_000, VECTORS.tobytes()), "Header info length"),
    "a truncated header": (npy(head("(2, 2)"))[:40], "EOF: reading array header"),
    "a newer format": (
        npy(head("(2, 2)"), VECTORS.tobytes(), (3, 0)),
        "version (3, 0) of the .npy format is not",
    ),
    "not a number": (saved(np.array([[np.nan, 1], [1, 1]])), "its vector holds NaN or an infinite number"),
    "a zero vector": (saved(np.array([[1, 1], [0, 0]], "i2")), "its vector is zero, so it has no direction"),
}


@pytest.mark.parametrize("what", NPY)
def test_a_crafted_array_is_refused(folder: Path, victim: Victim, what: str) -> None:
    content, reason = NPY[what]
    refused(victim, npy_folder(folder / "e", content), reason)


FAISS: dict[str, tuple[bytes, str]] = {
    "a huge count": (faiss_header(2**40, 2**20), "bytes, which do not fit 1099511627776 vectors of 1048576 numbers"),
    "empty vectors": (struct.pack("<4siqqq?iQ", b"IxFI", 0, 2, 0, 0, True, 0, 0), "its vector is empty"),
    "a huge count of nothing": (struct.pack("<4siqqq?iQ", b"IxFI", 0, 2**62, 0, 0, True, 0, 0), "array is too big"),
    "another metric": (struct.pack("<4siqqq?iQ", b"IxFI", 2, 2, 0, 0, True, 1, 4) + VECTORS.tobytes(), "IndexFlatIP"),
    "another index": (b"IwPQ" + bytes(100), "it is not an IndexFlatIP"),
    "a wrong count of numbers": (
        struct.pack("<4siqqq?iQ", b"IxFI", 2, 2, 0, 0, True, 0, 5) + VECTORS.tobytes(),
        "which do not fit",
    ),
}


@pytest.mark.parametrize("what", FAISS)
def test_a_crafted_faiss_file_is_refused(folder: Path, victim: Victim, what: str) -> None:
    content, reason = FAISS[what]
    path = npy_folder(folder / "e", b"")
    (path / "vectors.npy").unlink()
    (path / "index.faiss").write_bytes(content)
    refused(victim, path, reason)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("hard link", "empty", "noise", "huge")])
@pytest.mark.parametrize("name", ["vectors.npy", "records.jsonl", "space.json"])
def test_a_folder_with_irregular_files_is_refused_at_once(folder: Path, victim: Victim, name: str, kind: str) -> None:
    path = npy_folder(folder / "e", saved(VECTORS))
    plant(path / name, kind, victim)
    refused(victim, path, f"{name}: cannot be read: it is a")


@pytest.mark.parametrize("kind", ["FIFO", "socket"])
def test_an_irregular_file_is_refused_at_once(folder: Path, victim: Victim, kind: str) -> None:
    for name in ("e.jsonl", "e.parquet"):
        plant(folder / name, kind, victim)
        advice = refused(victim, folder / name, f"{name}: it is a {kind}, not a regular file")
        assert advice == "Import a file, or pipe jsonl into `vecindex import -`."


def test_a_device_is_refused_at_once(folder: Path) -> None:
    for device in ("/dev/zero", "/dev/null"):
        with (
            vecindex.open(folder / "i") as index,
            pytest.raises(SourceError, match="it is a device, not a regular file"),
        ):
            index.import_(device)


def test_an_open_pipe_of_a_shell_is_read(folder: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, b'{"text": "one", "vector": [3, 4]}\n')
    os.close(writing)
    with vecindex.open(folder / "i") as index:
        assert index.import_(f"/dev/fd/{reading}", space="mine").added == 1
    os.close(reading)


# --- Parquet


def parquet(path: Path, names: list[str], *columns: Any, **options: Any) -> Path:
    import pyarrow.parquet as pq

    pq.write_table(
        pyarrow.Table.from_arrays([pyarrow.array(c) if isinstance(c, list) else c for c in columns], names), path
    )
    return path


def lists(kind: Any, values: Any = ((3, 4), (0, -2))) -> Any:
    return pyarrow.array([list(value) if value is not None else None for value in values], kind)


FLOATS = [[3.0, 4.0], [0.0, -2.0]]
TEXTS = ["one", "two"]
PARQUET: dict[str, tuple[Callable[[], tuple[Any, ...]], str]] = {
    "two columns of vectors": (
        lambda: (["text", "vector", "vector"], TEXTS, FLOATS, FLOATS),
        "several columns have the same name: 'vector'",
    ),
    "two columns of texts": (
        lambda: (["text", "text", "vector"], TEXTS, ["three", "four"], FLOATS),
        "several columns have the same name: 'text'",
    ),
    "two columns of keys": (
        lambda: (["key", "key", "text", "vector"], TEXTS, TEXTS, TEXTS, FLOATS),
        "the same name: 'key'",
    ),
    "two other columns": (lambda: (["text", "vector", "a", "a"], TEXTS, FLOATS, TEXTS, TEXTS), "the same name: 'a'"),
    "no vectors": (lambda: (["text", "vector"], TEXTS, TEXTS), "its column 'vector' has the type string"),
    "vectors of texts": (lambda: (["text", "vector"], TEXTS, [["3"], ["4"]]), "not lists of numbers"),
    "vectors of lists": (lambda: (["text", "vector"], TEXTS, [[[3.0]], [[4.0]]]), "not lists of numbers"),
    "truth values": (lambda: (["text", "vector"], TEXTS, [[True], [True]]), "not lists of numbers"),
    "packed bits": (lambda: (["text", "vector"], TEXTS, lists(pyarrow.list_(pyarrow.uint8()), [[3], [4]])), "uint8"),
    "a null within one": (
        lambda: (["text", "vector"], TEXTS, [[3.0, 4.0], [None, 1.0]]),
        ":2: its vector holds a null",
    ),
    "different lengths": (lambda: (["text", "vector"], TEXTS, [[3.0, 4.0], [1.0]]), ":2: its vector has 1 numbers"),
    "empty vectors": (lambda: (["text", "vector"], TEXTS, lists(pyarrow.list_(pyarrow.float32()), [(), ()])), "empty"),
    "only nulls": (lambda: (["text", "vector"], TEXTS, pyarrow.nulls(2)), "its column 'vector' has the type null"),
    "texts of bytes": (lambda: (["text", "vector"], [b"one", b"two"], FLOATS), "a text must be a string, not bytes"),
    "a time as metadata": (
        lambda: (["text", "vector", "when"], TEXTS, FLOATS, pyarrow.array([0, 1], pyarrow.timestamp("s"))),
        "metadata['when'] is a datetime",
    ),
    "a day outside the range of dates": (
        lambda: (["text", "vector", "when"], TEXTS, FLOATS, pyarrow.array([0, 2**30], pyarrow.date32())),
        "a date or duration outside Python's range",
    ),
    "a duration out of range": (
        lambda: (["key", "text", "vector"], pyarrow.array([0, 2**62], pyarrow.duration("s")), TEXTS, FLOATS),
        "a date or duration outside Python's range",
    ),
}


@pytest.mark.parametrize("what", PARQUET)
def test_a_crafted_parquet_file_is_refused(folder: Path, victim: Victim, what: str) -> None:
    make, reason = PARQUET[what]
    refused(victim, parquet(folder / "e.parquet", *make()), reason)


def test_a_truncated_or_changed_parquet_file_is_refused(folder: Path, victim: Victim) -> None:
    whole = parquet(folder / "e.parquet", ["text", "vector"], TEXTS, FLOATS).read_bytes()
    for content in (
        whole[:-5],
        whole[:20],
        b"PAR1",
        b"",
        b"PAR1" + bytes(200) + b"PAR1",
        whole[:-8] + b"\xff" * 4 + b"PAR1",
    ):
        (folder / "e.parquet").write_bytes(content)
        refused(victim, folder / "e.parquet", "it is not a readable Parquet file")


def test_every_list_type_is_read_and_a_file_without_rows_adds_nothing(folder: Path) -> None:
    number = pyarrow.float32()
    for place, kind in enumerate(
        (
            *(pyarrow.list_(number), pyarrow.large_list(number), pyarrow.list_(number, 2)),
            *(pyarrow.list_view(number), pyarrow.large_list_view(number), pyarrow.list_(pyarrow.float16())),
            *(pyarrow.list_(pyarrow.int8()), pyarrow.large_list(pyarrow.int64()), pyarrow.list_view(pyarrow.float64())),
        )
    ):
        parquet(folder / "e.parquet", ["text", "vector"], TEXTS, lists(kind))
        with vecindex.open(folder / str(place)) as index:
            assert index.import_(folder / "e.parquet", space="theirs").added == 2
            assert [hit.score for hit in index.search([3, 4], k=2)] == pytest.approx([1, -0.8])
        empty = parquet(
            folder / "empty.parquet", ["text", "vector"], pyarrow.array([], pyarrow.string()), lists(kind, ())
        )
        with vecindex.open(folder / f"{place} empty") as index:
            assert index.import_(empty, space="theirs").added == 0


# --- other files


def database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("create table t (x)")
    connection.commit()
    connection.close()


def archive(path: Path) -> None:
    np.savez(path, vectors=VECTORS)


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("a.txt", "one\n")


OTHERS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "e.npz": (archive, f"is an archive of NumPy arrays (npz); {READS}", "Write texts and vectors as Parquet, or as"),
    "e.zip": (zipped, f"is a zip archive; {READS}", "Write texts and vectors as Parquet, or as lines like"),
    "e.pkl": (lambda p: p.write_bytes(pickle.dumps([1])), f"is a Python pickle; {READS}", "Write texts and vectors as"),
    "e.db": (database, f"is an SQLite database; {READS}", "Write texts and vectors as Parquet, or as lines like"),
    "e.jsonl.gz": (
        lambda p: p.write_bytes(gzip.compress(LINES)),
        f"is a gzip file; {READS}",
        "Unpack it first: gunzip -k",
    ),
    "e.csv": (
        lambda p: p.write_text("text,vector\none,1\n"),
        f"is a csv file without vectors; {READS}",
        "To add its texts: ",
    ),
    "e.txt": (
        lambda p: p.write_text("one\ntwo\n"),
        f"is a txt file without vectors; {READS}",
        "To add its texts: vecindex",
    ),
    "e.json": (
        lambda p: p.write_text(json.dumps([{"text": "one"}])),
        f"is a JSON array; {READS}",
        "Write one object a line",
    ),
    "e.npy": (
        lambda p: p.write_bytes(saved(VECTORS)),
        "holds only vectors",
        "Name its folder, which also holds records",
    ),
    "e.faiss": (
        lambda p: p.write_bytes(faiss_header(0, 2)),
        "holds only vectors",
        "Name its folder, which also holds",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_file_of_another_kind_is_refused_by_its_name(folder: Path, victim: Victim, name: str) -> None:
    make, reason, advice = OTHERS[name]
    make(folder / name)
    assert refused(victim, folder / name, reason).startswith(advice)


# --- numbers at the ends of their types


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        *[(f"i{size}", [-(2 ** (8 * size - 1)), 0]) for size in (1, 2, 4, 8)],
        *[(f"u{size}", [2 ** (8 * size) - 1, 0]) for size in (2, 4, 8)],
        ("f2", [65504, 0]),
        ("f2", [6e-8, 0]),
        ("f4", [1e-45, 0]),
        ("f4", [3e38, 0]),
        ("f8", [5e-324, 0]),
        ("f8", [-1.7e308, 0]),
        ("g", [np.longdouble("1e4000"), 0]),
        ("g", [np.longdouble("1e-4000"), 0]),
        (">f4", [3, 0]),
    ],
)
def test_vectors_with_the_largest_and_smallest_numbers_of_a_type_are_normalised(
    tmp_path: Path, kind: str, row: list[Any]
) -> None:
    vectors = np.array([row, row[::-1]], kind)
    sign = -1.0 if row[0] < 0 else 1.0
    with vecindex.open(tmp_path / "a") as index:
        index.import_(npy_folder(tmp_path / "e", saved(vectors)), space="theirs")
        assert [hit.text for hit in index.search([sign, 0], k=2)] == TEXTS
        assert [hit.score for hit in index.search([sign, 0], k=2)] == pytest.approx([1, 0])
    with vecindex.open(tmp_path / "b") as index:
        index.add(TEXTS, vectors=vectors, space="theirs")
        assert [hit.score for hit in index.search(vectors[0], k=2)] == pytest.approx([1, 0])
