"""When the system refuses files, memory, disk space or threads, the error says so, and no model is blamed for it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import tokenizers

from vecindex import EncodingFailed, OutOfMemory, explain, load_encoder
from vecindex.cli.render.results import explanation_as
from vecindex.encoders import models
from vecindex.encoders.compile import compiled_models, compiler, publishing
from vecindex.encoders.cross.pair_tokenizer import PairTokenizer
from vecindex.encoders.locate.vecindex_cache import compiled_folder, refusal_file
from vecindex.encoders.run import text_tokenizer
from vecindex.encoders.run.encoder import Encoder
from vecindex.machine.extras import extra_errors
from vecindex.machine.lacks import lack, lacks_said
from vecindex.values.space import PoolingMode

from ..support.commands import run
from ..support.models.families import static_model
from ..support.models.small_model import SmallModel
from ..support.toy import ToyEncoder


@contextlib.contextmanager
def limited(what: int, number: int) -> Iterator[None]:
    """A limit of this process, for a while."""
    before = resource.getrlimit(what)
    resource.setrlimit(what, (number, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(what, before)


def test_a_sound_compiled_model_is_kept_when_no_file_can_be_opened(encoder: Encoder) -> None:
    folder = compiled_folder(encoder.space.fingerprint)
    before = sorted((file.name, file.stat().st_ino) for file in folder.iterdir())
    spare = os.open(os.devnull, os.O_RDONLY)
    os.close(spare)
    with limited(resource.RLIMIT_NOFILE, spare), pytest.raises(EncodingFailed) as caught:
        compiled_models.load_compiled(encoder.space, None)
    assert "Too many open files" in caught.value.reason
    assert caught.value.advice.startswith("The model is fine.")
    assert sorted((file.name, file.stat().st_ino) for file in folder.iterdir()) == before
    assert compiled_models.load_compiled(encoder.space, None) is not None


def test_a_full_disk_while_compiling_is_not_blamed_on_the_model(
    small_model: SmallModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = small_model(tmp_path)
    monkeypatch.setenv("VECINDEX_CACHE", str(tmp_path / "cache"))
    with caplog.at_level(logging.WARNING, "vecindex"), limited(resource.RLIMIT_FSIZE, 20_000):
        slow = load_encoder(model)
    assert slow.runtime == "torch"
    assert any("is not compiled this time and runs on torch" in record.getMessage() for record in caplog.records)
    assert not refusal_file(slow.space.fingerprint).exists()
    fast = load_encoder(model)
    assert fast.runtime == "onnxruntime"
    np.testing.assert_allclose(fast.encode(["the cat"]), slow.encode(["the cat"]), atol=1e-5)


def test_a_graph_with_numbers_that_are_not_finite_is_refused_permanently(
    small_model: SmallModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overflown(self: object, output: str, inputs: Any, beside: bool = False) -> Any:
        return np.full((*inputs["input_ids"].shape, 32), np.nan, np.float32)

    monkeypatch.setenv("VECINDEX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("vecindex.encoders.run.onnx.Graph.run", overflown)
    encoder = load_encoder(small_model(tmp_path))
    assert encoder.runtime == "torch"
    assert "agree with the reference to a cosine of only nan" in str(compiled_models.refusal(encoder.space))


def test_a_refusal_by_an_earlier_version_is_tried_again(encoder: Encoder) -> None:
    space = encoder.space
    compiled_models.refuse(space, "no such operator")
    path = refusal_file(space.fingerprint)
    assert compiled_models.refusal(space) == "no such operator"
    kept = json.loads(path.read_text())
    del kept["said"]
    path.write_text(json.dumps(kept))
    assert compiled_models.refusal(space) is None
    compiled_models.forget_refusal(space)


def test_a_model_compiled_into_a_read_only_folder_is_found(
    small_model: SmallModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small_model(tmp_path)
    monkeypatch.setenv("VECINDEX_CACHE", str(tmp_path / "own"))
    code, _, err = run("models", "compile", model, "--to", tmp_path / "baked")
    assert (code, "is compiled: " in err, (tmp_path / "own").exists()) == (0, True, False)
    assert os.environ["VECINDEX_CACHE"] == str(tmp_path / "own")
    for path in (tmp_path / "baked").rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    monkeypatch.setenv("VECINDEX_CACHE", str(tmp_path / "baked"))
    monkeypatch.setattr(compiler, "_compile_full", lambda *_: pytest.fail("compiled again"))
    assert load_encoder(model).runtime == "onnxruntime"


def test_an_unusable_folder_to_compile_into_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "compile_model", lambda *_, **__: pytest.fail("compiled"))
    (tmp_path / "file").touch()
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    refused: dict[Path | str, str] = {
        tmp_path / "file": f"cannot compile into {tmp_path}/file: {tmp_path}/file: File exists",
        tmp_path / "file" / "in it": f"{tmp_path}/file/in it: File exists",
        tmp_path / "open": f"into {tmp_path}/open: {tmp_path}/open can be written by others (mode 0777; `chmod go-w`",
        "": "--to is empty",
    }
    for place, reason in refused.items():
        code, _, err = run("models", "compile", "any", "--to", place)
        assert (code, reason in err) == (1, True), err


def test_a_user_without_a_home_compiles_into_a_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("HOME", "VECINDEX_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)  # of whom the system knows nothing
    assert load_encoder(static_model(tmp_path / "static")).encode(["the cat"]).shape == (1, 16)
    assert list(compiled_models.every_compiled()) == []
    with publishing.scratch_folder() as folder:
        assert str(folder).startswith(tempfile.gettempdir())
    (told,) = caplog.records
    assert "is not writable" in told.getMessage()
    assert "Set VECINDEX_CACHE to a writable folder" in told.getMessage()


LACKS = [
    MemoryError(),
    OSError(28, "No space left on device"),
    OSError(24, "Too many open files"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried 4 GB"),
    RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : std::bad_alloc"),
    RuntimeError("can't start new thread"),
    RuntimeError("[ONNXRuntimeError] : 1 : FAIL : bad allocation"),
    ImportError("libtorch_cpu.so: failed to map segment from shared object"),
]
NONE = [
    FileNotFoundError(2, "No such file or directory"),
    RuntimeError("[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : Load model failed"),
    ValueError("model.onnx is not what was written"),
    RuntimeError("no operator named Foo"),
]


@pytest.mark.parametrize("error", LACKS, ids=repr)
def test_a_lack_is_recognised_in_messages_of_libraries_and_in_causes(error: Exception) -> None:
    above = ValueError("it cannot be exported")
    above.__cause__ = error
    with pytest.raises((EncodingFailed, OutOfMemory)) as caught, lacks_said("the model was compiled"):
        raise above
    words = ("memory", "alloc", "segment")
    is_memory = isinstance(error, MemoryError) or any(word in str(error) for word in words)
    assert isinstance(caught.value, OutOfMemory if is_memory else EncodingFailed)
    assert "while the model was compiled" in str(caught.value)


@pytest.mark.parametrize(
    ("said", "kind"), [("failed to map segment", OutOfMemory), ("Too many open files", EncodingFailed)]
)
def test_a_lack_during_an_import_is_not_a_missing_package(said: str, kind: type[Exception]) -> None:
    doing = "while the packages for running a/model on a GPU were imported"
    with pytest.raises(kind, match=doing), extra_errors("running a/model on a GPU"):
        raise ImportError(f"libtorch_cpu.so: {said}")


@pytest.mark.parametrize("error", NONE, ids=repr)
def test_an_error_that_is_not_a_lack_is_unchanged(error: Exception) -> None:
    assert lack(error) == ""
    with pytest.raises(type(error)), lacks_said("the model was compiled"):
        raise error


# --- the libraries' own errors ---------------------------------------------------------------------------------------


def test_an_error_of_onnxruntime_is_mapped(encoder: Encoder) -> None:
    with pytest.raises(EncodingFailed, match="onnxruntime cannot run sentence-transformers/all-MiniLM-L6-v2") as caught:
        encoder.forward(np.array([[10**6]]), np.array([[1]]))
    assert "`vecindex models remove" in caught.value.advice.typed  # type: ignore[attr-defined]


class PanicException(BaseException):
    """As pyo3 names what a panic in Rust becomes; it cannot be imported."""


@pytest.mark.parametrize("recovers", [True, False])
def test_a_panic_of_tokenizers_is_retried_without_threads_and_then_reported(
    recovers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    tries: list[str] = []
    encode: Any = text_tokenizer.encoded

    class Panics:
        def encode_batch_fast(self, texts: list[str], add_special_tokens: bool) -> Any:
            tries.append(os.environ["TOKENIZERS_PARALLELISM"])
            if recovers and len(tries) == 2:
                return ["encoded"]
            raise PanicException("The global thread pool has not been initialized.: ThreadPoolBuildError")

        encode_batch = encode_batch_fast

    for offsets in (False, True):
        os.environ["TOKENIZERS_PARALLELISM"] = "true"
        tries.clear()
        if recovers:
            assert encode(Panics(), ["one"], True, offsets) == ["encoded"]
        else:
            with pytest.raises(EncodingFailed, match="The global thread pool has not been initialized"):
                encode(Panics(), ["one"], True, offsets)
        assert tries == ["true", "false"]


@pytest.mark.parametrize("reads", ["pairs", "places"])
def test_tokenizers_that_need_places_survive_a_panic(reads: str, minilm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    sound = tokenizers.Tokenizer.from_file(str(minilm / "tokenizer.json"))
    kind: Any = PairTokenizer if reads == "pairs" else text_tokenizer.TextTokenizer
    one, other = kind.like(sound, 32), kind.like(sound, 32)
    panics: list[str] = []

    class Panicking:
        """A tokenizer to which the system refuses threads, until it is told to use none."""

        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def encode_batch(self, texts: list[str], add_special_tokens: bool) -> Any:
            if os.environ["TOKENIZERS_PARALLELISM"] == "true":
                panics.append(texts[0])
                raise PanicException("ThreadPoolBuildError")
            return self.inner.encode_batch(texts, add_special_tokens=add_special_tokens)

    other.__dict__["_whole"] = Panicking(other._whole)
    if reads == "pairs":
        long = "an answer " * 200
        assert other.tokenize("a question", [long]) == one.tokenize("a question", [long])
        assert panics == ["a question"]
    else:
        assert other.offsets("two words") == one.offsets("two words") == [(0, 3), (4, 9)]
        assert panics == ["two words"]


# --- explaining every pooling ----------------------------------------------------------------------------------------


class Narrow(ToyEncoder):
    """Its tokens have 16 numbers, however many its pooling makes of them."""

    def forward(self, *arguments: Any) -> Any:
        return ToyEncoder().forward(*arguments)


@pytest.mark.parametrize("pooling", [*get_args(PoolingMode), "cls+mean", "max+lasttoken+weightedmean"])
def test_every_pooling_is_explained_in_words_and_its_parts_add_up(pooling: str) -> None:
    dimension = 16 * len(pooling.split("+"))
    toy = Narrow(pooling=pooling, dimension=dimension)
    explained = explain("red green blue", against="green red", encoder=toy)
    score = float(toy.encode(["red green blue"])[0] @ toy.encode(["green red"], role="query")[0])
    assert explained.score == pytest.approx(score, abs=1e-6)
    assert sum(token.contribution or 0 for token in explained.tokens) == pytest.approx(score, abs=1e-6)
    assert sum(token.share for token in explained.tokens) == pytest.approx(1, abs=1e-6)
    printed = explanation_as("text", explained, 80)
    assert f"SENTENCE VECTOR [{dimension}]: " in printed
    assert printed.count(" blue ") == 1
