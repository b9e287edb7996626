"""What may be handed over to be imported: a path, or what was opened of one; the check costs no import of readers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..values.arguments import path

if TYPE_CHECKING:
    from .reading import Exchange


def source_argument(name: str, value: object) -> str | os.PathLike[str] | Exchange:
    """The check of a parameter that says what to import; see `arguments`."""
    from .reading import Exchange

    return value if isinstance(value, Exchange) else path(name, value)
