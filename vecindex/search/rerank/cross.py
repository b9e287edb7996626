"""The second stage with a second model: a cross-encoder reads the query and each text together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from ...encoders.cross.cross_encoder import CrossEncoder
from ...store.snapshot import Snapshot
from ...store.stored import Stored
from .budget import Budget
from .late_interaction import Pair

_TEXTS_AT_ONCE = 256
"""How many texts are tokenized before the first of them is read, which bounds memory."""


class CrossStage:
    """Reads the texts of records, the best first, until the time of a query has passed.

    Args:
        encoder: scores the pairs of a query and a text.
        queries: the texts of the queries.
        milliseconds: the time for the texts of each query.
        progress: called with how many texts of a single query are read, or how many of several queries are done, and
            how many there are.
    """

    name = "cross"
    is_alone = True

    def __init__(
        self,
        encoder: CrossEncoder,
        queries: Sequence[str],
        milliseconds: float,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self._encoder = encoder
        self._queries = queries
        self._seconds = milliseconds / 1e3
        self._progress = progress

    def begin(self, snapshot: Snapshot) -> None:
        pass

    def scores(self, number: int, records: Sequence[Stored]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        # Equal texts have equal scores.
        distinct = {text: place for place, text in enumerate(dict.fromkeys(record.text for record in records))}
        found, reached = self._read(number, list(distinct))
        if self._progress is not None and len(self._queries) > 1:
            self._progress(number + 1, len(self._queries))
        places = np.array([distinct[record.text] for record in records], np.int64)
        return found[places], reached[places]

    def pairs(self, number: int, records: Sequence[Stored]) -> list[tuple[Pair, ...]]:
        return [()] * len(records)

    def _read(self, number: int, texts: Sequence[str]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """The score of each text, and which of them were reached in time."""
        budget, encoder = Budget(self._seconds), self._encoder
        found, reached = np.full(len(texts), np.nan), np.zeros(len(texts), np.bool_)
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            some = slice(start, start + _TEXTS_AT_ONCE)
            pairs = encoder.tokens(self._queries[number], texts[some])
            for batch in budget.batches([len(pair.ids) for pair in pairs], encoder.tokens_at_once):
                found[some][batch] = encoder.scores(pairs[batch])
                reached[some][batch] = True
                if self._progress is not None and len(self._queries) == 1:
                    self._progress(int(np.count_nonzero(reached)), len(texts))
            if not reached[some].all():
                break
        return found, reached
