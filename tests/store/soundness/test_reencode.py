"""Stored texts are encoded again if the vector file is lost or a stored vector lacks unit length."""

from __future__ import annotations

import json
import os
import shutil
import signal
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import vecindex
from vecindex import CorruptIndex, Index, InvalidInput, StorageError, TextWithoutToken
from vecindex.cli import main
from vecindex.cli.render.results import json_line, json_text
from vecindex.search.dense.exact import best
from vecindex.search.derived import upkeep
from vecindex.sources import read, source
from vecindex.store.soundness import reencode
from vecindex.store.vectors import checksums, map_rows

from ...support.helpers import SMALL_STATE, opened, small_index, sql, state_of
from ...support.index_faults import ENCODE, FAULTS, REPAIR, RESTORE
from ...support.toy import BareEncoder, ToyEncoder
from ...support.vector_files import ROW_BYTES, overwrite

LOST = [what for what, (_, _, _, repair) in FAULTS.items() if repair == ENCODE]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return small_index(tmp_path / "notes.vecindex")


def answers(index: Index) -> Any:
    return sorted((hit.key, hit.score) for text in ("one", "four", "drei") for hit in index.search(text, k=9))


# --- the file of vectors


@pytest.mark.parametrize("what", LOST)
def test_lost_vector_file_is_encoded_again_on_request(folder: Path, what: str) -> None:
    with opened(folder) as index:
        expected = answers(index)
    damage, name, reason, _ = FAULTS[what]
    damage(folder)
    encoder = ToyEncoder()
    with opened(folder, model=encoder) as index:
        (fault,) = index.repair().faults
        assert fault.repair == f"{ENCODE} --index {folder}"
        assert not (folder / "vectors-2.f32").exists()
        report = index.repair(encode=True)
        assert (report.faults, report.records, report.rows) == ((), 3, 3)
        assert [(fault.path, fault.reason) for fault in report.repaired] == [(str(folder / name), reason)]
        assert (state_of(index), answers(index)) == (SMALL_STATE, expected)
        # Only the last row is lost if the file lacks its last byte.
        assert encoder.encoded - 3 == (1 if what == "a vector file cut" else 3)
        assert (index.repair(encode=True).repaired, index.verify().ok) == ((), True)
        index.add(["five"], keys=["e"])
        assert (index.search("five", k=1)[0].key, index.verify().ok) == ("e", True)
    assert [path.name for path in folder.glob("*.f32")] == ["vectors-2.f32"]


def test_sound_rows_left_in_a_cut_vector_file_are_kept(folder: Path) -> None:
    os.truncate(folder / "vectors-1.f32", 4 * ROW_BYTES)
    overwrite(folder / "vectors-1.f32", 0, b"\xff" * 8)
    with opened(folder) as index:
        assert index.repair(encode=True).ok
        assert index.search("one", k=1)[0].key == "a"


def test_encoding_again_keeps_what_vectors_cover_and_rebuilds_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "ROWS_FOR_CODES", 20)
    monkeypatch.setattr(upkeep, "TAIL", 0)
    monkeypatch.setattr(reencode, "TEXTS_A_COMMIT", 7)
    long = "word " * 49 + "end"
    with opened(tmp_path / "i", model=ToyEncoder(dimension=64)) as index:
        index.add([f"text {n}" for n in range(30)], keys=[f"k{n}" for n in range(30)])
        index.add([long], keys=["cut"])
        index.add(["whole " + long], keys=["whole"], on_long="mean")
        vectors = {key: index.get(key).vector for key in ("k3", "cut", "whole")}
        before = index.info()
        assert before.codes is not None
        (tmp_path / "i" / "vectors-1.f32").unlink()
        assert index.repair(encode=True).ok
        for key, vector in vectors.items():
            np.testing.assert_array_equal(index.get(key).vector, vector)
        after = index.info()
        assert (after.truncated, after.tokens_lost, after.codes) == (before.truncated, before.tokens_lost, before.codes)
        assert index.search("text 7", k=1)[0].key == "k7"


def test_text_without_a_token_blocks_encoding_again_until_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "i"
    with opened(folder) as index:
        index.add(["one", "~", "two"], keys=["a", "b", "c"])
        (folder / "vectors-1.f32").unlink()
    with opened(folder, model=BareEncoder()) as index:
        report = index.repair(encode=True)
        assert [(fault.reason, fault.repair) for fault in report.faults] == [
            ("it is missing; 3 rows need it", f"{ENCODE} --index {folder}"),
            (
                "the text of 'b' (row 1) cannot be encoded: the model finds no token in it",
                f"vecindex delete --index {folder} b",
            ),
        ]
        assert (report.repaired, list(folder.glob("*.f32"))) == ((), [])
        assert index.delete(["b"]) == 1
        assert index.repair(encode=True).ok
        assert index.keys() == ["a", "c"]


def test_encoder_that_refuses_an_unnamed_text_ends_the_repair(tmp_path: Path) -> None:
    class Silent(BareEncoder):
        def without_token(self, texts: Any, role: Any = "document") -> list[str]:
            return []

    with opened(tmp_path / "i") as index:
        index.add(["one", "~"], keys=["a", "b"])
        (tmp_path / "i" / "vectors-1.f32").unlink()
    with opened(tmp_path / "i", model=Silent()) as index, pytest.raises(TextWithoutToken):
        index.repair(encode=True)
    assert list((tmp_path / "i").glob("*.f32")) == []


def test_damaged_record_beside_lost_vectors_must_be_deleted_first(folder: Path) -> None:
    (folder / "vectors-1.f32").unlink()
    sql(folder, "update records set text = 'five' where key = 'd'")
    with opened(folder) as index:
        assert {fault.repair for fault in index.repair(encode=True).faults} == {
            *(f"{ENCODE} --index {folder}", f"vecindex delete --index {folder} d")
        }
        index.delete(["d"])
        assert index.repair(encode=True).ok
        assert sorted(state_of(index)) == ["a", "c"]


def test_lost_vectors_made_elsewhere_cannot_be_encoded_again(tmp_path: Path) -> None:
    with vecindex.open(tmp_path / "i") as index:
        index.add(["one", "two"], vectors=np.eye(2))
        (tmp_path / "i" / "vectors-1.f32").unlink()
        for encode in (False, True):
            assert [fault.repair for fault in index.repair(encode=encode).faults] == [RESTORE]
        assert index.export(tmp_path / "texts.jsonl", vectors=False).records == 2


def test_killed_encoding_leaves_the_index_unchanged(folder: Path) -> None:
    class Dying(ToyEncoder):
        def environment(self) -> dict[str, str]:
            os.kill(os.getpid(), signal.SIGKILL)
            return {}

    (folder / "vectors-1.f32").unlink()
    pid = os.fork()
    if pid == 0:
        opened(folder, model=Dying()).repair(encode=True)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert (folder / "vectors-2.f32").exists()
    with opened(folder) as index:
        assert len(index.verify().faults) == 1
        assert index.repair(encode=True).ok
        assert state_of(index) == SMALL_STATE


def test_command_encodes_again_only_with_the_option(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Index, "encoder", ToyEncoder())

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, ["verify", *arguments, "--index", str(folder)])
        return result.exit_code, result.output

    (folder / "vectors-1.f32").unlink()
    missing = f"{folder / 'vectors-1.f32'}: it is missing; 5 rows need it\n"
    told = f"{missing}  To repair it: vecindex verify --repair --encode --index {folder}\n3 records, 5 rows: 1 fault\n"
    assert run() == run("--repair") == (1, told)
    assert run("--encode")[0] == 2
    assert run("--repair", "--encode") == (0, f"Repaired: {missing}3 records, 3 rows: sound\n")


# --- texts without vectors


@pytest.mark.parametrize("lost", [True, False])
def test_export_without_vectors_can_be_added_again(folder: Path, tmp_path: Path, lost: bool) -> None:
    if lost:
        (folder / "vectors-1.f32").unlink()
    path = tmp_path / "texts.jsonl"
    result = CliRunner().invoke(main, ["export", str(path), "--no-vectors", "--index", str(folder)])
    assert result.exit_code == 0, result.output
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"key": key, "text": text, "metadata": metadata} for key, (text, metadata) in SMALL_STATE.items()
    ]
    with opened(tmp_path / "again") as index:
        index.add(read(source(str(path))))
        assert state_of(index) == SMALL_STATE
    with opened(folder) as index:
        report = index.export(tmp_path / "some.jsonl", where="n >= 2", vectors=False)
        assert (report.records, report.format, report.bytes) == (2, "jsonl", (tmp_path / "some.jsonl").stat().st_size)
        with pytest.raises(InvalidInput, match="parquet cannot be written without vectors"):
            index.export(tmp_path / "x.parquet", vectors=False)
    standard = CliRunner().invoke(main, ["export", "-", "--no-vectors", "--index", str(folder)])
    assert standard.stdout == path.read_text()


def test_adding_an_export_without_vectors_again_changes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.add(["word " * 40, "short"], metadata=[{"n": 1}, {}])
        index.export(tmp_path / "texts.jsonl", vectors=False)
        report = index.add(read(source(str(tmp_path / "texts.jsonl"))))
        assert (report.unchanged, report.updated) == (2, 0)


# --- vectors without a direction, as earlier versions stored them


def make_row(folder: Path, row: int, numbers: bytes) -> None:
    """Stores a vector of these bytes with its checksum."""
    overwrite(folder / "vectors-1.f32", row * ROW_BYTES, numbers)
    sums = checksums(map_rows(folder / "vectors-1.f32", 5, 16)).tobytes()
    sql(folder, f"update sums set sums = x'{sums.hex()}', crc = {zlib.crc32(sums)}")


NUMBERS = {"zero": bytes(ROW_BYTES), "not a number": b"\0\0\xc0\x7f" * 16}


@pytest.mark.parametrize("what", NUMBERS)
def test_stored_vector_without_unit_length_is_encoded_again(folder: Path, what: str) -> None:
    make_row(folder, 3, NUMBERS[what])
    sql(folder, "delete from cached")
    with opened(folder) as index:
        (fault,) = index.verify().faults
        assert fault.reason == "the vector of 'd' (row 3) is not finite and of unit length"
        assert fault.repair == f"{REPAIR} --index {folder}"
        report = index.repair()
        assert (report.faults, [fault.reason for fault in report.repaired]) == ((), [fault.reason])
        assert index.search("four", k=1)[0].key == "d"


class NothingIn(BareEncoder):
    nothing = "four"


class ZeroFor(ToyEncoder):
    """Gives a text a zero vector without an error."""

    def encode_all(self, texts: Any, role: Any = "document", on_long: Any = "truncate") -> Any:
        encoded = super().encode_all(texts, role, on_long)
        encoded.vectors[[text == "four" for text in texts]] = 0
        return encoded


@pytest.mark.parametrize("model", [NothingIn(), ZeroFor()], ids=["says so", "does not notice"])
@pytest.mark.parametrize("what", NUMBERS)
def test_record_that_cannot_be_encoded_is_reported_and_can_be_deleted(
    folder: Path, what: str, model: ToyEncoder
) -> None:
    make_row(folder, 3, NUMBERS[what])
    make_row(folder, 0, NUMBERS[what])
    sql(folder, "delete from cached")
    with opened(folder, model=model) as index:
        for repaired in (["the vector of 'a' (row 0) is not finite and of unit length"], []):
            report = index.repair()
            assert [fault.reason for fault in report.repaired] == repaired
            assert [(fault.reason, fault.repair) for fault in report.faults] == [
                ("the vector of 'd' (row 3) is not finite and of unit length", f"vecindex delete --index {folder} d")
            ]
        assert index.delete(["d"]) == 1
        assert index.verify().ok


def test_no_nan_or_infinity_reaches_json_output(folder: Path, tmp_path: Path) -> None:
    make_row(folder, 3, NUMBERS["not a number"])
    with opened(folder) as index:
        hits = index.search("four", k=9)
        assert [hit.key for hit in hits][-1] == "d"  # after the hits that have a score
        assert np.isnan(hits[-1].score)
        with pytest.raises(CorruptIndex, match=r"the vector of 'd' \(row 3\) is not finite"):
            index.export(tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
    value = {"score": float("nan"), "more": [1.5, float("inf"), (float("-inf"), "NaN")], "n": 3, "t": True}
    finite = {"score": None, "more": [1.5, None, [None, "NaN"]], "n": 3, "t": True}
    assert json.loads(json_text(value)) == json.loads(json_line(value)) == finite
    assert json_text(finite) == json.dumps(finite, indent=2) + "\n"


def test_nan_scores_do_not_hide_other_hits() -> None:
    found = np.linspace(-1, 1, 3000).astype(np.float32)
    found[::3] = np.nan
    ranking = best(np.arange(3000), found, 5)
    assert ranking.rows.tolist() == [2999, 2998, 2996, 2995, 2993]
    few = best(np.arange(3), np.array([np.nan, 0.5, np.nan], np.float32), 3)
    assert few.rows.tolist() == [1, 0, 2]
    np.testing.assert_array_equal(few.scores, np.array([0.5, np.nan, np.nan], np.float32))


# --- what verify says of itself


def test_verify_and_repair_never_advise_verify(folder: Path) -> None:
    sql(folder, "update manifest set generation = generation + 1")
    for arguments in (["verify"], ["verify", "--repair"]):
        result = CliRunner().invoke(main, [*arguments, "--index", str(folder)])
        assert result.exit_code == 1
        assert "vecindex.db is damaged: its manifest is not what was written" in result.stderr
        assert result.stderr.endswith("Restore the directory from a backup, or add the texts to a new index.\n")
    with pytest.raises(CorruptIndex) as caught:
        opened(folder)
    assert "verify" in caught.value.advice


def test_incomplete_repair_does_not_advise_the_same_repair(folder: Path) -> None:
    sql(folder, "delete from records where key = 'a'")
    sql(folder, "update manifest set fingerprint = 'other'")
    with opened(folder) as index:
        assert {fault.repair for fault in index.repair().faults} == {RESTORE}


def test_verify_of_an_open_index_that_is_removed_says_so(folder: Path) -> None:
    with opened(folder) as index:
        shutil.rmtree(folder)
        with pytest.raises(StorageError, match="it was removed"):
            index.verify()
