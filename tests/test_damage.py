"""Is every kind of damage found and named, with the file it is in?"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vecindex
from tests.helpers import opened, small_index, sql
from tests.test_store import ROW_BYTES
from tests.toy import toy_space
from vecindex.errors import CorruptIndex, IncompatibleFormat, VecindexError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return small_index(tmp_path / "notes.vecindex")


def damage_vector(folder: Path) -> None:
    with (folder / "vectors-1.f32").open("r+b") as file:
        file.seek(3 * ROW_BYTES)
        file.write(b"\xff" * 4)


def damage_dead_vector(folder: Path) -> None:
    with (folder / "vectors-1.f32").open("r+b") as file:
        file.seek(1 * ROW_BYTES)
        file.write(b"\xff" * 4)


FAULTS: list[tuple[Callable[[Path], object], str, str]] = [
    (damage_vector, "vectors-1.f32", "the vector of 'd' (row 3) is not finite and of unit length"),
    (
        lambda f: os.truncate(f / "vectors-1.f32", 5 * ROW_BYTES - 1),
        *("vectors-1.f32", "it holds 319 bytes; 5 rows need 320"),
    ),
    (lambda f: (f / "vectors-1.f32").unlink(), "vectors-1.f32", "it is missing; 5 rows need it"),
    (
        lambda f: sql(f, "delete from records where key = 'a'"),
        *("vecindex.db", "2 records and 2 dead rows do not make up the 5 committed rows"),
    ),
    (
        lambda f: sql(f, "insert into dead values (0)"),
        *("vecindex.db", "3 records and 3 dead rows do not make up the 5 committed rows"),
    ),
    (
        lambda f: sql(f, "update records set metadata = '{oops' where key = 'd'"),
        *("vecindex.db", "the metadata of 'd' is not a JSON object"),
    ),
    (
        lambda f: sql(f, "update records set metadata = '[1]' where key = 'd'"),
        *("vecindex.db", "the metadata of 'd' is not a JSON object"),
    ),
    (
        lambda f: sql(f, "update manifest set fingerprint = 'other'"),
        *("vecindex.db", f"the fingerprint other is not that of its space, {toy_space().fingerprint}"),
    ),
]


@pytest.mark.parametrize(("damage", "name", "reason"), FAULTS)
def test_verify_names_the_damaged_file(folder: Path, damage: Callable[[Path], object], name: str, reason: str) -> None:
    with opened(folder) as index:
        assert index.verify() == vecindex.VerifyReport(3, 5, ())
    damage(folder)
    with opened(folder, readonly=True) as index:
        assert [(f.path, f.reason) for f in index.verify().faults] == [(str(folder / name), reason)]


def test_verify_ignores_the_vectors_of_dead_rows(folder: Path) -> None:
    damage_dead_vector(folder)
    with opened(folder) as index:
        assert index.verify().ok


def test_verify_finds_a_broken_page_of_the_database(tmp_path: Path) -> None:
    path = tmp_path / "i"
    with opened(path) as index:
        index.add([f"text number {n} {'x' * 300}" for n in range(100)])
    page = sql(path, "select rootpage from sqlite_master where name = 'records'")[0][0]
    with (path / "vecindex.db").open("r+b") as file:
        file.seek((page - 1) * 4096 + 8)
        file.write(b"\xff" * 64)
    with opened(path) as index:
        (fault,) = index.verify().faults
    assert fault.path == str(path / "vecindex.db")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is a SQLite database, but not one of vecindex"),
        (b"garbage" * 1000, "file is not a database"),
        (b"SQLite format 3\0" + b"\xff" * 5000, "file is not a database"),
    ],
)
@pytest.mark.parametrize("readonly", [False, True])
def test_opening_garbage_is_a_corrupt_index(folder: Path, content: bytes, reason: str, readonly: bool) -> None:
    (folder / "vecindex.db").write_bytes(content)
    with pytest.raises(CorruptIndex) as caught:
        opened(folder, readonly=readonly)
    assert (caught.value.path, caught.value.reason) == (str(folder / "vecindex.db"), reason)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_database_never_raises_anything_but_our_errors(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "i"
    with opened(path) as index:
        index.add(["one", "two"], keys=["a", "b"])
    content = bytearray((path / "vecindex.db").read_bytes())
    # Structure only: text that is no UTF-8 and JSON that does not parse have tests of their own.
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, 130))] = data.draw(st.integers(0, 255))
    (path / "vecindex.db").write_bytes(content[: data.draw(st.sampled_from([len(content), 100, 4096, 6000]))])
    with contextlib.suppress(VecindexError), opened(path) as index:
        index.search("one")
        index.verify()
    shutil.rmtree(path)


def test_another_format_is_named_with_ours(folder: Path) -> None:
    sql(folder, "update manifest set format = 2")
    with pytest.raises(IncompatibleFormat) as caught:
        opened(folder)
    assert (caught.value.path, caught.value.found, caught.value.supported) == (str(folder), 2, 1)


def test_an_empty_manifest_and_a_missing_database_are_corrupt(folder: Path) -> None:
    sql(folder, "delete from manifest")
    with pytest.raises(CorruptIndex, match="its manifest is empty"), opened(folder) as index:
        index.search("one")
    (folder / "vecindex.db").unlink()
    for options in ({}, {"create": False}, {"readonly": True}):
        with pytest.raises(CorruptIndex, match="it is missing, and the vectors beside it say nothing without it"):
            opened(folder, **options)
