"""The second stage of a search: reads the first stage's best records again, and orders them by all that is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ...store.snapshot import Snapshot
from ...store.stored import Stored
from ..fusion import Parts, Scale, mixed, total
from .late_interaction import Pair

DEPTH = 100
"""How many records are read again, at least. Measured on SciFact: with 50, hybrid search loses 0.003 nDCG@10."""


class SecondStage(Protocol):
    """Scores records for each of some queries, which have numbers from 0."""

    name: str
    """What its scores are called."""
    is_alone: bool
    """Whether its scores alone order the records, and of any text; else they are mixed with the first stage's, and it
    has none of a text of which the index's model knows no token."""

    def begin(self, snapshot: Snapshot) -> None:
        """Called before the records of a snapshot are scored."""

    def scores(self, number: int, records: Sequence[Stored]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """The score of each record, NaN where there is none, and which of them were reached in the time there is."""

    def pairs(self, number: int, records: Sequence[Stored]) -> list[tuple[Pair, ...]]:
        """Which token of each record each token of the query met, where that makes the score; however long it takes."""


@dataclass(frozen=True, slots=True, eq=False)
class Reordered:
    """Records in a new order: their ``places`` in the old one (n,), and the second stage's ``scores`` of them (n,).

    Scores are in the old order; NaN stands for none. So is the ``mixture`` that gives the new order, NaN for a record
    that it is not for, and so are its ``parts`` by side. Of ``asked`` records ``reached`` were reached in time; which
    of all is in ``was_reached`` (n,), in the old order too.
    """

    places: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    mixture: npt.NDArray[np.float64]
    parts: Parts
    asked: int
    reached: int
    was_reached: npt.NDArray[np.bool_]


def reordered(
    stage: SecondStage,
    number: int,
    stored: Sequence[Stored],
    sides: Mapping[str, npt.NDArray[Any]],
    meaningless: npt.NDArray[np.bool_],
    scale: Scale,
    read: npt.NDArray[np.bool_] | None = None,
) -> Reordered:
    """A query's records in their new order.

    First come the records that were reached, by the mixture of their scores, or by that of a stage that is alone, ties
    by insertion; then the others, as they were ordered before; then those that are ``meaningless``, unless the stage is
    alone. A record of whose text the model knows no token gets no score, but from a stage that is alone.

    Args:
        stored: the records, as the first stage ordered them (n).
        sides: its scores of them (n,) by the side that gave them.
        meaningless: the records that come last (n,).
        scale: what the query's scores are measured by.
        read: the only ones that the stage may read (n,), if not all: those that were reached before.
    """
    if stage.is_alone:
        meaningless = np.zeros(len(stored), np.bool_)
    scored = [place for place, record in enumerate(stored) if stage.is_alone or not record.unknown]
    known = np.array(scored, np.int64)
    again, reached = np.full(len(stored), np.nan), np.ones(len(stored), np.bool_)
    if read is not None:
        known, reached = known[read[known]], read[: len(stored)].copy()
    found, was_reached = stage.scores(number, [stored[place] for place in known.tolist()])
    again[known], reached[known] = found, was_reached
    places, mixture = np.arange(len(stored)), np.full(len(stored), np.nan)
    parts: Parts = {}
    if not np.isnan(again).all():
        chosen = np.flatnonzero(reached & ~meaningless)
        if stage.is_alone:
            mixture[chosen] = np.nan_to_num(again[chosen], nan=np.nanmin(again))
        else:
            first = {name: scores[chosen] for name, scores in sides.items()}
            parts = {name: np.full(len(stored), np.nan) for name in (*sides, stage.name)}
            for name, part in mixed(first, again[chosen], scale).items():
                parts[name][chosen] = part
            mixture = total(parts)
        rows = np.array([record.row for record in stored])
        ties = np.where(reached & ~meaningless, rows, places)
        places = np.lexsort((ties, -np.nan_to_num(mixture), ~reached, meaningless))
    return Reordered(places, again, mixture, parts, len(known), int(np.count_nonzero(was_reached)), reached)
