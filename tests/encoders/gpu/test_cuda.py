"""Is the runtime for GPUs right in everything but the card: the same code, run on the processor."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
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
from vecindex.encoders.gpu import batches, cuda, lanes
from vecindex.encoders.gpu.cuda import CudaEncoder
from vecindex.encoders.gpu.on_device import DTYPES
from vecindex.encoders.load import LoadOptions, load_for_space
from vecindex.encoders.locate.vecindex_cache import file_digest
from vecindex.encoders.run.encoder import Encoder
from vecindex.encoders.run.torch import TorchEncoder
from vecindex.errors import EncodingFailed, InvalidInput, UnsupportedModel
from vecindex.values.space import PoolingMode, Space

from ...support.models.small_model import SmallModel
from ...support.models.varied_texts import cosines, varied_texts
from .test_token_workers import alive, wait_until_ended

PROMPTS = {"query": "query : ", "document": "document : "}
WORDS = ("the", "cat", "dog", "sat", "on", "mat", "rain", "sun", "hello", "my", "name", "is")


def texts(count: int, most: int = 20) -> list[str]:
    """Different texts of 0 to ``most`` words in no order, some of them twice."""
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
def small(folder: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[CudaEncoder]:
    """A small model in fp32, whose batches, blocks and windows are so small that there are several of each."""
    monkeypatch.setattr(batches, "ENOUGH_TOKENS", 60)
    monkeypatch.setattr(cuda, "TEXTS_A_BLOCK", 64)
    monkeypatch.setattr(cuda, "TEXTS_A_WINDOW", 16)
    monkeypatch.setattr(cuda, "TEXTS_A_PART", 16)
    monkeypatch.setattr(cuda, "PROCESSES_FROM", 100)
    encoder = CudaEncoder(folder, space_of(folder), device=request.param, processes=0, tokens_a_batch=200)
    yield encoder
    encoder.close()


# --- the vectors -----------------------------------------------------------------------------------------------------


def test_the_default_models_vectors_are_the_references(minilm: Path, reference: Encoder) -> None:
    few = [text for text in varied_texts() if len(text) < 2000][::6]
    encoder = CudaEncoder(minilm, space_of(minilm), device="cpu")
    np.testing.assert_allclose(encoder.encode(few), reference.encode(few), atol=1e-5)
    assert encoder.agreement.least > 0.99999
    assert encoder.runtime == "torch on cpu"


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_agrees_and_says_how_well(folder: Path, on_torch: Encoder, precision: str) -> None:
    space = space_of(folder, precision=precision)
    encoder = CudaEncoder(folder, space, device="cpu")
    assert next(iter(encoder._on_device._model.parameters())).dtype == DTYPES[precision]
    vectors = encoder.encode(texts(50))
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert cosines(vectors, on_torch.encode(texts(50))).min() > 0.99
    assert 0.999 <= encoder.agreement.mean < 1
    assert 0.99 <= encoder.agreement.least < encoder.agreement.mean
    assert (encoder.agreement.sample, encoder.agreement.texts) == ("built-in", len(cuda._PROBES))
    assert encoder.space.fingerprint != on_torch.space.fingerprint


@pytest.mark.parametrize("role", ["document", "query"])
@pytest.mark.parametrize("count", [0, 1, 7, 150])
def test_everything_is_as_the_reference_does_it(small: CudaEncoder, on_torch: Encoder, role: Any, count: int) -> None:
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


def test_a_text_that_comes_again_is_computed_once(small: CudaEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = []
    hidden = small._on_device._hidden

    def counted(ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        rows.append(len(ids))
        return hidden(ids, mask)

    monkeypatch.setattr(small._on_device, "_hidden", counted)
    vectors = small.encode(["the cat", "a dog", "the cat"] * 10)
    assert sum(rows) == 2
    assert (vectors[0] == vectors[27]).all()


@pytest.mark.parametrize("prompt_pooled", [True, False])
@pytest.mark.parametrize("mode", get_args(PoolingMode))
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


def test_a_text_with_nothing_to_pool_is_an_error(small: CudaEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small, "pooled_from", lambda role: 4)
    with pytest.raises(InvalidInput, match="the text '' has no tokens after the prompt"):
        small.encode(["the cat sat", ""])


def test_long_texts_are_as_in_the_reference(small: CudaEncoder, on_torch: Encoder) -> None:
    long = ["the cat", "rain " * 40, "sun dog " * 30, "rain " * 40, "mat"]
    for on_long in ("truncate", "mean"):
        expected, found = on_torch.encode_all(long, on_long=on_long), small.encode_all(long, on_long=on_long)
        np.testing.assert_allclose(found.vectors, expected.vectors, atol=1e-5)
        assert found.lost.tolist() == expected.lost.tolist()
    with pytest.raises(InvalidInput, match="reads 16"):
        small.encode_all(long, on_long="error")


def test_a_text_without_a_token_is_an_error(small_model: SmallModel, tmp_path: Path) -> None:
    bare = small_model(tmp_path)
    definition = json.loads((bare / "tokenizer.json").read_text())
    (bare / "tokenizer.json").write_text(json.dumps({**definition, "post_processor": None}))
    config = json.loads((bare / "tokenizer_config.json").read_text())
    (bare / "tokenizer_config.json").write_text(json.dumps({**config, "tokenizer_class": "PreTrainedTokenizerFast"}))
    encoder = CudaEncoder(bare, space_of(bare), device="cpu")
    with pytest.raises(InvalidInput, match="the text '' has no token"):
        encoder.encode(["the cat", ""])


def test_token_vectors_are_the_references(small: CudaEncoder, on_torch: Encoder) -> None:
    for one, other in zip(small.encode_tokens(["the cat", ""]), on_torch.encode_tokens(["the cat", ""]), strict=True):
        assert one.strings == other.strings
        np.testing.assert_allclose(one.vectors, other.vectors, atol=1e-5)


def test_what_is_no_text_or_no_role_is_an_error(small: CudaEncoder) -> None:
    for bad in ("one text", [1], ["\ud800"]):
        with pytest.raises(InvalidInput):
            small.encode(bad)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="role"):
        small.encode(["red"], role="passage")  # type: ignore[arg-type]


def test_several_threads_share_it(small: CudaEncoder) -> None:
    some = [texts(30 + i) for i in range(8)]
    expected = [small.encode(each) for each in some]
    with ThreadPoolExecutor(8) as pool:
        for vectors, right in zip(pool.map(small.encode, some), expected, strict=True):
            np.testing.assert_allclose(vectors, right, atol=1e-5)


# --- memory ----------------------------------------------------------------------------------------------------------


def full_above(encoder: CudaEncoder, most: int, patch: pytest.MonkeyPatch, error: Callable[[], Exception]) -> list[int]:
    """Lets a device of this memory refuse batches of more than ``most`` tokens; gives the sizes that it was asked."""
    asked: list[int] = []
    hidden = encoder._on_device._hidden

    def limited(ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        asked.append(ids.numel())
        if ids.numel() > most:
            raise error()
        return hidden(ids, mask)

    patch.setattr(encoder._on_device, "_hidden", limited)
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
    assert small._on_device.budget <= 50
    asked.clear()
    small.encode(texts(130))
    assert max(asked) <= 50, "it was learned once"


def test_a_text_that_does_not_fit_is_an_error(small: CudaEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = full_above(small, 10, monkeypatch, lambda: torch.OutOfMemoryError("CUDA out of memory."))
    with pytest.raises(EncodingFailed, match=r"the device is \S+, and a text of 16 tokens does not fit into"):
        small.encode(["rain " * 40] * 3 + ["the cat"])
    assert asked
    small.encode(["the cat"])  # and it works on


def test_another_error_is_not_taken_for_memory(small: CudaEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    full_above(small, 10, monkeypatch, lambda: RuntimeError("CUDA error: device-side assert triggered\nmore"))
    budget = small._on_device.budget
    with pytest.raises(EncodingFailed, match=r"it failed \(CUDA error: device-side assert triggered\)"):
        small.encode(["rain " * 40])
    with pytest.raises(EncodingFailed, match="device-side assert"):
        small.encode_tokens(["rain " * 40])
    assert small._on_device.budget == budget


def test_an_error_that_a_device_tells_late_is_one_too(small: CudaEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(small._on_device.lanes, "downloaded", lambda: fail)
    with pytest.raises(EncodingFailed, match="an illegal memory access"):
        small.encode(["the cat"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_card_that_is_nearly_full_gets_smaller_batches(minilm: Path) -> None:
    encoder = CudaEncoder(minilm, space_of(minilm, precision="bf16"), tokens_a_batch=2**21)
    few = texts(2000, most=200)
    share = 1.2e9 / torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(share)
    try:
        vectors = encoder.encode(few)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert encoder._on_device.budget < 2**21
    assert cosines(vectors, encoder.encode(few)).min() > 0.999


def test_memory_decides_the_first_budget(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def budget(free: int) -> int:
        monkeypatch.setattr(lanes.Lanes, "free", lambda self: free)
        return CudaEncoder(folder, space_of(folder), device="cpu")._on_device.budget

    # 32 numbers ten times and 64 three times, in 4 bytes, and 32 twice in 4: 2,304 bytes a token.
    assert budget(2 * 2304 * 10_000) == 10_000
    assert budget(0) == 2048
    assert budget(10**12) == 131_072


# --- processes -------------------------------------------------------------------------------------------------------


def test_many_texts_are_tokenized_by_processes(small: CudaEncoder) -> None:
    expected = small.encode_all(texts(200), "query")
    small._process_count = 2
    small.encode(texts(100))
    assert small._processes is None, "few texts start none"
    found = small.encode_all(texts(200), "query")
    assert small._processes is not None
    processes = small._processes.processes
    np.testing.assert_array_equal(found.vectors, expected.vectors)
    assert found.lost.tolist() == expected.lost.tolist()
    small.encode(texts(200))
    assert small._processes.processes == processes, "they are kept"
    small.close()
    wait_until_ended(processes)


def test_a_killed_process_is_an_error_and_the_next_call_starts_others(
    small: CudaEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    small._process_count = 2
    small.encode(texts(200))
    assert small._processes is not None
    first = small._processes
    small._processes._workers[0].process.kill()

    def several_calls() -> None:
        for _ in range(5):  # the other one may have tokenized all of a call's texts
            small.encode(texts(200))

    with pytest.raises(EncodingFailed, match="was killed by signal 9"):
        several_calls()
    wait_until_ended(first.processes)
    assert small.encode(texts(200)).shape == (200, 32)
    assert small._processes is not first


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupt_leaves_no_thread_and_the_processes_in_order(
    small: CudaEncoder, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    small._process_count = 2
    expected = small.encode(texts(200))
    start = small._on_device.start
    calls = []

    def interrupted(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise error("now")
        return start(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(small._on_device, "start", interrupted)
        with pytest.raises(error):
            small.encode(texts(200))
    assert not [t for t in threading.enumerate() if t.name.startswith("vecindex-tokenize")]
    np.testing.assert_allclose(small.encode(texts(200)), expected, atol=1e-5)
    assert small._processes is not None
    assert all(map(alive, small._processes.processes))


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_device_that_computes_something_else_is_refused_with_figures(
    folder: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    noise = torch.Generator().manual_seed(0)

    def wrong(self: Any, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        return torch.randn(*ids.shape, 32, generator=noise)

    monkeypatch.setattr("vecindex.encoders.gpu.on_device.OnDevice._hidden", wrong)
    with pytest.raises(
        UnsupportedModel, match=rf"in {precision} on cpu .* agree too little .* mean cosine -?0\.\d+, least"
    ):
        CudaEncoder(folder, space_of(folder, precision=precision), device="cpu")


def test_numbers_that_overflow_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def overflown(self: Any, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        return torch.full((*ids.shape, 32), torch.nan)

    monkeypatch.setattr("vecindex.encoders.gpu.on_device.OnDevice._hidden", overflown)
    with pytest.raises(UnsupportedModel, match="mean cosine nan"):
        CudaEncoder(folder, space_of(folder, precision="fp16"), device="cpu")


def test_a_model_that_does_not_fit_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB.")

    monkeypatch.setattr("vecindex.encoders.gpu.on_device._moved", full)
    with pytest.raises(EncodingFailed, match=r"does not fit into the memory of cpu \(CUDA out of memory"):
        CudaEncoder(folder, space_of(folder), device="cpu")


def test_a_precision_or_a_device_that_is_none_is_an_error(folder: Path) -> None:
    with pytest.raises(InvalidInput, match="the precision int8 is none of GPUs"):
        CudaEncoder(folder, space_of(folder, precision="int8"))
    for device in ("gpu", "mps", "cuda:x"):
        with pytest.raises(InvalidInput, match="is not known"):
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
    assert lanes.cuda_problem() == (
        "no GPU can be used (Found no NVIDIA driver on your system.); nvidia-smi shows whether the machine has one and "
        "its driver works"
    )
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert str(lanes.cuda_problem()).startswith("no GPU is visible: CUDA_VISIBLE_DEVICES is ''; unset it")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert str(lanes.cuda_problem()).startswith("no GPU can be used"), "as in a process that was forked"
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    assert lanes.cuda_problem() is None


def test_a_card_that_is_not_there_or_too_old_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "cuda_problem", lambda: None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    with pytest.raises(InvalidInput, match="there is no device 'cuda:2'"):
        CudaEncoder(folder, space_of(folder), device="cuda:2")
    with pytest.raises(InvalidInput, match="Tesla T4 does not compute in bf16"):
        CudaEncoder(folder, space_of(folder, precision="bf16"))


def test_products_are_in_float32_whatever_the_program_set(small: CudaEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    hidden = small._on_device._hidden

    def watched(ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        seen.append(torch.backends.cuda.matmul.fp32_precision)
        return hidden(ids, mask)

    monkeypatch.setattr(small._on_device, "_hidden", watched)
    torch.set_float32_matmul_precision("high")
    try:
        small.encode(["the cat"])
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"
        with lanes.undisturbed(torch.device("cpu")):
            with lanes.undisturbed(torch.device("cpu")):
                pass
            small.encode(["the cat"])  # the first to leave takes nothing from the other
            assert torch.backends.cuda.matmul.fp32_precision == "ieee"
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert seen == ["ieee", "ieee"]


def test_autocast_and_the_default_device_of_the_program_change_nothing(small: CudaEncoder) -> None:
    some = texts(40)
    expected = small.encode(some)
    with torch.autocast(small._on_device.lanes.device.type, torch.bfloat16):
        np.testing.assert_allclose(small.encode(some), expected, atol=1e-6)
    with torch.device("meta"):
        np.testing.assert_allclose(small.encode(some), expected, atol=1e-6)


def test_an_add_gives_it_as_many_texts_at_once_as_it_wants(
    small: CudaEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    encode_all = small.encode_all

    def counted(texts: Any, *more: Any, **named: Any) -> Any:
        asked.append(len(texts))
        return encode_all(texts, *more, **named)

    monkeypatch.setattr(small, "encode_all", counted)
    monkeypatch.setattr("vecindex.index.encode_ahead.SECONDS_A_COMMIT", 1e6)
    with vecindex.open(tmp_path / "index", model=small) as index:
        index.add([f"the cat {n}" for n in range(164)])
    assert (max(asked), sum(asked)) == (64, 164), "a block of its own at most, and every text once"


# --- how it is asked for ---------------------------------------------------------------------------------------------


def test_the_device_cuda_loads_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
