"""Of which texts does a model know nothing: every token of theirs stands for "unknown", or they have none of their own.

The vectors of such texts are alike whatever they say: a search for one emoji finds another, at a cosine of 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stands in every text of one role.

    Its own tokens begin at the position ``start``, behind the prompt; the ids in ``silent`` say nothing wherever they
    stand: the model's special tokens, and what it reads for all that its vocabulary lacks.
    """

    start: int
    silent: frozenset[int]

    def hide(self, ids: Sequence[int]) -> bool:
        """Whether a text with these tokens says nothing to the model."""
        return all(map(self.silent.__contains__, ids[self.start :]))

    def hide_each(self, ids: npt.NDArray[np.integer], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """As `hide` for each of n texts: their tokens one behind the other, and how many each has, (n,), none 0."""
        starts = np.cumsum(lengths) - lengths
        positions = np.arange(len(ids)) - np.repeat(starts, lengths)
        says = ~np.isin(ids, list(self.silent)) & (positions >= self.start)
        return np.asarray(np.add.reduceat(says, starts, dtype=np.int64) == 0)
