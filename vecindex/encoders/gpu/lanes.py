"""How do bytes get to a device and back while it computes, and what does it say when its memory is full.

A CUDA device has a lane (a stream) for computing and one for each direction of copying. Copies are asynchronous only
from and to pinned memory; torch keeps such memory when it is given back and hands it out again only once the copies
that used it are done, so that nothing here has to be kept or counted. A tensor that was allocated in one lane and is
used in another is recorded there, or its memory could be given to somebody else in between. On a processor all of this
is nothing: every step is done when it returns.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

_FULL = ("out of memory", "can't allocate memory", "not enough memory", "_ALLOC_FAILED")


class Lanes:
    """The lanes of one device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._up: torch.cuda.Stream | None = None
        self._down: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._up = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            self._down = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def host(self, *shape: int, dtype: torch.dtype) -> Tensor:
        """Memory of the host, not initialised, that copies of this device may use while it computes."""
        return torch.empty(shape, dtype=dtype, pin_memory=self._up is not None)

    def upload(self, source: Tensor) -> Tensor:
        """A copy on the device of what `host` gave; what is computed from now on waits for it, the caller does not."""
        if self._up is None:
            return source
        computing = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self._up):
            copy = source.to(self.device, non_blocking=True)
        computing.wait_stream(self._up)
        copy.record_stream(computing)
        return copy

    def download(self, source: Tensor, into: Tensor) -> None:
        """Copies into what `host` gave as soon as ``source`` is computed; the caller does not wait."""
        if self._down is None:
            into.copy_(source)
            return
        self._down.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._down):
            into.copy_(source, non_blocking=True)
        source.record_stream(self._down)

    def downloaded(self) -> Callable[[], None]:
        """What to call to wait for all downloads so far."""
        if self._down is None:
            return lambda: None
        # blocking: a waiting thread leaves its core to the tokenizers
        event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        event.record(self._down)
        return event.synchronize

    def free(self) -> int | None:
        """The bytes that can be allocated; None where nothing is known of it."""
        if self._up is None:
            return None
        free, _ = torch.cuda.mem_get_info(self.device)
        kept = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        return int(free + kept)

    def settle(self) -> None:
        """Waits until the device is idle, and gives back what torch keeps for later."""
        if self._up is not None:
            torch.cuda.synchronize(self.device)
            torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or a library on it, said so."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _FULL)


@contextlib.contextmanager
def full_float32() -> Iterator[None]:
    """Products of float32 matrices are computed in float32, whatever the program has set: not in TF32, of 10 bits."""
    matmul = torch.backends.cuda.matmul
    if hasattr(matmul, "fp32_precision"):  # torch 2.9; reading the older setting fails where a program used this one
        before, matmul.fp32_precision = matmul.fp32_precision, "ieee"
        try:
            yield
        finally:
            matmul.fp32_precision = before
    else:
        older = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(older)


def cuda_problem() -> str | None:
    """Why no CUDA device can be used here, and what to do, in one line; None if one can.

    A build of torch for ROCm calls its devices cuda too, and is none.
    """
    if torch.version.cuda is None and torch.version.hip is None:
        return (
            f"torch {torch.__version__} is built without CUDA; install a build with it: pip install --force-reinstall "
            f"'torch=={torch.__version__.partition('+')[0]}', on Linux, or see https://pytorch.org/get-started/locally"
        )
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        if torch.cuda.is_available():
            return None
        reason = "" if not said else str(said[-1].message)
        try:
            torch.cuda.init()  # type: ignore[no-untyped-call]
        except (RuntimeError, AssertionError) as error:
            reason = str(error)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return f"no GPU is visible: CUDA_VISIBLE_DEVICES is {visible!r}; unset it, or name a GPU that nvidia-smi lists"
    first = next(iter(reason.strip().splitlines()), "torch finds no GPU")
    return f"no GPU can be used ({first}); nvidia-smi shows whether the machine has one and its driver works"
