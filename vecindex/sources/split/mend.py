"""Corrects the sentences that `sentencex` finds, where it is wrong for a reason that one can see in the text.

- A list marker alone ("1.", "b)", "2.1.", "IV.") belongs to the item that follows.
- A few more abbreviations do not end a sentence before a small letter or a number: "on Fri. at noon", "vol. 3".
- A few titles in other languages than English do not end one before a name, nor does an ordinal number in German.
- What follows a mark without a space and begins with a hyphen goes on: "c.-\u00e0-d.".
- In Japanese, a sentence goes on after a quotation if "\u3068" (said that) follows.
- A parenthesis that opens a sentence and has an end of its own is one: "(It was late.) We went home."
- "May." ends a sentence before a capital letter: it is a whole month, unlike "Jan."
- Marks that close emphasis belong to the sentence that they close, and no sentence is marks alone: "**Mind the gap.**"
"""

from __future__ import annotations

import re
from collections.abc import Iterator

Span = tuple[int, int]

MARKS_ALONE = re.compile(r"[\s!-/:-@\[-`{-~\u2013\u2014\u2022\u2023\u2026\u2500-\u257f]+")
"""Punctuation, marks of emphasis, rules and bullets, without a letter, a digit or a sign such as an emoji."""
_NUMBER = r"(?:\d{1,3}(?:\.\d{1,3}){0,3}|[a-zA-Z]|[ivxlc]{1,6}|[IVXLC]{1,6})"
_MARKER = re.compile(rf"\(?{_NUMBER}(?:[.)]|\.\))|[-*+\u2022\u2043\u00b7]")
_LONGEST_MARKER = 12
_LAST_WORD = re.compile(r"(?<![^\s(])([^\s(]+)\.$")
_DAYS = frozenset({"Mon", "Tue", "Tues", "Wed", "Thu", "Thur", "Thurs", "Fri", "Sat", "Sun"})
_ABBREVIATIONS = frozenset(
    (
        *("a.m", "p.m", "approx", "c.-\u00e0-d", "ca", "cf", "ch", "chap", "dept", "diff", "ed", "eds", "eq", "est"),
        *("excl", "figs", "illus", "incl", "intl", "max", "min", "misc", "nr", "nrs", "op", "opp", "par", "paras"),
        *("tel", "temp", "trans", "ver", "vol", "vols", "yr", "yrs"),
    )
)
"""Words that the library does not have."""
_BEFORE_NAMES: dict[str, frozenset[str]] = {
    "ar": frozenset(["د", "أ", "م"]),
    "de": frozenset(["fa", "fam", "frl", "hrn"]),
    "hi": frozenset(["डॉ", "प्रो", "पं"]),
    "pt": frozenset(["av"]),
}
"""Words that the library does not have, and that hardly ever end a sentence, by language."""
_LONGEST_ABBREVIATION = 12
_ORDINAL = re.compile(r"(?<!\S)[0-9]{1,2}\.$")
_COUNTED = re.compile(
    r"(?:Jahrhundert|Jh|Jahr|Monat|Woche|Tag|Mal|Stock|Etage|Klasse|Auflage|Band|Kapitel|Platz|Runde)"
)
"""German nouns of which one says the how-manieth they are."""
_ASIDE = re.compile(r"\([^()]{1,1000}[.!?]\)\s+")
_MAY = re.compile(r"\bMay\.\s+(?=[\"'\u201c\u2018(\[]*[^\W\d_a-z])")
_CLOSING = re.compile(r"[*_~`]{1,3}(?=\s|$)")
_LONGEST_WITH_MARKS = 2**14


def mended(text: str, spans: Iterator[Span], language: str) -> Iterator[Span]:
    """The same sentences, joined or divided where that is right; ``spans`` are those of one paragraph."""
    held: Span | None = None
    for span in _closed(text, spans):
        if held is None:
            held = span
        elif _goes_on(text, held, span[0], language):
            held = (held[0], span[1])
        else:
            yield from _divided(text, held)
            held = span
    if held is not None:
        yield from _divided(text, held)


def _goes_on(text: str, span: Span, following: int, language: str) -> bool:
    """Whether the sentence of ``span`` goes on at ``following``, where another one was found."""
    start, end = span
    if end - start <= _LONGEST_MARKER and _MARKER.fullmatch(text, start, end):
        return True
    last, after = text[end - 1], text[following]
    if last == "\u300d":
        return after == "\u3068"
    return last == "." and (
        (after == "-" and following == end)
        or _is_abbreviation(text, max(start, end - _LONGEST_ABBREVIATION), end, following, language)
    )


def _is_abbreviation(text: str, start: int, end: int, following: int, language: str) -> bool:
    if language == "de" and _COUNTED.match(text, following) and _ORDINAL.search(text, start, end):
        return True
    found = _LAST_WORD.search(text, start, end)
    if found is None:
        return False
    if found[1].lower() in _BEFORE_NAMES.get(language, ()):
        return True
    before_more = text[following].islower() or text[following].isdecimal()
    return before_more and (found[1] in _DAYS or found[1].lower() in _ABBREVIATIONS)


def _closed(text: str, spans: Iterator[Span]) -> Iterator[Span]:
    """The sentences with the marks that close their emphasis; marks alone are part of the sentence before them."""
    held: Span | None = None
    for start, end in spans:
        if held is not None:
            if start == held[1] and (marks := _CLOSING.match(text, start, end)):
                held = (held[0], marks.end())
                start = _after_spaces(text, marks.end(), end)
            if start == end:
                continue
            if _are_marks(text, start, end) and end - held[0] <= _LONGEST_WITH_MARKS:
                held = (held[0], end)
                continue
            yield held
        held = (start, end)
    if held is not None:
        yield held


def _are_marks(text: str, start: int, end: int) -> bool:
    """Whether this is nothing but marks, and not one that begins a list item."""
    return bool(MARKS_ALONE.fullmatch(text, start, end)) and not _MARKER.fullmatch(text, start, end)


def _after_spaces(text: str, start: int, end: int) -> int:
    return end - len(text[start:end].lstrip())


def _divided(text: str, span: Span) -> Iterator[Span]:
    start, end = span
    if text[start] == "(" and (aside := _ASIDE.match(text, start, end)) and text[aside.end()].isupper():
        yield start, start + len(aside[0].rstrip())
        start = aside.end()
    for may in _MAY.finditer(text, start, end):
        yield start, may.start() + len("May.")
        start = may.end()
    yield start, end
