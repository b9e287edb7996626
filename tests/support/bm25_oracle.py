"""BM25 over lists of terms in plain Python, term by term and row by row, to compare lexical search with."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import log

from vecindex.search.lexical.query import LexicalQuery

Terms = Sequence[Sequence[str]]
"""The terms of a record: of its text, and of each field."""


def weighed(query: LexicalQuery) -> dict[str, float]:
    """What each term of a query counts; an exact form, which has "=" before it, only in a short query."""
    share = max(0.0, 2 / query.length - 1 / 3) if query.length else 0.0
    return {**query.terms, **{form: share * count for form, count in query.forms.items() if share}}


class Oracle:
    """The live records by row, and the weights of their text and fields."""

    def __init__(self, records: Mapping[int, Terms], weights: Sequence[float] = (1.0,)) -> None:
        self.counts: dict[int, dict[str, float]] = {}
        for row, fields in records.items():
            counts = self.counts[row] = {}
            for weight, terms in zip(weights, fields, strict=True):
                for term in terms:
                    counts[term] = counts.get(term, 0.0) + weight
        self.lengths = {
            row: sum(count for term, count in counts.items() if not term.startswith("="))
            for row, counts in self.counts.items()
        }

    def whole(self, query: LexicalQuery) -> float:
        """The score of a text of the query's terms alone, also of those that no record has, but not of such forms."""
        count = {**query.terms, **query.forms}
        return sum(
            weight * self.gain_of(term, count[term], query.length)
            for term, weight in weighed(query).items()
            if term in query.terms or any(term in counts for counts in self.counts.values())
        )

    def score(self, query: Mapping[str, float], row: int) -> float:
        return sum(in_query * self.gain(term, row) for term, in_query in query.items())

    def gain(self, term: str, row: int) -> float:
        return self.gain_of(term, self.counts[row].get(term, 0.0), self.lengths[row])

    def gain_of(self, term: str, count: float, length: float) -> float:
        """What a term adds to the score of a record that has it so often, and so many terms in all."""
        if not count:
            return 0.0
        total = len(self.counts)
        holding = sum(term in counts for counts in self.counts.values())
        average = sum(self.lengths.values()) / total
        relative = length / average if average else length
        return (
            log(1 + (total - holding + 0.5) / (holding + 0.5)) * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * relative))
        )

    def top(
        self, query: Mapping[str, float], k: int, allowed: Collection[int] | None = None
    ) -> tuple[list[int], list[float]]:
        """The best rows that have a term of the query, ties by row; scores that differ by rounding are ties."""
        found = [
            (-round(self.score(query, row), 9), row)
            for row, counts in self.counts.items()
            if (allowed is None or row in allowed) and any(term in counts for term in query)
        ]
        best = sorted(found)[:k]
        return [row for _, row in best], [-score for score, _ in best]
