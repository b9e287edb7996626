"""Loads FAISS when it is first needed, after checking that there is memory for it; nothing else imports it."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import numpy as np

from ...machine.memory import check_room, is_limited

# Measured on x86-64 with FAISS 1.15: its libraries take 75 MB of address space. Its OpenBLAS takes a buffer of 128 MB
# for each thread when it is loaded, and one more when it is first used; numpy's OpenBLAS takes 33 MB.
_LIBRARIES = 96 * 2**20
_BUFFER = 128 * 2**20
_NUMPY_BUFFER = 40 * 2**20
_STACK = 8 * 2**20
_SLACK = 32 * 2**20  # for one call: where FAISS is refused memory, it may end the process
_DOING = "FAISS was given work"


def load_faiss() -> Any:
    """The library, as Any: its type annotations are narrower than what it accepts.

    Raises:
        OutOfMemory: the process's address space is limited, and too little of it is left.
    """
    found = _loaded()
    check_room(_SLACK, _DOING)
    return found


@cache
def _loaded() -> Any:
    threads = _threads()
    check_room(_LIBRARIES + (threads + 1) * (_BUFFER + _STACK) + _NUMPY_BUFFER + _SLACK, "FAISS was loaded")
    import faiss

    if is_limited():  # both OpenBLAS take their buffers now, while there is room, and keep them
        square = np.ones((256, 256), np.float32)
        square @ square
        faiss.RandomRotationMatrix(256, 256).init(1)
    return faiss


def _threads() -> int:
    """How many threads OpenBLAS prepares for."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if asked.isdigit() and int(asked):
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
