"""The runtime for GPUs, run on the processor and, if there is one, on a GPU."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

import vecindex
from vecindex import load_encoder
from vecindex.cli import main
from vecindex.encoders.config.read_space import read_space
from vecindex.encoders.load import LoadOptions, load_for_space
from vecindex.encoders.locate.vecindex_cache import file_digest
from vecindex.encoders.run import cuda
from vecindex.encoders.run.cuda import DTYPES, CudaEncoder
from vecindex.encoders.run.encoder import Encoder
from vecindex.encoders.run.torch import TorchEncoder
from vecindex.errors import EncodingFailed, InvalidInput, UnsupportedModel
from vecindex.values.space import PoolingMode, Space

from ...support.extent import every, slow
from ...support.models.small_model import SmallModel
from ...support.models.varied_texts import cosines, varied_texts

PROMPTS = {"query": "query : ", "document": "document : "}
WORDS = ("the", "cat", "dog", "sat", "on", "mat", "rain", "sun", "hello", "my", "name", "is")


def texts(count: int, most: int = 20) -> list[str]:
    """Texts of 0 to ``most`` words in random order, some of them twice."""
    rng = np.random.default_rng(count)
    found = [" ".join(rng.choice(WORDS, rng.integers(0, most + 1))) for _ in range(count - count // 10)]
    return found + found[: count // 10]


def space_of(folder: Path, **changes: Any) -> Space:
    return replace(read_space(folder, str(folder), file_digest), **changes)


@pytest.fixture(scope="module")
def folder(small_model: SmallModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("model"), prompts=PROMPTS)


@pytest.fixture(scope="module")
def on_torch(folder: Path) -> Encoder:
    return TorchEncoder(folder, space_of(folder))


@pytest.fixture(
    params=["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"))]
)
def small(folder: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> CudaEncoder:
    """A small model in fp32, with batches and windows so small that a call has several of each."""
    monkeypatch.setattr(CudaEncoder, "tokens_a_batch", 200)
    monkeypatch.setattr(CudaEncoder, "texts_at_once", 64)
    return CudaEncoder(folder, space_of(folder), device=request.param)


# --- the vectors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [30, slow(6)])
def test_the_default_models_vectors_are_the_references(minilm: Path, reference: Encoder, step: int) -> None:
    few = [text for text in varied_texts() if len(text) < 2000][::step]
    encoder = CudaEncoder(minilm, space_of(minilm), device="cpu")
    np.testing.assert_allclose(encoder.encode(few), reference.encode(few), atol=1e-5)
    assert encoder.agreement.least > 0.99999
    assert encoder.runtime == "torch on cpu"


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_agrees_with_fp32_and_reports_how_well(folder: Path, on_torch: Encoder, precision: str) -> None:
    space = space_of(folder, precision=precision)
    encoder = CudaEncoder(folder, space, device="cpu")
    assert next(iter(encoder._model.parameters())).dtype == DTYPES[precision]
    vectors = encoder.encode(texts(50))
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert cosines(vectors, on_torch.encode(texts(50))).min() > 0.99
    assert 0.999 <= encoder.agreement.mean < 1
    assert 0.99 <= encoder.agreement.least < encoder.agreement.mean
    assert (encoder.agreement.sample, encoder.agreement.texts) == ("built-in", len(cuda._PROBES))
    assert encoder.space.fingerprint != on_torch.space.fingerprint


@pytest.mark.parametrize("role", ["document", "query"])
@pytest.mark.parametrize("count", [0, 1, slow(7), 150])
def test_vectors_and_lost_tokens_are_those_of_the_reference(
    small: CudaEncoder, on_torch: Encoder, role: Any, count: int
) -> None:
    expected, found = on_torch.encode_all(texts(count), role), small.encode_all(texts(count), role)
    np.testing.assert_allclose(found.vectors, expected.vectors, atol=1e-5)
    assert found.vectors.shape == (count, 32)
    assert found.lost.tolist() == expected.lost.tolist()
    assert found.lost.dtype == expected.lost.dtype


def test_a_vector_does_not_depend_on_its_batch_or_its_place(small: CudaEncoder) -> None:
    some = texts(150)
    together = small.encode(some)
    np.testing.assert_allclose(together[:20], np.concatenate([small.encode([t]) for t in some[:20]]), atol=1e-5)
    order = np.random.default_rng(1).permutation(len(some))
    np.testing.assert_allclose(small.encode([some[i] for i in order]), together[order], atol=1e-5)


@pytest.mark.parametrize("prompt_pooled", [True, False])
@pytest.mark.parametrize("mode", every(3, get_args(PoolingMode)))
def test_every_pooling_mode_is_as_in_the_reference(
    small_model: SmallModel, tmp_path: Path, mode: PoolingMode, prompt_pooled: bool
) -> None:
    model = small_model(tmp_path, pooling=mode, prompts=PROMPTS)
    pooling = model / "1_Pooling" / "config.json"
    pooling.write_text(json.dumps({**json.loads(pooling.read_text()), "include_prompt": prompt_pooled}))
    space = space_of(model)
    assert (space.pooling, space.prompt_pooled) == (mode, prompt_pooled)
    encoder, expected = CudaEncoder(model, space, device="cpu"), TorchEncoder(model, space)
    np.testing.assert_allclose(encoder.encode(texts(60)), expected.encode(texts(60)), atol=1e-5)


def test_long_texts_are_encoded_as_by_the_reference(small: CudaEncoder, on_torch: Encoder) -> None:
    long = ["the cat", "rain " * 40, "sun dog " * 30, "rain " * 40, "mat"]
    for on_long in ("truncate", "mean"):
        expected, found = on_torch.encode_all(long, on_long=on_long), small.encode_all(long, on_long=on_long)
        np.testing.assert_allclose(found.vectors, expected.vectors, atol=1e-5)
        assert found.lost.tolist() == expected.lost.tolist()
    with pytest.raises(InvalidInput, match="reads 16"):
        small.encode_all(long, on_long="error")


def test_token_vectors_are_the_references(small: CudaEncoder, on_torch: Encoder) -> None:
    for one, other in zip(small.encode_tokens(["the cat", ""]), on_torch.encode_tokens(["the cat", ""]), strict=True):
        assert one.strings == other.strings
        np.testing.assert_allclose(one.vectors, other.vectors, atol=1e-5)


def test_several_threads_can_use_it(small: CudaEncoder) -> None:
    some = [texts(30 + i) for i in range(8)]
    expected = [small.encode(each) for each in some]
    with ThreadPoolExecutor(8) as pool:
        for vectors, right in zip(pool.map(small.encode, some), expected, strict=True):
            np.testing.assert_allclose(vectors, right, atol=1e-5)


# --- memory ----------------------------------------------------------------------------------------------------------


def full_above(encoder: CudaEncoder, most: int, patch: pytest.MonkeyPatch, error: Callable[[], Exception]) -> list[int]:
    """Makes the device refuse batches of more than ``most`` tokens; returns the list of the sizes that were tried."""
    asked: list[int] = []
    hidden = encoder._hidden

    def limited(ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        asked.append(ids.numel())
        if ids.numel() > most:
            raise error()
        return hidden(ids, mask)

    patch.setattr(encoder, "_hidden", limited)
    return asked


@pytest.mark.parametrize(
    "error",
    [
        lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        lambda: RuntimeError("CUDA error: out of memory"),
        lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
    ids=["torch", "driver", "cublas"],
)
def test_out_of_memory_makes_batches_smaller_and_changes_no_vector(
    small: CudaEncoder, monkeypatch: pytest.MonkeyPatch, error: Callable[[], Exception]
) -> None:
    expected = small.encode(texts(130))
    asked = full_above(small, 50, monkeypatch, error)
    np.testing.assert_allclose(small.encode(texts(130)), expected, atol=1e-5)
    assert max(asked) > 50
    assert small.tokens_a_batch <= 50
    asked.clear()
    small.encode(texts(130))
    assert max(asked) <= 50, "the limit is remembered"


def test_a_text_that_does_not_fit_is_an_error(small: CudaEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = full_above(small, 10, monkeypatch, lambda: torch.OutOfMemoryError("CUDA out of memory."))
    with pytest.raises(EncodingFailed, match=r"a text of 16 tokens does not fit into the memory of \S+"):
        small.encode(["rain " * 40] * 3 + ["the cat"])
    assert asked
    small.encode(["the cat"])  # it still works


def test_another_error_is_not_taken_for_a_full_memory(small: CudaEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    full_above(small, 10, monkeypatch, lambda: RuntimeError("CUDA error: device-side assert triggered\nmore"))
    budget = small.tokens_a_batch
    with pytest.raises(EncodingFailed, match=r"failed \(CUDA error: device-side assert triggered\)"):
        small.encode(["rain " * 40])
    with pytest.raises(EncodingFailed, match="device-side assert"):
        small.encode_tokens(["rain " * 40])
    assert small.tokens_a_batch == budget


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_nearly_full_gpu_gets_smaller_batches(minilm: Path) -> None:
    encoder = CudaEncoder(minilm, space_of(minilm, precision="bf16"))
    encoder.tokens_a_batch = 2**21
    few = texts(2000, most=200)
    share = 1.2e9 / torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(share)
    try:
        vectors = encoder.encode(few)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert encoder.tokens_a_batch < 2**21
    assert cosines(vectors, encoder.encode(few)).min() > 0.999


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_device_that_computes_wrong_vectors_is_refused_with_figures(
    folder: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    noise = torch.Generator().manual_seed(0)

    def wrong(self: Any, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        return torch.randn(*ids.shape, 32, generator=noise)

    monkeypatch.setattr("vecindex.encoders.run.cuda.CudaEncoder._hidden", wrong)
    with pytest.raises(
        UnsupportedModel, match=rf"in {precision} on cpu .* differ too much .* mean cosine -?0\.\d+, least"
    ):
        CudaEncoder(folder, space_of(folder, precision=precision), device="cpu")


def test_numbers_that_overflow_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def overflown(self: Any, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        return torch.full((*ids.shape, 32), torch.nan)

    monkeypatch.setattr("vecindex.encoders.run.cuda.CudaEncoder._hidden", overflown)
    with pytest.raises(UnsupportedModel, match="in fp16 on cpu its vectors are not finite"):
        CudaEncoder(folder, space_of(folder, precision="fp16"), device="cpu")


def test_a_model_that_does_not_fit_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB.")

    monkeypatch.setattr("vecindex.encoders.run.cuda._moved", full)
    with pytest.raises(EncodingFailed, match=r"does not fit into the memory of cpu \(CUDA out of memory"):
        CudaEncoder(folder, space_of(folder), device="cpu")


def test_an_unsupported_precision_or_an_unknown_device_is_an_error(folder: Path) -> None:
    with pytest.raises(InvalidInput, match="the precision int8 is not available on GPUs"):
        CudaEncoder(folder, space_of(folder, precision="int8"))
    for device in ("gpu", "mps", "cuda:x"):
        with pytest.raises(InvalidInput, match="is unknown"):
            CudaEncoder(folder, space_of(folder), device=device)


def test_without_cuda_the_error_says_why_and_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", "2.9.1+cpu")
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    with pytest.raises(InvalidInput) as caught:
        CudaEncoder(folder, space_of(folder))
    assert str(caught.value) == (
        "the device 'cuda' cannot be used: torch 2.9.1+cpu is built without CUDA; install a build with it: pip install "
        "--force-reinstall 'torch==2.9.1', on Linux, or see https://pytorch.org/get-started/locally. "
        "Or leave device= out."
    )


def test_a_hidden_card_and_a_broken_driver_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_driver() -> None:
        raise RuntimeError("Found no NVIDIA driver on your system.\nPlease check ...")

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", no_driver)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert cuda.cuda_problem() == (
        "no GPU can be used (Found no NVIDIA driver on your system.); nvidia-smi shows whether the machine has one and "
        "its driver works"
    )
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert str(cuda.cuda_problem()).startswith("no GPU is visible: CUDA_VISIBLE_DEVICES is ''; unset it")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert str(cuda.cuda_problem()).startswith("no GPU can be used"), "as in a forked process"
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    assert cuda.cuda_problem() is None


def test_a_missing_gpu_and_one_too_old_for_bf16_are_errors(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "cuda_problem", lambda: None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    with pytest.raises(InvalidInput, match="there is no device 'cuda:2'"):
        CudaEncoder(folder, space_of(folder), device="cuda:2")
    with pytest.raises(InvalidInput, match="Tesla T4 does not support bf16"):
        CudaEncoder(folder, space_of(folder, precision="bf16"))


def test_products_are_in_float32_whatever_the_program_sets(small: CudaEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    hidden = small._hidden

    def watched(ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        seen.append(torch.backends.cuda.matmul.fp32_precision)
        return hidden(ids, mask)

    monkeypatch.setattr(small, "_hidden", watched)
    torch.set_float32_matmul_precision("high")
    try:
        small.encode(["the cat"])
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert seen == ["ieee"]


def test_the_programs_autocast_and_default_device_change_nothing(small: CudaEncoder) -> None:
    some = texts(40)
    expected = small.encode(some)
    with torch.autocast(small.device.type, torch.bfloat16):
        np.testing.assert_allclose(small.encode(some), expected, atol=1e-6)
    with torch.device("meta"):
        np.testing.assert_allclose(small.encode(some), expected, atol=1e-6)


def test_an_add_passes_at_most_texts_at_once(
    small: CudaEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    encode_all = small.encode_all

    def counted(texts: Any, *more: Any, **named: Any) -> Any:
        asked.append(len(texts))
        return encode_all(texts, *more, **named)

    monkeypatch.setattr(small, "encode_all", counted)
    monkeypatch.setattr("vecindex.index.adding.encode_ahead.SECONDS_A_COMMIT", 1e6)
    with vecindex.open(tmp_path / "index", model=small) as index:
        index.add([f"the cat {n}" for n in range(164)])
    assert (max(asked), sum(asked)) == (64, 164), "at most one window, and each text once"


# --- choosing the device ---------------------------------------------------------------------------------------------


def test_device_cuda_loads_a_cuda_encoder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "_device", lambda name, precision: torch.device("cpu"))
    for precision in ("fp32", "bf16", "fp16"):
        encoder = load_encoder(folder, device="cuda", precision=precision)
        assert isinstance(encoder, CudaEncoder)
        assert encoder.space.precision == precision
        again = load_for_space(encoder.space, LoadOptions(device="cuda"))
        assert isinstance(again, CudaEncoder)
        assert again.space == encoder.space


def test_an_index_of_a_gpus_vectors_is_added_to_and_searched(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda, "_device", lambda name, precision: torch.device("cpu"))
    with vecindex.open(tmp_path / "index", model=folder, device="cuda", precision="bf16") as index:
        index.add(["the cat sat", "rain on my mat"])
    with vecindex.open(tmp_path / "index", device="cuda") as index:
        assert index.search("the cat sat")[0].text == "the cat sat"
    with vecindex.open(tmp_path / "index") as index, pytest.raises(InvalidInput, match='Add device="cuda"'):
        index.search("the cat sat")


def test_without_a_gpu_the_command_fails_and_says_why(
    folder: Path, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda, "cuda_problem", lambda: "no GPU can be used (no driver); look at nvidia-smi")
    with pytest.raises(SystemExit) as ended:
        main(["add", "--text", "the cat", "--model", str(folder), "--device", "cuda"])
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert "Error: the device 'cuda' cannot be used: no GPU can be used (no driver); look at nvidia-smi" in said
    assert not (here / ".vecindex" / "vecindex.db").exists()
