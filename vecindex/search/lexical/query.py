"""Reads what a person types for lexical search: words, ``"a phrase"``, ``-word``, ``-"a phrase"``: `parse_query`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .analysis import FORM, Analyzer
from .bm25 import form_share

_MARKS = '"\u201c\u201d\u201e\u00ab\u00bb'  # also those that phones and word processors type in pairs
_QUOTED = re.compile(f"[{_MARKS}]([^{_MARKS}]*)[{_MARKS}]")
_EXCLUDED_PHRASE = re.compile(rf"(?<!\S)-{_QUOTED.pattern}")
_EXCLUDED = re.compile(r"(?<!\S)-(?=[^\W_])\S+")
_BETWEEN = "\0"  # never part of a term


@dataclass(frozen=True, slots=True)
class LexicalQuery:
    """A record matches if it has any of ``terms``, all of ``phrases``, and nothing that it has to be without.

    ``terms`` are those that give a score, with how often the query has each, and include those of the phrases. A phrase
    is the terms of its smallest parts, in order. ``without`` has the terms of each excluded word; a record with all of
    them has the word. ``forms`` are the terms of exact forms, which add to the score of a record that has them, and
    ``quoted`` the phrases as they were typed.
    """

    terms: Mapping[str, int] = field(default_factory=dict)
    phrases: tuple[tuple[str, ...], ...] = ()
    without: tuple[tuple[str, ...], ...] = ()
    forms: Mapping[str, int] = field(default_factory=dict)
    without_phrases: tuple[tuple[str, ...], ...] = ()
    quoted: tuple[str, ...] = field(default=(), compare=False)

    @property
    def length(self) -> int:
        """How many terms the query has, counting one that is repeated each time."""
        return sum(self.terms.values())

    @property
    def form_share(self) -> float:
        """How much of a term's weight a form has."""
        return form_share(self.length)

    def without_conditions(self) -> LexicalQuery:
        """The same terms, which any record with one of them matches."""
        return LexicalQuery(self.terms, forms=self.forms)

    def holds_phrases(self, analyzer: Analyzer, texts: Sequence[str]) -> bool:
        """Whether each phrase stands in one of the ``texts``, those of a record, and no excluded phrase in any."""
        if not (self.phrases or self.without_phrases):
            return True
        read = [_joined(analyzer.sequence(text)) for text in texts]
        stand = {
            phrase: any(_joined(phrase) in each for each in read) for phrase in self.phrases + self.without_phrases
        }
        return all(stand[phrase] for phrase in self.phrases) and not any(map(stand.get, self.without_phrases))


def parse_query(text: str, analyzer: Analyzer) -> LexicalQuery:
    """Reads a query: quotation marks without a partner, and a ``-`` within a word or before a space, are plain text.

    A query made only of excluded words has no terms, and nothing matches it.
    """
    without_phrases = _EXCLUDED_PHRASE.findall(text)
    rest = _EXCLUDED_PHRASE.sub(" ", text)
    quoted = _QUOTED.findall(rest)
    rest = _QUOTED.sub(" ", rest)
    excluded = [found[1:] for found in _EXCLUDED.findall(rest)]
    rest = _EXCLUDED.sub(" ", rest)
    counts = Counter(term for part in (rest, *quoted) for term in analyzer.query_terms(part))
    forms = {term: count for term, count in counts.items() if term.startswith(FORM)}
    return LexicalQuery(
        {term: count for term, count in counts.items() if term not in forms},
        _phrases(quoted, analyzer),
        tuple(dict.fromkeys(word for each in excluded if (word := _all_of(each, analyzer)))),
        forms,
        _phrases(without_phrases, analyzer),
        tuple(dict.fromkeys(each for each in quoted if analyzer.sequence(each))),
    )


def plain_query(text: str) -> str:
    """The text of a query without quotation marks around phrases, and without what it excludes: what is encoded."""
    rest = _EXCLUDED_PHRASE.sub(" ", text)
    outside_and_inside = _QUOTED.split(rest)
    outside_and_inside[::2] = [_EXCLUDED.sub(" ", outside) for outside in outside_and_inside[::2]]
    plain = "".join(outside_and_inside)
    return text if plain == text else " ".join(plain.split())


def _phrases(texts: Sequence[str], analyzer: Analyzer) -> tuple[tuple[str, ...], ...]:
    return tuple(dict.fromkeys(phrase for each in texts if (phrase := tuple(analyzer.sequence(each)))))


def _all_of(word: str, analyzer: Analyzer) -> tuple[str, ...]:
    """The terms that a record has all of if it has ``word`` in any form."""
    return tuple(dict.fromkeys(term for term in analyzer.terms(word) if not term.startswith(FORM)))


def _joined(terms: Sequence[str]) -> str:
    return _BETWEEN + _BETWEEN.join(terms) + _BETWEEN
