"""The errors of the server: each has a status and one shape of JSON, whether the index, a limit or a guard refused."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Fault:
    """What cannot be used in a request: where it is, such as ``("records", 3, "text")``, why, and how many others."""

    place: tuple[str | int, ...]
    reason: str
    others: int


def first_fault(faults: Sequence[Mapping[str, Any]], outer: int = 0) -> Fault:
    """The first of what pydantic found; ``outer`` parts of each place are left out, which are not of the request.

    Of a member that may have several forms, pydantic tells what is wrong with each. What counts is the form that it
    comes closest to: of a list with a bad number, it goes without saying that it is no text either.
    """
    placed = [(_place(each, outer), each) for each in faults]
    place, fault = placed[0]
    others = {other for other, _ in placed} - {place}
    reason = fault["msg"]
    if len(place) < len(fault["loc"][outer:]):
        member = place[:1]
        forms = [(where, each) for where, each in placed if where[:1] == member]
        place, fault = max(forms, key=lambda form: (len(form[0]), not form[1]["type"].endswith("_type")))
        others = {other for other in others if other[:1] != member}
        reason = fault["msg"]
        if all(where == place and each["type"].endswith("_type") for where, each in forms):
            kinds = dict.fromkeys(each["msg"].removeprefix("Input should be ") for _, each in forms)
            reason = f"Input should be {' or '.join(kinds)}"
    return Fault(place, _worded(reason), len(others))


def _worded(reason: str) -> str:
    """A reason of pydantic in words that hold for JSON, as the middle of a sentence."""
    reason = reason.removeprefix("Value error, ").removesuffix(".").replace(" after validation", "")
    reason = _DICTIONARY.sub("a JSON object", reason).replace("Extra inputs are not permitted", _UNKNOWN)
    return reason[:1].lower() + reason[1:] if reason[1:2].islower() else reason


def _place(fault: Mapping[str, Any], outer: int) -> tuple[str | int, ...]:
    """The place of a fault in a request, without the names of forms that a member may have."""
    parts: tuple[str | int, ...] = fault["loc"][outer:]
    if fault["type"] == "extra_forbidden":  # the last part is whatever was sent
        return parts
    return tuple(part for part in parts if not (isinstance(part, str) and _FORM.fullmatch(part)))


_FORM = re.compile(r"constrained-\w+|\w+\[.*\]")
_UNKNOWN = "there is no such parameter"
_DICTIONARY = re.compile(r"a valid dictionary( or object to extract fields from| or instance of \w+)?")


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
