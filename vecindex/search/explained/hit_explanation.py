"""What is said of a hit when a search is explained: `HitExplanation`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...encoders.explain import TokenExplanation
    from ..lexical.postings import Contribution
    from ..rerank.late_interaction import Pair


@dataclass(frozen=True, slots=True)
class Standing:
    """A record's ``rank`` among the ``of`` records of one of the orders that a search makes.

    Attributes:
        by: what orders them. "dense": the cosines, "lexical": the BM25 scores, "hybrid": both; "groups": what is left
            of the order before, "diversity": those chosen to differ; "tokens" or "cross": the scores of the second
            stage, and "rerank": the order that it makes, of its scores and those before, or of a cross-encoder's alone.
        score: what it is ordered by; None where that is no number of the record alone.
        parts: what each side adds to the score, where it is a sum.
    """

    by: str
    rank: int
    of: int
    score: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HitExplanation:
    """Why a record is where it is among the hits.

    Attributes:
        rank: the hit's, as in `Hit`.
        key: the hit's.
        standings: its places in all orders that the search made, one after the other.
        tokens: the tokens of the text, those of the model among them; their contributions add up to the cosine.
        terms: the query's words that lexical search found in it; their scores add up to the BM25 score.
        pairs: the tokens of the query, each with the token of the text that it met; their contributions add up to the
            score "tokens".
        notes: what cannot be explained, or only by a convention, by the name of what it is about: "tokens", "pairs" or
            "cross".
    """

    rank: int
    key: str
    standings: tuple[Standing, ...] = ()
    tokens: tuple[TokenExplanation, ...] = ()
    terms: tuple[Contribution, ...] = ()
    pairs: tuple[Pair, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
