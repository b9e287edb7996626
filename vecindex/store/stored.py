"""A record as the database holds it: its row, texts, checksum and metadata."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import Any

from ..values.nested import on_own_stack
from ..values.records import UNKNOWN


@dataclass(slots=True)  # not frozen: a million are made at once, and freezing costs three times as much
class Stored:
    """A stored record, never changed; ``metadata`` is JSON text.

    ``lost`` is the column: `tokens_lost`, plus `records.UNKNOWN` where the model knows no token of the text.
    """

    row: int
    key: str
    text: str
    metadata: str
    lost: int

    @property
    def tokens_lost(self) -> int:
        """How many tokens of the text the vector does not cover; 1 may be any number where an older format held it."""
        return self.lost % UNKNOWN

    @property
    def unknown(self) -> bool:
        """Whether the model knows no token of the text."""
        return self.lost >= UNKNOWN


def record_crc(key: str, text: str, metadata: str, lost: int = 0) -> int:
    """CRC-32 of key, text and metadata as UTF-8, joined by NUL; another NUL and ``lost`` follow where it is not 0."""
    return zlib.crc32(f"{key}\0{text}\0{metadata}{f'{chr(0)}{lost}' if lost else ''}".encode())


def metadata_of(text: str) -> dict[str, Any]:
    """Parses a record's metadata; raises ValueError where it is not an object, RecursionError as `read_json`."""
    found = on_own_stack(_METADATA.decode, text)
    if not isinstance(found, dict):
        raise ValueError("it is not an object")
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


_METADATA = json.JSONDecoder(parse_constant=_refuse_constant)
