"""Repair fixes what can be fixed, with the same answers afterwards, and leaves the rest unchanged."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import vecindex
from vecindex import Index
from vecindex.cli import main
from vecindex.errors import CorruptIndex, InvalidInput
from vecindex.search.dense import codes
from vecindex.search.derived import upkeep
from vecindex.store.disk import connection
from vecindex.store.disk.system_calls import Disk, replaced

from ...support.helpers import SMALL_STATE, opened, small_index, snapshots, sql, state_of
from ...support.index_faults import ENCODE, FAULTS, REPAIR
from ...support.toy import ToyEncoder
from ...support.vector_files import ROW_BYTES, overwrite

REPAIRED = [what for what, (_, _, _, repair) in FAULTS.items() if repair == REPAIR]
DELETED = [what for what, (_, _, _, repair) in FAULTS.items() if repair.startswith("vecindex delete")]
ENCODED = [what for what, (_, _, _, repair) in FAULTS.items() if repair == ENCODE]
LOST = [what for what in FAULTS if what not in REPAIRED + DELETED + ENCODED]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return small_index(tmp_path / "notes.vecindex")


def answers(index: Index) -> Any:
    return [[(hit.key, hit.score) for hit in index.search(text, k=9)] for text in ("one", "four", "drei")]


@pytest.mark.parametrize("what", REPAIRED)
def test_repaired_index_gives_the_same_answers(folder: Path, what: str) -> None:
    damage, name, reason, _ = FAULTS[what]
    with opened(folder) as index:
        expected, state = sorted(answers(index)), SMALL_STATE
        if what == "a key that is not UTF-8":  # that record cannot be named any more
            index.delete(["d"])
            expected, state = sorted(answers(index)), {key: SMALL_STATE[key] for key in "ac"}
            folder = small_index(folder.with_name("again"))
    damage(folder)
    with opened(folder) as index:
        report = index.repair()
        assert (report.faults, report.records) == ((), len(state))
        assert [(fault.path, fault.reason) for fault in report.repaired] == [(str(folder / name), reason)]
        assert state_of(index) == state
    with opened(folder) as index:
        assert sorted(answers(index)) == expected
        assert index.repair().repaired == ()
        index.add(["five"], keys=["e"])
        assert (index.search("five", k=1)[0].key, index.verify().ok) == ("e", True)


@pytest.mark.parametrize("what", DELETED)
def test_verify_prints_the_command_that_deletes_a_damaged_record(folder: Path, what: str) -> None:
    FAULTS[what][0](folder)
    key = "-it's" if what == "a key" else "d"
    with opened(folder) as index:
        if what == "a key":
            assert index.repair().ok is False  # the SQL index has the old key
        assert index.delete([key]) == 1
        assert index.verify() == vecindex.VerifyReport(2, 5, ())
        index.add(["four"], keys=["d"])
        assert index.get("d").text == "four"


@pytest.mark.parametrize("what", LOST + ENCODED)
def test_unrepairable_damage_is_left_and_reported(folder: Path, what: str) -> None:
    FAULTS[what][0](folder)
    sql(folder, "update manifest set fingerprint = 'other'")  # could be repaired, but not with that
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "writer.lock"}
    with opened(folder) as index:
        report = index.repair()
    assert (len(report.faults), report.repaired) == (2, ())
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "writer.lock"} == before


def test_damaged_vector_is_encoded_again_as_its_record_says(tmp_path: Path) -> None:
    long = "word " * 50
    with opened(tmp_path / "i") as index:
        index.add(["one", long.strip()], keys=["a", "b"], metadata=[{}, {"n": 1}])
        vector = index.get("b").vector
        overwrite(tmp_path / "i" / "vectors-1.f32", 1 * ROW_BYTES, bytes(ROW_BYTES))
        with pytest.raises(CorruptIndex):
            index.get("b")
        assert index.repair().ok
        found = index.get("b")
        assert (found.text, found.metadata, index.info().truncated, index.info().dead_rows) == (
            *(long.strip(), {"n": 1}, 1, 1),
        )
        np.testing.assert_array_equal(found.vector, vector)


def test_vectors_made_elsewhere_are_not_repaired(tmp_path: Path) -> None:
    with vecindex.open(tmp_path / "i") as index:
        index.add(["one", "two"], keys=["a", "it's b"], vectors=np.eye(2))
        overwrite(tmp_path / "i" / "vectors-1.f32", 8, bytes(8))
        (fault,) = index.repair().faults
        assert fault.repair == f"vecindex delete --index {tmp_path / 'i'} 'it'\"'\"'s b'"
        assert (index.delete(["it's b"]), index.verify().ok) == (1, True)


def test_damaged_pages_of_sql_indexes_are_rebuilt(tmp_path: Path) -> None:
    path = tmp_path / "i"
    with opened(path) as index:
        index.add([f"text {n}" for n in range(500)], metadata=[{"n": n} for n in range(500)])
        index.index_field("n")
        expected = index.search("text", k=500, where="n < 300")
    for page in sql(path, "select rootpage from sqlite_master where type = 'index'"):
        overwrite(path / "vecindex.db", (page[0] - 1) * 4096, b"\xff" * 4096)
    with opened(path) as index:
        assert {fault.repair for fault in index.verify().faults} == {f"{REPAIR} --index {path}"}
        assert index.repair().ok
        assert index.search("text", k=500, where="n < 300") == expected
        assert sql(path, "pragma integrity_check") == [("ok",)]
        assert len(sql(path, "select name from sqlite_master where type = 'index'")) == 9


def test_wrong_entry_of_an_sql_index_is_found_and_repaired(tmp_path: Path) -> None:
    path = tmp_path / "i"
    with opened(path) as index:
        index.add(["one", "two"], metadata=[{"lang": "abcdefgh"}, {"lang": "x"}])
        index.index_field("lang")
    content = (path / "vecindex.db").read_bytes()
    page = 4096 * (sql(path, "select rootpage from sqlite_master where name like 'field lang%'")[0][0] - 1)
    at = content.index(b"abcdefgh", page, page + 4096)
    overwrite(path / "vecindex.db", at, b"abcdefgx")
    with opened(path) as index:
        with pytest.raises(CorruptIndex, match="row 1 missing from index field lang"):
            index.search("one", where="lang = 'abcdefgh'")
        assert len(index.verify().faults) == 1
        assert index.repair().ok
        assert len(index.search("one", where="lang = 'abcdefgh'")) == 1


@pytest.fixture
def coded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index of 400 rows with codes."""
    monkeypatch.setattr(upkeep, "ROWS_FOR_CODES", 100)
    vectors = np.random.default_rng(0).normal(size=(400, 64))
    with vecindex.open(tmp_path / "i") as index:
        index.add([f"text {n}" for n in range(400)], keys=[f"k{n}" for n in range(400)], vectors=vectors)
    return tmp_path / "i"


CODES: dict[str, Callable[[Path], object]] = {
    "removed": lambda path: path.unlink(),
    "cut": lambda path: os.truncate(path, 100),
    "empty": lambda path: os.truncate(path, 0),
    "a bit": lambda path: overwrite(path, 500, bytes([path.read_bytes()[500] ^ 1])),
}


@pytest.mark.parametrize("what", CODES)
@pytest.mark.parametrize("part", ["fast", "masked"])
def test_damaged_codes_are_rebuilt(coded: Path, what: str, part: str) -> None:
    (path,) = coded.glob(f"*-{part}.faiss")
    CODES[what](path)
    with vecindex.open(coded) as index:
        assert [(f.path, f.repair) for f in index.verify().faults] == [(str(path), f"{REPAIR} --index {coded}")]
        assert (index.repair().ok, index.verify().ok) == (True, True)


def test_codes_of_other_vectors_are_a_fault(coded: Path) -> None:
    with vecindex.open(coded) as index:
        with snapshots(index).take() as snapshot:
            vectors = np.array(snapshot.vectors)
            manifest, settings = snapshot.manifest, upkeep.settings_of(snapshot.manifest)
        assert settings is not None
        index._upkeep._publish(manifest, codes.build(np.roll(vectors, 7, axis=0), settings))
        (fault,) = index.verify().faults
        assert fault.reason.startswith("the codes find ")
        assert index.repair().ok


def test_dead_rows_with_nan_do_not_disturb_new_codes(coded: Path) -> None:
    with vecindex.open(coded) as index:
        index.delete(["k7"])
        overwrite(coded / "vectors-1.f32", 7 * 256, b"\xff" * 256)
        for path in coded.glob("*.faiss"):
            path.unlink()
        assert index.repair().ok
        assert len(list(coded.glob("*.faiss"))) == 2


def test_repair_killed_at_any_step_can_be_repeated(tmp_path: Path) -> None:
    class Dying(Disk):
        def __init__(self, last: int) -> None:
            self.left = last

        def _step(self) -> None:
            self.left -= 1
            if self.left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        def write(self, descriptor: int, data: memoryview, offset: int) -> int:
            self._step()
            return super().write(descriptor, data, offset)

        def sync(self, path: Path) -> None:
            self._step()
            super().sync(path)

        def cut(self, descriptor: int, size: int) -> None:
            self._step()
            super().cut(descriptor, size)

    finished = False
    for last in range(30):
        folder = small_index(tmp_path / f"i{last}")
        for what in ("a vector", "no list of dead rows", "checksums", "no SQL index"):
            FAULTS[what][0](folder)
        process = os.fork()
        if process == 0:
            code = 1
            try:
                with replaced(Dying(last)), opened(folder) as index:
                    index.repair()
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(process, 0)
        with opened(folder) as index:
            assert index.repair().ok
            assert state_of(index) == SMALL_STATE
            assert len(answers(index)[0]) == 3
        if status == 0:
            finished = True
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
    assert finished
    assert last > 3


def test_repair_of_a_readonly_index_is_refused(folder: Path) -> None:
    with opened(folder, readonly=True) as index, pytest.raises(InvalidInput, match="was opened readonly"):
        index.repair()


def test_readers_continue_during_a_repair(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BUSY_SECONDS", 0.0)

    class Asking(ToyEncoder):
        def encode_all(self, texts: Any, role: Any = "document", on_long: Any = "truncate") -> Any:
            with opened(folder, readonly=True) as reader:
                assert (len(reader), reader.get("a").text) == (3, "one")
            return super().encode_all(texts, role, on_long)

    FAULTS["a vector"][0](folder)
    with opened(folder, model=Asking()) as index:
        assert index.repair().ok


def test_command_prints_what_was_repaired_and_what_is_left(folder: Path) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, [*arguments, "--index", str(folder)])
        return result.exit_code, result.stdout

    sql(folder, "delete from dead")
    sql(folder, "update records set text = 'five' where key = 'd'")
    database = folder / "vecindex.db"
    record = f"{database}: the record 'd' is not what was written\n  To repair it: vecindex delete --index {folder} d\n"
    dead = f"{database}: its list of dead rows is not what was written\n"
    todo = f"  To repair it: vecindex verify --repair --index {folder}\n"
    assert run("verify") == (1, f"{record}{dead}{todo}3 records, 5 rows: 2 faults\n")
    assert run("verify", "--repair") == (1, f"Repaired: {dead}{record}3 records, 5 rows: 1 fault\n")
    assert run("delete", "d") == (0, "")
    assert run("verify", "--repair") == (0, "2 records, 5 rows: sound\n")
