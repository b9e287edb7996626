"""Turns texts into terms, the units that lexical search compares: `Analyzer`.

Words are folded (NFKC, case) and reduced to their stems; beside its stem, a word has a term for its exact form, so that
texts with the very word of a query can be preferred. A word of several parts that holds a digit or an underscore is
a code, such as ``E-1042`` or ``foo_bar``: it is found as a whole and by its parts. Scripts without spaces are cut into
single characters and pairs; a query of more than one character looks for the pairs alone. There are no stop words, so
that a query made of them finds something; BM25 gives frequent terms little weight.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice, pairwise
from typing import NamedTuple

from .characters import pattern
from .settings import LexicalSettings
from .stemming import LONGEST, stemmer

_JOINTS = r"\-./:,\u2010\u2013\u2212"
_CODE_JOINTS = str.maketrans("\u2010\u2013\u2212", "---")
_ASCII_WORD = re.compile(r"\w+(?:[\-./:,]\w+)*(?:\+\+|#(?!\w))?", re.ASCII)
_WORD = rf"[\w{{MARKS}}]+(?:[{_JOINTS}][\w{{MARKS}}]+)*(?:\+\+|#(?!\w))?|[{{PICTURES}}]"
_PART = r"(?:(?!_)[\w{MARKS}{SPACELESS}])+|[{PICTURES}]"
_RUN = "([{SPACELESS}]+)"
_CHARACTER = "[{SPACELESS}][{MARKS}]*"
FORM = "="
"""What the term of an exact form begins with; no other term has it."""
_WORDS_KEPT = 100_000
"""Each takes about 200 bytes; they are forgotten all at once."""


class Word(NamedTuple):
    """A term, and where what it stands for starts and ends in the text, in characters."""

    term: str
    start: int
    end: int


class Analyzer:
    """Makes terms by these settings, for any number of threads."""

    def __init__(self, settings: LexicalSettings) -> None:
        self.settings = settings
        self._stems = stemmer(settings.language)
        self._has_stems = settings.language is not None
        self._known: dict[str, tuple[str, ...]] = {}

    def terms(self, text: str) -> list[str]:
        """The terms of a text that is searched, in order, repeated as they are there, with the exact forms."""
        return [term for unit in self.units(text) for term in self.terms_of(unit)]

    def query_terms(self, text: str) -> list[str]:
        """The terms that a query looks for: of scripts without spaces the pairs alone, where there are any."""
        found: list[str] = []
        for unit, _, is_run in _pieces(_prepared(text)):
            characters = _characters(unit) if is_run else []
            found += _pairs(characters) or characters or self.terms_of(unit)
        return found

    def sequence(self, text: str) -> list[str]:
        """The terms of the smallest parts alone, in order and in their exact forms: what a phrase is compared with."""
        found: list[str] = []
        for unit, _, is_run in _pieces(_prepared(text)):
            found += _characters(unit) if is_run else [self._form_of(part) for part in _parts(_folded(unit))]
        return found

    def words(self, text: str) -> list[Word]:
        """As `terms`, with the places of the words; a code's parts and whole have the place of the code."""
        prepared, starts, ends_of = _mapped(text)
        found: list[Word] = []
        for unit, start, is_run in _pieces(prepared):
            if is_run:
                characters = _characters(unit)
                at = list(accumulate(map(len, characters), initial=start))
                spans = [(each, at[i], at[i + 1]) for i, each in enumerate(characters)]
                spans += [(each, at[i], at[i + 2]) for i, each in enumerate(_pairs(characters))]
            else:
                spans = [(term, start, start + len(unit)) for term in self.terms_of(unit)]
            found += [Word(term, starts[first], ends_of[last - 1]) for term, first, last in spans]
        return found

    def units(self, text: str) -> list[str]:
        """The pieces of a text that `terms_of` knows the terms of."""
        if text.isascii():
            return _ASCII_WORD.findall(text.lower())
        prepared = _prepared(text)
        if not pattern("[{SPACELESS}]").search(prepared):
            return pattern(_WORD).findall(prepared)
        found: list[str] = []
        for unit, _, is_run in _pieces(prepared):
            if is_run:
                characters = _characters(unit)
                found += characters
                found += _pairs(characters)
            else:
                found.append(unit)
        return found

    def terms_of(self, unit: str) -> tuple[str, ...]:
        """The terms of one of `units`."""
        terms = self._known.get(unit)
        if terms is None:
            terms = self._terms_of(unit)
            if len(unit) <= LONGEST:
                if len(self._known) >= _WORDS_KEPT:
                    self._known.clear()
                self._known[unit] = terms
        return terms

    def terms_of_all(self, units: Sequence[str]) -> list[tuple[str, ...]]:
        """The terms of each of many different units: faster than one after the other."""
        found = list(map(self._known.get, units))
        new = [unit for unit, terms in zip(units, found, strict=True) if terms is None]
        plain = [unit for unit in new if unit.isascii() and unit.isalpha() and unit.islower() and len(unit) <= LONGEST]
        plain = [word for word in plain if len(word) > 1] if self._has_stems else []
        forms = [FORM + word for word in plain]
        made = dict(zip(plain, zip(self._stems(plain), forms, strict=True), strict=True))
        if len(self._known) + len(made) > _WORDS_KEPT:
            self._known.clear()
        self._known.update(islice(made.items(), _WORDS_KEPT))
        return [
            terms if terms is not None else made.get(unit) or self.terms_of(unit)
            for unit, terms in zip(units, found, strict=True)
        ]

    def _terms_of(self, unit: str) -> tuple[str, ...]:
        folded = _folded(unit)
        parts = [folded] if folded.isalpha() else _parts(folded)
        terms: list[str] = []
        for part in parts:
            form = self._form_of(part)
            terms += [part] if form == part else [*self._stems([part]), form]
        is_code = len(parts) > 1 and ("_" in folded or any(map(str.isdigit, folded)))
        if parts and (is_code or folded[-1] in "+#"):
            terms.append(folded.translate(_CODE_JOINTS))
        return tuple(terms)

    def _form_of(self, part: str) -> str:
        """The term of a part's exact form; the part itself if it is not reduced to a stem."""
        if not self._has_stems or not 1 < len(part) <= LONGEST or any(map(str.isdigit, part)):
            return part
        is_of_run = not part.isascii() and pattern("[{SPACELESS}]").match(part)
        return part if is_of_run else FORM + part


def _folded(unit: str) -> str:
    return unit.lower() if unit.isascii() else unicodedata.normalize("NFKC", unit.casefold())


def _parts(folded: str) -> list[str]:
    if folded.isalnum():
        return [folded]
    return pattern(_PART).findall(folded)


def _pairs(characters: list[str]) -> list[str]:
    return [one + other for one, other in pairwise(characters)]


def _characters(run: str) -> list[str]:
    return pattern(_CHARACTER).findall(run)


def _pieces(prepared: str) -> Iterator[tuple[str, int, bool]]:
    """The words and the runs of scripts without spaces, with their starts, and whether each is a run."""
    if prepared.isascii():
        yield from ((found.group(), found.start(), False) for found in _ASCII_WORD.finditer(prepared))
        return
    start = 0
    for i, piece in enumerate(pattern(_RUN).split(prepared)):
        if i % 2:
            yield piece, start, True
        else:
            yield from ((found.group(), start + found.start(), False) for found in pattern(_WORD).finditer(piece))
        start += len(piece)


def _prepared(text: str) -> str:
    if text.isascii():
        return text
    normalised = unicodedata.normalize("NFKC", text)
    shorter = pattern("[{IGNORED}]+").sub("", normalised)
    return normalised if shorter == normalised else unicodedata.normalize("NFKC", shorter)


def _mapped(text: str) -> tuple[str, Sequence[int], Sequence[int]]:
    """The prepared text, and where what each of its characters is from starts and ends in ``text``."""
    prepared = _prepared(text)
    if prepared == text:
        return prepared, range(len(text)), range(1, len(text) + 1)
    starts: list[int] = []
    ends: list[int] = []
    start = 0
    for stop in _boundaries(text):
        length = len(_prepared(text[start:stop]))
        starts += [start] * length
        ends += [stop] * length
        start = stop
    return prepared, starts, ends


def _boundaries(text: str) -> Iterator[int]:
    """The ends of parts of ``text`` that are prepared alone as they are together."""
    ignored = pattern("[{IGNORED}]")
    before = text[:1]
    for i, here in enumerate(text[1:], 1):
        if ignored.match(here):
            continue
        if here.isascii():
            yield i
        elif unicodedata.combining(here) == 0 and not "\u1160" <= here <= "\u11ff":
            together = unicodedata.normalize("NFKC", before + here)
            if together == unicodedata.normalize("NFKC", before) + unicodedata.normalize("NFKC", here):
                yield i
        before = here
    if text:
        yield len(text)
