"""Checks keys, and derives the key of a record that was given none."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from ..errors import InvalidInput
from .metadata import checked_metadata
from .nested import on_own_stack, read_json
from .records import Metadata
from .scalars import string
from .texts import checked_text

LONGEST_KEY = 1_000_000
"""Bytes in UTF-8."""


def checked_key(value: object) -> str:
    """``value`` as a key, which is a string that is not empty; raises InvalidInput."""
    key = string(value, "a key", LONGEST_KEY)
    if not key:
        raise InvalidInput("a key is the empty string", "Leave the key out to derive one from the text.")
    return key


def derive_key(text: str, metadata: Metadata | None = None) -> str:
    """The key of a record that was given none: the first 128 bits of a SHA-256, in hex.

    The digest is of the text in UTF-8 and, if there is metadata, of a byte 0xFF and the metadata as `as_read` writes
    it. So rows with the same content have the same key, whether a value was read as a number or as text.
    """
    return derived_key(checked_text(text), None if metadata is None else checked_metadata(metadata))


def derived_key(text: str, metadata: str | None = None) -> str:
    """As `derive_key`, for a checked text and the JSON text of checked metadata."""
    digest = hashlib.sha256(text.encode("utf-8"))
    if metadata is not None and (said := as_read(read_json(metadata))) != "{}":
        digest.update(b"\xff" + said.encode("utf-8"))
    return digest.hexdigest()[:32]


def as_read(metadata: Metadata) -> str:
    """Metadata as a table holds it: a JSON object with sorted members, in which each value is a text.

    A value that is not a string is replaced by its JSON text, also sorted; null and "" are left out. So the result is
    the same whether 1999 is a number or a text, which in a file with columns depends on the other rows.
    """
    return on_own_stack(_as_read, metadata)


def _as_read(metadata: Metadata) -> str:
    return _to_sorted_json(
        {
            name: value if type(value) is str else _JSON_OF.get(type(value), _to_sorted_json)(value)
            for name, value in metadata.items()
            if value is not None and value != ""
        }
    )


_to_sorted_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode
# The encoder's output for these types, without the cost of setting it up for each value.
_JSON_OF: dict[type, Callable[[Any], str]] = {int: repr, float: repr, bool: lambda value: "true" if value else "false"}
