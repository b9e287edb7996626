"""Decides whether a scan is cut over the cores: where no other search runs, and where it turns out to be faster."""

from __future__ import annotations

import math
import os
import threading
from types import TracebackType

_SLOWER = 1.2
"""Cut scans that take as many times as long as a whole one are not worth their threads; quiet ones take 0.6."""
_FORGET = 1.05  # the fastest whole scan is allowed to become slower by this with each one
_FIRST_REST, _LONGEST_REST = 16, 1024


class Searches:
    """Counts the searches that run at the same time in this process, each inside a ``with``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._begin_again)

    def __enter__(self) -> None:
        with self._lock:
            self._count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            self._count -= 1

    @property
    def are_many(self) -> bool:
        """Whether more than one search is running: then each takes one core, and all of them get more done."""
        return self._count > 1

    def _begin_again(self) -> None:
        """The searches of the parent's other threads do not run in a forked child."""
        self._lock = threading.Lock()
        self._count = 0


SEARCHES = Searches()


class Pace:
    """Learns from the times of scans whether cutting them pays.

    It does not while other processes hold the cores: waking a thread then takes several milliseconds, where a scan
    takes one. After a cut that was slow, the next scans are whole: 16, and twice as many each time that it was in vain,
    up to 1024. The numbers may be wrong by a few where several threads use them at once, which does no harm.
    """

    def __init__(self) -> None:
        self._whole = math.inf
        self._rest = 0
        self._left = 1  # the first scan is whole, to compare with

    def cuts(self) -> bool:
        """Whether to cut the next scan."""
        if self._left:
            self._left -= 1
            return False
        return True

    def took(self, seconds: float, cut: bool) -> None:
        """Tells how long a scan took."""
        if not cut:
            self._whole = min(seconds, self._whole * _FORGET)
        elif seconds < self._whole * _SLOWER:
            self._rest //= 2
        else:
            self._rest = self._left = min(max(_FIRST_REST, self._rest * 2), _LONGEST_REST)
