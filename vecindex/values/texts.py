"""Checks texts and queries: whether they can be stored, and whether anything of them is visible."""

from __future__ import annotations

import re

from ..errors import InvalidInput
from .scalars import string

LONGEST_TEXT = 500_000_000
"""Bytes in UTF-8. A row of SQLite holds a billion bytes; it reports longer ones as damage."""


def checked_text(value: object) -> str:
    """``value`` as a text that can be stored; raises InvalidInput."""
    return string(value, "a text", LONGEST_TEXT)


def checked_query(value: object) -> str:
    """``value`` as a text that can be searched for; raises InvalidInput, also if it is blank."""
    text = string(value, "a query", LONGEST_TEXT)
    if is_blank(text):
        raise InvalidInput("the query is blank", "Pass at least one word.")
    return text


def is_blank(text: str) -> bool:
    """Whether a text is invisible: empty, or only whitespace, control characters and zero-width characters."""
    if _VISIBLE.search(text):
        return False
    from unicodedata import category  # few texts get here

    return all(category(character) in _INVISIBLE_KINDS or character in _INVISIBLE for character in text)


_VISIBLE = re.compile("[!-~]")
_INVISIBLE_KINDS = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})
# Letters and marks without a visible shape: fillers, joiners and variation selectors.
_INVISIBLE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)
