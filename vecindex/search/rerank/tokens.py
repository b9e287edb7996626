"""The second stage without a second model: late interaction with the token vectors of the index's own model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import perf_counter

import numpy as np
import numpy.typing as npt

from ...encoders.run.encoder import Encoder
from ...encoders.run.own_tokens import own_tokens, tokenized
from .late_interaction import Pair, pairs, scores


class TokenStage:
    """Encodes texts on the spot, the best first, until the time of a query has passed; see `late_interaction`.

    Texts are encoded in batches of about equal size. None is begun that would take too long, going by those before it.

    Args:
        encoder: the index's.
        queries: the texts of the queries.
        milliseconds: the time for the texts of each query.
    """

    name = "tokens"

    def __init__(self, encoder: Encoder, queries: Sequence[str], milliseconds: float) -> None:
        self._encoder = encoder
        self._seconds = milliseconds / 1e3
        self._queries = own_tokens(encoder, tokenized(encoder, queries, "query"), "query")

    def scores(self, number: int, texts: Sequence[str]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        query, encoder = self._queries[number].vectors, self._encoder
        begun, spent, done = perf_counter(), 0.0, 0
        distinct = {text: place for place, text in enumerate(dict.fromkeys(texts))}  # equal texts have equal scores
        tokens = tokenized(encoder, list(distinct), "document")
        found, reached = np.full(len(distinct), np.nan), np.zeros(len(distinct), np.bool_)
        for start, stop, size in _batches([len(one.ids) for one in tokens], encoder.workers * encoder.tokens_a_batch):
            now = perf_counter() - begun
            expected = spent / done * size if done else 0.0
            if now >= self._seconds or now + expected > self._seconds:
                break
            own = own_tokens(encoder, tokens[start:stop], "document")
            found[start:stop] = scores(query, [one.vectors for one in own])
            reached[start:stop] = True
            spent, done = spent + perf_counter() - begun - now, done + size
        places = np.array([distinct[text] for text in texts], np.int64)
        return found[places], reached[places]

    def pairs(self, number: int, texts: Sequence[str]) -> list[tuple[Pair, ...]]:
        query, encoder, strings = self._queries[number], self._encoder, self._encoder.tokenizer.strings
        own = own_tokens(encoder, tokenized(encoder, texts, "document"), "document")
        words = strings(query.ids)
        return [pairs(words, query.vectors, strings(one.ids), one.vectors) for one in own]


def _batches(sizes: Sequence[int], most: int) -> Iterator[tuple[int, int, int]]:
    """The first place, the one after the last, and the size, of batches that have at most this size if they can."""
    start, size = 0, 0
    for place, each in enumerate(sizes):
        if place > start and size + each > most:
            yield start, place, size
            start, size = place, 0
        size += each
    if start < len(sizes):
        yield start, len(sizes), size
