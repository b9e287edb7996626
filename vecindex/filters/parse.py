"""Which filter does this write: an expression or a dict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InvalidInput
from ..values.nested import on_own_stack
from .dicts import parse_dict
from .expressions import parse_expression
from .tree import EVERYTHING, Filter, constant, shortened


def parse(where: Mapping[str, Any] | str) -> Filter:
    """The filter that ``where`` writes: an expression or a dict. Raises InvalidFilter for anything else."""
    return on_own_stack(parse_expression, where) if isinstance(where, str) else on_own_stack(parse_dict, where)


def parse_deletion(where: Mapping[str, Any] | str) -> Filter:
    """As `parse`, for a deletion: every record is deleted only where the expression ``true`` says so.

    A filter that was put together and in the end holds no condition, ``{}`` say, would empty the index.

    Raises:
        InvalidFilter.
        InvalidInput: every record is selected, whatever it holds.
    """
    condition = parse(where)
    by_name = isinstance(where, str) and condition == EVERYTHING
    if not by_name and on_own_stack(constant, condition):
        shown = shortened(where if isinstance(where, str) else repr(where))
        raise InvalidInput(
            f"the filter {shown} holds no condition, and would delete every record",
            "To delete every record, write the filter 'true'; nothing was deleted.",
        )
    return condition
