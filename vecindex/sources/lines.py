"""What lines are in these bytes: numbered, in bounded memory, each decoded by itself.

A line ends at LF or CR LF and nowhere else: U+2028, U+0085, VT and FF are part of a sentence (str.splitlines would cut
there). Decoding line by line gives every error its line, and lets reading go on with the next.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import IO

from ..errors import InvalidInput, SourceError
from .origin import unreadable

Line = tuple[int, bytes]
"""Its number, from 1, and its bytes with their line end."""

MAX_LINE = 64 * 2**20
"""Bytes; a longer line is a bad row, so that a binary file with no line end in it cannot fill the memory."""

# UTF-32 first: the mark of UTF-16, little-endian, begins its mark too.
_OTHER_ENCODINGS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def lines(stream: IO[bytes], name: str) -> Iterator[Line]:
    """Every line of ``stream``, without the byte order mark; of a line that is too long, the first MAX_LINE + 1 bytes.

    Raises SourceError where the whole is no UTF-8, or cannot be read on.
    """
    number = 0
    while True:
        try:
            raw = stream.readline(MAX_LINE + 1)
            if len(raw) > MAX_LINE:
                _skip_rest(stream, raw)
        except OSError as error:
            raise unreadable(name, number + 1, error) from error
        if not raw:
            return
        number += 1
        if number == 1:
            _refuse_other_encodings(raw, name)
            raw = raw.removeprefix(codecs.BOM_UTF8)
        yield number, raw


def decoded(raw: bytes) -> str:
    """The text of one line, its line end included; bytes are counted from 1, after a byte order mark.

    Raises InvalidInput for what is not UTF-8 text.
    """
    if len(raw) > MAX_LINE:
        raise InvalidInput(f"the line is longer than {MAX_LINE:,} bytes", "Check that this is a file of sentences.")
    nul = raw.find(b"\0")
    if nul >= 0:
        raise InvalidInput(
            f"byte {nul + 1} of the line is NUL, so this is not UTF-8 text",
            "Check that it is no binary file; convert UTF-16 with iconv -f UTF-16LE -t UTF-8 FILE > NEW.",
        )
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"byte {error.start + 1} of the line (0x{raw[error.start]:02X}) is not UTF-8",
            "Convert the file (from Windows: iconv -f CP1252 -t UTF-8 FILE > NEW), or leave bad rows out with "
            "--skip-bad.",
        ) from None


def without_end(text: str) -> str:
    """``text`` without its line end; a CR at the end of the file, with no LF, is part of the text."""
    return text[:-2] if text.endswith("\r\n") else text.removesuffix("\n")


def _skip_rest(stream: IO[bytes], piece: bytes) -> None:
    while piece and not piece.endswith(b"\n"):
        piece = stream.readline(2**20)


def _refuse_other_encodings(raw: bytes, name: str) -> None:
    for mark, encoding in _OTHER_ENCODINGS:
        if raw.startswith(mark):
            raise SourceError(
                name,
                1,
                f"looks like {encoding}, not UTF-8 (it begins with the byte order mark {mark.hex(' ').upper()})",
                f"Convert it: iconv -f {encoding} -t UTF-8 FILE > NEW.",
            )
