"""How deep may JSON be nested, and how is it read and written wherever the caller's own stack ends."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from typing import Any, TypeVar

MAX_NESTING = 100
"""How deep metadata and filters may be nested; metadata is a level itself. Far below the limits of Python (1,000, the
caller's calls included) and of SQLite (1,000 or 2,000, by its release)."""

_Result = TypeVar("_Result")
_STRINGS_AND_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]')


def on_own_stack(function: Callable[..., _Result], *arguments: Any) -> _Result:
    """``function(*arguments)``, called again in a thread where a deep caller left it too little of the stack.

    Raises:
        RecursionError: a whole stack is too little too.
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
    """As `json.loads`; raises RecursionError only for what is nested deeper than Python reads at all."""
    return on_own_stack(json.loads, text)


def nesting(text: str) -> int:
    """How deep the arrays and objects in a JSON text are nested; 0 for a scalar."""
    deepest = depth = 0
    for found in _STRINGS_AND_BRACKETS.finditer(text):
        mark = found.group()
        if mark in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif mark in "]}":
            depth -= 1
    return deepest
