"""Compiling a model: once, checked, whole or not at all, for the space that an index stores."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecindex
from vecindex import load_encoder
from vecindex.encoders import models
from vecindex.encoders.compile import compiled_models, compiler, probes
from vecindex.encoders.load import load_for_space
from vecindex.encoders.locate.vecindex_cache import compiled_folder, refusal_file, remember_digests
from vecindex.encoders.run.encoder import Encoder
from vecindex.errors import SpaceMismatch, UnsupportedModel

from ...support.children import environment
from ...support.extent import every
from ...support.models.small_model import SmallModel

FILES = ["encoder.json", "model.onnx", "model.onnx.data", "tokenizer.json"]

# --- compiling -------------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the test's own; its compiled models are in ``compiled``."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("VECINDEX_CACHE", str(folder))
    return folder


@pytest.fixture
def model(small_model: SmallModel, tmp_path: Path) -> Path:
    return small_model(tmp_path)


def start(code: str, cache: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment(VECINDEX_CACHE=str(cache)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_model_is_compiled_once(model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_encoder(model)
    folder = compiled_folder(first.space.fingerprint)
    assert sorted(p.name for p in folder.iterdir()) == FILES
    assert os.listdir(cache / "compiled") == [first.space.fingerprint]
    monkeypatch.setattr(compiler, "_compile_full", lambda *_: pytest.fail("compiled again"))
    assert np.array_equal(load_encoder(model).encode(["the cat"]), first.encode(["the cat"]))


def test_the_fast_path_imports_no_torch(minilm: Path, encoder: Encoder) -> None:
    code = (
        "import sys, vecindex; print(vecindex.load_encoder().encode(['hello']).shape)\n"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'onnx', 'huggingface_hub', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    with start(code, Path(os.environ["VECINDEX_CACHE"])) as process:
        out, err = process.communicate(timeout=600)
    assert (out, err) == ("(1, 384)\n[]\n", "")


def overwrite(path: Path, content: str = "") -> None:
    """Replaces a file by ``content``, or by as many zeros as it had bytes."""
    path.write_bytes(content.encode() or bytes(path.stat().st_size))


def flip(path: Path) -> None:
    """Changes one bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


DAMAGES: dict[str, Callable[[Path], None]] = {
    "a truncated model": lambda f: os.truncate(f / "model.onnx", 1_000),
    "a model of zeros": lambda f: overwrite(f / "model.onnx"),
    "no model": lambda f: (f / "model.onnx").unlink(),
    "a garbage tokenizer": lambda f: overwrite(f / "tokenizer.json", "garbage"),
    "a tokenizer of zeros": lambda f: overwrite(f / "tokenizer.json"),
    "no record": lambda f: (f / "encoder.json").unlink(),
    "a flipped bit in the weights": lambda f: flip(f / "model.onnx.data"),
    "a flipped bit in the graph": lambda f: flip(f / "model.onnx"),
    "no weights": lambda f: (f / "model.onnx.data").unlink(),
    "a cut record": lambda f: overwrite(f / "encoder.json", '{"compiler": 3'),
    "a record of another kind": lambda f: overwrite(f / "encoder.json", "[1]"),
    "an empty folder": empty,
}


def test_an_encoder_keeps_working_after_its_compiled_files_are_removed(model: Path, cache: Path) -> None:
    load_encoder(model)
    encoder = load_encoder(model, threads=2)
    expected = encoder.encode(["the cat"])
    shutil.rmtree(cache)
    many = encoder.encode(["the cat", *(f"cat {n} " * (n % 9) for n in range(500))])
    np.testing.assert_allclose(many[:1], expected, atol=1e-6)


@pytest.mark.parametrize("damage", every(4, DAMAGES))
def test_a_damaged_compiled_model_is_compiled_again_with_a_warning(
    model: Path, cache: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    whole = load_encoder(model)
    folder = compiled_folder(whole.space.fingerprint)
    DAMAGES[damage](folder)
    with caplog.at_level(logging.WARNING, "vecindex"):
        again = load_encoder(model)
    assert np.array_equal(again.encode(["the cat"]), whole.encode(["the cat"]))
    assert sorted(p.name for p in folder.iterdir()) == FILES
    assert os.listdir(cache / "compiled") == [whole.space.fingerprint]
    assert any(str(folder) in record.message for record in caplog.records)


def test_a_compiled_model_of_another_compiler_is_not_used(model: Path, cache: Path) -> None:
    folder = compiled_folder(load_encoder(model).space.fingerprint)
    record = json.loads((folder / "encoder.json").read_text())
    (folder / "encoder.json").write_text(json.dumps({**record, "compiler": 0}))
    load_encoder(model)
    assert json.loads((folder / "encoder.json").read_text()) == record


@pytest.fixture
def wrong_export(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every export computes something else; the list counts them."""
    from vecindex.encoders.compile import export

    honest, exports = export.export, []

    def perturbed(model: Any, folder: Path) -> None:
        exports.append(1)
        weight = model.transformer.encoder.layer[1].output.dense.weight
        before = weight.detach().clone()
        weight.data[0] += 0.5
        honest(model, folder)
        weight.data.copy_(before)

    monkeypatch.setattr(export, "export", perturbed)
    return exports


def test_a_model_whose_export_disagrees_runs_on_torch_and_is_not_exported_again(
    model: Path, cache: Path, wrong_export: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "vecindex"):
        encoder = load_encoder(model)
        again = load_encoder(model)
    assert (encoder.runtime, again.runtime, len(wrong_export)) == ("torch", "torch", 1)
    (warned,) = [record.getMessage() for record in caplog.records]
    assert warned.startswith(
        f"{model} runs on torch, which is slower: compiled, its vectors agree with the reference to"
    )
    assert os.listdir(cache / "compiled") == []
    assert re.fullmatch(
        r"torch \(its export failed: compiled, its vectors agree with the reference to a cosine of only 0\.\d+\)",
        compiled_models.runtime_of(encoder.space),
    )
    with vecindex.open(cache / "i", model=model) as index:
        index.add(["the cat"])
    with vecindex.open(cache / "i") as index:
        assert index.info().runtime == compiled_models.runtime_of(encoder.space)
        assert index.search("the cat")[0].score > 0.9999
    assert len(wrong_export) == 1
    with pytest.raises(UnsupportedModel, match="cannot be compiled: compiled, its vectors agree") as caught:
        load_encoder(model, precision="int8")
    assert caught.value.command_advice == "It runs on torch, without --precision."
    assert len(wrong_export) == 1


def test_a_failed_export_is_tried_again_with_another_library_version(
    model: Path, cache: Path, wrong_export: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    space = load_encoder(model).space
    monkeypatch.setattr("importlib.metadata.version", lambda name: f"another {name}")
    assert compiled_models.runtime_of(space) == "not compiled yet"
    load_encoder(model)
    assert len(wrong_export) == 2


def test_what_the_exporter_refuses_runs_on_torch(model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(model: Any, folder: Path) -> None:
        raise UnsupportedModel(model.space.model, "it cannot be exported to ONNX (no such operator)")

    monkeypatch.setattr("vecindex.encoders.compile.export.export", refusing)
    space = load_encoder(model).space
    assert (
        compiled_models.runtime_of(space)
        == "torch (its export failed: it cannot be exported to ONNX (no such operator))"
    )
    monkeypatch.undo()
    monkeypatch.setenv("VECINDEX_CACHE", str(cache))
    made = models.compile_model(str(model))  # asked for by name, it is tried again
    assert (made.before, compiled_models.runtime_of(space)) == (False, "onnxruntime")
    assert not refusal_file(space.fingerprint).exists()


def test_damage_that_looks_unchanged_is_found_by_reading(model: Path, cache: Path) -> None:
    space = load_encoder(model).space
    folder = compiled_folder(space.fingerprint)
    weights = folder / "model.onnx.data"
    flip(weights)
    remember_digests([(weights, compiled_models.read_record(folder).files["model.onnx.data"])])
    assert compiled_models.load_compiled(space, None) is not None
    (found,) = models.details(str(model), verify=True)
    assert found.faults is not None
    assert len(found.faults) == 1
    assert found.faults[0].startswith("model.onnx.data is not what was written: its SHA-256 is ")


@pytest.mark.slow
def test_two_processes_that_compile_at_once_both_succeed(model: Path, cache: Path) -> None:
    code = (
        "import sys, vecindex, vecindex.encoders.run.torch\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        f"e = vecindex.load_encoder({str(model)!r}); print(e.encode(['the cat']).tobytes().hex(), e.space.fingerprint)"
    )
    with start(code, cache) as one, start(code, cache) as other:
        both = (one, other)
        for process in both:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in both:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        outputs = [process.communicate(timeout=600)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert outputs[0] == outputs[1] != ""
    assert os.listdir(cache / "compiled") == [outputs[0].split()[1]]


def test_the_loser_of_a_race_uses_what_the_winner_published(
    model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fingerprint = load_encoder(model).space.fingerprint
    winners = shutil.copytree(compiled_folder(fingerprint), cache / "winners")
    shutil.rmtree(compiled_folder(fingerprint))
    honest: Callable[..., float] = probes.probed

    def meanwhile(*args: Any) -> float:
        shutil.copytree(winners, compiled_folder(fingerprint))
        return honest(*args)

    monkeypatch.setattr(compiler, "probed", meanwhile)
    assert load_encoder(model).encode(["the cat"]).shape == (1, 32)
    assert os.listdir(cache / "compiled") == [fingerprint]


def test_another_process_may_remove_the_compiled_folder(
    model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It found nothing there, then this process published, then it removed "the damaged folder" to publish its own.
    rename = os.rename

    def renamed_and_cleared(source: Any, target: Any) -> None:
        rename(source, target)
        if Path(target).is_dir():
            shutil.rmtree(target)

    monkeypatch.setattr(os, "rename", renamed_and_cleared)
    assert load_encoder(model).encode(["the cat"]).shape == (1, 32)


@pytest.mark.slow
def test_a_kill_while_compiling_leaves_nothing_that_is_used(model: Path, cache: Path) -> None:
    code = (
        "import time, vecindex; from vecindex.encoders.compile import export\n"
        "honest = export.export\n"
        "def slow(model, folder):\n"
        "    honest(model, folder); print('written', flush=True); time.sleep(60)\n"
        "export.export = slow\n"
        f"vecindex.load_encoder({str(model)!r})"
    )
    with start(code, cache) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.send_signal(signal.SIGKILL)
    (left,) = (cache / "compiled").iterdir()
    assert left.name.startswith("compiling-")
    encoder = load_encoder(model)
    assert set(os.listdir(cache / "compiled")) == {left.name, encoder.space.fingerprint}
    # Once it is a day old, the next compilation takes it away.
    os.utime(left, (0, 0))
    shutil.rmtree(compiled_folder(encoder.space.fingerprint))
    load_encoder(model)
    assert os.listdir(cache / "compiled") == [encoder.space.fingerprint]


def test_a_model_encodes_even_if_it_cannot_be_cached(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VECINDEX_CACHE", str(tmp_path / "file"))
    assert load_encoder(model).encode(["the cat"]).shape == (1, 32)


# --- the encoder of a space that is stored ---------------------------------------------------------------------------


def test_a_changed_model_folder_is_a_mismatch_that_names_both(
    small_model: SmallModel, tmp_path: Path, cache: Path
) -> None:
    folder = small_model(tmp_path)
    space = load_encoder(folder).space
    assert load_for_space(space).space == space
    shutil.rmtree(tmp_path / "base")
    shutil.rmtree(folder)
    assert load_for_space(space).space == space, "the compiled model serves without the model's files"
    changed = load_encoder(small_model(tmp_path, pooling="cls"), runtime="torch").space
    with pytest.raises(SpaceMismatch) as caught:
        load_for_space(space)
    assert (caught.value.expected, caught.value.found) == (space.describe(), changed.describe())
    assert caught.value.differs == "pooling: 'mean' / 'cls'"
    assert caught.value.advice.startswith("The model's files have changed. Restore them")
