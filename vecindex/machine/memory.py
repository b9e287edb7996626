"""Checks for memory before calling a library that would crash without it, maps MemoryError, and limits heaps.

C libraries end the process when an allocation fails: OpenBLAS exits, OpenMP aborts, and FAISS segfaults while it is
loaded. So where the address space of the process is limited (``ulimit -v``, a batch system), the memory is requested
here first. Otherwise Linux always grants it, and nothing is checked.
"""

from __future__ import annotations

import contextlib
import mmap
import resource
from collections.abc import Iterator

from ..errors import OutOfMemory


@contextlib.contextmanager
def memory_errors(doing: str) -> Iterator[None]:
    """Maps MemoryError to `OutOfMemory`; also a decorator. ``doing`` completes "memory ran out while ..."."""
    try:
        yield
    except OutOfMemory:
        raise
    except MemoryError as error:
        raise OutOfMemory(doing) from error


def check_room(needed: int, doing: str) -> None:
    """Raises OutOfMemory if the address space is limited and ``needed`` bytes are not available."""
    if is_limited() and not has_room(needed):
        raise OutOfMemory(doing)


def is_limited() -> bool:
    """Whether the address space of this process is limited."""
    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


def has_room(needed: int) -> bool:
    """Whether the system grants this many bytes now; they are released at once, and never touched."""
    try:
        mmap.mmap(-1, needed).close()
    except (OSError, MemoryError, OverflowError):
        return False
    return True


def share_heaps(count: int) -> None:
    """Lets threads that begin from now on share so many heaps (glibc's arenas) with all others.

    Without a limit there are up to eight for each core, and each keeps what its threads ever needed at once: a server
    on two cores took 110 MB more. The C libraries of other systems have no such heaps, and nothing is done there.
    """
    import ctypes  # only a server needs it

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, count)


_M_ARENA_MAX = -8
"""The option's number in glibc's malloc.h."""
