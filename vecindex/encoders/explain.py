"""Explains what each token adds to a text's vector, and to its cosine with a query.

The sentence vector of unit length is a sum of one term for each token, v = sum_t p_t (`Head.terms`). With mean pooling
alone, p_t = w_t h_t / |sum_t w_t h_t|, where h_t are the last hidden states and w_t their weights. A token's share of v
is p_t . v, and its contribution to the cosine with another unit vector q is p_t . q. Shares sum to 1 and contributions
to the cosine, up to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InvalidInput
from ..values.arguments import entrance
from ..values.scalars import shown
from ..values.space import PoolingMode
from ..values.texts import checked_query
from .load import load_encoder
from .run.encoder import Encoder, TokenVectors
from .run.head import Dense
from .run.pooling import FloatArray


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
    query = None if against is None else encoder.encode([against], role="query")[0]
    tokens = explained_tokens(encoder, [encoded], query)
    return Explanation(
        text=text,
        against=against,
        model=encoder.space.model,
        pooling=encoder.space.pooling,
        shapes=Shapes((1, *encoded.vectors.shape), (1, len(tokens)), (encoder.space.dimension,)),
        truncated=encoded.tokens.lost,
        tokens=tokens,
        score=None if query is None else math.fsum(token.contribution or 0.0 for token in tokens),
    )


def explained_tokens(
    encoder: Encoder, parts: Sequence[TokenVectors], query: FloatArray | None = None
) -> tuple[TokenExplanation, ...]:
    """What each token of a document adds to its vector, and to its cosine with the unit vector ``query`` (D,).

    A document that was read in several ``parts`` has the mean of their vectors, weighted by their numbers of tokens.
    """
    first = encoder.pooled_from("document")
    each = [encoder.head.terms(part.vectors, np.arange(len(part.vectors)) >= first) for part in parts]
    terms = np.concatenate([part.tokens.total * some for part, some in zip(parts, each, strict=True)], dtype=np.float64)
    terms /= max(float(np.linalg.norm(terms.sum(axis=0))), 1e-12)
    shares = (terms @ terms.sum(axis=0)).tolist()
    added: Sequence[float | None] = [None] * len(shares)
    if query is not None:
        added = (terms @ query.astype(np.float64)).tolist()
    names = [(token, int(id_)) for part in parts for token, id_ in zip(part.strings, part.tokens.ids, strict=True)]
    return tuple(
        TokenExplanation(position, token, id_, share, contribution)
        for position, ((token, id_), share, contribution) in enumerate(zip(names, shares, added, strict=True))
    )


def convention(encoder: Encoder) -> str | None:
    """How the model's vector is divided among tokens where it is no weighted mean of theirs; None where it is one.

    Contributions add up to the cosine in any case.
    """
    modes = {_CONVENTIONS[mode] for mode in encoder.head.modes if mode in _CONVENTIONS}
    if any(isinstance(layer, Dense) and not layer.is_linear for layer in encoder.head.layers):
        modes.add("a layer after pooling is not linear, and what it does is divided among the tokens")
    return "; ".join(sorted(modes)) or None


_CONVENTIONS: dict[PoolingMode, str] = {
    "cls": "the vector is that of the first token alone (CLS pooling), which has all of the cosine, whatever the other "
    "tokens did to it within the model",
    "lasttoken": "the vector is that of the last token alone (last token pooling), which has all of the cosine, "
    "whatever the other tokens did to it within the model",
    "max": "each number of the vector is the largest among the tokens (max pooling), and counts for the first token "
    "that has it",
}
