"""Is there memory left: asked before a library is given work that it cannot fail at in order, and said as one error.

Libraries in C end the process where an allocation of theirs is refused: OpenBLAS exits, OpenMP aborts, and FAISS dies
of a segmentation fault while it is loaded. So the memory is asked for here first, where a process's address space is
limited (``ulimit -v``, a batch system). Otherwise Linux grants it, and nothing is asked.
"""

from __future__ import annotations

import contextlib
import mmap
import resource
from collections.abc import Iterator

from ..errors import OutOfMemory


@contextlib.contextmanager
def memory_errors(doing: str) -> Iterator[None]:
    """Maps MemoryError to `OutOfMemory`; also a decorator. ``doing`` ends the sentence "memory ran out while ..."."""
    try:
        yield
    except OutOfMemory:
        raise
    except MemoryError as error:
        raise OutOfMemory(doing) from error


def check_room(needed: int, doing: str) -> None:
    """Raises OutOfMemory where the process's address space is limited, and not so many bytes of it are left."""
    if is_limited() and not has_room(needed):
        raise OutOfMemory(doing)


def is_limited() -> bool:
    """Whether this process's address space is limited."""
    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


def has_room(needed: int) -> bool:
    """Whether the system gives so many bytes to this process now; they are given back at once, and never touched."""
    try:
        mmap.mmap(-1, needed).close()
    except (OSError, MemoryError, OverflowError):
        return False
    return True
