"""Reads one JSON text step by step, in bounded memory: the items of an array or the members of an object, one by one.

The standard library's decoder reads the values, as strictly as in JSON lines. ijson was tried and is not used: it reads
lone surrogates as question marks and the last of repeated names, names no line, and takes all memory for a file of
brackets.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import IO, Any

from ...errors import InvalidInput, SourceError
from ...values.nested import on_own_stack
from ..lines import MAX_LINE
from ..opening.files import unreadable
from ..strict_json import DECODER

_CHUNK = 2**18
_SPACE = re.compile(r"[ \t\n\r]*")
_UNCHECKED = json.JSONDecoder()
"""Finds the end of a value that the strict decoder refused, or that is not wanted."""
_LONGEST_TOKEN = 16
"""More characters than a number or word has after the place where the decoder complains if it is cut there."""


class JsonText:
    """The text in ``stream``, in UTF-8. Raises SourceError, with the line, where it is not JSON."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._stream = stream
        self._name = name
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._buffer = ""
        self._at = 0
        self._began = 0  # the last value that was read
        self._ended = False
        self._lines = 0  # before the buffer
        self._column = 0  # characters before the buffer in its first line
        self._counted = (0, 0)  # a position in the buffer, and the lines that end before it
        self._fill()
        if self._buffer.startswith("\ufeff"):
            self._buffer = self._buffer[1:]

    @property
    def written(self) -> str:
        """The last value that was read, as it is written."""
        return self._buffer[self._began : self._at]

    @property
    def line(self) -> int:
        """The number of the line where the next value begins, from 1."""
        self.next()
        position, lines = self._counted
        lines += self._buffer.count("\n", position, self._at)  # counted on, since this is asked for at each item
        self._counted = (self._at, lines)
        return self._lines + lines + 1

    def next(self) -> str:
        """The next character that is not white space, or "" at the end."""
        while True:
            found = _SPACE.match(self._buffer, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._buffer) or self._ended:
                return self._buffer[self._at : self._at + 1]
            self._fill()

    def first_item(self) -> str:
        """The first character within the array that comes next, which is not read."""
        while True:
            found = _SPACE.match(self._buffer, self._at + 1)
            after = found.end() if found else self._at + 1
            if after < len(self._buffer) or self._ended:
                return self._buffer[after : after + 1]
            self._fill()

    def items(self) -> Iterator[None]:
        """Stops at each item of the array that comes next; `value` or another method must then read the item."""
        for _ in self._within("]", name=False):
            yield

    def members(self) -> Iterator[str]:
        """Yields the name of each member of the object that comes next; the caller must then read its value."""
        for name in self._within("}", name=True):
            assert name is not None
            yield name

    def value(self) -> Any:
        """The value that comes next; raises InvalidInput for one that is JSON, but cannot be stored."""
        try:
            return self._value(DECODER)
        except InvalidInput:
            self._value(_UNCHECKED)
            raise

    def skip(self) -> None:
        """Reads over the value that comes next."""
        opening = self.next()
        if opening == "[":
            for _ in self.items():
                self._value(_UNCHECKED)
        elif opening == "{":
            for _ in self.members():
                self._value(_UNCHECKED)
        else:
            self._value(_UNCHECKED)

    def error(self, reason: str, advice: str | None = None) -> SourceError:
        """A SourceError for what comes next."""
        return SourceError(self._name, self.line, reason, advice)

    def _within(self, closing: str, *, name: bool) -> Iterator[str | None]:
        self._at += 1  # the opening bracket
        if self.next() == closing:
            self._at += 1
            return
        while True:
            yield self._member_name() if name else None
            mark = self.next()
            if mark not in (",", closing) or not mark:
                raise self._not_json("Expecting ',' delimiter", self._at)
            self._at += 1
            if mark == closing:
                return

    def _member_name(self) -> str:
        if self.next() != '"':
            raise self._not_json("Expecting property name enclosed in double quotes", self._at)
        name: str = self._value(_UNCHECKED)
        if self.next() != ":":
            raise self._not_json("Expecting ':' delimiter", self._at)
        self._at += 1
        return name

    def _value(self, decoder: json.JSONDecoder) -> Any:
        self.next()
        while True:
            try:
                value, end = on_own_stack(decoder.raw_decode, self._buffer, self._at)
            except json.JSONDecodeError as error:
                may_be_cut = error.msg.startswith("Unterminated") or error.pos > len(self._buffer) - _LONGEST_TOKEN
                if self._ended or not may_be_cut:
                    raise self._not_json(error.msg, error.pos) from None
            except RecursionError:
                raise self.error("not usable JSON: nested too deeply", "Flatten it.") from None
            else:
                # A number may go on after the end of the buffer, also where it ends as in "1e+".
                if self._ended or len(self._buffer) - end > len("e+1") or isinstance(value, (str, list, dict)):
                    self._began, self._at = self._at, end
                    return value
            if len(self._buffer) - self._at > MAX_LINE:
                raise self.error(
                    f"a value has more than {MAX_LINE:,} characters", "Check that this is the right file and array."
                )
            self._fill()

    def _fill(self) -> None:
        """Reads on; what was read doubles, so that a long value is not tried too often."""
        left = self._buffer[self._at :]
        self._lines, self._column = self._place(self._at)[0] - 1, self._place(self._at)[1] - 1
        try:
            raw = self._stream.read(max(_CHUNK, len(left)))
        except OSError as error:
            raise unreadable(self._name, self._lines + 1, error) from error
        self._buffer, self._at, self._ended, self._counted = left, 0, not raw, (0, 0)
        try:
            self._buffer += self._decode(raw, not raw)
        except UnicodeDecodeError as error:
            good = left + error.object[: error.start].decode("utf-8")
            line = self._lines + 1 + good.count("\n")
            reason = f"the byte 0x{error.object[error.start]:02X} is not UTF-8"
            raise SourceError(self._name, line, reason, "Name the encoding, or convert the file to UTF-8.") from None

    def _place(self, position: int) -> tuple[int, int]:
        """The line and column of a position in the buffer, from 1."""
        lines = self._buffer.count("\n", 0, position)
        start = self._buffer.rfind("\n", 0, position)
        return self._lines + lines + 1, position - start if lines else self._column + position + 1

    def _not_json(self, problem: str, position: int) -> SourceError:
        line, column = self._place(position)
        return SourceError(
            self._name, line, f"not valid JSON at column {column}: {problem}", "Check that the file is complete."
        )
