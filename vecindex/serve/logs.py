"""The log of a server: a line for each request, as JSON or for people. It has no texts, keys or tokens."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any

Write = Callable[[str], None]


class Log:
    """Writes each line with ``write``."""

    def __init__(self, write: Write, *, as_json: bool = True) -> None:
        self._write, self._as_json = write, as_json

    def request(self, method: str, route: str, status: int, seconds: float, name: str) -> None:
        """``route`` is the path as it is documented, not as it was sent, since that may have a key in it."""
        milliseconds = round(seconds * 1000, 1)
        if self._as_json:
            self._line(method=_known(method), route=route, status=status, ms=milliseconds, request=name)
        else:
            self._write(f"{_now()[11:19]}  {status}  {milliseconds:>8.1f} ms  {_known(method)} {route}  {name}")

    def event(self, what: str) -> None:
        """Something that happened to the server itself."""
        if self._as_json:
            self._line(event=what)
        else:
            self._write(f"{_now()[11:19]}  {what}")

    def failure(self, name: str, kind: str, trace: Sequence[str]) -> None:
        """An error that nothing expected: its type and where it was raised. Its message may quote a text."""
        if self._as_json:
            self._line(event="failure", request=name, error=kind, trace=[each.strip() for each in trace])
        else:
            self._write(f"{_now()[11:19]}  failure  {name}  {kind}\n{''.join(trace)}")

    def _line(self, **members: Any) -> None:
        self._write(json.dumps({"time": _now(), **members}, ensure_ascii=False))


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def _known(method: str) -> str:
    """The method, unless it is one that a client made up."""
    return method if method in METHODS else "other"


METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
