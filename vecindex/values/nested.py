"""Limits the nesting of JSON, and reads and writes it even where the caller's stack is nearly exhausted."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from typing import Any, TypeVar

MAX_NESTING = 100
"""How deep metadata and filters may be nested; the metadata object is a level itself. Python's limit is 1,000, which
includes the caller's frames, and SQLite's is 1,000 or 2,000, depending on the release."""

_Result = TypeVar("_Result")
_STRINGS_AND_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]')


def on_own_stack(function: Callable[..., _Result], *arguments: Any) -> _Result:
    """``function(*arguments)``, repeated in a new thread if a deep caller left it too little of the stack.

    Raises:
        RecursionError: a whole stack is not enough either.
    """
    try:
        return function(*arguments)
    except RecursionError:
        pass
    results: list[_Result] = []
    errors: list[BaseException] = []

    def call() -> None:
        try:
            results.append(function(*arguments))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=call, name="vecindex-stack")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def read_json(text: str | bytes) -> Any:
    """As `json.loads`; raises RecursionError only for JSON that is nested deeper than Python can read at all."""
    return on_own_stack(json.loads, text)


def nesting(text: str) -> int:
    """How deep arrays and objects are nested in a JSON text; 0 for a scalar."""
    deepest = depth = 0
    for found in _STRINGS_AND_BRACKETS.finditer(text):
        mark = found.group()
        if mark in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif mark in "]}":
            depth -= 1
    return deepest
