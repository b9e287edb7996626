"""Reads the whole text of a source, for the formats whose texts cannot be cut line by line."""

from __future__ import annotations

import codecs
from typing import IO

from ..errors import Advice, SourceError
from .lines import NAME_THE_ENCODING, refuse_other_encodings
from .opening.decoding import foreign_byte
from .opening.files import unreadable
from .origin import Source

MAX_TEXT = 64 * 2**20
"""Bytes, as UTF-8. A longer text is refused, since all of it has to be in memory while it is cut."""


def whole_text(source: Source, stream: IO[bytes], most: int = MAX_TEXT) -> str:
    """The decoded text of ``source``, whose bytes are in ``stream``: without its byte order mark, otherwise unchanged.

    So an offset in it counts characters of the file, and line ends are those of the file. Raises SourceError if the
    text has more than ``most`` bytes, is not UTF-8 or contains NUL.
    """
    try:
        raw = stream.read(most + 1)
    except OSError as error:
        raise unreadable(source.name, None, error) from error
    if len(raw) > most:
        raise SourceError(
            source.name,
            None,
            f"the text has more than {most:,} bytes, too many to cut as one text",
            Advice(
                "Read it line by line (as txt, with split='line'), or divide the file.",
                typed="Read it line by line with --format txt --split line, or divide the file.",
            ),
        )
    refuse_other_encodings(raw, source.name)
    raw = raw.removeprefix(codecs.BOM_UTF8)
    nul = raw.find(b"\0")
    if nul >= 0:
        raise SourceError(
            source.name,
            line_at(raw, nul),
            "contains NUL, so this is not text",
            "Check that it is not a binary file.",
        )
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = foreign_byte(raw, error.start)
        if byte is None:
            reason = f"the byte 0x{raw[error.start]:02X} is not UTF-8"
        else:
            reason = f"the byte 0x{byte:02X} is no text in the encoding of the file"
        raise SourceError(source.name, line_at(raw, error.start), reason, NAME_THE_ENCODING) from None


def line_at(raw: bytes, position: int) -> int:
    """The number, from 1, of the line in which the byte at ``position`` is; lines end as in `lines`."""
    before = raw[:position]
    if raw[position : position + 1] == b"\n":
        before = before.removesuffix(b"\r")  # both belong to one line end
    return 1 + before.count(b"\n") + before.count(b"\r") - before.count(b"\r\n")
