"""Which filter does this write: an expression or a dict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .dicts import parse_dict
from .expressions import parse_expression
from .tree import Filter


def parse(where: Mapping[str, Any] | str) -> Filter:
    """The filter that ``where`` writes: an expression or a dict. Raises InvalidFilter for anything else."""
    return parse_expression(where) if isinstance(where, str) else parse_dict(where)
