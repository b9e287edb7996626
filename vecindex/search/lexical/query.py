"""Reads what a person types for lexical search: words, ``"a phrase"``, ``-word``: `parse_query`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .analysis import FORM, Analyzer
from .bm25 import form_share

_QUOTED = re.compile(r'"([^"]*)"')
_EXCLUDED = re.compile(r"(?<!\S)-(?=[^\W_])\S+")
_BETWEEN = "\0"  # never part of a term


@dataclass(frozen=True, slots=True)
class LexicalQuery:
    """A record matches if it has any of ``terms``, all of ``phrases``, and all terms of none of ``without``.

    ``terms`` are those that give a score, with how often the query has each, and include those of the phrases. A phrase
    is the terms of its smallest parts, in order. ``forms`` are the terms of exact forms, which add to the score of a
    record that has them.
    """

    terms: Mapping[str, int] = field(default_factory=dict)
    phrases: tuple[tuple[str, ...], ...] = ()
    without: tuple[tuple[str, ...], ...] = ()
    forms: Mapping[str, int] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """How many terms the query has, each as often as it is there."""
        return sum(self.terms.values())

    @property
    def form_share(self) -> float:
        """How much of a term's weight a form has."""
        return form_share(self.length)

    def holds_phrases(self, analyzer: Analyzer, texts: Sequence[str]) -> bool:
        """Whether each phrase stands in one of the ``texts``, those of a record."""
        if not self.phrases:
            return True
        read = [_joined(analyzer.sequence(text)) for text in texts]
        return all(any(_joined(phrase) in each for each in read) for phrase in self.phrases)


def parse_query(text: str, analyzer: Analyzer) -> LexicalQuery:
    """Reads a query: quotation marks without a partner, and a ``-`` within a word or before a space, are plain text.

    A query made only of excluded words has no terms, and nothing matches it.
    """
    quoted = [found.group(1) for found in _QUOTED.finditer(text)]
    rest = _QUOTED.sub(" ", text)
    excluded = [found.group()[1:] for found in _EXCLUDED.finditer(rest)]
    rest = _EXCLUDED.sub(" ", rest)
    counts = Counter(term for part in (rest, *quoted) for term in analyzer.query_terms(part))
    forms = {term: count for term, count in counts.items() if term.startswith(FORM)}
    return LexicalQuery(
        {term: count for term, count in counts.items() if term not in forms},
        tuple(dict.fromkeys(phrase for each in quoted if (phrase := tuple(analyzer.sequence(each))))),
        tuple(dict.fromkeys(word for each in excluded if (word := _all_of(each, analyzer)))),
        forms,
    )


def _all_of(word: str, analyzer: Analyzer) -> tuple[str, ...]:
    """The terms that a record has all of if it has ``word`` in any form."""
    return tuple(dict.fromkeys(term for term in analyzer.terms(word) if not term.startswith(FORM)))


def _joined(terms: Sequence[str]) -> str:
    return _BETWEEN + _BETWEEN.join(terms) + _BETWEEN
