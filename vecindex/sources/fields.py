"""What of a row is usable: checks and words that the formats with fields share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..errors import InvalidInput
from ..records import checked_text

_ASCII_WHITESPACE = " \t\n\r\v\f"


def is_blank(text: str) -> bool:
    """Whether only ASCII whitespace is there, as in the lines that separate the sentences of a txt file."""
    return not text.strip(_ASCII_WHITESPACE)


def sentence(text: str) -> str:
    """``text`` itself; raises InvalidInput where it is blank, or cannot be stored."""
    if is_blank(text):
        raise InvalidInput("the text is empty", "Write a sentence there, or leave bad rows out with --skip-bad.")
    return checked_text(text)


def repeated(names: Sequence[str]) -> list[str]:
    """The names that are there more than once, in order."""
    return [name for name, times in Counter(names).items() if times > 1]


def listed(names: Sequence[str], most: int = 20, longest: int = 40) -> str:
    """``names`` for an error message: quoted, shortened, on one line."""
    shown = [repr(name if len(name) <= longest else name[:longest] + "...") for name in names[:most]]
    more = [f"{len(names) - most} more"] if len(names) > most else []
    return ", ".join(shown + more) or "none"
