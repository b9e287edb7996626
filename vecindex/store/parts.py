"""How are the parts of a long text stored: records of their own, which say whose parts they are.

The parts of the record KEY have the keys KEY#1, KEY#2 and so on, and in their metadata ``part_of``, the key, and
``span``, the characters of the whole text that they are: from the first to behind the last, counted from 0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .tables import Stored

PART_OF, SPAN = "part_of", "span"


def part_key(key: str, number: int) -> str:
    """The key of part ``number``, counted from 1, of the record ``key``."""
    return f"{key}#{number}"


def is_part_key(key: str, owner: str) -> bool:
    """Whether ``key`` is what `part_key` makes of ``owner``."""
    number = key.removeprefix(f"{owner}#")
    return key != number and number.isascii() and number.isdigit() and number[0] != "0"


def owner_of(record: Stored) -> str | None:
    """Whose part a stored record is, if it is one."""
    if PART_OF not in record.metadata:
        return None
    try:
        metadata = json.loads(record.metadata)
    except ValueError:
        return None
    owner = metadata.get(PART_OF) if isinstance(metadata, dict) else None
    return owner if isinstance(owner, str) and is_part_key(record.key, owner) else None


def common_metadata(record: Stored) -> Mapping[str, Any]:
    """A part's metadata without what says that it is one: that of the whole."""
    metadata: dict[str, Any] = json.loads(record.metadata)
    return {name: value for name, value in metadata.items() if name not in (PART_OF, SPAN)}
