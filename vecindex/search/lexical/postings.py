"""Answers lexical queries from the segments of one generation: `Postings`.

A score is the sum over the query's terms of ``count in query * idf * impact``, as in `bm25`; exact forms of its words
are terms that count for a part. Its records are the live ones alone: how many there are, how many have a term, and
their mean length. The terms are added in one order, that of falling weight, so that a row's score does not depend on
the other rows, the filter or k.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from .analysis import FORM
from .bm25 import Scores, idf, impacts
from .maxscore import Mask, Part, Rows, best, look_up, top_of_segment
from .query import LexicalQuery
from .segment import Segment, term_hash

Bits = npt.NDArray[np.uint8]

_TERMS_KEPT = 10_000
_QUERIES_KEPT = 128


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one term adds to a row's score: ``score`` is ``in_query * idf * impact``."""

    term: str
    in_query: float
    """How often the query has the term; of an exact form, a part of that."""
    idf: float
    count: float
    """How often the row has the term, weighted by field."""
    impact: float
    score: float
    is_form: bool = False
    """Whether ``term`` is the exact form of a word, beside the term for its stem."""


@dataclass(frozen=True, slots=True)
class _Weighted:
    term: str
    hash: int
    count: int
    share: float
    idf: float

    @property
    def in_query(self) -> float:
        return self.count * self.share

    @property
    def weight(self) -> float:
        return self.in_query * self.idf


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """What a ``query`` looks for: its terms and forms that count and that a live row has, the heaviest first.

    ``parts`` are their postings in each segment, in the same order.
    """

    query: LexicalQuery
    terms: list[_Weighted]
    parts: list[list[Part]]


class Postings:
    """The lexical side of one generation, for any number of threads.

    Args:
        segments: they cover adjacent rows, ascending.
        alive: a bit for each row, the lowest of a byte first, 0 for a dead row; None if no row is dead.

    Methods raise ValueError where a segment is damaged.
    """

    def __init__(self, segments: Sequence[Segment], alive: Bits | None = None) -> None:
        if any(one.stop != other.first for one, other in pairwise(segments)):
            raise ValueError("segments are of adjacent rows")
        self._segments = list(segments)
        self._stop = segments[-1].stop if segments else 0
        self._alive = None if alive is None else _unpacked(alive, self._stop)
        self._holding: dict[int, int] = {}
        self._asked: dict[int, _Asked] = {}  # by the id of the query, which it keeps alive
        self._filter: tuple[Bits, Mask] | None = None
        self.records = self._stop - (segments[0].first if segments else 0)
        total = sum(segment.total for segment in segments)
        for segment in segments:
            if self._alive is None:
                break
            dead = ~self._alive[segment.first : segment.stop]
            count = int(np.count_nonzero(dead))
            self.records -= count
            total -= float(segment.checked_lengths()[dead].sum(dtype=np.float64)) if count else 0.0
        self.average = total / self.records if self.records and total > 0 else 1.0
        self._impacts = [impacts(each.counts, each.lengths, self.average) for each in segments]

    def top(
        self,
        query: LexicalQuery,
        k: int,
        allowed: Bits | None = None,
        holds_phrases: Callable[[Rows], Mask] | None = None,
        least: float = 0.0,
    ) -> tuple[Rows, Scores]:
        """The k best rows that match, at most, best first, ties by row, and their scores.

        Args:
            query: what is looked for.
            k: how many rows.
            allowed: as ``alive``, of the rows that may be returned, none of them dead; None if all live ones may.
            holds_phrases: says which of these rows have the query's phrases and none that it excludes; needed if it
                has any of either.
            least: rows of a lower score do not match.
        """
        asked = self._prepared(query)
        mask = self._mask(query, allowed)
        if query.phrases or query.without_phrases:
            assert holds_phrases is not None
            return self._top_with_phrases(asked, k, mask, holds_phrases, least)
        return self._top(asked, k, mask, least)

    def matching(self, query: LexicalQuery, allowed: Bits | None = None) -> Mask:
        """Which rows have all terms of the query's phrases, and none of the words that it leaves out."""
        mask = self._mask(query, allowed)
        return np.ones(self._stop, bool) if mask is None else mask.copy()

    def having_all(self, terms: Sequence[str]) -> Mask:
        """Which rows have all these terms."""
        hashes = [term_hash(term) for term in dict.fromkeys(terms)]
        having = np.zeros(self._stop, bool)
        for segment in self._segments:
            numbers = [segment.find(each) for each in hashes]
            if -1 in numbers:
                continue
            found = None
            for rows in sorted((segment.postings(number)[0] for number in numbers), key=len):
                found = rows if found is None else np.intersect1d(found, rows, assume_unique=True)
            if found is not None:
                having[segment.first :][found] = True
        return having

    def scores(self, query: LexicalQuery, rows: Rows) -> Scores:
        """The scores of these rows, the same as in `top`; 0 for one that has no term of the query."""
        found = np.zeros(len(rows), np.float64)
        for segment, parts in zip(self._segments, self._prepared(query).parts, strict=True):
            inside = np.flatnonzero((rows >= segment.first) & (rows < segment.stop))
            if not len(inside):
                continue
            wanted = rows[inside] - segment.first
            sums = np.zeros(len(inside), np.float64)
            for part in parts:
                sums += look_up(part, wanted)
            found[inside] = sums
        return found

    def whole(self, query: LexicalQuery) -> float:
        """The score of a text that has the query's terms as often as the query, and no others; 0 if it has none.

        A term that no row has weighs as much as the rarest could, so that a text with the query's other words is not
        taken for a text with all of them. Of exact forms, those count that a row has.
        """
        terms = self._prepared(query).terms
        known = {each.term for each in terms}
        missing = [count for term, count in query.terms.items() if term not in known]
        gains = impacts([*(each.count for each in terms), *missing], query.length, self.average).tolist()
        rarest = idf(self.records, 0)
        weights = [*(each.weight for each in terms), *(count * rarest for count in missing)]
        return float(sum(weight * gain for weight, gain in zip(weights, gains, strict=True)))

    def contributions(self, query: LexicalQuery, row: int) -> list[Contribution]:
        """What each of the query's terms adds to a row's score, for those that the row has; in the order of the sum."""
        found = []
        for number, segment in enumerate(self._segments):
            if not segment.first <= row < segment.stop:
                continue
            for each in self._prepared(query).terms:
                for part in self._parts(number, [each]):
                    at = int(np.searchsorted(part.rows, np.uint32(row - segment.first)))
                    if at < len(part.rows) and int(part.rows[at]) == row - segment.first:
                        code = int(part.codes[at])
                        impact = float(part.impacts[code])
                        count = float(segment.counts[code])
                        is_form, term = each.term.startswith(FORM), each.term.removeprefix(FORM)
                        facts = (term, each.in_query, each.idf, count, impact, impact * each.weight)
                        found.append(Contribution(*facts, is_form))
        return found

    def _top(self, asked: _Asked, k: int, mask: Mask | None, least: float) -> tuple[Rows, Scores]:
        rows, scores = np.empty(0, np.int64), np.empty(0, np.float64)
        if k <= 0:
            return rows, scores
        # The largest segment first: what it finds lets the others leave out most of their rows.
        order = sorted(range(len(self._segments)), key=lambda i: -len(self._segments[i].rows))
        for number in order:
            segment, parts = self._segments[number], asked.parts[number]
            if not parts:
                continue
            inside = None if mask is None else mask[segment.first : segment.stop]
            threshold = float(scores[-1]) if len(scores) == k else least
            more, their = top_of_segment(parts, k, segment.stop - segment.first, inside, threshold)
            rows, scores = best(np.concatenate([rows, more + segment.first]), np.concatenate([scores, their]), k)
        return rows, scores

    def _top_with_phrases(
        self, asked: _Asked, k: int, mask: Mask | None, holds_phrases: Callable[[Rows], Mask], least: float
    ) -> tuple[Rows, Scores]:
        """Asks about the best rows that have the phrases' terms, more of them each time until k have the phrases."""
        wanted = 2 * k + 16
        known: dict[int, bool] = {}
        while True:
            rows, scores = self._top(asked, wanted, mask, least)
            new = np.array([row for row in rows.tolist() if row not in known], np.int64)
            known.update(zip(new.tolist(), holds_phrases(new).tolist(), strict=True))
            kept = np.flatnonzero([known[row] for row in rows.tolist()])[:k]
            if len(kept) == k or len(rows) < wanted:
                return rows[kept], scores[kept]
            wanted *= 4

    # --- terms

    def _prepared(self, query: LexicalQuery) -> _Asked:
        """What a query looks for, which a hybrid search asks three times."""
        known = self._asked.get(id(query))
        if known is None:
            terms = self._weighted(query)
            known = _Asked(query, terms, [self._parts(number, terms) for number in range(len(self._segments))])
            if len(self._asked) >= _QUERIES_KEPT:
                self._asked.clear()
            self._asked[id(query)] = known
        return known

    def _weighted(self, query: LexicalQuery) -> list[_Weighted]:
        """The terms and forms that count and that a live row has, the heaviest first."""
        found = []
        for terms, share in ((query.terms, 1.0), (query.forms, query.form_share)):
            for term, count in terms.items() if share else ():
                number = term_hash(term)
                holding = self._count_holding(number)
                if holding:
                    found.append(_Weighted(term, number, count, share, idf(self.records, holding)))
        return sorted(found, key=lambda each: (-each.weight, each.hash))

    def _count_holding(self, number: int) -> int:
        """How many live rows have a term."""
        known = self._holding.get(number)
        if known is None:
            known = 0
            for segment in self._segments:
                term = segment.find(number)
                if term < 0:
                    continue
                if self._alive is None:
                    known += int(segment.offsets[term + 1]) - int(segment.offsets[term])
                else:
                    known += int(np.count_nonzero(self._alive[segment.first :].take(segment.postings(term)[0])))
            if len(self._holding) >= _TERMS_KEPT:
                self._holding.clear()
            self._holding[number] = known
        return known

    def _parts(self, number: int, terms: Sequence[_Weighted]) -> list[Part]:
        """The postings of terms in one segment, for those that it has."""
        segment = self._segments[number]
        places = [segment.find(each.hash) for each in terms]
        there = [(each.weight, place) for each, place in zip(terms, places, strict=True) if place >= 0]
        at = [place for _, place in there]
        bounds = impacts(segment.largest[at], segment.shortest[at], self.average).tolist()
        return [
            Part(weight, *segment.postings(place), self._impacts[number], bound * weight)
            for (weight, place), bound in zip(there, bounds, strict=True)
        ]

    # --- which rows may be returned

    def _mask(self, query: LexicalQuery, allowed: Bits | None) -> Mask | None:
        mask = self._alive
        if allowed is not None:
            known = self._filter
            if known is None or known[0] is not allowed:
                self._filter = known = (allowed, _unpacked(allowed, self._stop))
            mask = known[1]
        for word in query.without:
            excluded = self.having_all(word)
            mask = ~excluded if mask is None else mask & ~excluded
        for phrase in query.phrases:
            having = self.having_all(phrase)
            mask = having if mask is None else mask & having
        return mask


def _unpacked(bits: Bits, rows: int) -> Mask:
    if len(bits) * 8 < rows:
        raise ValueError(f"{len(bits) * 8} bits are too few for {rows} rows")
    return np.unpackbits(bits, count=rows, bitorder="little").view(bool)
