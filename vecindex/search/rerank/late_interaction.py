"""Late interaction: scores a text for a query by what each token of the query finds in it. Pure.

Khattab and Zaharia, ColBERT: Efficient and Effective Passage Search via Contextualized Late Interaction over BERT,
2020, https://doi.org/10.1145/3397271.3401075: each token of the query meets the token of the text that is most like it,
and the score is the sum of their cosines (MaxSim). Here it is their mean, so that it is between -1 and 1 whatever the
length of the query.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float64]
_PRODUCTS = 2**18
"""OpenBLAS takes one thread for at most so many multiplications."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A token of the query and the token of the text that is most like it, each with its position among the own tokens.

    ``cosine`` is theirs. ``contribution`` is the cosine divided by the number of the query's tokens: the contributions
    of all pairs add up to the score of the text.
    """

    query_token: str
    text_token: str
    query_position: int
    text_position: int
    cosine: float
    contribution: float


def meetings(query: Vectors, text: Vectors) -> tuple[npt.NDArray[np.int64], Scores]:
    """For each token of the query, the first of the text's tokens that is most like it, and their cosine.

    Args:
        query: the unit vectors of the query's tokens (Q, D).
        text: those of the text's tokens (T, D), at least one.

    Returns:
        Positions in the text (Q,), and cosines (Q,).
    """
    cosines = np.empty((len(query), len(text)), np.float32)
    for rows, tokens in blocks(*cosines.shape, query.shape[1]):
        cosines[rows, tokens] = query[rows] @ text[tokens].T
    places = cosines.argmax(axis=1)
    return places, np.clip(cosines[np.arange(len(query)), places].astype(np.float64), -1, 1)


def score(cosines: Vectors) -> float:
    """The mean, over the query's tokens, of the largest of their cosines (Q, T) to a text's tokens; NaN without any."""
    return float(np.clip(cosines.max(axis=1).astype(np.float64), -1, 1).mean()) if cosines.size else np.nan


def scores(query: Vectors, texts: Sequence[Vectors]) -> Scores:
    """The mean cosine of `meetings` for each text (n,); NaN for a text without a token, and for all without a query.

    Each text is scored by itself, so that its score never depends on the others.
    """
    found = np.full(len(texts), np.nan)
    for place, text in enumerate(texts):
        if len(query) and len(text):
            found[place] = meetings(query, text)[1].mean()
    return found


def blocks(query: int, text: int, dimension: int) -> Iterator[tuple[slice, slice]]:
    """Cuts the products of so many vectors with so many others into blocks for which OpenBLAS takes one thread.

    For so little work several threads mostly wait for each other: on a busy machine that took fifty times as long.
    """
    rows = max(1, min(query, _PRODUCTS // (8 * dimension)))
    tokens = max(1, _PRODUCTS // (rows * dimension))
    for start in range(0, text, tokens):
        for first in range(0, query, rows):
            yield slice(first, first + rows), slice(start, start + tokens)


def pairs(query_tokens: Sequence[str], query: Vectors, text_tokens: Sequence[str], text: Vectors) -> tuple[Pair, ...]:
    """Which token of the text each token of the query met, in the query's order; none if either has no token.

    The tokens are the strings of the vectors that `meetings` takes.
    """
    if not (len(query) and len(text)):
        return ()
    places, cosines = meetings(query, text)
    return tuple(
        Pair(token, text_tokens[place], position, place, cosine, cosine / len(query_tokens))
        for position, (token, place, cosine) in enumerate(
            zip(query_tokens, places.tolist(), cosines.tolist(), strict=True)
        )
    )
