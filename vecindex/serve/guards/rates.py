"""How often a client may ask: a bucket of tokens for each, which fills with time (the token bucket algorithm)."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable

from ..problems import Problem

MOST_CLIENTS = 10_000
"""Clients that are remembered; of more, the one that has not asked for longest is forgotten."""


class Rates:
    """Allows each client ``rate`` requests a second, and as many at once after a second without any."""

    def __init__(self, rate: float, now: Callable[[], float]) -> None:
        self._rate = rate
        self._most = max(1.0, rate)
        self._now = now
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, client: str) -> None:
        """Raises Problem if this client has asked too often."""
        now = self._now()
        left, since = self._left.pop(client, (self._most, now))
        left = min(self._most, left + (now - since) * self._rate)
        allowed = left >= 1
        self._left[client] = (left - 1 if allowed else left, now)
        if len(self._left) > MOST_CLIENTS:
            self._left.popitem(last=False)
        if not allowed:
            raise Problem(
                *(429, "TooManyRequests", f"this client sent more than {self._rate:g} requests a second"),
                "Wait, or ask for several things in one request.",
                retry=math.ceil((1 - left) / self._rate),
            )
