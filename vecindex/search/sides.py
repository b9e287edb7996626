"""Orders records by one side alone: by their vectors, `Dense`, or by their words, `Lexical`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..store.generation import Allowed
from .dense.exact import Ranking, Rows, Vectors, are_enough, as_cosines, scored, scores
from .dense.nearest import Trace, each_ranking
from .dense.plan import RANK_ROWS, Plan, Route
from .fusion import Sides
from .view import RecordView

if TYPE_CHECKING:
    from .lexical.postings import Contribution
    from .lexical.query import LexicalQuery
    from .lexicon import Words

_NO_ROWS: Rows = np.empty(0, np.int64)
_FEW = 32


class Dense:
    """By the cosine of vectors, of the records that have one.

    Args:
        view: what is searched.
        queries: (q, D), unit vectors.
        allowed: the rows that may be found, for each query.
        trace: gets what is done.
        least: rows of a lower cosine do not match.
        without: rows that may not be found either. As many more are asked for, if they are few: a scan of all codes
            takes less time than one of those that a bitmap has.
    """

    def __init__(
        self,
        view: RecordView,
        queries: Vectors,
        allowed: Sequence[Allowed],
        trace: Trace | None = None,
        least: float | None = None,
        without: Rows = _NO_ROWS,
    ) -> None:
        near = [view.with_vectors(each) for each in allowed]
        self.finds_all = all(some is every for some, every in zip(near, allowed, strict=True))
        """Whether all rows that may be found have a vector."""
        allowed = near
        if len(without) > _FEW:
            fewer = {id(each): each.without(without) for each in allowed}
            allowed, without = [fewer[id(each)] for each in allowed], _NO_ROWS
        self._view = view
        self._queries = queries
        self._allowed = allowed
        self._without = without
        self._trace = trace or Trace()
        self._least = least

    def __len__(self) -> int:
        return len(self._queries)

    def best(self, numbers: Sequence[int], asked: int) -> list[Ranking]:
        return list(self.each(numbers, asked))

    def each(self, numbers: Sequence[int], asked: int) -> Iterator[Ranking]:
        together: dict[int, list[int]] = {}
        for number in numbers:
            together.setdefault(id(self._allowed[number]), []).append(number)
        streams = {}
        for alike, some in together.items():
            wanted, allowed = asked + len(self._without), self._allowed[some[0]]
            streams[alike] = each_ranking(self._view, self._queries[some], wanted, allowed, self._trace)
        for number in numbers:
            yield self._matching(next(streams[id(self._allowed[number])]), asked)

    def every(self, number: int) -> tuple[Rows, Vectors]:
        allowed, trace = self._allowed[number], self._trace
        rows = None if allowed.bitmap is None else allowed.rows()
        vectors = np.asarray(self._view.vectors)
        if rows is None or len(rows) > RANK_ROWS:
            self._view.check_range(0, len(vectors))
        else:
            self._view.check(rows)
        if trace.plan is None:
            trace.plan = Plan(Route.RANK if allowed.count else Route.NONE, len(vectors), allowed.count, allowed.count)
        else:
            trace.exhaustive = True
        found = scored(vectors, rows, self._queries[number])
        trace.rescored += len(found[0])
        trace.lap("rescore")
        kept = self._matching(Ranking(*found), len(found[0]))
        return kept.rows, kept.scores

    def matches(self, number: int) -> int | None:
        if self._least is not None:
            return None
        return self._allowed[number].count_without(self._without)

    def sides(self, number: int, ranking: Ranking) -> Sides:
        return {"dense": as_cosines(ranking.scores)}

    def whole(self, number: int) -> float:
        return 0.0

    def are_wordless(self, number: int, rows: Rows) -> npt.NDArray[np.bool_]:
        return np.ones(len(rows), np.bool_)

    def vector(self, number: int) -> Vectors | None:
        return np.asarray(self._queries[number])

    def terms(self, number: int, row: int) -> list[Contribution]:
        return []

    def cosines(self, number: int, rows: Rows) -> Vectors:
        """The cosines of these rows, (n,) float32, NaN for a row without a vector."""
        self._view.check(rows)
        found = scores(np.asarray(self._view.vectors)[rows], self._queries[number])
        found[self._view.lack_vectors(rows)] = np.nan
        return found

    def _matching(self, ranking: Ranking, asked: int) -> Ranking:
        """The first ``asked`` that may be found, of those that score enough."""
        if len(self._without):
            kept = np.ones(len(ranking.rows), np.bool_)
            for row in self._without.tolist():
                kept &= ranking.rows != row
            places = np.flatnonzero(kept)[:asked]
            ranking = Ranking(ranking.rows[places], ranking.scores[places])
        return self._trace.ordered("dense", _at_least(ranking, self._least))


class Lexical:
    """By BM25, of records that have a word of the query, and a score of at least ``least``."""

    def __init__(
        self,
        words: Words,
        queries: Sequence[LexicalQuery],
        allowed: Sequence[Allowed],
        trace: Trace,
        least: float | None = None,
    ) -> None:
        self._least = least
        self._words = words
        self._trace = trace
        self._queries = queries
        self._allowed = allowed

    def __len__(self) -> int:
        return len(self._queries)

    def best(self, numbers: Sequence[int], asked: int) -> list[Ranking]:
        found = [self._words.best(self._queries[number], asked, self._allowed[number]) for number in numbers]
        self._trace.lap("words")
        return [self._trace.ordered("lexical", _at_least(ranking, self._least)) for ranking in found]

    def each(self, numbers: Sequence[int], asked: int) -> Iterator[Ranking]:
        return (ranking for number in numbers for ranking in self.best([number], asked))

    def every(self, number: int) -> tuple[Rows, npt.NDArray[Any]]:
        (ranking,) = self.best([number], max(1, self._allowed[number].count))
        return ranking.rows, ranking.scores

    def matches(self, number: int) -> int | None:
        return None

    def sides(self, number: int, ranking: Ranking) -> Sides:
        return {"lexical": ranking.scores}

    def whole(self, number: int) -> float:
        return self._words.whole(self._queries[number])

    def are_wordless(self, number: int, rows: Rows) -> npt.NDArray[np.bool_]:
        return np.zeros(len(rows), np.bool_)

    def vector(self, number: int) -> Vectors | None:
        return None

    def terms(self, number: int, row: int) -> list[Contribution]:
        return self._words.contributions(self._queries[number], row)

    def reaching(self, number: int, least: float, most: int) -> Ranking | None:
        """The rows that score at least so much; None if there may be more than ``most``."""
        found = self._words.best(self._queries[number], most, self._allowed[number], least)
        self._trace.lap("words")
        return found if len(found.rows) < most else None

    def scores(self, number: int, rows: Rows) -> npt.NDArray[np.float64]:
        """The BM25 scores of these rows, 0 for one that has no word of the query."""
        return self._words.scores(self._queries[number], rows)


def _at_least(ranking: Ranking, least: float | None) -> Ranking:
    """The rows that score at least so much."""
    if least is None:
        return ranking
    match = are_enough(ranking.scores, least)
    return Ranking(ranking.rows[match], ranking.scores[match])
