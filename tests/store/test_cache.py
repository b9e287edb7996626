"""The cache finds a text that was encoded once, under any key, unless its vector is damaged."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from vecindex import AddReport, CompactReport, Index
from vecindex.store.text_cache import BYTES_AN_ENTRY

from ..support.helpers import opened, sql
from ..support.toy import ToyEncoder, toy_space
from ..support.vector_files import ROW_BYTES, by_definition, overwrite

LONG = "word " * 40


@pytest.fixture
def encoder() -> ToyEncoder:
    return ToyEncoder()


@pytest.fixture
def index(tmp_path: Path, encoder: ToyEncoder) -> Iterator[Index]:
    with opened(tmp_path / "i", model=encoder) as index:
        yield index


def cached(index: Index) -> dict[str, int]:
    """The row of each digest in hex."""
    return {digest.hex(): row for digest, row in sql(index.path, "select digest, row from cached")}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def test_cache_entry_is_digest_row_lost_tokens_and_checksum(index: Index, tmp_path: Path) -> None:
    index.add(["one", LONG], keys=["a", "b"])
    content = (tmp_path / "i" / "vectors-1.f32").read_bytes()
    rows = sorted(sql(index.path, "select row, digest, lost, crc from cached"))
    assert [(row, entry.hex(), lost) for row, entry, lost, _ in rows] == [(0, digest("one"), 0), (1, digest(LONG), 9)]
    for row, entry, lost, crc in rows:
        checksum = by_definition(content[row * ROW_BYTES :][:ROW_BYTES])
        assert crc == zlib.crc32(entry + struct.pack("<QI", lost, checksum))
    assert (index.info().cached_texts, index.info().cache_bytes) == (2, 2 * BYTES_AN_ENTRY)


def test_text_under_another_key_is_not_encoded_again(index: Index, encoder: ToyEncoder) -> None:
    index.add(["one", "two"], keys=["a", "b"])
    encoder.encoded = 0
    assert index.add(["two", "three", "one"], keys=["c", "d", "e"]) == AddReport(added=3)
    assert encoder.encoded == 1
    for before, after in (("a", "e"), ("b", "c")):
        one, other = index.get(before).vector, index.get(after).vector
        assert one is not None
        assert other is not None
        assert one.tobytes() == other.tobytes()
    assert index.verify().ok


def test_text_of_a_deleted_or_replaced_record_is_not_encoded_again(index: Index, encoder: ToyEncoder) -> None:
    index.add(["one", "two"], keys=["a", "b"])
    index.delete(["a"])
    index.add(["zwei"], keys=["b"])
    encoder.encoded = 0
    assert index.add(["one", "two"], keys=["a", "b"]) == AddReport(added=1, updated=1)
    assert encoder.encoded == 0
    assert index.search("one", k=1)[0].key == "a"


def test_cache_entry_follows_its_text_to_the_newest_row_and_through_compaction(
    index: Index, encoder: ToyEncoder
) -> None:
    index.add(["zero", "one", "two"], keys=["z", "a", "b"])
    index.add(["one"], keys=["c"])
    assert cached(index) == {digest("zero"): 0, digest("one"): 3, digest("two"): 2}
    index.delete(["z", "a"])
    report = index.compact()
    assert (report.dropped_rows, report.forgotten_texts) == (2, 1)
    assert cached(index) == {digest("two"): 0, digest("one"): 1}
    assert index.verify().ok
    encoder.encoded = 0
    index.add(["one", "two", "zero"], keys=["x", "y", "z"])
    assert encoder.encoded == 1


def test_compact_can_empty_the_cache(index: Index, encoder: ToyEncoder) -> None:
    index.add(["one", "two"])
    report = index.compact(cache=True)
    assert report == CompactReport(0, report.bytes_before, report.bytes_after, 2)
    assert cached(index) == {}
    encoder.encoded = 0
    assert index.add(["one"], keys=["a"]) == AddReport(added=1)
    assert encoder.encoded == 1


def test_truncated_text_from_the_cache_is_still_truncated(index: Index, encoder: ToyEncoder) -> None:
    index.add([LONG], keys=["a"])
    encoder.encoded = 0
    assert index.add([LONG], keys=["b"]) == AddReport(added=1, truncated=1, tokens_lost=9)
    assert encoder.encoded == 0
    assert [hit.lost for hit in index.search("word", k=2)] == [9, 9]


def test_vectors_made_elsewhere_are_not_cached(index: Index, encoder: ToyEncoder) -> None:
    theirs = ToyEncoder().encode(["one"]) + np.eye(1, 16) / 1000
    index.add(["one"], keys=["a"], vectors=theirs, space=toy_space())
    assert cached(index) == {}
    index.add(["one"], keys=["b"])
    assert cached(index) == {digest("one"): 1}
    assert index.get("b").vector == pytest.approx(encoder.encode(["one"])[0], abs=1e-6)


@pytest.mark.parametrize("what", ["a vector", "a live row", "a dead row", "a row beyond", "lost", "crc"])
def test_damaged_cache_entry_is_encoded_again(index: Index, encoder: ToyEncoder, what: str) -> None:
    index.add(["one", "two", "three"], keys=["a", "b", "c"])
    index.delete(["c"])
    entry = f"where digest = x'{digest('one')}'"
    if what == "a vector":
        overwrite(index.path / "vectors-1.f32", 5, b"\xff")
    else:
        changes = {"a live row": "row = 1", "a dead row": "row = 2", "a row beyond": "row = 3"}
        sql(index.path, f"update cached set {changes.get(what, f'{what} = {what} + 1')} {entry}")
    encoder.encoded = 0
    assert index.add(["one"], keys=["d"]) == AddReport(added=1)
    assert encoder.encoded == 1
    assert index.get("d").vector == pytest.approx(encoder.encode(["one"])[0], abs=1e-6)
    assert cached(index)[digest("one")] == 3


def test_unreadable_page_of_the_cache_is_repaired(tmp_path: Path) -> None:
    path = tmp_path / "i"
    with opened(path) as index:
        index.add([f"text {n}" for n in range(2000)])
        index.compact()  # all of it is in the file itself, not in the log
    page = sql(path, "select rootpage from sqlite_master where name = 'cached'")[0][0]
    overwrite(path / "vecindex.db", (page - 1) * 4096, b"\xff" * 64)
    with opened(path) as index:
        assert not index.verify().ok
        assert index.repair().ok
        assert (len(index), index.info().cached_texts) == (2000, 0)
        assert index.add(["text 5"], keys=["a"]) == AddReport(added=1)
        assert index.verify().ok


def test_environment_of_the_encoder_is_stored_with_the_newest_vectors(tmp_path: Path) -> None:
    class Telling(ToyEncoder):
        def environment(self) -> dict[str, str]:
            return {"machine": machine}

    machine = "old"
    with opened(tmp_path / "i", model=Telling()) as index:
        assert index._manifest().written_by is None
        index.add(["one"])
        assert index._manifest().written_by == {"machine": "old"}
        machine = "new"
        index.add(["one"], keys=["a"])  # from the cache
        index.add(["x"], keys=["b"], vectors=np.eye(1, 16), space=toy_space())
        index.delete(["a"])
        index.compact()
        assert index._manifest().written_by == {"machine": "old"}
        index.add(["two"])
        assert index._manifest().written_by == {"machine": "new"}
        assert index.verify().ok
