"""The whole text of a source: unchanged, and refused where it is no text or too long."""

from __future__ import annotations

import io

import pytest

from vecindex.errors import SourceError
from vecindex.sources import Format, Source
from vecindex.sources.texts import line_at, whole_text

NOTES = Source("notes.md", Format.TXT)


def text(content: bytes, most: int = 1000) -> str:
    return whole_text(NOTES, io.BytesIO(content), most)


def refused(content: bytes, most: int = 1000) -> tuple[int | None, str]:
    with pytest.raises(SourceError) as caught:
        text(content, most)
    return caught.value.line, caught.value.reason


def test_the_text_is_the_files_own_without_its_byte_order_mark() -> None:
    content = "\ufeff\ufeffone\r\ntwo\rthree\n\u2028\x85\x0b\x0cé 🙂 \n\n"
    assert text(content.encode()) == content[1:]
    assert text(b"") == text(b"\xef\xbb\xbf") == ""


def test_a_byte_that_is_not_utf8_is_named_with_its_line() -> None:
    assert refused(b"one\r\ntwo\rthree\n\xe9") == (4, "the byte 0xE9 is not UTF-8")


def test_nul_is_refused_with_its_line() -> None:
    assert refused(b"one\ntwo\0") == (2, "contains NUL, so this is not text")


def test_a_text_that_is_too_long_is_refused() -> None:
    assert text(b"12345", most=5) == "12345"
    assert refused(b"123456", most=5) == (None, "the text has more than 5 bytes, too many to cut as one text")


def test_a_stream_that_fails_is_a_source_error() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(SourceError, match=r"^notes\.md: cannot be read: Input/output error"):
        whole_text(NOTES, Failing())


def test_lines_are_counted_as_readers_of_lines_count_them() -> None:
    raw = b"a\r\n\rb\n\r\n"
    assert [line_at(raw, position) for position in range(len(raw) + 1)] == [1, 1, 1, 2, 3, 3, 4, 4, 5]
