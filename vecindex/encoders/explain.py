"""Explains what each token adds to a text's vector, and to its cosine with a query.

The sentence vector of unit length is a sum of one term for each token, v = sum_t p_t (`Head.terms`). With mean pooling
alone, p_t = w_t h_t / |sum_t w_t h_t|, where h_t are the last hidden states and w_t their weights. A token's share of v
is p_t . v, and its contribution to the cosine with another unit vector q is p_t . q. Shares sum to 1 and contributions
to the cosine, up to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import InvalidInput
from ..values.arguments import entrance
from ..values.scalars import shown
from ..values.texts import checked_query
from .load import load_encoder
from .run.encoder import Encoder


@dataclass(frozen=True, slots=True)
class TokenExplanation:
    """One token: its ``position`` from 0, ``share`` of the sentence vector and ``contribution`` to the score."""

    position: int
    token: str
    id: int
    share: float
    contribution: float | None


@dataclass(frozen=True, slots=True)
class Shapes:
    """The shape at each step: ``token_vectors`` (1, T, D), ``attention_mask`` (1, T), ``sentence_vector`` (D,)."""

    token_vectors: tuple[int, int, int]
    attention_mask: tuple[int, int]
    sentence_vector: tuple[int]


@dataclass(frozen=True, slots=True)
class Explanation:
    """How ``text`` becomes a vector, token by token; ``score`` is its cosine with ``against``, if that was given.

    ``truncated`` is the number of tokens at the end of the text that the model does not read.
    """

    text: str
    against: str | None
    model: str
    pooling: str
    shapes: Shapes
    truncated: int
    tokens: tuple[TokenExplanation, ...]
    score: float | None


def _encoder(name: str, value: object) -> Encoder:
    if isinstance(value, Encoder):
        return value
    raise InvalidInput(f"{name} is {shown(value)}", "Pass what load_encoder returns, or leave it out.")


@entrance(encoder=_encoder)
def explain(text: str, against: str | None = None, *, encoder: Encoder | None = None) -> Explanation:
    """Explains how ``text`` becomes a vector, and its score for the query ``against``.

    Args:
        text: explained as a document.
        against: a query; with it, each token's contribution to the cosine is given.
        encoder: None loads the default model.

    Raises:
        InvalidInput: ``text`` is not a string, or ``against`` is blank.
        ModelNotFound.
    """
    if against is not None:
        checked_query(against)
    encoder = encoder or load_encoder()
    (encoded,) = encoder.encode_tokens([text])
    tokens, states = encoded.tokens, encoded.vectors
    pooled = np.arange(len(states)) >= encoder.pooled_from("document")
    terms = encoder.head.terms(encoded.vectors, pooled).astype(np.float64)
    vector = terms.sum(axis=0)
    shares = (terms @ vector).tolist()
    contributions: list[float] | list[None] = [None] * len(shares)
    score = None
    if against is not None:
        added = terms @ encoder.encode([against], role="query")[0].astype(np.float64)
        contributions, score = added.tolist(), float(added.sum())
    return Explanation(
        text=text,
        against=against,
        model=encoder.space.model,
        pooling=encoder.space.pooling,
        shapes=Shapes((1, *states.shape), (1, len(states)), (len(vector),)),
        truncated=tokens.lost,
        tokens=tuple(
            TokenExplanation(position, token, int(id_), share, contribution)
            for position, (token, id_, share, contribution) in enumerate(
                zip(encoded.strings, tokens.ids, shares, contributions, strict=True)
            )
        ),
        score=score,
    )
