"""Records and documents as the database holds them, with their checksums."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

from ..values.nested import on_own_stack
from ..values.records import NO_VECTOR, UNKNOWN


class At(NamedTuple):
    """Where a record's text is from.

    ``source`` and ``document`` are the ids of its source and of the text that it was cut from, None if it has none. In
    that text, or in its source if it is a row of it, it is number ``position``, from 0, and has the characters from
    ``start`` to before ``end``. ``place`` is the line, page or other unit of the source, from 1, None if unknown.
    """

    source: int | None
    document: int | None
    position: int
    start: int
    end: int
    place: int | None


NOWHERE = (None,) * len(At._fields)
BY_HAND = 0
"""In the table of repeats, the source of what was also given by hand: as a text, and not in a source."""
Repeat = tuple[str, int, "int | None"]
"""Key, source and place of a record or text that is also in this source, or was also given by hand."""


@dataclass(slots=True)  # not frozen: a million are made at once, and freezing costs three times as much
class Stored:
    """A stored record, never changed; ``metadata`` is JSON text.

    ``lost`` is the column: `tokens_lost`, plus `records.UNKNOWN` where the model knows no token of the text; or
    `records.NO_VECTOR`. ``at`` is None if the text was given whole, and not in a source.
    """

    row: int
    key: str
    text: str
    metadata: str
    lost: int
    at: At | None = None

    @property
    def tokens_lost(self) -> int:
        """How many tokens of the text the vector does not cover; 1 may be any number where an older format held it."""
        return self.lost % UNKNOWN

    @property
    def unknown(self) -> bool:
        """Whether the model knows no token of the text."""
        return UNKNOWN <= self.lost < NO_VECTOR

    @property
    def has_vector(self) -> bool:
        return self.lost < NO_VECTOR

    @property
    def document(self) -> int | None:
        """The id of the document that the text was cut from."""
        return None if self.at is None else self.at.document

    @property
    def source(self) -> int | None:
        """The id of the source that the text is from."""
        return None if self.at is None else self.at.source


def place_of(columns: tuple[Any, ...]) -> At | None:
    """The place in the six columns of a record, all NULL for none; raises ValueError for what is never written."""
    if columns == NOWHERE:
        return None
    at = At(*columns)
    numbers = (at.position, at.start, at.end)
    if not all(type(number) is int for number in numbers) or not 0 <= at.start <= at.end or at.position < 0:
        raise ValueError("its position and characters are not numbers")
    if not all(value is None or type(value) is int for value in (at.source, at.document, at.place)):
        raise ValueError("its source, document and place are not numbers")
    return at


def record_crc(key: str, text: str, metadata: str, lost: int = 0, at: At | None = None) -> int:
    """CRC-32 of key, text and metadata as UTF-8, joined by NUL.

    Where ``lost`` is not 0 or the record has a place, another NUL and ``lost`` follow, then another and the six numbers
    of the place, joined by commas, those that are NULL left out.
    """
    more = f"\0{lost}" if lost or at is not None else ""
    if at is not None:
        more += "\0" + ",".join("" if number is None else str(number) for number in at)
    return zlib.crc32(f"{key}\0{text}\0{metadata}{more}".encode())


Kind = Literal["row", "file"]
"""A text with a key of its own, or the text of a file; see `store.documents`."""
Identity = tuple[Kind, str]


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A text to cut into records.

    ``digest`` is that of its text. ``metadata`` (JSON text) is what its records share; None keeps what is stored.
    """

    kind: Kind
    key: str
    source: int | None
    digest: bytes
    metadata: str | None = "{}"
    title: str | None = None
    language: str | None = None

    @property
    def identity(self) -> Identity:
        return self.kind, self.key


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A row of the table of documents."""

    id: int
    new: NewDocument


def document_crc(document: NewDocument, id: int) -> int:
    """CRC-32 of all columns as a JSON array; the digest is hexadecimal there."""
    d = document
    columns = (id, d.kind, d.key, d.source, d.title, d.digest.hex(), d.metadata, d.language)
    return zlib.crc32(json.dumps(columns, ensure_ascii=False).encode())


def repeat_crc(repeat: Repeat) -> int:
    """CRC-32 of the columns as a JSON array."""
    return zlib.crc32(json.dumps(repeat, ensure_ascii=False).encode())


def piece_key(key: str, number: int) -> str:
    """The key of sentence ``number``, from 1, of the text ``key``."""
    return f"{key}#{number}"


def metadata_of(text: str) -> dict[str, Any]:
    """Parses a record's metadata; raises ValueError where it is not an object, RecursionError as `read_json`."""
    try:
        found, end = _SCAN(text, 0)
    except (StopIteration, RecursionError):
        end = -1
    if end != len(text):  # there are blanks, or it is not JSON, or the stack is nearly exhausted
        found = on_own_stack(_METADATA.decode, text)
    if not isinstance(found, dict):
        raise ValueError("it is not an object")
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


_METADATA = json.JSONDecoder(parse_constant=_refuse_constant)
_SCAN = cast(Any, _METADATA).scan_once
