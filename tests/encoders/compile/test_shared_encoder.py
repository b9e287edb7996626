"""Several indexes of one model share its encoder while it is in use."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import numpy as np
import pytest

import vecindex
from vecindex import load_encoder
from vecindex.encoders.compile.compiled_models import _in_use
from vecindex.encoders.locate.vecindex_cache import compiled_folder

from ...support.models.small_model import SmallModel


@pytest.fixture(scope="module")
def compiled(small_model: SmallModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A small model and a cache in which it is compiled."""
    model, cache = small_model(tmp_path_factory.mktemp("model")), tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VECINDEX_CACHE", str(cache))
        load_encoder(model)
    return model, cache


@pytest.fixture
def model(compiled: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VECINDEX_CACHE", str(compiled[1]))
    return compiled[0]


def test_two_indexes_of_one_model_share_its_encoder(model: Path, tmp_path: Path) -> None:
    with vecindex.open(tmp_path / "a", model=model) as a, vecindex.open(tmp_path / "b", model=model) as b:
        a.add(["the cat sat"])
        b.add(["my dog"])
        loaded = [each for each in _in_use.values() if each.space.model == str(model)]
        assert len(loaded) == 1
        assert load_encoder(model) is loaded[0]


def test_another_number_of_cores_is_another_encoder(model: Path) -> None:
    first, second = load_encoder(model, threads=1), load_encoder(model, threads=2)
    assert first is not second
    assert (first.workers, second.workers) == (1, 2)


def test_an_encoder_that_nobody_uses_is_let_go(model: Path) -> None:
    before = set(_in_use)
    encoder = load_encoder(model, threads=1)
    (key,) = set(_in_use) - before
    del encoder
    gc.collect()
    assert key not in _in_use


def test_damaged_files_are_found_although_their_encoder_is_in_use(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VECINDEX_CACHE", str(tmp_path / "cache"))
    first = load_encoder(model)
    graph = compiled_folder(first.space.fingerprint) / "model.onnx"
    graph.write_bytes(b"nothing")
    again = load_encoder(model)
    assert graph.read_bytes() != b"nothing"
    np.testing.assert_array_equal(again.encode(["the cat"]), first.encode(["the cat"]))


def test_a_fork_loads_its_own(model: Path) -> None:
    encoder = load_encoder(model, threads=2)
    encoder.encode(["the cat"])
    child = os.fork()
    if child == 0:
        os._exit(load_encoder(model, threads=2) is encoder)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
