"""Orders records by their vectors and their words: `Hybrid`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .dense.exact import Ranking, Rows, Vectors, are_enough, as_cosines, best, union
from .dense.nearest import Trace
from .fusion import DEPTHS, FUSIONS, Fusion, Parts, Scale, Sides, total
from .sides import Dense, Lexical
from .view import RecordView

if TYPE_CHECKING:
    from .lexical.postings import Contribution

_NO_ROWS: Rows = np.empty(0, np.int64)
_NO_SCORES: npt.NDArray[Any] = np.empty(0)
_TOGETHER = 64
"""As many queries of a hybrid search are done as one."""
_DEEPER = 2
"""How many candidates each side proposes for each record that a hybrid search is asked for. Measured: twice as many are
enough for 9 of 10 queries."""
_WIDER = 4
"""How many times as many they propose where even twice as many are not enough."""
_WORDED = 16
"""How many times as many may be taken for their words alone, where a better record needs enough of these."""
_SLACK = 1e-9
"""Sums of parts are rounded."""


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
                if (ranking := self._best_of(number, asked, one, other, depth)) is not None:
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
        return {"dense": as_cosines(cosines), "lexical": worded}

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
            match = are_enough(np.nan_to_num(cosines), self._least)
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

    def _best_of(self, number: int, asked: int, near: Ranking, worded: Ranking, depth: int) -> Ranking | None:
        """The best rows; None if there may be better ones than those that the sides proposed, ``depth`` each."""
        ranking = best(*self._fused(number, union(near.rows, worded.rows)), asked)
        if self._fusion == "rrf":
            return ranking
        has_word = len(worded.rows) == depth
        left = self._left(near, has_word, depth)
        if not len(left):
            return ranking
        if len(ranking.rows) < asked:
            return None
        words = np.full(len(left), worded.scores[-1] if has_word else 0.0)
        parts, last = self._parts(number, left, words), float(ranking.scores[-1])
        if last > total(parts).max():
            return ranking
        # A better row that is not near has a larger share of the words: all rows with so much are found at once.
        least = (last - float(parts["dense"].max()) - _SLACK) * self._scales[number].whole
        more = self._lexical.reaching(number, least, _WORDED * depth) if least > 0 else None
        if more is None:
            return None
        self._trace.widened += 1
        return best(*self._fused(number, union(near.rows, more.rows)), asked)

    def _left(self, near: Ranking, has_word: bool, depth: int) -> Vectors:
        """The largest cosines of rows that no side proposed, NaN for one without a vector; empty if there are none."""
        is_near = len(near.rows) == depth and (self._least is None or bool(are_enough(near.scores, self._least)[-1]))
        left = near.scores[-1:] if is_near else _NO_SCORES
        return np.append(left, np.nan) if has_word and not self._dense.finds_all else left

    def _scores(self, number: int, rows: Rows) -> tuple[Vectors, npt.NDArray[np.float64]]:
        """The cosines and the BM25 scores of rows; those that were found last are known."""
        known, cosines, worded = self._scored.get(number, (_NO_ROWS, _NO_SCORES, _NO_SCORES))
        if len(known):
            places = np.minimum(np.searchsorted(known, rows), len(known) - 1)
            if np.array_equal(known[places], rows):
                return cosines[places], worded[places]
        return self._dense.cosines(number, rows), self._lexical.scores(number, rows)
