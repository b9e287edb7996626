"""Parses filters: expressions and dicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InvalidInput
from ..values.nested import on_own_stack
from .dicts import parse_dict
from .expressions import parse_expression
from .tree import EVERYTHING, Filter, constant, shortened


def parse(where: Mapping[str, Any] | str) -> Filter:
    """Parses an expression or a dict. Raises InvalidFilter for anything else."""
    return on_own_stack(parse_expression, where) if isinstance(where, str) else on_own_stack(parse_dict, where)


def parse_deletion(where: Mapping[str, Any] | str) -> Filter:
    """As `parse`, but refuses a filter that matches every record, such as ``{}``, unless it is the expression ``true``.

    A filter that a program put together may end up without a condition, and would empty the index.

    Raises:
        InvalidFilter.
        InvalidInput: the filter matches every record.
    """
    condition = parse(where)
    by_name = isinstance(where, str) and condition == EVERYTHING
    if not by_name and on_own_stack(constant, condition):
        shown = shortened(where if isinstance(where, str) else repr(where))
        raise InvalidInput(
            f"the filter {shown} has no condition and would delete every record",
            "To delete every record, pass the filter 'true'; nothing was deleted.",
        )
    return condition
