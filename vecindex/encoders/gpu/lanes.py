"""How do bytes get to a device and back while it computes, what is set meanwhile, and what does it say when it is full.

A CUDA device has a lane (a stream) for computing and one for each direction of copying. Copies are asynchronous only
from and to pinned memory; torch keeps such memory when it is given back and hands it out again only once the copies
that used it are done, so that nothing here has to be kept or counted. A tensor that was allocated in one lane and is
used in another is recorded there, or its memory could be given to somebody else in between. On a processor all of this
is nothing: every step is done when it returns.
"""

from __future__ import annotations

import contextlib
import os
import threading
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
        return torch.empty(shape, dtype=dtype, device="cpu", pin_memory=self._up is not None)

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


class _OfTheProcess:
    """Settings of torch that all threads share: the first to need its own puts them in place, the last takes them back.

    Products of float32 matrices are computed in float32, not in TF32, of 10 bits. Attention is not left to cuDNN, which
    some builds prefer on the newest cards: it makes a plan of some tens of milliseconds for every new shape, and nearly
    every unpadded batch is one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._before = ("", False)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        with self._lock:
            if not self._users:
                self._before = (_float32_products(), torch.backends.cuda.cudnn_sdp_enabled())  # type: ignore[no-untyped-call]
                _set_float32_products(_EXACT)
                torch.backends.cuda.enable_cudnn_sdp(False)
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    _set_float32_products(self._before[0])
                    torch.backends.cuda.enable_cudnn_sdp(self._before[1])


# torch 2.9 has a setting of its own for these products; reading the older one fails where a program used the newer.
_NEWER = hasattr(torch.backends.cuda.matmul, "fp32_precision")
_EXACT = "ieee" if _NEWER else "highest"


def _float32_products() -> str:
    return str(torch.backends.cuda.matmul.fp32_precision) if _NEWER else torch.get_float32_matmul_precision()


def _set_float32_products(value: str) -> None:
    if _NEWER:
        torch.backends.cuda.matmul.fp32_precision = value
    else:
        torch.set_float32_matmul_precision(value)


_of_the_process = _OfTheProcess()


@contextlib.contextmanager
def undisturbed(device: torch.device) -> Iterator[None]:
    """Nothing that the program has set for work of its own, autocast included, changes what is computed within."""
    with _of_the_process.held(), torch.inference_mode(), torch.autocast(device.type, enabled=False):
        yield


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
        available = torch.cuda.is_available()
        reason = "" if not said else str(said[-1].message)
        try:
            torch.cuda.init()  # type: ignore[no-untyped-call]
            if available:
                return None
        except (RuntimeError, AssertionError) as error:  # of a process that was forked from one that used it, too
            reason = str(error)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return f"no GPU is visible: CUDA_VISIBLE_DEVICES is {visible!r}; unset it, or name a GPU that nvidia-smi lists"
    first = next(iter(reason.strip().splitlines()), "torch finds no GPU")
    return f"no GPU can be used ({first}); nvidia-smi shows whether the machine has one and its driver works"
