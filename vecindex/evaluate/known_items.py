"""Makes queries whose answer is known: a shortened and a misspelt copy of a text, as a person would type them.

Searching for something that one remembers is known-item search; queries made from the texts themselves stand in for
remembered ones: Azzopardi, de Rijke and Balog 2007, doi:10.1145/1277741.1277820.
"""

from __future__ import annotations

import random
import re

_QUOTATION_MARKS = re.compile('["\u00ab\u00bb\u201c-\u201f\u2039\u203a\u2e42\u300c-\u300f\u301d-\u301f\uff02]')
_FEWEST_WORDS = 4
_FEWEST_CHARACTERS = 8
"""Of a text without spaces between its words, such as Chinese."""
_MOST_WORDS = 8
_MOST_CHARACTERS = 16
_LETTERS_A_TYPO = 12
"""About one word in two or three is misspelt."""


def plain(text: str) -> str:
    """The text as words alone: without the signs that a search by words would understand, quotation marks and dashes.

    Of quotation marks, which would ask for a phrase, every kind that Unicode calls one is left out; of dashes, those
    that a word begins with, which would leave out texts with the word.
    """
    return " ".join(filter(None, (word.lstrip("-") for word in _QUOTATION_MARKS.sub(" ", text).split())))


def shortened(text: str, draw: random.Random) -> str | None:
    """A run of half of the words, at most 8, from anywhere in the text; None if it has too few."""
    words = plain(text).split()
    if len(words) >= _FEWEST_WORDS:
        return " ".join(_run(words, min(_MOST_WORDS, -(-len(words) // 2)), draw))
    letters = "".join(words)
    if len(words) == 1 and len(letters) >= _FEWEST_CHARACTERS and not letters.isascii():
        return "".join(_run(list(letters), min(_MOST_CHARACTERS, len(letters) // 2), draw))
    return None


def misspelt(text: str, draw: random.Random) -> str | None:
    """A run of at most 16 words with a typing error for every 12 letters, at least one; None if it has too few words.

    Two letters are swapped, or one is left out, doubled, or replaced by another letter of the text.
    """
    words = plain(text).split()
    if len(words) < _FEWEST_WORDS:
        return None
    chosen = list(" ".join(_run(words, min(2 * _MOST_WORDS, len(words)), draw)))
    inner = [
        place
        for place in range(1, len(chosen) - 1)
        if all(chosen[at].isalpha() for at in (place - 1, place, place + 1))
    ]
    if not inner:
        return None
    letters = [letter for letter in chosen if letter.isalpha()]
    places = draw.sample(inner, min(len(inner), max(1, len(letters) // _LETTERS_A_TYPO)))
    for place in sorted(places, reverse=True):  # from the end, so that the places before stay where they are
        chosen[place : place + 2] = _typo(chosen[place], chosen[place + 1], draw.choice(letters), draw)
    found = "".join(chosen)
    return None if found == text else found


def _run(items: list[str], count: int, draw: random.Random) -> list[str]:
    start = draw.randrange(len(items) - count + 1)
    return items[start : start + count]


def _typo(letter: str, after: str, other: str, draw: random.Random) -> list[str]:
    return draw.choice(([after, letter], [after], [letter, letter, after], [other, after]))
