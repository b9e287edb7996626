"""How does a command end that is told to stop: at Ctrl-C and SIGTERM alike it says what was done."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""


@contextmanager
def stopping_on_sigterm() -> Iterator[None]:
    """SIGTERM raises `Terminated` in the block, where nothing else handles it yet."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return
    process = os.getpid()

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        if os.getpid() != process:  # a helper that was forked ends as it would without this
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
        raise Terminated

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def word_and_code(error: KeyboardInterrupt) -> tuple[str, int]:
    """What a message calls it, and the exit code."""
    return ("Terminated", 128 + signal.SIGTERM) if isinstance(error, Terminated) else ("Interrupted", 130)
