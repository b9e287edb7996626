"""The second stage without a second model: late interaction with the token vectors of the index's own model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ...encoders.run.encoder import Encoder
from ...encoders.run.own_tokens import is_read_whole, own_ids, own_tokens, own_tokens_of, tokenized
from ...encoders.run.tokenized import FloatArray, Tokens
from ...store.snapshot import Snapshot
from ...store.stored import Stored
from .budget import Budget
from .late_interaction import Pair, pairs, score, scores
from .stored_tokens import StoredTokens, TokenStore
from .token_codes import cosines, turned

Read = Mapping[str, tuple[Tokens, FloatArray]]
"""The tokens of texts, and their last hidden states (T, D)."""


class TokenStage:
    """Scores records by their stored token vectors, and encodes the texts of others; see `late_interaction`.

    Texts are encoded the best first, until the time of a query has passed, in batches of about equal size. None is
    begun that would take too long, going by those before it. Records with stored token vectors take none of that time.

    Args:
        encoder: the index's.
        store: has the stored token vectors.
        queries: the texts of the queries.
        milliseconds: the time for the texts of each query.
        read: the tokens of some queries and their last hidden states, from when the queries were encoded.
    """

    name = "tokens"
    is_alone = False

    def __init__(
        self, encoder: Encoder, store: TokenStore, queries: Sequence[str], milliseconds: float, read: Read | None = None
    ) -> None:
        self._encoder = encoder
        self._store = store
        self._seconds = milliseconds / 1e3
        known = {text: its for text, its in (read or {}).items() if is_read_whole(encoder, text)}
        left = [text for text in queries if text not in known]
        found = dict(zip(left, own_tokens(encoder, tokenized(encoder, left, "query"), "query"), strict=True))
        found |= {text: own_tokens_of(encoder, *its, "query") for text, its in known.items()}
        self._queries = [found[text] for text in queries]
        self._stored: StoredTokens | None = None

    def begin(self, snapshot: Snapshot) -> None:
        self._stored = None if snapshot.manifest.tokens is None else self._store.of(snapshot)

    def scores(self, number: int, records: Sequence[Stored]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        found, reached = np.full(len(records), np.nan), np.zeros(len(records), np.bool_)
        if self._stored is not None:
            query = turned(self._queries[number].vectors)
            for place, record in enumerate(records):
                # Without a vector the record has no stored token vectors either, but an empty place for them.
                if record.has_vector and (codes := self._stored.codes(record.row)) is not None:
                    reached[place] = True
                    found[place] = score(cosines(query, codes))
        if not reached.all():
            left = np.flatnonzero(~reached)
            found[left], reached[left] = self._encoded(number, [records[place].text for place in left.tolist()])
        return found, reached

    def _encoded(self, number: int, texts: Sequence[str]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """As `scores`, for texts that are encoded."""
        query, encoder = self._queries[number].vectors, self._encoder
        budget = Budget(self._seconds)
        distinct = {text: place for place, text in enumerate(dict.fromkeys(texts))}  # equal texts have equal scores
        tokens = tokenized(encoder, list(distinct), "document")
        found, reached = np.full(len(distinct), np.nan), np.zeros(len(distinct), np.bool_)
        for some in budget.batches([len(one.ids) for one in tokens], encoder.workers * encoder.tokens_a_batch):
            found[some] = scores(query, [one.vectors for one in own_tokens(encoder, tokens[some], "document")])
            reached[some] = True
        places = np.array([distinct[text] for text in texts], np.int64)
        return found[places], reached[places]

    def pairs(self, number: int, records: Sequence[Stored]) -> list[tuple[Pair, ...]]:
        query, encoder, strings = self._queries[number], self._encoder, self._encoder.tokenizer.strings
        words = strings(query.ids)
        found: list[tuple[Pair, ...]] = [()] * len(records)
        left = []
        tokens = tokenized(encoder, [record.text for record in records], "document")
        for place, (record, one) in enumerate(zip(records, tokens, strict=True)):
            stored = None if self._stored is None else self._stored.vectors(record.row)
            ids = own_ids(encoder, one, "document")
            if stored is not None and len(stored) == len(ids):
                found[place] = pairs(words, query.vectors, strings(ids), stored)
            else:
                left.append(place)
        for place, own in zip(left, own_tokens(encoder, [tokens[place] for place in left], "document"), strict=True):
            found[place] = pairs(words, query.vectors, strings(own.ids), own.vectors)
        return found
