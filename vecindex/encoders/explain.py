"""What does each token add: the token vectors of one text, and their shares of its sentence vector and of a cosine.

With linear pooling the sentence vector is v = sum_t w_t h_t, over the real tokens' last hidden states h_t. A token's
share of it is w_t (h_t . v) / |v|^2, and its contribution to the cosine with another unit vector q is
w_t (h_t . q) / |v|. Shares sum to 1 and contributions to the cosine, exactly but for rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .encoder import Encoder
from .load import load_encoder
from .pooling import pool, token_weights


@dataclass(frozen=True, slots=True)
class TokenExplanation:
    """One token: ``position`` counts from 0; ``share`` of the sentence vector; ``contribution`` to the score."""

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
    """How ``text`` became a vector, token by token; ``score`` is its cosine with ``against``, if that was given.

    ``truncated`` counts the tokens at the text's end that the model does not read.
    """

    text: str
    against: str | None
    model: str
    pooling: str
    shapes: Shapes
    truncated: int
    tokens: tuple[TokenExplanation, ...]
    score: float | None


def explain(text: str, against: str | None = None, *, encoder: Encoder | None = None) -> Explanation:
    """Explains how ``text`` becomes a vector, and its score for the query ``against``.

    Args:
        text: explained as a document.
        against: a query; with it, each token's contribution to the cosine is given.
        encoder: None loads the default model.

    Raises:
        InvalidInput, ModelNotFound.
    """
    encoder = encoder or load_encoder()
    (encoded,) = encoder.encode_tokens([text])
    tokens, states = encoded.tokens, encoded.vectors.astype(np.float64)
    mask = np.ones((1, len(states)), dtype=np.int64)
    pooling = encoder.space.pooling
    vector = pool(encoded.vectors[None], mask, pooling)[0].astype(np.float64)
    length = float(np.linalg.norm(vector))
    weighted = token_weights(mask, pooling)[0].astype(np.float64)[:, None] * states / length
    shares = (weighted @ (vector / length)).tolist()
    contributions: list[float] | list[None] = [None] * len(shares)
    score = None
    if against is not None:
        added = weighted @ encoder.encode([against], role="query")[0].astype(np.float64)
        contributions, score = added.tolist(), float(added.sum())
    return Explanation(
        text=text,
        against=against,
        model=encoder.space.model,
        pooling=pooling,
        shapes=Shapes((1, *states.shape), (1, len(states)), (len(vector),)),
        truncated=tokens.total - len(tokens.ids),
        tokens=tuple(
            TokenExplanation(position, token, int(id_), share, contribution)
            for position, (token, id_, share, contribution) in enumerate(
                zip(tokens.strings, tokens.ids, shares, contributions, strict=True)
            )
        ),
        score=score,
    )
