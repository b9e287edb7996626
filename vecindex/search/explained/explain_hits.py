"""Explains the hits of a search, from what it noted on its way, and from the texts of the hits alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ...encoders.explain import TokenExplanation, convention, explained_tokens
from ...encoders.run.encoder import Encoder, TokenVectors
from ...encoders.run.tokenized import Tokens
from ...errors import VecindexError
from ...store.stored import Stored
from ...values.hits import Hits
from ...values.records import Hit
from ..dense.exact import Ranking, Vectors
from ..dense.nearest import Trace
from ..rankers import Ranker
from ..rerank.second_stage import SecondStage
from .hit_explanation import HitExplanation, Standing

_BY_PLACE = ("groups", "diversity", "rerank")
"""The orders that no score alone gives; they are noted the best first."""
_SAME = 1e-5
"""Two encodings of one text have cosines that differ by less."""
_TOKENS_AT_ONCE = 16_384
"""How many tokens are encoded together, at most, but for a longer text; a text without that limit may not have more."""

Told = tuple[tuple[TokenExplanation, ...], str | None]
"""The tokens of a text, and what has to be said about them."""


def explain_hits(
    ranker: Ranker, stage: SecondStage | None, trace: Trace, encoder: Callable[[], Encoder], hits: Hits
) -> tuple[HitExplanation, ...]:
    """An explanation of each hit of the search of a single query, in the state of the index that was searched.

    Args:
        ranker: what ordered the records.
        stage: what ordered the best of them again.
        trace: what the search noted.
        encoder: gives the index's encoder, or raises VecindexError if there is none.
        hits: what the search found.
    """
    stored = trace.hits
    told = _tokens(ranker.vector(0), encoder, stored, [hit.scores.get("dense") for hit in hits])
    met = [] if stage is None else stage.pairs(0, stored)
    found = []
    for place, (hit, record, (tokens, note)) in enumerate(zip(hits, stored, told, strict=True)):
        notes = {} if note is None else {"tokens": note}
        pairs = met[place] if met else ()
        if stage is not None and stage.name not in hit.scores:
            pairs = ()
            notes["pairs"] = _unread(hit, record, stage)
        found.append(
            HitExplanation(
                *(hit.rank, hit.key, tuple(_standings(trace.orders or {}, record.row)), tokens),
                *(tuple(ranker.terms(0, record.row)), pairs, notes),
            )
        )
    return tuple(found)


def _unread(hit: Hit, record: Stored, stage: SecondStage) -> str:
    """Why the second stage has no score for a hit."""
    if record.unknown:
        return "the model knows no token of the text"
    if not (hit.ranked_by or "").endswith(f"+{stage.name}"):
        return "the text is not among those that are read again"
    return "the text was not reached in time"


def _standings(orders: dict[str, Ranking], row: int) -> Iterator[Standing]:
    for name, ranking in orders.items():
        is_here = ranking.rows == row
        if not is_here.any():
            continue
        score = float(ranking.scores[is_here][0])
        known = ~np.isnan(ranking.scores)
        if name in _BY_PLACE:
            rank, of = int(is_here.argmax()), len(ranking.rows)
        elif np.isnan(score):
            continue
        else:
            better = (ranking.scores > score) | ((ranking.scores == score) & (ranking.rows < row))
            rank, of = int(np.count_nonzero(better)), int(np.count_nonzero(known))
        is_own = name not in ("groups", "diversity") and not np.isnan(score)
        yield Standing(name, rank + 1, of, score if is_own else None)


def _tokens(
    query: Vectors | None, encoder: Callable[[], Encoder], stored: Sequence[Stored], cosines: Sequence[float | None]
) -> list[Told]:
    """What each token of the texts adds to their cosines with the query."""
    if query is None or not stored:
        return [((), None)] * len(stored)
    try:
        model = encoder()
    except VecindexError as error:
        return [((), error.message)] * len(stored)
    tokens = model.tokens([record.text for record in stored], "document")
    reasons = [_reason(model, record, one) for record, one in zip(stored, tokens, strict=True)]
    readable = [place for place, reason in enumerate(reasons) if reason is None]
    told: list[Told] = [((), reason) for reason in reasons]
    said = convention(model)
    for some in _batches(readable, tokens):
        for place, states in zip(some, model.states([tokens[place] for place in some]), strict=True):
            one = tokens[place]
            encoded = TokenVectors(one, model.tokenizer.strings(one.ids), states)
            found = explained_tokens(model, encoded, query)
            told[place] = found, "; ".join(filter(None, (said, _difference(found, cosines[place])))) or None
    return told


def _reason(encoder: Encoder, record: Stored, tokens: Tokens) -> str | None:
    """Why the tokens of a text cannot be explained; None if they can."""
    if len(tokens.ids) <= encoder.pooled_from("document"):
        return "the model finds no token in the text"
    if len(tokens.ids) > max(_TOKENS_AT_ONCE, encoder.space.max_tokens or 0):
        return f"the text has {len(tokens.ids):,} tokens, too many to tell what each adds"
    if tokens.lost and not record.tokens_lost:
        return "the text is longer than the model reads at once, and its vector is the mean of its parts'"
    return None


def _difference(tokens: Sequence[TokenExplanation], cosine: float | None) -> str | None:
    total = sum(token.contribution or 0.0 for token in tokens)
    if cosine is None or abs(total - cosine) <= _SAME:
        return None
    return (
        f"the stored vector is not what the model makes of the text: its cosine is {cosine:.4f}, and the tokens add up "
        f"to {total:.4f}"
    )


def _batches(places: Sequence[int], tokens: Sequence[Tokens]) -> Iterator[list[int]]:
    some: list[int] = []
    size = 0
    for place in places:
        more = len(tokens[place].ids)
        if some and size + more > _TOKENS_AT_ONCE:
            yield some
            some, size = [], 0
        some.append(place)
        size += more
    if some:
        yield some
