"""Lets a command report what it did before it ends, at Ctrl-C and SIGTERM alike."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


class Terminated(KeyboardInterrupt):
    """The process received SIGTERM."""


@contextmanager
def stopping_on_sigterm() -> Iterator[None]:
    """Makes SIGTERM raise `Terminated` in the block, unless something else handles it."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return
    process = os.getpid()

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        if os.getpid() != process:  # a forked child ends as it would without this handler
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
        raise Terminated

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def word_and_code(error: KeyboardInterrupt) -> tuple[str, int]:
    """The word for the message, and the exit code."""
    return ("Terminated", 128 + signal.SIGTERM) if isinstance(error, Terminated) else ("Interrupted", 130)
