"""The runtime for GPUs: torch on a CUDA device, in bf16, fp16 or fp32."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from ...errors import Advice, EncodingFailed, InvalidInput, UnsupportedModel
from ...values.space import Space
from .agreement import BUILT_IN, SAMPLE, Agreement, compare
from .checks import first_line, not_finite
from .encoder import Encoder
from .pooling import FloatArray
from .tokenized import IntArray
from .torch import TorchEncoder

log = logging.getLogger("vecindex")

TOKENS_A_BATCH = 16_384
"""The most padded tokens in a batch to begin with; an estimate, not measured on a GPU."""
TEXTS_A_WINDOW = 16_384
"""Texts that are sorted by length together: many batches, so that little is padded."""
DTYPES: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

# Measured with all-MiniLM-L6-v2 on a processor over 200 texts: bf16 has a mean cosine of 0.99995 and a least of
# 0.99988, fp16 0.999999 and 0.999998. The bounds leave room for much deeper models; an overflow or a wrong kernel costs
# tenths, not thousandths.
LEAST_AND_MEAN: dict[str, tuple[float, float]] = {
    "fp32": (0.99999, 0.99999),
    "bf16": (0.99, 0.999),
    "fp16": (0.99, 0.999),
}
"""The lowest accepted cosine between a probe's vector and the reference's in fp32, and the lowest accepted mean."""
_PROBES = (*SAMPLE, "", "a long text " * 40, "a text that is longer than many a model's limit " * 120)
_ALONE = 6  # every sixth probe is also encoded alone: without padding, and so by another kernel
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "_ALLOC_FAILED")
_RESTART = "Restart the program, since a device that failed may keep failing in it, or use the processor."
_OTHERWISE = "Use another precision, or the processor."


class CudaEncoder(Encoder):
    """The model in ``folder`` on a GPU, in the precision of its space: fp32, bf16 or fp16.

    A vector depends on the other texts in a call within the precision's rounding, since kernels add in a different
    order for each shape. ``agreement`` says how close its vectors are to the reference's in fp32.
    """

    tokens_a_batch = TOKENS_A_BATCH
    texts_at_once = TEXTS_A_WINDOW

    def __init__(self, folder: Path, space: Space, *, device: str = "cuda") -> None:
        """Loads the model and checks it on the device: "cuda", or "cuda:1" for the second GPU; tests use "cpu".

        Raises:
            InvalidInput: the device does not exist, or does not support this precision.
            UnsupportedModel: the model does not work there, or its vectors differ too much from the reference's.
            EncodingFailed: the model does not fit into the device's memory.
        """
        self.device = _device(device, space.precision)
        self.space = space
        reference = TorchEncoder(folder, replace(space, precision="fp32"))
        self.head, self.tokenizer, self.padding_id = reference.head, reference.tokenizer, reference.padding_id
        self.runtime = f"torch on {self.device}"
        self._versions = reference.environment()
        skipped, prompt = self.pooled_from("document"), space.document_prompt
        probes = [p for p in _PROBES if len(self.tokenizer.tokenize([prompt + p])[0].ids) > skipped]
        expected = reference.encode(probes)
        try:
            self._model = _moved(reference.transformer, self.device, DTYPES[space.precision])
            self.agreement = self._checked(probes, expected)
        except (UnsupportedModel, EncodingFailed):
            raise
        except Exception as error:  # torch and transformers raise many classes, depending on the model
            if _is_out_of_memory(error):
                raise self._too_large(space.model, error) from error
            what = f"it does not work in {space.precision} on {self.device} ({first_line(error)})"
            raise UnsupportedModel(space.model, what) from error

    def environment(self) -> dict[str, str]:
        card = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else ""
        where = {"runtime": f"torch on {self.device.type}", "cuda": torch.version.cuda or "", "card": card}
        return {**self._versions, **where}

    def forward(self, input_ids: IntArray, attention_mask: IntArray) -> FloatArray:
        """The last hidden states, computed in smaller batches from now on if the device's memory is full."""
        states: list[FloatArray] = []
        done, width = 0, input_ids.shape[1]
        with _one_at_a_time, _undisturbed(self.device):
            while done < len(input_ids):
                rows = slice(done, done + max(1, self.tokens_a_batch // width))
                ids, mask = (torch.from_numpy(each[rows]) for each in (input_ids, attention_mask))
                try:
                    # Without a mask, where nothing is padded, attention uses faster kernels.
                    hidden = self._hidden(ids.to(self.device), None if mask.all() else mask.to(self.device))
                    states.append(hidden.float().cpu().numpy())
                    done += len(ids)
                    continue
                except RuntimeError as error:
                    if not _is_out_of_memory(error):
                        raise EncodingFailed(f"{self.device} failed ({first_line(error)})", _RESTART) from error
                    if len(ids) == 1:
                        raise self._too_large(f"a text of {width} tokens", error) from error
                # Only here, after the handler, is the memory of the failed batch free again.
                torch.cuda.empty_cache()
                self.tokens_a_batch = max(1, ids.numel() // 2)
                log.info("%s is out of memory; batches now have at most %d tokens.", self.device, self.tokens_a_batch)
        return np.concatenate(states)

    def _hidden(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        states: Tensor = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
        return states

    def _too_large(self, what: str, error: Exception) -> EncodingFailed:
        return EncodingFailed(
            f"{what} does not fit into the memory of {self.device} ({first_line(error)})",
            Advice(
                'Close other programs that use it, choose a smaller model, or use device="cpu".',
                typed="Close other programs that use it, choose a smaller model, or use --device cpu.",
            ),
        )

    def _checked(self, probes: list[str], expected: FloatArray) -> Agreement:
        """How well the probes' vectors agree with the expected ones; raises UnsupportedModel if not well enough."""
        where = f"in {self.space.precision} on {self.device}"
        try:
            found = self.encode(probes)
            alone = np.concatenate([self.encode([probe]) for probe in probes[::_ALONE]])
        except EncodingFailed as error:
            if not_finite(error):  # an overflow in fp16
                raise UnsupportedModel(self.space.model, f"{where} its vectors are not finite", _OTHERWISE) from error
            raise
        agreement = compare(BUILT_IN, expected, found)
        least = min(agreement.least, float((expected[::_ALONE] * alone).sum(axis=1).min()))
        agreement = replace(agreement, least=least)
        bounds = LEAST_AND_MEAN[self.space.precision]
        if not (agreement.least >= bounds[0] and agreement.mean >= bounds[1]):  # NaN agrees with nothing
            raise UnsupportedModel(
                self.space.model,
                f"{where} its vectors differ too much from those in fp32 on the processor: {agreement.describe()}; "
                f"the bounds are {bounds[1]} for the mean and {bounds[0]} for the least",
                _OTHERWISE,
            )
        log.info("%s %s agrees with fp32: %s.", self.space.model, where, agreement.describe())
        return agreement


def _moved(model: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """The model in ``dtype`` on ``device``, with torch's own attention kernels if it can use them."""
    try:
        model.set_attn_implementation("sdpa")
    except (AttributeError, ValueError, ImportError) as error:
        log.info("%s cannot use torch's attention kernels and is slower (%s).", type(model).__name__, error)
    # What the library keeps in float32 stays so, and so do computed tables, such as rotary positions, which bf16 would
    # make coarse.
    kept = set(getattr(model, "_keep_in_fp32_modules", None) or ())
    stored = set(model.state_dict(keep_vars=True))
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.is_floating_point() and name in stored and kept.isdisjoint(name.split(".")):
            tensor.data = tensor.data.to(dtype)
    return model.eval().to(device)


def _is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _OUT_OF_MEMORY)


# torch 2.9 has a new setting for these products; reading the old one fails in a program that used the new one.
_NEWER = hasattr(torch.backends.cuda.matmul, "fp32_precision")
_one_at_a_time = threading.Lock()  # `_undisturbed` changes settings of the whole process


@contextlib.contextmanager
def _undisturbed(device: torch.device) -> Iterator[None]:
    """Keeps the program's own torch settings from changing what is computed.

    Products of float32 matrices are computed in float32, not in TF32 with its 10 bits. cuDNN's attention is not used:
    it takes tens of milliseconds to plan each new shape.
    """
    before = torch.backends.cuda.matmul.fp32_precision if _NEWER else torch.get_float32_matmul_precision()
    kernels = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    try:
        _set_float32_products("ieee" if _NEWER else "highest")
        with torch.inference_mode(), torch.autocast(device.type, enabled=False), sdpa_kernel(kernels):
            yield
    finally:
        _set_float32_products(before)


def _set_float32_products(value: str) -> None:
    if _NEWER:
        torch.backends.cuda.matmul.fp32_precision = value
    else:
        torch.set_float32_matmul_precision(value)


def _device(name: str, precision: str) -> torch.device:
    """The device of this name, if it supports this precision."""
    if precision not in DTYPES:
        raise InvalidInput(f"the precision {precision} is not available on GPUs", f"Use one of: {', '.join(DTYPES)}.")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type == "cpu":
        return device
    if device.type != "cuda":
        raise InvalidInput(f"the device {name!r} is unknown", "Use 'cuda', or 'cuda:1' for the second GPU.")
    if (problem := cuda_problem()) is not None:
        raise InvalidInput(
            f"the device {name!r} cannot be used: {problem}",
            Advice("Or leave device= out.", typed="Or leave --device out."),
        )
    count = torch.cuda.device_count()
    index = torch.cuda.current_device() if device.index is None else device.index
    if index >= count:
        raise InvalidInput(f"there is no device {name!r}", f"{count} GPUs are visible, counted from cuda:0.")
    device = torch.device("cuda", index)
    if precision == "bf16" and torch.cuda.get_device_capability(device) < (8, 0) and torch.version.hip is None:
        raise InvalidInput(
            f"{torch.cuda.get_device_name(device)} does not support bf16",
            Advice('Use precision="fp16".', typed="Use --precision fp16."),
        )
    return device


def cuda_problem() -> str | None:
    """Why no CUDA device can be used here, and what to do, in one line; None if one can be used.

    A build of torch for ROCm also calls its devices cuda; that is not a problem.
    """
    if torch.version.cuda is None and torch.version.hip is None:
        return (
            f"torch {torch.__version__} is built without CUDA; install a build with it: pip install --force-reinstall "
            f"'torch=={torch.__version__.partition('+')[0]}', on Linux, or see https://pytorch.org/get-started/locally"
        )
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
        reason = "" if not said else str(said[-1].message)
        try:
            torch.cuda.init()  # type: ignore[no-untyped-call]
            if available:
                return None
        except (RuntimeError, AssertionError) as error:  # also in a process forked from one that used the GPU
            reason = str(error)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return f"no GPU is visible: CUDA_VISIBLE_DEVICES is {visible!r}; unset it, or name a GPU that nvidia-smi lists"
    first = next(iter(reason.strip().splitlines()), "torch finds no GPU")
    return f"no GPU can be used ({first}); nvidia-smi shows whether the machine has one and its driver works"
