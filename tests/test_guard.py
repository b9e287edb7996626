"""Vectors that come out otherwise on another machine: found out before they are mixed or compared, and only looked for
where something differs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecindex
from vecindex import guard, load_encoder
from vecindex.encoders.encoder import IntArray
from vecindex.encoders.environment import instructions
from vecindex.errors import SpaceMismatch

from .toy import ToyEncoder

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
    guard._looked_at.clear()
    yield
    guard._looked_at.clear()


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
    guard._looked_at.clear()
    assert search(folder, Machine("2.0", off=0.01)) == 1 + 3, "last digits may differ"


@pytest.mark.parametrize("act", ["search", "add"])
def test_other_vectors_are_refused_with_the_figures(folder: Path, act: str) -> None:
    with vecindex.open(folder, model=Machine("2.0", off=0.5)) as index:
        for _ in range(2):  # it is not forgotten
            with pytest.raises(SpaceMismatch, match=r"cosine of 0\.\d{4}, 0\.999 .* library 1\.0 / 2\.0"):
                index.search("red") if act == "search" else index.add(["new"])
        assert len(index) == len(TEXTS)


LONG = [" ".join(f"{letter}{n}" for n in range(40)) for letter in "abcdefghij"]


def test_texts_that_were_cut_are_compared_as_far_as_they_are_read(tmp_path: Path) -> None:
    with vecindex.open(tmp_path / "index", model=Machine("1.0")) as index:
        assert index.add(LONG).truncated == len(LONG)
    assert search(tmp_path / "index", Machine("2.0")) == 1 + 3
    guard._looked_at.clear()
    with pytest.raises(SpaceMismatch, match=r"cosine of 0\.\d{4}"):
        search(tmp_path / "index", Machine("2.0", off=0.5))


def test_where_texts_were_taken_another_way_others_are_compared(tmp_path: Path) -> None:
    with vecindex.open(tmp_path / "index", model=Machine("1.0")) as index:
        index.add(LONG, on_long="mean")
        index.add(["one that can be compared"])
        index.add(["the last of " + text for text in LONG], on_long="mean")
    assert 4 < search(tmp_path / "index", Machine("2.0")) <= 1 + guard.SAMPLES
    assert search(tmp_path / "index", Machine("2.0")) == 1
    guard._looked_at.clear()
    with pytest.raises(SpaceMismatch, match=r"stored vector of .* cosine of"):
        search(tmp_path / "index", Machine("2.0", off=0.5))


def test_of_many_means_only_some_are_encoded_again(tmp_path: Path) -> None:
    with vecindex.open(tmp_path / "index", model=Machine("1.0")) as index:
        index.add([f"{text} {n}" for text in LONG for n in range(20)], on_long="mean")
    assert search(tmp_path / "index", Machine("2.0")) == 1 + guard.SAMPLES


def test_an_add_notes_the_new_machine(folder: Path) -> None:
    with vecindex.open(folder, model=Machine("2.0")) as index:
        index.add(["another"])
    guard._looked_at.clear()
    assert search(folder, Machine("2.0")) == 1
    guard._looked_at.clear()
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
