"""Every kind of damage is found and named, with its file and what repairs it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import vecindex
from vecindex.errors import CorruptIndex, IncompatibleFormat, VecindexError

from ...support.extent import examples, slow
from ...support.helpers import opened, small_index, sql
from ...support.index_faults import FAULTS, RESTORE
from ...support.places import PROJECT
from ...support.vector_files import ROW_BYTES, overwrite


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return small_index(tmp_path / "notes.vecindex")


@pytest.mark.parametrize("what", FAULTS)
def test_verify_names_the_damaged_file_and_what_repairs_it(folder: Path, what: str) -> None:
    damage, name, reason, repair = FAULTS[what]
    with opened(folder) as index:
        assert index.verify() == vecindex.VerifyReport(3, 5, ())
    damage(folder)
    with opened(folder, readonly=True) as index:
        (fault,) = index.verify().faults
    assert (fault.path, fault.reason) == (str(folder / name), reason)
    assert fault.repair.replace(f" --index {folder}", "") == repair


def test_verify_ignores_vectors_of_dead_rows(folder: Path) -> None:
    overwrite(folder / "vectors-1.f32", 1 * ROW_BYTES, b"\xff" * 4)
    with opened(folder) as index:
        assert index.verify().ok


def test_verify_lists_a_thousand_faults_and_counts_the_rest(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.add([f"text {n}" for n in range(1100)])
        overwrite(tmp_path / "i" / "vectors-1.f32", 0, bytes(1050 * ROW_BYTES))
        faults = index.verify().faults
    assert (len(faults), faults[-1].reason) == (1001, "50 more faults are not listed")


def test_manifest_damaged_while_open_is_a_fault(folder: Path) -> None:
    with opened(folder) as index:
        sql(folder, "update manifest set rows = 4")
        reasons = [(fault.reason, fault.repair) for fault in index.verify().faults]
    assert reasons == [("its manifest is not what was written", RESTORE)]


def test_unreadable_page_of_records_is_not_repaired(tmp_path: Path) -> None:
    path = tmp_path / "i"
    with opened(path) as index:
        index.add([f"text number {n} {'x' * 300}" for n in range(100)])
    page = sql(path, "select rootpage from sqlite_master where name = 'records'")[0][0]
    overwrite(path / "vecindex.db", (page - 1) * 4096 + 8, b"\xff" * 64)
    with opened(path) as index:
        faults = index.verify().faults
    assert {fault.path for fault in faults} == {str(path / "vecindex.db")}
    assert {fault.repair for fault in faults} == {RESTORE}


def test_records_in_pages_that_changed_places_are_not_listed(tmp_path: Path) -> None:
    path = tmp_path / "i"
    with opened(path) as index:
        index.add([f"text number {n} {'x' * 300}" for n in range(100)])
    root = sql(path, "select rootpage from sqlite_master where name = 'records'")[0][0]
    content = bytearray((path / "vecindex.db").read_bytes())
    page = content[(root - 1) * 4096 : root * 4096]
    cells = struct.unpack_from(">2H", page, 12)
    first, second = (
        slice((child - 1) * 4096, child * 4096) for (child,) in (struct.unpack_from(">I", page, at) for at in cells)
    )
    content[first], content[second] = content[second], content[first]
    (path / "vecindex.db").write_bytes(content)
    with opened(path) as index, pytest.raises(CorruptIndex, match="its records are out of order"):
        list(index.list())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is an SQLite database, but not a vecindex one"),
        (b"garbage" * 1000, "file is not a database"),
        (b"SQLite format 3\0" + b"\xff" * 5000, "file is not a database"),
    ],
)
@pytest.mark.parametrize("readonly", [False, True])
def test_opening_garbage_raises_corrupt_index(folder: Path, content: bytes, reason: str, readonly: bool) -> None:
    (folder / "vecindex.db").write_bytes(content)
    with pytest.raises(CorruptIndex) as caught:
        opened(folder, readonly=readonly)
    assert (caught.value.path, caught.value.reason) == (str(folder / "vecindex.db"), reason)


@examples(60)
@given(data=st.data())
def test_damaged_database_header_raises_only_our_errors(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "i"
    with opened(path) as index:
        index.add(["one", "two"], keys=["a", "b"])
    content = bytearray((path / "vecindex.db").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, 130))] = data.draw(st.integers(0, 255))
    (path / "vecindex.db").write_bytes(content[: data.draw(st.sampled_from([len(content), 100, 4096, 6000]))])
    with contextlib.suppress(VecindexError), opened(path) as index:
        index.search("one")
        index.verify()
    shutil.rmtree(path)


_DAMAGES = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from tests.support.damages import outcomes
print(json.dumps([asdict(each) for each in outcomes(int(sys.argv[2]), 0, Path(sys.argv[1]), rows=1000)]))
"""


@pytest.mark.parametrize("number", [6, slow(60)])
def test_random_damage_gives_right_answers_or_our_errors(tmp_path: Path, number: int) -> None:
    # In a new process, since a fork lacks the threads of FAISS if that has searched before.
    done = subprocess.run(
        [sys.executable, "-c", _DAMAGES, str(tmp_path), str(number)],
        cwd=PROJECT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    counts = Counter(each["verdict"] for each in found)
    assert (counts["right"] >= number // 12, counts["error"] >= number // 3, len(found)) == (True, True, number)
    assert counts.keys() == {"right", "error"}, [each for each in found if each["verdict"] not in ("right", "error")]


def test_unsupported_format_is_named_with_the_supported_one(folder: Path) -> None:
    sql(folder, "update manifest set format = 7")
    with pytest.raises(IncompatibleFormat) as caught:
        opened(folder)
    assert (caught.value.path, caught.value.found, caught.value.supported) == (str(folder), 7, 6)


def test_empty_manifest_or_missing_database_is_corrupt(folder: Path) -> None:
    sql(folder, "delete from manifest")
    with pytest.raises(CorruptIndex, match="its manifest is empty"), opened(folder) as index:
        index.search("one")
    (folder / "vecindex.db").unlink()
    for options in ({}, {"create": False}, {"readonly": True}):
        with pytest.raises(CorruptIndex, match="it is missing, and the vectors beside it are useless without it"):
            opened(folder, **options)


# --- what SQLite itself does not see


def test_commits_lost_with_a_damaged_log_are_noticed(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.add(["one"], keys=["a"])
        index.add(["two"], keys=["b"])
        shutil.copytree(tmp_path / "i", tmp_path / "copy")  # with both commits in the log
    log = tmp_path / "copy" / "vecindex.db-wal"
    content = bytearray(log.read_bytes())
    content[len(content) // 2] ^= 1
    log.write_bytes(content)
    for readonly in (True, False):
        with pytest.raises(CorruptIndex, match=r"commits .* are lost") as caught:
            opened(tmp_path / "copy", readonly=readonly)
        assert caught.value.path == str(log)
    (tmp_path / "copy" / "writer.lock").unlink()  # as the message says, for one that was restored on purpose
    with opened(tmp_path / "copy") as index:
        assert len(index) < 2


@pytest.mark.parametrize("note", [b"", b"committed 99", b"committed 99 2026 00000000\n", b"\xff" * 2000])
def test_damaged_note_of_the_last_commit_is_ignored(folder: Path, note: bytes) -> None:
    (folder / "writer.lock").write_bytes(note)
    with opened(folder) as index:
        assert (len(index), index.verify().ok, index.delete(["a"])) == (3, True, 1)


def test_small_index_notices_a_record_that_a_filter_would_miss(folder: Path) -> None:
    sql(folder, "update records set metadata = '{\"n\":4}' where key = 'd'")
    with opened(folder) as index, pytest.raises(CorruptIndex, match="'d' is not what was written"):
        index.search("one", where={"n": 3})
