"""Errors of a server that is asked over HTTP."""

from __future__ import annotations

from .advice import VecindexError


class ServerError(VecindexError):
    """The server at ``url`` gave no answer, or one that is not an error of the index.

    ``status`` is the HTTP status, or None if there was no answer; ``kind`` says in a word what is wrong, such as
    "Unauthorized" or "TimedOut". ``retry_after`` is after how many seconds to try again, if the server said so.
    """

    def __init__(
        self, url: str, status: int | None, kind: str, reason: str, advice: str, retry_after: float | None = None
    ) -> None:
        super().__init__(url, status, kind, reason, advice, retry_after)
        self.url, self.status, self.kind, self.reason, self.retry_after = url, status, kind, reason, retry_after
        self._advice = advice

    def _what(self) -> str:
        return f"{self.url}: {self.reason}"
