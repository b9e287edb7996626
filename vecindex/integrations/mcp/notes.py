"""Hands the warnings of a search to the call that caused them, in whichever thread it runs."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from ...errors.warnings import RerankUnfinished, VecindexWarning

_heard: ContextVar[list[str] | None] = ContextVar("heard", default=None)


@contextlib.contextmanager
def warnings_as_notes() -> Iterator[None]:
    """Within this block, for the whole process, warnings go to the `notes` of the call that causes them."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", VecindexWarning)  # each call hears them, not only the first
        show = warnings.showwarning

        def hear(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            heard = _heard.get()
            if heard is None or not isinstance(message, VecindexWarning):
                show(message, category, *where, **more)
            else:  # the time for reranking is not the agent's to choose
                heard.append(message.message if isinstance(message, RerankUnfinished) else str(message))

        warnings.showwarning = hear
        yield


@contextlib.contextmanager
def notes() -> Iterator[list[str]]:
    """The list of what this thread is warned of within the block."""
    heard: list[str] = []
    before = _heard.set(heard)
    try:
        yield heard
    finally:
        _heard.reset(before)
