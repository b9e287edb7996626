"""Finds the sentences of a text, as spans of its characters.

The library `sentencex` (MIT, kept by Wikimedia, about 300 languages) finds them: of those with a fitting licence it
made the fewest errors, and it was the fastest. It is given one paragraph at a time, and of a long paragraph a window at
a time, because its time grows with the square of a paragraph without spaces. `mend` corrects what it gets wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...errors import InvalidInput
from ...machine.extras import extra_errors
from ...values.arguments import entrance
from ...values.scalars import shown
from ...values.texts import is_blank
from .mend import mended
from .scripts import DEFAULT, language_of

Span = tuple[int, int]
"""The positions of the first character and of the one after the last."""

LONGEST = 2**15
"""Characters. What has no sentence end for so long, such as encoded data, is cut between words."""
_WINDOW = 4000
_WINDOW_WITHOUT_SPACES = 1000
_AHEAD = 40
"""How many characters after a sentence end may matter to whether it is one."""

_LINE_END = r"(?:\r\n|\n|\r(?!\n))"
_BLANK_LINES = re.compile(rf"{_LINE_END}(?:[^\S\r\n]*{_LINE_END})+|\u2029")
_LANGUAGE = re.compile(r"([A-Za-z]{2,3})(?:[-_][A-Za-z0-9]{1,8})*")


def language_tag(name: str, value: object) -> str:
    """A check for a language tag; returns the language in it."""
    if isinstance(value, str) and (found := _LANGUAGE.fullmatch(value)):
        return found[1].lower()
    raise InvalidInput(f"{name} is {shown(value)}", 'Pass a language tag, such as "en" or "pt-BR", or leave it out.')


@entrance(language=language_tag)
def split_sentences(text: str, language: str | None = None) -> list[Span]:
    """The sentences of a text, as pairs of character positions: ``text[start:end]`` is a sentence.

    They are in order, do not overlap, have no whitespace around them, and cover every visible character. A blank line
    ends a sentence; the end of a line alone does not. A sentence has at most 32,768 characters; what is longer is cut
    between words.

    Args:
        text: a string of any length; the time that it takes grows in proportion.
        language: a tag such as "en" or "pt-BR", which decides about abbreviations. None goes by the script of most
            letters; Latin letters are English unless small words tell that they are Dutch, French, German, Italian,
            Portuguese or Spanish.
    """
    return list(sentence_spans(text, 0, len(text), language or language_of(text)))


def document_language(text: str, tag: str | None) -> str:
    """The language in a tag that a document gives itself, or else the one that is guessed."""
    found = _LANGUAGE.fullmatch(tag or "")
    return found[1].lower() if found else language_of(text)


def sentence_spans(text: str, start: int, end: int, language: str = DEFAULT) -> Iterator[Span]:
    """The sentences within ``text[start:end]``."""
    for paragraph in paragraph_spans(text, start, end):
        for span in mended(text, _stripped(text, *paragraph, _ends(text, *paragraph, language)), language):
            if not is_blank(text[span[0] : span[1]]):
                yield span


def paragraph_spans(text: str, start: int, end: int) -> Iterator[Span]:
    """What is between blank lines within ``text[start:end]``, without whitespace around it."""
    ends = (found.start() for found in _BLANK_LINES.finditer(text, start, end))
    yield from _stripped(text, start, end, ends)


def line_spans(text: str, start: int, end: int) -> Iterator[Span]:
    """The lines within ``text[start:end]`` that are not blank, without whitespace around them."""
    ends = (found.start() for found in re.compile(r"[\r\n]+").finditer(text, start, end))
    yield from _stripped(text, start, end, ends)


def _stripped(text: str, start: int, end: int, ends: Iterator[int]) -> Iterator[Span]:
    """What lies between the ``ends``, in order, without whitespace around it; nothing for whitespace alone."""
    for at in ends:
        if span := stripped_span(text, start, at):
            yield span
        start = at
    if span := stripped_span(text, start, end):
        yield span


def stripped_span(text: str, start: int, end: int) -> Span | None:
    """The span without whitespace around it, or None if it is nothing else."""
    part = text[start:end]
    stripped = part.lstrip()
    start += len(part) - len(stripped)
    stripped = stripped.rstrip()
    return (start, start + len(stripped)) if stripped else None


def _ends(text: str, start: int, end: int, language: str) -> Iterator[int]:
    """Where sentences end within a paragraph, except for the last one.

    A sentence that reaches the end of a window is looked at again in the next one, which starts with it.
    """
    with extra_errors("splitting texts into sentences"):
        import sentencex
    size = 0
    while start < end:
        size = size or _window(text, start, end)
        stop = min(start + size, end)
        found = [start + each["start_index"] for each in sentencex.get_sentence_boundaries(language, text[start:stop])]
        certain = end if stop == end else stop - _AHEAD
        ends = [at for at in found if start < at <= certain]
        if stop < end and not ends:
            if size < LONGEST:
                size = min(2 * size, LONGEST)
                continue
            ends = [_between_words(text, start, start + LONGEST)]
        yield from ends
        if stop == end:
            return
        start, size = ends[-1], 0


def _window(text: str, start: int, end: int) -> int:
    if end - start <= _WINDOW_WITHOUT_SPACES:
        return _WINDOW_WITHOUT_SPACES
    sample = text[start : min(start + _WINDOW, end)]
    return _WINDOW if 30 * sample.count(" ") > len(sample) else _WINDOW_WITHOUT_SPACES


def _between_words(text: str, start: int, end: int) -> int:
    """The last position up to ``end`` after whitespace, or ``end`` if there is none in the second half."""
    found = max(text.rfind(space, (start + end) // 2, end) for space in " \n\t\r")
    return found + 1 if found > 0 else end
