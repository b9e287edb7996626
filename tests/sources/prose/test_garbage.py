"""Whatever the bytes are, each reader of texts reads them or refuses them with a SourceError."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex.errors import SourceError
from vecindex.sources.documents import Document
from vecindex.sources.formats import Format

from ...support.extent import examples
from ...support.prose import check, found

FORMATS = [
    *(Format.PROSE, Format.MARKDOWN, Format.RST, Format.HTML, Format.NOTEBOOK, Format.SUBTITLES, Format.CODE),
]
MARKS = (
    *(
        b"\0",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\xe9",
        b"\n",
        b"\r",
        b"# ",
        b"---\n",
        b"+++\n",
        b"a: [",
        b"<p",
        b">",
        b"<!--",
    ),
    *(b"{", b'"cells": [', b"]", b"}", b"00:01.000 --> ", b"-->", b".. ", b"::", b"```", b"text", b"\xf0\x9f\x99\x82"),
)


@pytest.mark.parametrize("format", FORMATS)
@given(content=st.binary(max_size=200) | st.lists(st.sampled_from(MARKS), max_size=40).map(b"".join))
@examples(500)
def test_garbage_is_read_or_refused_and_never_anything_else(content: bytes, format: Format) -> None:
    with contextlib.suppress(SourceError):
        for each in found("a", content, format):
            if isinstance(each, Document):
                check(each)
            else:
                assert isinstance(each, SourceError)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("content", [b"one\0two", b"one\ntw\xe9", b"\xff\xfeo\0n\0e\0"])
def test_what_is_no_utf8_text_is_refused(content: bytes, format: Format) -> None:
    with pytest.raises(SourceError):
        found("a", content, format)
