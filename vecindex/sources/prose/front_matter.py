"""Reads the front matter of a page: YAML between ``---`` lines or TOML between ``+++`` lines, at its very start.

YAML is composed into its tree of nodes and no further (PyYAML, which comes with transformers: MIT), so nothing in it
is constructed. Values are typed as cells of a CSV file are: only numbers that are written back with the same characters
are numbers, so ``1.10`` and ``2024-05-01`` stay as they are written.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import date, time
from typing import Any

from ...errors import InvalidInput
from ...machine.extras import extra_errors
from ...values.metadata import checked_metadata
from ..cells import number, truth
from .spans import LINE_END

LONGEST = 2**16
"""Characters. Longer front matter is taken as part of the text."""
MOST_VALUES = 10_000
"""Values in front matter; aliases of YAML count each time, so a few lines cannot become millions."""
DEEPEST = 50
"""How deep values of YAML may be nested."""


def front_matter(text: str) -> tuple[dict[str, Any], int]:
    """The metadata at the start of ``text``, and where the text after it begins; ``{}`` and 0 if there is none.

    Where it is malformed, each line ``name: value`` gives a string, and other lines are left out.
    """
    fence = text[:3]
    if fence not in _PARSERS:
        return {}, 0
    lines = list(LINE_END.finditer(text, 0, LONGEST))
    if not lines or text[3 : lines[0].start()].strip():
        return {}, 0
    start = lines[0].end()
    begins = start
    closing = ("---", "...") if fence == "---" else (fence,)
    for line_end in [*lines[1:], None]:
        ends = line_end.start() if line_end else len(text)
        if text[begins : min(ends, begins + 100)].rstrip() in closing:
            break
        if line_end is None:
            return {}, 0
        begins = line_end.end()
    content = text[start:begins]
    found = _parsed(content, fence)
    return ({}, 0) if found is None else (found, line_end.end() if line_end else len(text))


def _parsed(content: str, fence: str) -> dict[str, Any] | None:
    """None if it is no front matter, but text between two rules."""
    try:
        found = _PARSERS[fence](content)
        if found is None and not content.strip():
            return {}
        if not isinstance(found, dict):
            return None
        found = {name: value for name, value in found.items() if value not in (None, "")}
        checked_metadata(found)
    except (ValueError, InvalidInput, RecursionError):
        return _by_line(content, ":" if fence == "---" else "=") or None
    return found


def _by_line(content: str, mark: str) -> dict[str, Any]:
    found = {}
    for line in content.splitlines():
        name, is_pair, value = line.partition(mark)
        name, value = name.strip(), value.strip().strip("\"'")
        if is_pair and value and name.replace("-", "").replace("_", "").isalnum() and line[:1] == name[:1]:
            found[name] = value
    return found


def _yaml(content: str) -> Any:
    with extra_errors("front matter"):
        import yaml
    left = MOST_VALUES

    def value(node: Any, depth: int) -> Any:
        nonlocal left
        left -= 1
        if left < 0 or depth > DEEPEST:
            raise ValueError("too many values")
        if isinstance(node, yaml.MappingNode):
            return {str(value(name, depth + 1)): value(member, depth + 1) for name, member in node.value}
        if isinstance(node, yaml.SequenceNode):
            return [value(item, depth + 1) for item in node.value]
        return node.value if node.style else _scalar(node.value)

    try:
        # The loader in C would exhaust the stack of a thread where this one raises RecursionError.
        root = yaml.compose(content, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ValueError("not YAML") from error
    return None if root is None else value(root, 0)


def _scalar(written: str) -> Any:
    if written in ("", "~", "null", "Null", "NULL"):
        return None
    for kind in (number, truth):
        try:
            return kind(written)
        except ValueError:
            pass
    return written


def _toml(content: str) -> Any:
    with extra_errors("front matter"):
        if sys.version_info >= (3, 11):
            import tomllib
        else:
            import tomli as tomllib
    return _plain(tomllib.loads(LINE_END.sub("\n", content), parse_float=_scalar))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, (date, time)) else value


_PARSERS: dict[str, Callable[[str], Any]] = {"---": _yaml, "+++": _toml}
