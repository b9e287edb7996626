"""A compiled model is used only from a place where nobody else can have written it."""

from __future__ import annotations

import json
import logging
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vecindex import load_encoder
from vecindex.encoders.compile.compiled_models import every_compiled, load_compiled, runtime_of
from vecindex.encoders.locate import ownership
from vecindex.encoders.locate import vecindex_cache as cache
from vecindex.encoders.models import remove_model
from vecindex.encoders.run.pooling import FloatArray
from vecindex.errors import ModelNotFound

from ...support.models.families import static_model
from ...support.models.small_model import SmallModel
from ...support.sandbox import KINDS, Victim, plant, watched

TEXTS = ["the cat"]
Change = Callable[[Path], object]


@pytest.fixture(scope="module")
def compiled(small_model: SmallModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, FloatArray]:
    """A model, a cache in which it is compiled, and its vectors."""
    folder = tmp_path_factory.mktemp("compiled")
    model = small_model(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VECINDEX_CACHE", str(folder / "cache"))
        return model, folder / "cache", load_encoder(model).encode(TEXTS)


@pytest.fixture
def shared(compiled: tuple[Path, Path, FloatArray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that cache, which is the process's own."""
    monkeypatch.setenv("VECINDEX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(ownership, "_told", set())
    return Path(shutil.copytree(compiled[1], tmp_path / "cache"))


def entry(folder: Path) -> Path:
    (found,) = (folder / "compiled").iterdir()
    return found


def theirs(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    os.chown(path, 12345, -1)


def moved(path: Path) -> None:
    path.rename(path.parent.parent / "moved")
    path.symlink_to(path.parent.parent / "moved")


PLACES: dict[str, Callable[[Path], Path]] = {
    "the cache": lambda folder: folder,
    "a folder in it": lambda folder: folder / "compiled",
    "a model's": entry,
    "its graph": lambda folder: entry(folder) / "model.onnx",
    "its record": lambda folder: entry(folder) / "encoder.json",
}
CHANGES: dict[str, tuple[Change, str]] = {
    "everybody may write": (lambda path: path.chmod(0o757 if path.is_dir() else 0o646), "can be written by others"),
    "belongs to another": (theirs, "belongs to the user 12345"),
    "a link": (moved, "is a link"),
}


@pytest.mark.parametrize(
    ("change", "place"),
    # Where the cache itself is a link, that is the user's own choice.
    [(change, place) for change in CHANGES for place in PLACES if (change, place) != ("a link", "the cache")],
)
def test_files_that_others_could_have_written_are_neither_used_nor_changed(
    compiled: tuple[Path, Path, FloatArray],
    shared: Path,
    change: str,
    place: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = PLACES[place](shared)
    (record,) = [record for _, record in every_compiled()]
    change_it, reason = CHANGES[change]
    change_it(path)
    before = {each: each.lstat().st_mtime_ns for each in shared.rglob("*")}
    for _ in range(2):
        assert load_compiled(record.space, None) is None
    assert [entry.getMessage() for entry in caplog.records if entry.levelno == logging.WARNING] == [
        f"Compiled models are not used: {path} {reason}"
        + (f" (mode {path.stat().st_mode & 0o777:04o}; `chmod go-w` fixes it)" if "others" in reason else "")
        + ". Set VECINDEX_CACHE to a folder of your own."
    ]
    assert list(every_compiled()) == []
    assert runtime_of(record.space) == "not compiled yet"
    with pytest.raises(ModelNotFound, match="nothing of it is compiled"):
        remove_model(record.space.fingerprint)
    assert {each: each.lstat().st_mtime_ns for each in shared.rglob("*")} == before


def test_with_an_untrusted_cache_the_model_is_compiled_elsewhere(
    compiled: tuple[Path, Path, FloatArray], shared: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, _, expected = compiled
    (entry(shared) / "model.onnx").write_bytes(b"theirs")
    shared.chmod(0o777)
    before = {each: each.lstat().st_mtime_ns for each in shared.rglob("*")}
    encoder = load_encoder(model)
    np.testing.assert_allclose(encoder.encode(TEXTS), expected, atol=1e-6)
    assert (encoder.runtime, len(caplog.records)) == ("onnxruntime", 1)
    assert {each: each.lstat().st_mtime_ns for each in shared.rglob("*")} == before


def test_the_users_own_group_is_trusted(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry(shared).chmod(0o775)
    alone = os.geteuid() == 0
    assert (ownership.distrust(entry(shared), shared) == "") or not alone
    monkeypatch.setattr(ownership, "_alone", lambda group: False)
    assert "mode 0775" in ownership.distrust(entry(shared), shared)


@pytest.mark.parametrize("mask", [0o000, 0o002, 0o077])
def test_written_files_are_writable_by_their_owner_only(
    tmp_path: Path, mask: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VECINDEX_CACHE", str(tmp_path / "a" / "cache"))
    before = os.umask(mask)
    try:
        cache.remember_folder("model", tmp_path)
        made = tmp_path / "made"
        made.mkdir()
        (made / "of a library").touch()
        ownership.seal(made)
    finally:
        os.umask(before)
    assert cache.known_folder("model") == tmp_path
    for path in [tmp_path / "a" / "cache", *(tmp_path / "a" / "cache").rglob("*"), made / "of a library"]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o022 == 0, path


@pytest.mark.parametrize(
    "name", ["compiled", "digests.json", "compiled/{}", "compiled/{}/encoder.json", "compiled/{}/model.onnx"]
)
def test_odd_files_in_a_cache_touch_nothing_outside(
    compiled: tuple[Path, Path, FloatArray],
    tmp_path: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    static = static_model(tmp_path / "static")
    expected = load_encoder(static).encode(TEXTS)
    for number, kind in enumerate(KINDS):
        if kind == "huge" and name.endswith(".onnx"):
            continue  # to read a terabyte of one's own takes its time
        shared = Path(shutil.copytree(compiled[1], tmp_path / str(number)))
        monkeypatch.setenv("VECINDEX_CACHE", str(shared))
        (record,) = [record for _, record in every_compiled()]
        victim = Victim(tmp_path / f"victim {number}")
        path = shared / name.format(record.space.fingerprint)
        if path.is_dir():
            shutil.rmtree(path)
        plant(path, kind, victim)
        with watched(victim, 20):
            encoder = load_compiled(record.space, None)
            if encoder is not None:
                np.testing.assert_allclose(encoder.encode(TEXTS), compiled[2], atol=1e-6)
            np.testing.assert_array_equal(load_encoder(static).encode(TEXTS), expected)  # which writes digests
            list(every_compiled())
            runtime_of(record.space)
            remembered = cache.known_folder("another")
        assert remembered is None


def test_a_remembered_folder_that_others_could_have_written_is_ignored(shared: Path) -> None:
    cache.remember_folder("model", shared)
    assert cache.known_folder("model") == shared
    note = shared / "folders" / "model.json"
    assert json.loads(note.read_text()) == {"folder": str(shared)}
    note.chmod(0o666)
    assert cache.known_folder("model") is None
