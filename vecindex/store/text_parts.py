"""Names and recognises the parts of a long text, which are stored as records of their own.

The parts of the record KEY have the keys KEY#1, KEY#2 and so on. Their metadata has ``part_of``, which is KEY, and
``span``, the characters of the whole text: the first and the one after the last, counted from 0.

A part never replaces another record, nor does another record replace a part: one of the two would be lost.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ..errors import InvalidInput
from ..values.nested import read_json
from .reconcile import Incoming
from .stored import Stored

PART_OF, SPAN = "part_of", "span"


def part_key(key: str, number: int) -> str:
    """The key of part ``number``, counted from 1, of the record ``key``."""
    return f"{key}#{number}"


def is_part_key(key: str, owner: str) -> bool:
    """Whether ``key`` is the key of a part of ``owner``."""
    number = key.removeprefix(f"{owner}#")
    return key != number and number.isascii() and number.isdigit() and number[0] != "0"


def owner_of(record: Stored | Incoming) -> str | None:
    """The key of the record that this one is a part of, or None."""
    if record.metadata is None or PART_OF not in record.metadata:
        return None
    try:
        metadata = read_json(record.metadata)
    except (ValueError, RecursionError):
        return None
    owner = metadata.get(PART_OF) if isinstance(metadata, dict) else None
    return owner if isinstance(owner, str) and is_part_key(record.key, owner) else None


def common_metadata(record: Stored) -> Mapping[str, Any]:
    """A part's metadata without ``part_of`` and ``span``: that of the whole text."""
    metadata: dict[str, Any] = read_json(record.metadata)
    return {name: value for name, value in metadata.items() if name not in (PART_OF, SPAN)}


def refuse_clashes(incoming: Sequence[Incoming], stored: Mapping[str, Stored], parted: Collection[str]) -> None:
    """Raises InvalidInput if a part would take another record's key, or another record that of a part.

    ``stored`` holds the records with the keys of ``incoming``; the keys in ``parted`` have parts of their own. A record
    that changes nothing does not clash, nor one whose own metadata says whose part it is, as in exports.
    """
    before: dict[str, Stored | Incoming] = dict(stored)
    parted = {item.part_of for item in incoming if item.part_of is not None} | {*parted}
    for item in incoming:
        known = before.get(item.key)
        owner = None if known is None else owner_of(known)
        if item.part_of is not None:
            if item.key in parted or (known is not None and owner != item.part_of):
                raise InvalidInput(
                    f"the text of {item.part_of!r} is too long, and its part would get the key {item.key!r}, which is "
                    "another record's key",
                    "Give one of the two another key, or choose another on_long.",
                )
        elif known is not None and owner is not None:
            if item.metadata is None and item.text == known.text:
                continue
            if owner_of(item) != owner:
                raise taken_by_a_part(item.key, owner)
        before[item.key] = item


def taken_by_a_part(key: str, owner: str) -> InvalidInput:
    """The error for a record that would take the key of a part of ``owner``."""
    return InvalidInput(
        f"the key {key!r} is the key of a part of {owner!r}, whose text is stored in parts",
        "Give it another key, or delete that part first.",
    )
