"""The errors of the server: each has a status and one shape of JSON, whether the index, a limit or a guard refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fastapi.exceptions import HTTPException
from fastapi.responses import Response

from .. import errors
from ..errors import VecindexError

SECONDS = "Retry-After"
"""The header that says after how many seconds to try again."""

STATUSES: dict[type[VecindexError], int] = {
    errors.InvalidInput: 422,
    errors.InvalidFilter: 422,
    errors.SourceError: 422,
    errors.RecordNotFound: 404,
    errors.CursorExpired: 409,
    errors.SpaceMismatch: 409,
    errors.IndexLocked: 503,
    errors.IndexNotFound: 503,
    errors.StorageError: 503,
    errors.OutOfMemory: 503,
    errors.EncodingFailed: 503,
    errors.ModelNotFound: 503,
    errors.MissingExtra: 503,
    errors.UnsupportedModel: 500,
    errors.IncompatibleFormat: 500,
    errors.CorruptIndex: 500,
}
"""The status of each error of the index; a subclass that is not listed has that of its parent."""


class Problem(HTTPException):
    """Why a request is refused: a status, a type, a message and advice, and further members of the JSON."""

    # FastAPI lets this kind of exception pass wherever it is raised.

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        advice: str,
        *,
        retry: int | None = None,
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(status, kind, {**(headers or {}), **({} if retry is None else {SECONDS: str(retry)})})
        self.kind, self.message, self.advice = kind, message, advice
        self.members = dict(members or {})

    def to_dict(self) -> dict[str, Any]:
        return {"error": {"type": self.kind, "message": self.message, "advice": self.advice, **self.members}}

    def response(self) -> Response:
        return json_response(self.to_dict(), self.status_code, self.headers)


def timed_out(seconds: float) -> Problem:
    return Problem(
        *(504, "TimedOut", f"no answer within {seconds:g} s"),
        "Ask for less at once, or try again. A change that had begun may still be made.",
    )


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(json_bytes(content), status, dict(headers or {}), "application/json")


def json_bytes(content: Any) -> bytes:
    """Compact JSON; a lone surrogate, which a path may hold on disk, is written as an escape."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=str)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(content, allow_nan=False, separators=(",", ":"), default=str).encode()


def problem_of(error: VecindexError) -> Problem:
    """What the server answers for an error of the index, with the fields of the error."""
    status = next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
    fields = {name: value for name, value in vars(error).items() if name[0] != "_" and name != "row"}
    retry = 5 if isinstance(error, errors.IndexLocked) else 10 if status == 503 else None
    return Problem(status, type(error).__name__, error.message, error.advice, retry=retry, members=fields)
