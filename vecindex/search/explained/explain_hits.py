"""Explains the hits of a search, from what it noted on its way, and from the texts of the hits alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from ...encoders.explain import TokenExplanation, convention, explained_tokens
from ...encoders.run.encoder import Encoder, TokenVectors
from ...encoders.run.tokenized import Tokens
from ...errors import VecindexError
from ...store.stored import Stored
from ...values.hits import Hits
from ...values.records import Hit
from ..dense.exact import Vectors
from ..dense.nearest import Order, Trace
from ..rankers import Ranker
from ..rerank.second_stage import SecondStage
from .hit_explanation import HitExplanation, Standing

_BY_PLACE = ("groups", "diversity", "rerank")
"""The orders that no score alone gives; they are noted the best first."""
_WITHOUT_SCORE = ("groups", "diversity")
"""The orders whose scores are those of the order before."""
_SAME = 1e-5
"""Two encodings of one text have cosines that differ by less."""
_MOST_TOKENS = 16_384
"""How many tokens a text may have to be explained: each takes as much memory as a vector."""
_TOKENS_AT_ONCE = 8_192

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
            notes[stage.name if stage.is_alone else "pairs"] = _unread(hit, record, stage)
        found.append(
            HitExplanation(
                *(hit.rank, hit.key, tuple(_standings(trace.orders or {}, record.row)), tokens),
                *(tuple(ranker.terms(0, record.row)), pairs, notes),
            )
        )
    return tuple(found)


def _unread(hit: Hit, record: Stored, stage: SecondStage) -> str:
    """Why the second stage has no score for a hit."""
    if record.unknown and not stage.is_alone:
        return "the model knows no token of the text"
    if not (hit.ranked_by or "").endswith(f"+{stage.name}"):
        return "the text is not among those that are read again"
    return "the text was not reached in time"


def _standings(orders: Mapping[str, Order], row: int) -> Iterator[Standing]:
    """A row's places in the orders."""
    for name, order in orders.items():
        (places,) = np.nonzero(order.rows == row)
        if not len(places):
            continue
        place = int(places[0])
        score = float(order.scores[place])
        if name in _BY_PLACE:
            rank, of = place, len(order.rows)
        elif math.isnan(score):
            continue
        else:
            better = (order.scores > score) | ((order.scores == score) & (order.rows < row))
            rank, of = int(np.count_nonzero(better)), int(np.count_nonzero(~np.isnan(order.scores)))
        if name == "dense":
            score = min(max(score, -1.0), 1.0)  # rounding, as in the score of a hit
        if name in _WITHOUT_SCORE or math.isnan(score):
            yield Standing(name, rank + 1, of)
        else:
            yield Standing(name, rank + 1, of, score, {side: float(part[place]) for side, part in order.parts.items()})


def _tokens(
    query: Vectors | None, encoder: Callable[[], Encoder], stored: Sequence[Stored], cosines: Sequence[float | None]
) -> list[Told]:
    """What each token of the texts adds to their cosines with the query."""
    if query is None or not stored:
        return [((), None)] * len(stored)
    try:
        model = encoder()
        each = [_parts(model, record) for record in stored]
    except VecindexError as error:  # there is no model here, or none that has tokens
        return [((), error.message)] * len(stored)
    told: list[Told] = [((), None if isinstance(parts, list) else parts) for parts in each]
    said = convention(model)
    for some in _batches({place: parts for place, parts in enumerate(each) if isinstance(parts, list)}):
        states = iter(model.states([tokens for parts in some.values() for tokens in parts]))
        for place, parts in some.items():
            encoded = [TokenVectors(tokens, model.tokenizer.strings(tokens.ids), next(states)) for tokens in parts]
            found = explained_tokens(model, encoded, query)
            told[place] = found, "; ".join(filter(None, (said, _difference(found, cosines[place])))) or None
    return told


def _parts(encoder: Encoder, record: Stored) -> list[Tokens] | str:
    """The tokens of a text, of each part where it was read in parts; or why they cannot be explained."""
    if not record.has_vector:
        return "the record has no vector"
    parts = encoder.tokens([record.text], "document")
    if parts[0].lost and not record.tokens_lost:
        parts = encoder.tokens([record.text[start:end] for start, end in encoder.parts(record.text)], "document")
    first = encoder.pooled_from("document")
    parts = [tokens for tokens in parts if len(tokens.ids) > first]
    size = sum(len(tokens.ids) for tokens in parts)
    if not parts:
        return "the model finds no token in the text"
    if size > _MOST_TOKENS:
        return f"the text has {size:,} tokens, too many to tell what each adds"
    return parts


def _difference(tokens: Sequence[TokenExplanation], cosine: float | None) -> str | None:
    total = sum(token.contribution or 0.0 for token in tokens)
    if cosine is None or abs(total - cosine) <= _SAME:
        return None
    return (
        f"the stored vector is not what the model makes of the text: its cosine is {cosine:.4f}, and the tokens add up "
        f"to {total:.4f}"
    )


def _batches(texts: Mapping[int, list[Tokens]]) -> Iterator[dict[int, list[Tokens]]]:
    """The texts in groups of about `_TOKENS_AT_ONCE` tokens."""
    some: dict[int, list[Tokens]] = {}
    size = 0
    for place, parts in texts.items():
        some[place] = parts
        size += sum(len(tokens.ids) for tokens in parts)
        if size >= _TOKENS_AT_ONCE:
            yield some
            some, size = {}, 0
    if some:
        yield some
