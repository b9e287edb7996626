"""The connections of a server: how many there are, and how long one may take to send or to read."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST = 1_000
"""Connections at once; more are closed."""
HEAD_SECONDS = 10.0
"""Within which a request has to arrive, but for its body."""
READ_SECONDS = 60.0
"""For how long an answer may wait for a client that does not read it."""
LARGEST_HEAD = 64 << 10
"""Bytes of the head of a request."""


class BoundedProtocol(H11Protocol):
    """HTTP as uvicorn speaks it, within these limits, of which it has none itself."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._head: asyncio.TimerHandle | None = None
        self._read: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST:
            transport.abort()
        else:
            self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._end_head()
        self._end_read()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._read = self._read or self.loop.call_later(READ_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._end_read()

    def _await_head(self) -> None:
        """Gives the next request its time, from its first byte on, unless one is being answered."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._end_head()
        elif self._head is None and not self.transport.is_closing():
            self._head = self.loop.call_later(HEAD_SECONDS, self._head_timed_out)

    def _head_timed_out(self) -> None:
        self._head = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()

    def _end_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _end_read(self) -> None:
        if self._read is not None:
            self._read.cancel()
            self._read = None
