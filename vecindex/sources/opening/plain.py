"""Tells whether a file without a known suffix is a text in words, or something else that is written in characters."""

from __future__ import annotations

import codecs
import re

from . import encodings

_FEWEST = 0.3
"""The share of words among all that is written, apart from spaces, from which on it is a text."""
_WORD = re.compile(r"(?<![\w+/=])[^\W\d_]{1,24}(?![\w+/=])|[^\W\d_\x00-\u052f]+")
"""A word; in the second place one of a script that may write none apart. Not encoded data, paths and digests."""
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_MARKUP = re.compile(r"\s*<[!?/a-zA-Z]")


def is_plain_text(start: bytes) -> bool:
    """Whether a file that starts with these bytes is a text in words, in Unicode.

    Markup such as XML, encoded data such as keys and certificates, and tables of numbers or digests are not. An empty
    text is, so that whoever reads it says that it is empty.
    """
    text = _decoded(start)
    if text is None or _CONTROLS.search(text) or _MARKUP.match(text):
        return False
    words = sum(len(word) for word in _WORD.findall(text))
    return words >= _FEWEST * sum(map(len, text.split()))


def _decoded(start: bytes) -> str | None:
    mark = encodings.marked(start)
    encoding = mark[0] if mark is not None else encodings.wide(start[: len(start) // 4 * 4])
    try:
        text = codecs.getincrementaldecoder(encoding or "utf-8")().decode(start)  # a character may be cut at the end
    except UnicodeError:
        return None
    return text.removeprefix("\ufeff")
