"""What verify and repair make of records without a vector, and of rows and records that disagree about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecindex import Index
from vecindex.store.stored import record_crc
from vecindex.store.text_cache import entry_crc, text_digest
from vecindex.store.vectors import checksums
from vecindex.values.records import NO_VECTOR

from ...support.helpers import opened, sql
from ...support.vector_files import ROW_BYTES, overwrite

TEXTS = {"a": "one", "b": "two", "c": "three", "x": "bare one", "y": "bare two"}
BARE = ["x", "y"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with opened(tmp_path / "i") as index:
        index.add(list(TEXTS.values())[:1], keys=["a"])
        index.add(["bare one", "bare two"], keys=BARE, encode=False)
        index.add(["two", "three"], keys=["b", "c"])
    return tmp_path / "i"


def lacking(index: Index) -> list[str]:
    return [record.key or "" for record in index.list() if not record.has_vector]


def keys(hits: Any) -> list[str]:
    return sorted(hit.key for hit in hits)


def set_lost(folder: Path, key: str, lost: int) -> None:
    sql(
        folder, f"update records set lost = {lost}, crc = {record_crc(key, TEXTS[key], '{}', lost)} where key = '{key}'"
    )


def set_sum(folder: Path, row: int, checksum: int) -> None:
    import zlib

    ((content,),) = sql(folder, "select sums from sums")
    sums = np.frombuffer(content, "<u4").copy()
    sums[row] = checksum
    sql(folder, f"update sums set sums = x'{sums.tobytes().hex()}', crc = {zlib.crc32(sums.tobytes())}")


def test_a_checksum_is_0_for_a_row_of_zeros_alone() -> None:
    assert checksums(np.zeros((3, 0), np.float32)).tolist() == [0, 0, 0]
    assert checksums(np.zeros((2, 5), np.float32)).tolist() == [0, 0]
    # With m_0 as the only factor, any word w = h / m_0 has the product h; equal halves of h cancel each other out.
    (factor,) = np.array([16294208416658607535 | 1], np.uint64)  # splitmix64(0)
    inverse = np.uint64(pow(int(factor), -1, 2**64))
    with np.errstate(over="ignore"):
        words = np.array([[0], [0x0000000500000005], [0xABCDEF01ABCDEF01]], np.uint64) * inverse
    found = checksums(words.astype("<u8").view("<f4"))
    assert found.tolist() == [0, 1, 1]


def test_a_lost_vector_file_is_made_again_without_those_that_were_never_there(folder: Path) -> None:
    (folder / "vectors-1.f32").unlink()
    with opened(folder) as index:
        (fault,) = index.verify().faults
        assert "missing" in fault.reason
        assert index.repair(encode=True).ok
        assert lacking(index) == BARE
        assert keys(index.search("one", 9)) == ["a", "b", "c"]


def test_a_row_that_should_be_zeros_is_found_to_be_damaged(folder: Path) -> None:
    overwrite(folder / "vectors-1.f32", ROW_BYTES, np.ones(16, "<f4").tobytes())
    with opened(folder) as index:
        (fault,) = index.verify().faults
        assert fault.reason == "the vector of 'x' (row 1) is not what was written"
        assert index.repair().ok
        assert lacking(index) == ["y"]  # encoding it again is what repairs a vector
        assert index.search("bare one", 1)[0].key == "x"


def test_a_record_that_says_it_has_no_vector_though_there_is_one_gets_it_back(folder: Path) -> None:
    set_lost(folder, "b", NO_VECTOR)
    with opened(folder) as index:
        (fault,) = index.verify().faults
        assert fault.reason == "the vector of 'b' (row 3) is there, though the record says that it has none"
        assert index.repair().ok
        assert lacking(index) == BARE


def test_a_record_that_says_nothing_of_its_missing_vector_gets_one(folder: Path) -> None:
    set_lost(folder, "x", 0)
    with opened(folder) as index:
        assert keys(index.search("one", 9)) == ["a", "b", "c"]
        (fault,) = index.verify().faults
        assert fault.reason == "the vector of 'x' (row 1) is not finite and of unit length"
        assert index.repair().ok
        assert lacking(index) == ["y"]


def test_a_zeroed_vector_is_damage_and_no_record_without_one(folder: Path) -> None:
    overwrite(folder / "vectors-1.f32", 0, bytes(ROW_BYTES))
    with opened(folder) as index:
        (fault,) = index.verify().faults
        assert fault.reason == "the vector of 'a' (row 0) is not what was written"
        assert index.repair().ok
        assert index.search("one", 1)[0].key == "a"


def test_damaged_checksums_are_made_again_with_those_of_missing_vectors(folder: Path) -> None:
    sql(folder, "update sums set crc = crc + 1")
    with opened(folder) as index:
        (fault,) = index.verify().faults
        assert "checksums" in fault.reason
        assert index.repair().ok
        assert lacking(index) == BARE
        assert keys(index.search("one", 9)) == ["a", "b", "c"]


def test_a_wrong_checksum_of_a_missing_vector_is_damage(folder: Path) -> None:
    set_sum(folder, 1, 5)
    with opened(folder) as index:
        (fault,) = index.verify().faults
        assert fault.reason == "the vector of 'x' (row 1) is not what was written"


def test_the_cache_never_gives_the_zeros_of_a_missing_vector(folder: Path) -> None:
    digest = text_digest("new")
    sql(folder, f"insert into cached values (x'{digest.hex()}', 1, 0, {entry_crc(digest, 0, 0)})")
    with opened(folder) as index:
        (fault,) = index.verify().faults
        assert "its cache" in fault.reason
        index.add(["new"], keys=["n"])
        assert index.search("new", 1)[0].key == "n"
        assert index.repair().ok


def test_what_a_killed_writer_left_does_not_get_into_the_hole_before_the_first_vector(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.add(["bare one", "bare two"], keys=BARE, encode=False)
        (tmp_path / "i" / "vectors-1.f32").write_bytes(b"\x01" * 4 * ROW_BYTES)
        index.add(["one"], keys=["a"])
        assert index.verify().ok
        assert (tmp_path / "i" / "vectors-1.f32").read_bytes()[: 2 * ROW_BYTES] == bytes(2 * ROW_BYTES)
