"""How much a request may send, and for how long: its body is read whole, within limits, before a route sees it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import Receive

from ..problems import Problem
from ..settings import Settings
from .callers import Headers, values

_CLOSE = {"Connection": "close"}
"""What is left of a body that is refused is not read,"""
_DISCARDED = 64 << 20
_DISCARDING_SECONDS = 2.0
"""but for so many bytes and so long: many clients read the answer only when they have sent all."""


class Bodies:
    """Reads bodies, and counts the bytes of those that are held."""

    def __init__(self, settings: Settings) -> None:
        self._most, self._most_held, self._seconds = settings.max_body, settings.max_bodies, settings.body_seconds
        self._held = 0

    async def read(self, headers: Headers, receive: Receive) -> bytearray:
        """The body, which `holding` has to count; raises Problem if it is too large, or comes too slowly."""
        if any(length.isdigit() and int(length[:20]) > self._most for length in values(headers, b"content-length")):
            await _discard(receive)
            raise self._too_large()
        end = time.monotonic() + self._seconds
        body = bytearray()
        try:
            while True:
                message = await asyncio.wait_for(receive(), end - time.monotonic())
                if message["type"] == "http.disconnect":
                    raise Problem(400, "Disconnected", "the client went away before it had sent all", "Send it again.")
                piece = message.get("body", b"")
                if len(body) + len(piece) > self._most:
                    await _discard(receive)
                    raise self._too_large()
                if self._held + len(piece) > self._most_held:
                    raise Problem(
                        *(503, "Busy", "too many large requests are worked on at once"),
                        *("Try again in a second.",),
                        retry=1,
                        headers=_CLOSE,
                    )
                self._held += len(piece)
                body += piece
                if not message.get("more_body", False):
                    return body
        except asyncio.TimeoutError:
            self._held -= len(body)
            raise Problem(
                *(408, "BodyTimedOut", f"the body did not arrive within {self._seconds:g} s"),
                *("Send it faster, or less at once.",),
                headers=_CLOSE,
            ) from None
        except BaseException:
            self._held -= len(body)
            raise

    @contextmanager
    def holding(self, body: bytearray) -> Iterator[None]:
        """Counts a body that was read until this context ends."""
        try:
            yield
        finally:
            self._held -= len(body)

    def _too_large(self) -> Problem:
        return Problem(
            *(413, "BodyTooLarge", f"the body of a request has at most {self._most:,} bytes"),
            *("Send less at once, or start the server with a larger --max-body.",),
            headers=_CLOSE,
        )


async def _discard(receive: Receive) -> None:
    """Reads the rest of a body, within limits, and keeps nothing of it."""
    end, size = time.monotonic() + _DISCARDING_SECONDS, 0
    with contextlib.suppress(asyncio.TimeoutError):
        while size < _DISCARDED:
            message = await asyncio.wait_for(receive(), end - time.monotonic())
            size += len(message.get("body", b""))
            if message["type"] == "http.disconnect" or not message.get("more_body", False):
                return
