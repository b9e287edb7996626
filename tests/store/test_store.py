"""The files of an index, what an add changes in them, and where an index can be created."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vecindex
from vecindex.errors import CorruptIndex, IndexNotFound, InvalidInput
from vecindex.store.changes.reconcile import Incoming, reconcile, same_json
from vecindex.store.sql.reads import Catalog
from vecindex.store.stored import Stored
from vecindex.store.vectors import appended, checksums

from ..support.helpers import SMALL_STATE, State, opened, small_index, snapshots, sql, state_of
from ..support.places import PROJECT
from ..support.toy import DIMENSION, ToyEncoder
from ..support.vector_files import ROW_BYTES, by_definition


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return small_index(tmp_path / "notes.vecindex")


# --- what is on disk -------------------------------------------------------------------------------------------------


def test_row_r_is_at_4_r_d_little_endian_and_is_a_record_or_dead(folder: Path) -> None:
    content = (folder / "vectors-1.f32").read_bytes()
    assert len(content) == 5 * ROW_BYTES
    texts = ["one", "two", "three", "four", "drei"]
    for row, vector in enumerate(ToyEncoder().encode(texts)):
        assert struct.unpack_from(f"<{DIMENSION}f", content, row * ROW_BYTES) == pytest.approx(
            vector.tolist(), abs=1e-6
        )
    rows = [(0, "a", "one", '{"n":0}', 0), (3, "d", "four", '{"n":3}', 0), (4, "c", "drei", '{"n":2}', 0)]
    assert sql(folder, "select row, key, text, metadata, lost, crc from records order by row") == [
        (*row, zlib.crc32("\0".join(row[1:4]).encode())) for row in rows
    ]
    bits = bytes([0b00000110]) + bytes(511)  # rows 1 and 2
    assert sql(folder, "select block, generation, bits, crc from dead") == [(0, 3, bits, zlib.crc32(bits))]
    sums = b"".join(struct.pack("<I", by_definition(content[r * ROW_BYTES :][:ROW_BYTES])) for r in range(5))
    assert sql(folder, "select block, sums, crc from sums") == [(0, sums, zlib.crc32(sums))]
    assert sql(folder, "select format, generation, vectors, rows, dead from manifest") == [(6, 3, 1, 5, 2)]
    assert sorted(p.name for p in folder.iterdir()) == [".gitignore", "vecindex.db", "vectors-1.f32", "writer.lock"]
    (created,) = sql(folder, "select created from manifest")[0]
    note = f"committed 3 {created}"
    assert (folder / "writer.lock").read_text() == f"{note} {zlib.crc32(note.encode()):08x}\n"


@given(st.integers(1, 40), st.integers(0, 2**32 - 1), st.data())
def test_checksum_is_as_defined_and_changes_with_any_bit(dimension: int, seed: int, data: st.DataObject) -> None:
    vectors = np.random.default_rng(seed).standard_normal((3, dimension)).astype("<f4")
    sums = checksums(vectors)
    assert sums.tolist() == [by_definition(vector.tobytes()) for vector in vectors]
    changed = bytearray(vectors.tobytes())
    bit = data.draw(st.integers(0, 8 * len(changed) - 1))
    changed[bit // 8] ^= 1 << bit % 8
    after = checksums(np.frombuffer(bytes(changed), "<f4").reshape(3, dimension))
    assert np.flatnonzero(after != sums).tolist() == [bit // (32 * dimension)]


def test_checksums_of_a_long_add_are_copied_seldom_and_those_of_earlier_generations_stay() -> None:
    sums = np.arange(4096, dtype="<u4")
    every, rooms = [sums], set()
    for number in range(1, 200):
        known = every[-1][: len(every[-1]) // 4096 * 4096]
        every.append(appended(known, np.arange(len(known), 2000 * number + 4096, dtype="<u4")))
        rooms.add(id(every[-1].base))
    assert all(each.tolist() == list(range(len(each))) for each in every)
    assert len(rooms) < 15


def test_compaction_keeps_order_and_vectors_in_one_shorter_file(folder: Path) -> None:
    before = (folder / "vectors-1.f32").read_bytes()
    with opened(folder) as index:
        report = index.compact()
        assert (report.dropped_rows, state_of(index)) == (2, SMALL_STATE)
        assert index.verify() == vecindex.VerifyReport(3, 3, ())
    assert [p.name for p in folder.glob("*.f32")] == ["vectors-2.f32"]
    kept = b"".join(before[row * ROW_BYTES : (row + 1) * ROW_BYTES] for row in (0, 3, 4))
    assert (folder / "vectors-2.f32").read_bytes() == kept
    assert sql(folder, "select row, key from records order by row") == [(0, "a"), (1, "d"), (2, "c")]


def test_bytes_beyond_the_committed_rows_are_ignored_and_overwritten(folder: Path) -> None:
    with (folder / "vectors-1.f32").open("ab") as file:
        file.write(b"\xff" * (3 * ROW_BYTES + 7))
    with opened(folder) as index:
        assert index.verify().ok
        assert len(index.search("one", k=10)) == 3
        index.add(["five"], keys=["e"])
        assert index.get("e").vector == pytest.approx(ToyEncoder().encode(["five"])[0], abs=1e-6)
        assert index.verify().ok
    assert (folder / "vectors-1.f32").stat().st_size == 6 * ROW_BYTES


def test_dead_row_cannot_be_buried_again(folder: Path) -> None:
    catalog = Catalog(folder)
    try:
        before = catalog.manifest()
        with pytest.raises(CorruptIndex, match=r"2 records .* but only 1 exist"), catalog.changing() as t:
            t.commit(t.bury(before, np.array([0, 1])))
        assert catalog.manifest() == before
        with catalog.changing() as tables:
            tables.commit(tables.bury(before, np.array([3, 0, 3])))
        assert catalog.manifest().dead == before.dead + 2
    finally:
        catalog.close()
    with opened(folder) as index:
        assert state_of(index) == {"c": SMALL_STATE["c"]}
        assert index.verify().ok


# --- reconcile -------------------------------------------------------------------------------------------------------

ITEMS = st.lists(
    st.builds(
        Incoming,
        st.sampled_from("abc"),
        st.sampled_from(["x", "y"]),
        st.sampled_from([None, "{}", '{"m":1}', '{"m":true}', '{"a":1,"b":2}', '{"b":2,"a":1}']),
    ),
    max_size=8,
)


def one_by_one(state: State, items: list[Incoming]) -> tuple[State, int, int, int]:
    """Adds the items one by one: compares each with what is stored, then writes it."""
    counts = {"added": 0, "updated": 0, "unchanged": 0}
    for item in items:
        before = state.get(item.key)
        metadata = (before[1] if before else {}) if item.metadata is None else json.loads(item.metadata)
        # As JSON text, since {"m": True} and {"m": 1} are equal in Python.
        same = before and json.dumps([item.text, metadata], sort_keys=True) == json.dumps([*before], sort_keys=True)
        counts["unchanged" if same else "updated" if before else "added"] += 1
        state = state | {item.key: (item.text, metadata)}
    return state, counts["added"], counts["updated"], counts["unchanged"]


@given(ITEMS, ITEMS)
def test_reconcile_equals_adding_one_by_one(first: list[Incoming], second: list[Incoming]) -> None:
    before, *_ = one_by_one({}, first)
    stored = {
        key: Stored(row, key, text, json.dumps(metadata), 0)
        for row, (key, (text, metadata)) in enumerate(before.items())
    }
    found = reconcile(second, stored, lambda row: pytest.fail("no vector was given"))
    expected, *counts = one_by_one(before, second)
    assert [found.added, found.updated, found.unchanged] == counts
    after = dict(before)
    for item in found.written:
        assert item.key not in stored or item.text != stored[item.key].text
        after[item.key] = (item.text, json.loads(item.metadata or "{}"))
    for old, item in found.relabelled:
        after[old.key] = (before[old.key][0], json.loads(item.metadata or "{}"))
    assert json.dumps(after, sort_keys=True) == json.dumps(expected, sort_keys=True)
    touched = [item.key for item in found.written] + [old.key for old, _ in found.relabelled]
    assert len(touched) == len(set(touched))


def test_json_texts_are_equal_in_any_order_but_not_across_types() -> None:
    assert same_json('{"a":1,"b":[2]}', '{"b":[2],"a":1}')
    assert not same_json('{"a":1}', '{"a":true}')
    assert not same_json('{"a":[1,2]}', '{"a":[2,1]}')


# --- where an index can be -------------------------------------------------------------------------------------------


def test_file_or_directory_of_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    with pytest.raises(InvalidInput, match=r"notes.txt is a file, not the directory of an index"):
        opened(file)
    with pytest.raises(InvalidInput, match="is a directory that holds other files"):
        opened(tmp_path)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("notes.txt", "mine")]


def test_index_is_created_in_an_empty_directory_and_below_missing_ones(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "a" / "b" / "c"):
        opened(path).close()
        assert sorted(p.name for p in path.iterdir()) == [".gitignore", "vecindex.db"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "empty"]


def test_nothing_is_created_readonly_or_without_create(tmp_path: Path) -> None:
    for options in ({"create": False}, {"readonly": True}):
        with pytest.raises(IndexNotFound) as caught:
            opened(tmp_path / "none", **options)
        assert caught.value.path == str(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_readonly_refuses_changes_and_writes_nothing(folder: Path) -> None:
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with opened(folder, readonly=True) as index:
        for change in (lambda: index.add(["x"]), lambda: index.delete(["a"]), index.compact):
            with pytest.raises(InvalidInput, match="was opened readonly"):
                change()
        assert [hit.key for hit in index.search("four", k=1)] == ["d"]
        assert state_of(index) == SMALL_STATE
    # After reading, SQLite leaves its empty log and the log's index.
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.name in before} == before


UNPRIVILEGED = """
import os, sys
import vecindex
from tests.support.toy import ToyEncoder
opened, failed = vecindex.open, vecindex.VecindexError
with opened(sys.argv[1], model=ToyEncoder(), readonly=True) as index:
    index.search("warm"), index.verify()  # imports everything while the modules are readable
for name in ("vecindex.db-wal", "vecindex.db-shm") if sys.argv[2] == "closed" and os.getuid() == 0 else ():
    os.remove(os.path.join(sys.argv[1], name))
if os.getuid() == 0:
    os.setgid(65534), os.setuid(65534)
with opened(sys.argv[1], readonly=True, model=ToyEncoder()) as index:
    print([hit.key for hit in index.search("four", k=1)], len(index), index.verify().ok)
try:
    opened(sys.argv[1], model=ToyEncoder()).add(["x"])
except failed as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize("closed", [True, False], ids=["no log beside it", "with a log beside it"])
def test_index_in_an_unwritable_directory_is_readable(closed: bool) -> None:
    public = Path(tempfile.mkdtemp())  # other users cannot enter pytest's own
    public.chmod(0o755)
    folder = public / "i"
    with opened(folder) as index:
        index.add(["one", "two", "three", "four"], keys=list("abcd"))
    writer = None if closed else opened(folder)
    if writer is not None:
        writer.add(["five"], keys=["e"])
    folder.chmod(0o555)
    for file in folder.iterdir():
        file.chmod(0o444)
    try:
        done = subprocess.run(
            [sys.executable, "-c", UNPRIVILEGED, str(folder), "closed" if closed else "open"],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=600,
        )
    finally:
        folder.chmod(0o755)
        if writer is not None:
            writer.close()
        shutil.rmtree(public)
    assert done.stderr == ""
    assert done.stdout == f"['d'] {4 if closed else 5} True\nStorageError\n"


def test_interrupt_at_the_start_of_a_transaction_leaves_the_connection_usable(folder: Path) -> None:
    class Interrupting:
        """A connection on which Ctrl-C arrives right after ``begin``."""

        def __init__(self, real: Any) -> None:
            self.real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

        def execute(self, statement: str, *parameters: Any) -> Any:
            result = self.real.execute(statement, *parameters)
            if statement.startswith("begin"):
                raise KeyboardInterrupt
            return result

    with opened(folder) as index:
        for transaction in ("reading", "writing"):
            with snapshots(index).borrow() as catalog:
                real = catalog.sqlite
                catalog.sqlite = Interrupting(real)  # type: ignore[assignment]
                with pytest.raises(KeyboardInterrupt), getattr(catalog, transaction)():
                    pass
                catalog.sqlite = real
        assert state_of(index) == SMALL_STATE
        assert index.add(["five"], keys=["e"]).added == 1
