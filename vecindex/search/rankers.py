"""Orders records for queries: by their vectors, by their words, or by both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from ..errors.warnings import PhraseNotFound
from ..store.generation import Allowed
from .dense.exact import Ranking, Rows, Vectors, best, scored, scores, union
from .dense.nearest import Trace, each_ranking
from .dense.plan import RANK_ROWS, Plan, Route
from .fusion import DEPTHS, FUSIONS, Fusion, Parts, Scale, total
from .options import SearchOptions
from .view import RecordView

if TYPE_CHECKING:
    from .lexical.postings import Contribution
    from .lexical.query import LexicalQuery
    from .lexicon import Words

Sides = Mapping[str, npt.NDArray[Any]]
"""The scores of some rows by the side that gave them: "dense", "lexical"."""
_NO_ROWS: Rows = np.empty(0, np.int64)
_NO_SCORES: npt.NDArray[Any] = np.empty(0)
_FEW = 32
_TOGETHER = 64
"""As many queries of a hybrid search are done as one."""
_DEEPER = 2
"""How many candidates each side proposes for each record that a hybrid search is asked for. Measured: twice as many are
enough for 9 of 10 queries."""
_WIDER = 4
"""How many times as many they propose where even twice as many are not enough."""


class Ranker(Protocol):
    """One order of the records for each of some queries, which have numbers from 0. Ties are in insertion order."""

    def __len__(self) -> int:
        """How many queries there are."""

    def best(self, numbers: Sequence[int], asked: int) -> list[Ranking]:
        """For each of these queries the ``asked`` best rows, fewer only if fewer match."""

    def each(self, numbers: Sequence[int], asked: int) -> Iterator[Ranking]:
        """As `best`, one after the other; while one is used, other threads may look for the next."""

    def every(self, number: int) -> tuple[Rows, npt.NDArray[Any]]:
        """All rows that match a query, and the scores that order them."""

    def matches(self, number: int) -> int | None:
        """How many rows match a query, if that is known without a search."""

    def sides(self, number: int, ranking: Ranking) -> Sides:
        """The scores of a ranking's rows; the first side's is the score of a hit."""

    def whole(self, number: int) -> float:
        """The BM25 score of a query as a text; 0 where words order nothing."""

    def are_wordless(self, number: int, rows: Rows) -> npt.NDArray[np.bool_]:
        """Which of these rows have no word of the query that counts, so that only their vectors speak for them."""

    def vector(self, number: int) -> Vectors | None:
        """The unit vector (D,) of a query; None where vectors order nothing."""

    def terms(self, number: int, row: int) -> list[Contribution]:
        """The words of a query that a row has, and what each adds to its score, where words order anything."""


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
        return {"dense": _cosines(ranking.scores)}

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

    def scores(self, number: int, rows: Rows) -> npt.NDArray[np.float64]:
        """The BM25 scores of these rows, 0 for one that has no word of the query."""
        return self._words.scores(self._queries[number], rows)


class Hybrid:
    """By both: each side proposes candidates, and every candidate gets its exact score from both; see `fusion`.

    "convex" gives the best of all records: a record that no side proposed has at most the sum of the last scores that
    the sides propose, and as long as that might be enough, they are asked for more (Fagin, Lotem and Naor, Optimal
    Aggregation Algorithms for Middleware, 2003, https://doi.org/10.1016/S0022-0000(03)00026-6). "rrf" ranks among the
    candidates, so that the order may depend on how many are asked for beyond those of `DEPTHS`.

    A record without a vector matches if it has a word of the query. Records of a cosine below ``least`` are left out,
    of which such a one has 0.
    """

    def __init__(
        self, view: RecordView, dense: Dense, lexical: Lexical, fusion: Fusion, trace: Trace, least: float | None = None
    ) -> None:
        self._view = view
        self._dense = dense
        self._lexical = lexical
        self._fusion = fusion
        self._trace = trace
        self._least = least
        self._scored: dict[int, tuple[Rows, Vectors, npt.NDArray[np.float64]]] = {}
        self._scales: dict[int, Scale] = {}

    def __len__(self) -> int:
        return len(self._dense)

    def best(self, numbers: Sequence[int], asked: int) -> list[Ranking]:
        found: dict[int, Ranking] = {}
        waiting, depth, wider = list(numbers), max(DEPTHS[self._fusion], asked), 2
        if self._fusion == "convex":
            depth = max(depth, _DEEPER * asked)
        while waiting:
            near, worded = self._dense.best(waiting, depth), self._lexical.best(waiting, depth)
            for number, one, other in zip(waiting, near, worded, strict=True):
                ranking = best(*self._fused(number, union(one.rows, other.rows)), asked)
                if self._fusion == "rrf" or self._are_best(number, ranking, asked, one, other, depth):
                    found[number] = ranking
            waiting = [number for number in waiting if number not in found]
            self._trace.widened += bool(waiting)
            depth, wider = depth * wider, _WIDER
        return [found[number] for number in numbers]

    def each(self, numbers: Sequence[int], asked: int) -> Iterator[Ranking]:
        starts = range(0, len(numbers), _TOGETHER)
        return (ranking for start in starts for ranking in self.best(numbers[start : start + _TOGETHER], asked))

    def every(self, number: int) -> tuple[Rows, npt.NDArray[Any]]:
        rows = self._dense.every(number)[0]
        if not self._dense.finds_all:
            rows = union(rows, self._lexical.every(number)[0])
        return self._fused(number, rows)

    def matches(self, number: int) -> int | None:
        is_known = self._least is None and self._dense.finds_all
        return self._dense.matches(number) if is_known else None

    def sides(self, number: int, ranking: Ranking) -> Sides:
        cosines, worded = self._scores(number, ranking.rows)
        return {"dense": _cosines(cosines), "lexical": worded}

    def whole(self, number: int) -> float:
        return self._lexical.whole(number)

    def are_wordless(self, number: int, rows: Rows) -> npt.NDArray[np.bool_]:
        return np.asarray(self._scores(number, rows)[1] == 0)

    def vector(self, number: int) -> Vectors | None:
        return self._dense.vector(number)

    def terms(self, number: int, row: int) -> list[Contribution]:
        return self._lexical.terms(number, row)

    def _fused(self, number: int, rows: Rows) -> tuple[Rows, npt.NDArray[Any]]:
        """Those of the rows, ascending, that match, and their scores."""
        cosines, worded = self._dense.cosines(number, rows), self._lexical.scores(number, rows)
        self._scored[number] = rows, cosines, worded
        parts = self._parts(number, cosines, worded)
        fused = total(parts)
        if self._least is not None:
            match = _are_enough(np.nan_to_num(cosines), self._least)
            rows, cosines, worded, fused = rows[match], cosines[match], worded[match], fused[match]
            parts = {name: part[match] for name, part in parts.items()}
        if self._trace.orders is not None:
            self._trace.ordered("dense", Ranking(rows, cosines))
            self._trace.ordered("lexical", Ranking(rows[worded > 0], worded[worded > 0]))
            self._trace.ordered("hybrid", Ranking(rows, fused), parts)
        return rows, fused

    def _parts(self, number: int, cosines: Vectors, worded: npt.NDArray[np.float64]) -> Parts:
        if number not in self._scales:
            self._scales[number] = Scale.of(self._view.background, self.whole(number))
        return FUSIONS[self._fusion](cosines.astype(np.float64), worded, self._scales[number])

    def _are_best(self, number: int, ranking: Ranking, asked: int, near: Ranking, worded: Ranking, depth: int) -> bool:
        """Whether no row that neither side proposed, of ``depth`` each, can be among the best."""
        is_near = len(near.rows) == depth and (self._least is None or bool(_are_enough(near.scores, self._least)[-1]))
        has_word = len(worded.rows) == depth
        left = near.scores[-1:] if is_near else _NO_SCORES
        if has_word and not self._dense.finds_all:
            left = np.append(left, np.nan)  # a row without a vector
        if not len(left):
            return True
        words = np.full(len(left), worded.scores[-1] if has_word else 0.0)
        most = total(self._parts(number, left, words)).max()
        return len(ranking.rows) == asked and bool(ranking.scores[-1] > most)

    def _scores(self, number: int, rows: Rows) -> tuple[Vectors, npt.NDArray[np.float64]]:
        """The cosines and the BM25 scores of rows; those that were found last are known."""
        known, cosines, worded = self._scored.get(number, (_NO_ROWS, _NO_SCORES, _NO_SCORES))
        if len(known):
            places = np.minimum(np.searchsorted(known, rows), len(known) - 1)
            if np.array_equal(known[places], rows):
                return cosines[places], worded[places]
        return self._dense.cosines(number, rows), self._lexical.scores(number, rows)


def ranker(
    view: RecordView,
    vectors: Vectors | None,
    words: Words | None,
    texts: Sequence[str],
    allowed: Allowed,
    options: SearchOptions,
    trace: Trace,
    without: Rows = _NO_ROWS,
) -> Ranker:
    """The order that a search asks for: of ``vectors`` (q, D), of ``texts``, or of both, which stand for each other.

    ``allowed`` are the rows that it may find, apart from those that it has to go ``without``.
    """
    least = options.least(view)
    if words is None:
        assert vectors is not None
        return Dense(view, vectors, [allowed] * len(vectors), trace, least, without)
    if len(without):
        allowed = allowed.without(without)
    queries = [words.asked(text, allowed) for text in texts]
    for number, query in enumerate(queries):
        if query.quoted and not query.phrases:
            trace.notice(PhraseNotFound(query.quoted), number)
    if vectors is None:
        return Lexical(words, queries, [allowed] * len(queries), trace, least)
    chosen = [words.allowed(query, allowed) for query in queries]
    lexical = Lexical(words, [query.without_conditions() for query in queries], chosen, trace)
    return Hybrid(view, Dense(view, vectors, chosen, trace), lexical, options.fusion, trace, least)


def _at_least(ranking: Ranking, least: float | None) -> Ranking:
    """The rows that score at least so much."""
    if least is None:
        return ranking
    match = _are_enough(ranking.scores, least)
    return Ranking(ranking.rows[match], ranking.scores[match])


def _are_enough(scores: npt.NDArray[Any], least: float) -> npt.NDArray[np.bool_]:
    # As Python compares the numbers: in float32, ``least`` would be rounded.
    return np.asarray(scores.astype(np.float64) >= least)


def _cosines(found: Vectors) -> Vectors:
    """Rounding can raise the product of two unit vectors above 1 in the last digit; a cosine is never more than 1."""
    return np.minimum(np.maximum(found, -1), 1)  # faster than np.clip
