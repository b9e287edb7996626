"""Orders records for queries: by their vectors, by their words, or by both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from ..errors.warnings import PhraseNotFound
from ..store.generation import Allowed
from .dense.exact import Ranking, Rows, Vectors
from .dense.nearest import Trace
from .fusion import Sides
from .hybrid import Hybrid
from .options import SearchOptions
from .sides import Dense, Lexical
from .view import RecordView

if TYPE_CHECKING:
    from .lexical.postings import Contribution
    from .lexicon import Words

_NO_ROWS: Rows = np.empty(0, np.int64)


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
