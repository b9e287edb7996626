"""Recognises errors of a passing lack: the system refused memory, disk space, files or a thread.

Such an error says nothing about a model. Libraries raise it in their own words, or as the cause of another error.
"""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Iterator

from ..errors import EncodingFailed, OutOfMemory, VecindexError

_PASSING = frozenset(
    getattr(errno, name)
    for name in (
        *("ENOSPC", "EDQUOT", "EFBIG", "ENOMEM", "EMFILE", "ENFILE", "EAGAIN", "EIO", "EROFS"),
        *("EACCES", "EPERM", "EBUSY", "ESTALE", "ETIMEDOUT"),
    )
    if hasattr(errno, name)
)
_MEMORY = re.compile(
    r"bad.?alloc|(not enough|out of|enough) memory|(cannot|can't|failed to|could not) allocate|DefaultCPUAllocator"
    r"|failed to map segment",
    re.IGNORECASE,
)
_OTHERS = re.compile(
    r"no space left|disk quota|file too large|too many open files|resource temporarily unavailable"
    r"|(start|create|spawn) (a )?(new )?thread|thread creation|pthread_create|ThreadPoolBuildError|input/output error"
    r"|error writing file|PytorchStreamWriter|permission denied|read-only file system",
    re.IGNORECASE,
)


def lack(error: BaseException) -> str:
    """What the system refused, if that is the reason of an error or of one of its causes; otherwise empty."""
    for each in _chain(error):
        if isinstance(each, MemoryError):
            return "memory ran out"
        if isinstance(each, OSError) and each.errno in _PASSING:
            return str(each.strerror)
        first = next(iter(str(each).strip().splitlines()), "")
        if is_lack(first):
            return first
    return ""


def is_lack(text: str) -> bool:
    """Whether this message of a library says that the system refused something."""
    return bool(_MEMORY.search(text) or _OTHERS.search(text))


@contextlib.contextmanager
def lacks_said(doing: str) -> Iterator[None]:
    """Maps an error that is due to a lack to `said`; ``doing`` says when, such as "the model was loaded"."""
    try:
        yield
    except (OutOfMemory, EncodingFailed):
        raise
    except Exception as error:
        if reason := lack(error):
            raise said(error, doing, reason) from error
        raise


def said(error: BaseException, doing: str, reason: str) -> VecindexError:
    """The error to raise for a lack: OutOfMemory or EncodingFailed."""
    if any(isinstance(each, MemoryError) for each in _chain(error)) or _MEMORY.search(reason):
        return OutOfMemory(doing)
    return EncodingFailed(
        f"the system refused a resource while {doing} ({reason})",
        "The model is fine. Free disk space, or raise the limits of this process (ulimit), and try again.",
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
