"""Splits bytes into numbered lines, in bounded memory, and decodes each line by itself.

A line ends at LF, CR LF or CR and nowhere else: U+2028, U+0085, VT and FF are part of a sentence (str.splitlines would
split there; bytes.splitlines does not). Decoding line by line gives every error its line, and reading can go on with
the next one.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from typing import IO

from ..errors import Advice, InvalidInput, SourceError
from .opening.chunks import Chunks
from .opening.decoding import foreign_byte
from .opening.files import unreadable

Line = tuple[int, bytes]
"""Its number, from 1, and its bytes with their line end."""

MAX_LINE = 64 * 2**20
"""Bytes. A longer line is a bad row, so that a binary file without line ends cannot fill the memory."""
_CHUNK = 2**14

NAME_THE_ENCODING = Advice(
    "If the file has another encoding, name it, as with encoding='cp1252' (Windows), or convert the file "
    "(iconv -f CP1252 -t UTF-8 FILE > NEW); errors='replace' reads such bytes as U+FFFD.",
    typed="If the file has another encoding, name it, as with --encoding cp1252 (Windows), or convert the file "
    "(iconv -f CP1252 -t UTF-8 FILE > NEW); --errors replace reads such bytes as U+FFFD, and --skip-bad skips the row.",
)

# UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def lines(stream: IO[bytes], name: str, on_cut: Callable[[bytes], None] = lambda rest: None) -> Iterator[Line]:
    """Every line of ``stream``, without the byte order mark; a line that is too long is cut to MAX_LINE + 1 bytes.

    ``on_cut`` is called with the rest of such a line, in pieces, before it is yielded.

    Raises SourceError if the file is in another encoding or cannot be read.
    """
    for number, raw in enumerate(_split(stream, name, on_cut), start=1):
        if number == 1:
            refuse_other_encodings(raw, name)
            raw = raw.removeprefix(codecs.BOM_UTF8)
        yield number, raw


def _split(stream: IO[bytes], name: str, on_cut: Callable[[bytes], None]) -> Iterator[bytes]:
    number = 0
    begun: list[bytes] = []  # the start of a line that no chunk has ended yet
    length = 0
    held = b""
    at_end = False
    # What was read before an error is used, so that the error has its line.
    read_some = stream.read1 if isinstance(stream, Chunks) else stream.read
    while not at_end:
        try:
            read = read_some(_CHUNK)
        except OSError as error:
            raise unreadable(name, number + 1, error) from error
        chunk, held, at_end = held + read, b"", not read
        if chunk.endswith(b"\r") and not at_end:
            chunk, held = chunk[:-1], b"\r"  # an LF may follow
        pieces = chunk.splitlines(keepends=True)
        tail = b"" if not pieces or pieces[-1].endswith((b"\n", b"\r")) else pieces.pop()
        if begun and pieces:
            pieces[0] = b"".join([*begun, pieces[0]])
            begun, length = [], 0
        for piece in pieces:
            number += 1
            yield _cut(piece, on_cut)
        if tail and length <= MAX_LINE:
            begun.append(tail)
            length += len(tail)
        elif tail:
            on_cut(tail)
    if begun:
        yield _cut(b"".join(begun), on_cut)


def _cut(line: bytes, on_cut: Callable[[bytes], None]) -> bytes:
    if len(line) > MAX_LINE + 1:
        on_cut(line[MAX_LINE + 1 :])
    return line[: MAX_LINE + 1]


def decoded(raw: bytes) -> str:
    """The text of one line with its line end; raises InvalidInput if it is not UTF-8.

    Errors count bytes from 1, after a byte order mark.
    """
    if len(raw) > MAX_LINE:
        raise InvalidInput(f"the line is longer than {MAX_LINE:,} bytes", "Check that this is a file of sentences.")
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            raise InvalidInput(
                f"the line begins with a {encoding} byte order mark ({mark.hex(' ').upper()}), but the file is UTF-8",
                f"Convert the part that was appended (iconv -f {encoding} -t UTF-8) and join the files again.",
            )
    nul = raw.find(b"\0")
    if nul >= 0:
        raise InvalidInput(
            f"byte {nul + 1} of the line is NUL, so this is not UTF-8 text",
            Advice(
                "Check that it is not a binary file; if it is UTF-16, pass encoding='utf-16'.",
                typed="Check that it is not a binary file; if it is UTF-16, use --encoding utf-16.",
            ),
        )
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = foreign_byte(raw, error.start)
        if byte is None:
            reason = f"byte {error.start + 1} of the line (0x{raw[error.start]:02X}) is not UTF-8"
        else:
            reason = f"the byte 0x{byte:02X} in the line is no text in the encoding of the file"
        raise InvalidInput(reason, NAME_THE_ENCODING) from None


def without_end(text: str) -> str:
    """``text`` without its line end."""
    return text[:-2] if text.endswith("\r\n") else text[:-1] if text.endswith(("\n", "\r")) else text


def refuse_other_encodings(raw: bytes, name: str) -> None:
    """Raises SourceError if a text starts with the byte order mark of another encoding than UTF-8."""
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            raise SourceError(
                name,
                1,
                f"looks like {encoding}, not UTF-8 (it begins with the byte order mark {mark.hex(' ').upper()})",
                f"Convert it: iconv -f {encoding} -t UTF-8 FILE > NEW.",
            )
