"""Vectors that differ on another machine are found out before they are mixed with others or compared.

They are only looked for where something of the environment has changed.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import vecindex
from vecindex import load_encoder
from vecindex.cli import main
from vecindex.encoders.run.environment import instructions
from vecindex.encoders.run.tokenized import IntArray
from vecindex.errors import SpaceMismatch
from vecindex.index import drift

from ..support.helpers import sql
from ..support.migrating import Other
from ..support.toy import ToyEncoder

TEXTS = ["red", "green cat", "blue dog", "black", "white sun"]


class Machine(ToyEncoder):
    """The toy model on a machine with these libraries, whose vectors are off by so much."""

    def __init__(self, library: str, off: float = 0) -> None:
        super().__init__()
        self._library, self._off = library, off

    def environment(self) -> dict[str, str]:
        return {"runtime": "toy", "library": self._library}

    def forward(self, input_ids: IntArray, attention_mask: IntArray) -> Any:
        states = super().forward(input_ids, attention_mask)
        return (states + self._off * np.roll(states, 1, axis=2)).astype(np.float32)


@pytest.fixture(autouse=True)
def _a_new_process() -> Iterator[None]:
    drift._looked_at.clear()
    yield
    drift._looked_at.clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with vecindex.open(tmp_path / "index", model=Machine("1.0")) as index:
        index.add(TEXTS)
        index.delete(where="false")
    return tmp_path / "index"


def search(folder: Path, machine: Machine) -> int:
    """Searches, and tells how many texts were encoded for it."""
    with vecindex.open(folder, model=machine) as index:
        index.search("red")
    return machine.encoded


def test_nothing_is_encoded_again_where_nothing_differs(folder: Path) -> None:
    assert search(folder, Machine("1.0")) == 1


def test_three_records_are_encoded_again_once_a_process_where_a_library_differs(folder: Path) -> None:
    assert search(folder, Machine("2.0")) == 1 + 3
    assert search(folder, Machine("2.0")) == 1
    drift._looked_at.clear()
    assert search(folder, Machine("2.0", off=0.01)) == 1 + 3, "last digits may differ"


@pytest.mark.parametrize("act", ["search", "add"])
def test_other_vectors_are_refused_with_the_figures(folder: Path, act: str) -> None:
    with vecindex.open(folder, model=Machine("2.0", off=0.5)) as index:
        for _ in range(2):  # it is not forgotten
            with pytest.raises(
                SpaceMismatch, match=r"cosine of 0\.\d{4}, but should have at least 0\.999; .* library 1\.0 / 2\.0"
            ):
                index.search("red") if act == "search" else index.add(["new"])
        assert len(index) == len(TEXTS)


LONG = [" ".join(f"{letter}{n}" for n in range(40)) for letter in "abcdefghij"]


def test_texts_that_were_cut_are_compared_as_far_as_they_are_read(tmp_path: Path) -> None:
    with vecindex.open(tmp_path / "index", model=Machine("1.0")) as index:
        assert index.add(LONG).truncated == len(LONG)
    assert search(tmp_path / "index", Machine("2.0")) == 1 + 3
    drift._looked_at.clear()
    with pytest.raises(SpaceMismatch, match=r"cosine of 0\.\d{4}"):
        search(tmp_path / "index", Machine("2.0", off=0.5))


def test_means_of_parts_are_not_compared(tmp_path: Path) -> None:
    with vecindex.open(tmp_path / "index", model=Machine("1.0")) as index:
        index.add(LONG, on_long="mean")
        index.add(["one that can be compared"])
        index.add(["the last of " + text for text in LONG], on_long="mean")
    assert search(tmp_path / "index", Machine("2.0")) == 1 + 1
    drift._looked_at.clear()
    with pytest.raises(SpaceMismatch, match=r"stored vector of .* cosine of"):
        search(tmp_path / "index", Machine("2.0", off=0.5))


def test_given_vectors_are_not_compared(tmp_path: Path) -> None:
    with vecindex.open(tmp_path / "index", model=Machine("1.0")) as index:
        given = np.eye(len(TEXTS), index.encoder.space.dimension, dtype=np.float32)
        index.add([f"{text}, given" for text in TEXTS], vectors=given, space=index.encoder.space)
        assert search(index.path, Machine("2.0")) == 1, "nothing can be compared"
        index.add(["red", "blue"])
        index.add(["red"], keys=["given"], vectors=given[:1], space=index.encoder.space)
    drift._looked_at.clear()
    assert search(tmp_path / "index", Machine("2.0")) == 1 + 2
    drift._looked_at.clear()
    with pytest.raises(SpaceMismatch, match="cosine of"):
        search(tmp_path / "index", Machine("2.0", off=0.5))


def test_what_is_damaged_or_deleted_is_not_compared(folder: Path) -> None:
    with vecindex.open(folder, model=Machine("1.0")) as index:
        kept = index.keys()[1]
        index.delete(set(index.keys()) - {kept})
    assert search(folder, Machine("2.0")) == 1 + 1
    drift._looked_at.clear()
    sql(folder, "update cached set lost = lost + 1")
    assert search(folder, Machine("2.0")) == 1


# --- encoding all anew


def test_the_command_that_is_advised_encodes_all_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = Machine("2.0", off=0.5)
    with vecindex.open(folder, model=here) as index, pytest.raises(SpaceMismatch) as refused:
        index.search("red")
    words = shlex.split(refused.value.command_advice.partition("here: ")[2])
    assert words[:3] == ["vecindex", "migrate", "--anew"]
    monkeypatch.setattr("vecindex.index.change_model.load_for_space", lambda *_: here)
    result = CliRunner().invoke(main, words[1:])
    assert result.exit_code == 0, result.output
    assert f"{len(TEXTS)} texts encoded by this run" in result.stdout
    again = Machine("2.0", off=0.5)
    with vecindex.open(folder, model=again) as index:
        assert index.search("red")[0].score == pytest.approx(1, abs=1e-6)
        assert again.encoded == 1
        assert index.verify().ok
        assert "kept from before" in index.info().beside[0]
    drift._looked_at.clear()
    with pytest.raises(SpaceMismatch):
        search(folder, Machine("1.0"))
    words = shlex.split(result.stderr.partition("remove it with: ")[2])
    assert CliRunner().invoke(main, words[1:]).exit_code == 0
    assert not [path for path in folder.iterdir() if path.is_dir()]


def test_queries_are_compared_although_their_vectors_would_be_refused(folder: Path) -> None:
    with vecindex.open(folder, model=Machine("2.0", off=0.5)) as index:
        report = index.migrate(anew=True, queries=["red"])
        assert (report.encoded, report.queries) == (len(TEXTS), 1)
        assert index.search("red")[0].score == pytest.approx(1, abs=1e-6)


def interrupted(folder: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Encodes anew until two texts are committed."""

    def committed(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with vecindex.open(folder, model=machine) as index, monkeypatch.context() as patch:
        patch.setattr("vecindex.index.adding.encode_ahead.RECORDS_A_READ", 2)
        with pytest.raises(KeyboardInterrupt):
            index.migrate(anew=True, progress=committed)
        index.delete(where="false")  # a writer removes what is left over, and this is not
        assert "an unfinished migration" in index.info().beside[0]


def test_what_was_encoded_anew_here_is_not_encoded_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(folder, Machine("2.0", off=0.5), monkeypatch)
    with vecindex.open(folder, model=Machine("2.0", off=0.5)) as index:
        assert index.migrate(anew=True).encoded == len(TEXTS) - 2


def test_what_was_encoded_anew_on_a_third_machine_is_encoded_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(folder, Machine("3.0", off=0.9), monkeypatch)
    with vecindex.open(folder, model=Machine("2.0", off=0.5)) as index:
        assert index.migrate(anew=True).encoded == len(TEXTS)
        for record in map(index.get, index.keys()):
            assert record.vector is not None
            expected = Machine("2.0", off=0.5).encode([record.text])[0]
            np.testing.assert_allclose(record.vector, expected, atol=1e-6)


def test_what_was_kept_from_another_machine_is_refused_or_encoded_anew(folder: Path) -> None:
    here = Machine("2.0", off=0.5)
    with vecindex.open(folder, model=here) as index:
        index.migrate(Other())
        index.add(["a new one"])
        with pytest.raises(SpaceMismatch, match=r"cosine of") as refused:
            index.migrate(here)
        assert "--anew" in refused.value.command_advice
        assert index.migrate(here, anew=True).encoded == len(TEXTS) + 1
        assert index.search("red")[0].score == pytest.approx(1, abs=1e-6)


def test_each_index_from_before_is_kept_whatever_is_written_since(folder: Path) -> None:
    with vecindex.open(folder, model=Machine("2.0", off=0.5)) as index:
        kept = [index.migrate(anew=True).kept]
        index.delete([index.keys()[0]])
        index.compact()
        kept.append(index.migrate(anew=True).kept)
        index.add(["another"])
        assert [line.split(", in ")[1] for line in index.info().beside] == [Path(str(path)).name for path in kept]
    for path, library, records in zip(kept, ["1.0", "2.0"], [len(TEXTS), len(TEXTS) - 1], strict=True):
        off = 0.5 if library == "2.0" else 0
        with vecindex.open(str(path), model=Machine(library, off)) as old:
            assert (len(old), old.verify().ok) == (records, True)
            assert old.search("white sun")[0].score == pytest.approx(1, abs=1e-6)


# --- what is noted


def test_an_add_notes_the_new_machine(folder: Path) -> None:
    with vecindex.open(folder, model=Machine("2.0")) as index:
        index.add(["another"])
    drift._looked_at.clear()
    assert search(folder, Machine("2.0")) == 1
    drift._looked_at.clear()
    assert search(folder, Machine("1.0")) == 1 + 3


def test_the_real_runtimes_tell_what_they_are(minilm: Path, encoder: Any, reference: Any) -> None:
    for runtime, library in ((encoder, "onnxruntime"), (reference, "torch")):
        said = runtime.environment()
        assert said["runtime"] == library
        assert said[library][0].isdigit()
        assert said["machine"]
    import torch

    assert f"torch {torch.__version__}" in encoder.environment()["compiled_with"], "its graph is another's work"
    int8 = load_encoder(precision="int8")
    assert int8.environment()["compiled_with"] == encoder.environment()["compiled_with"]


def test_instructions_are_read_from_the_first_processor(tmp_path: Path) -> None:
    described = "processor\t: 0\nflags\t\t: fpu avx2 avx512_vnni sse4_2\n\nprocessor\t: 1\nflags\t\t: amx_int8\n"
    (tmp_path / "cpuinfo").write_text(described)
    assert instructions(tmp_path / "cpuinfo") == {"avx2", "avx512_vnni"}
    assert instructions(tmp_path / "none") == frozenset()
