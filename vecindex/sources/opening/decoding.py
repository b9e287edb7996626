"""Reads a text in any encoding as UTF-8, in bounded memory.

A byte that is no text in the encoding of the file becomes a lone surrogate, which is not UTF-8 either, so the reader of
the line refuses it as it refuses a byte that is not UTF-8; see `lines.decoded`.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import IO

from ...errors import SourceError
from .chunks import CHUNK, Chunks
from .encodings import SAMPLE, START, marked, other, wide

_FOREIGN = 0xDC00
_FOREIGN_CHARACTERS = re.compile("[\udc00-\udcff]")
_HANDLER = "vecindex.foreign"


@dataclass
class Decoding:
    """How a text was decoded when it was last read: for a report to the user.

    ``encoding`` is as Python calls it. ``detected`` says that it is neither UTF-8 nor named. ``replaced`` counts the
    bytes that were read as U+FFFD.
    """

    encoding: str = "utf-8"
    detected: bool = False
    replaced: int = 0


class Utf8(Chunks):
    """The text in ``raw`` as UTF-8, without a byte order mark unless it is of UTF-8.

    ``encoding`` None detects it: by a byte order mark, by NULs, and at the first byte beyond ASCII by what follows.
    Only Unicode is detected if ``only_unicode``, as in formats whose standards allow nothing else. Bad bytes are
    replaced if ``replace``. ``decoding`` is told what was found.
    """

    def __init__(
        self,
        raw: IO[bytes],
        decoding: Decoding,
        *,
        encoding: str | None = None,
        replace: bool = False,
        only_unicode: bool = False,
    ) -> None:
        super().__init__()
        codecs.register_error(_HANDLER, _foreign)
        self._raw = raw
        self._replace = replace
        self._only_unicode = only_unicode
        self._decoder: codecs.IncrementalDecoder | None = None
        self._is_decided = False
        self._start: bytes | None = None
        self._late: Exception | None = None
        self._decoding = decoding
        decoding.encoding, decoding.detected, decoding.replaced = "utf-8", False, 0
        if encoding is not None:
            self._decide(encoding, detected=False)

    def _more(self) -> bytes | None:
        if self._late is not None:
            raise self._late
        raw = self._raw.read(CHUNK)
        if self._is_decided:
            return self._decoded(raw)
        if self._start is None:
            raw = self._begin(raw)
        if self._is_decided or not raw:
            return self._decoded(raw)
        if raw.isascii():
            return raw
        first = next(place for place, byte in enumerate(raw) if byte > 127)
        raw += self._read_on(SAMPLE)
        found = None if self._only_unicode else other(raw[first:], self._start or b"")
        self._decide(found or "utf-8", detected=found is not None)
        return self._decoded(raw)

    def _begin(self, raw: bytes) -> bytes:
        """Looks for a mark, or for wide characters, at the start; returns what is to be decoded."""
        self._start = raw[:START]
        if (mark := marked(raw)) is not None:
            encoding, bytes_ = mark
            self._decide(encoding, detected=encoding != "utf-8")
            return raw if encoding == "utf-8" else raw.removeprefix(bytes_)
        if b"\0" in self._start and (found := wide(self._start)) is not None:
            self._decide(found, detected=True)
        return raw

    def _decide(self, encoding: str, detected: bool) -> None:
        self._is_decided = True
        self._decoding.encoding, self._decoding.detected = encoding, detected
        if encoding != "utf-8" or self._replace:
            self._decoder = codecs.getincrementaldecoder(encoding)(_HANDLER)

    def _decoded(self, raw: bytes) -> bytes | None:
        if self._decoder is None:
            return raw or None
        text = self._decoder.decode(raw, final=not raw)
        if not raw:
            self._decoder = None  # what was cut off at the end comes once
        try:
            return text.encode() or (b"" if raw else None)
        except UnicodeEncodeError:
            if not self._replace:
                return text.encode("utf-8", "surrogatepass")
        text, count = _FOREIGN_CHARACTERS.subn("\ufffd", text)
        self._decoding.replaced += count
        return text.encode("utf-8", "surrogatepass")

    def _read_on(self, size: int) -> bytes:
        """The next ``size`` bytes, or what there is before the end, or before an error that the next read raises."""
        parts = []
        while size > 0:
            try:
                part = self._raw.read(size)
            except (OSError, SourceError) as error:
                self._late = error
                break
            if not part:
                break
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def foreign_byte(raw: bytes, place: int) -> int | None:
    """The byte that was no text in the encoding of the file, if it stands at this place of a line."""
    try:
        code = ord(raw[place : place + 3].decode("utf-8", "surrogatepass"))
    except (UnicodeDecodeError, TypeError):
        return None
    return code - _FOREIGN if 0 <= code - _FOREIGN < 256 else None


def _foreign(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(_FOREIGN + byte) for byte in error.object[error.start : error.end]), error.end
