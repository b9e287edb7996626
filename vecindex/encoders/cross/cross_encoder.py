"""Scores pairs of a query and a text, whichever library runs the transformer.

A runtime is a subclass of `CrossEncoder`: it brings a tokenizer and implements one method, `logits`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ...errors import EncodingFailed
from ..config.cross_model import CrossModel
from ..config.modules import Activation
from ..run.batches import in_batches, tokens_a_batch
from ..run.head import ACTIVATIONS
from ..run.tokenized import IntArray
from .pair_tokenizer import PairTokenizer, PairTokens

Scores = npt.NDArray[np.float64]

IDS, MASK, TYPES = "input_ids", "attention_mask", "token_type_ids"
"""What a transformer is given, under these names: not all take the types."""


class CrossEncoder(ABC):
    """A model that reads a query and a text together, ``cross``; safe to call from several threads."""

    cross: CrossModel
    tokenizer: PairTokenizer
    padding_id: int = 0
    """The token id that fills a padded row."""
    inputs: Sequence[str] = (IDS, MASK)
    """The names of what `logits` takes."""
    runtime: str = "unnamed"
    """The library that runs the transformer, for people to read."""
    workers: int = 1
    """How many batches `logits` is given at once, each in a thread of its own."""

    @abstractmethod
    def logits(self, inputs: Mapping[str, IntArray], beside: bool = False) -> npt.NDArray[Any]:
        """The numbers (B, 1) that the model computes for padded pairs (B, T).

        ``beside`` says that up to `workers` threads do the same.
        """

    @property
    def sharing(self) -> int:
        """How many cores work on one batch together."""
        return 1

    @property
    def tokens_at_once(self) -> int:
        """The number of tokens in a call that gives every core a batch."""
        return self.workers * tokens_a_batch(self.sharing)

    def tokens(self, query: str, texts: Sequence[str]) -> list[PairTokens]:
        """The tokens of the query with each text, the model's prompt included."""
        return self.tokenizer.tokenize(self.cross.prompt + query, texts) if texts else []

    def scores(self, pairs: Sequence[PairTokens]) -> Scores:
        """The score of each pair (n,), as sentence-transformers' ``predict`` gives it.

        A score does not depend on the other pairs in the call (to 1e-5). It is NaN for a pair without a token. Raises
        EncodingFailed if one is not finite.
        """
        found = np.full(len(pairs), np.nan)
        some = [place for place, pair in enumerate(pairs) if pair.ids]
        found[some] = self.numbers([pairs[place] for place in some])
        if not np.isfinite(found[some]).all():
            raise EncodingFailed(
                f"{self.cross.model} computes a score that is not finite", "Its weights are damaged, or too large."
            )
        with np.errstate(over="ignore"):  # a large power is infinite, and its part of the score 0
            return ACTIVATIONS[cast(Activation, self.cross.activation)](found)

    def numbers(self, pairs: Sequence[PairTokens]) -> Scores:
        """The number that the model computes for each pair (n,), of which its activation makes the score.

        Each has a token.
        """
        found = np.empty(len(pairs), np.float64)

        def run(beside: bool, rows: list[int]) -> None:
            found[rows] = self.logits(self.padded([pairs[row] for row in rows]), beside)[:, 0]

        with ThreadPoolExecutor(self.workers, "vecindex-score") as pool:
            try:
                lengths = [len(pair.ids) for pair in pairs]
                budget = tokens_a_batch(self.sharing)
                in_batches(lengths, budget, pool, self.workers, partial(run, False), partial(run, True))()
            finally:
                pool.shutdown(cancel_futures=True)
        return found

    def padded(self, pairs: Sequence[PairTokens]) -> dict[str, IntArray]:
        """The `inputs` for these pairs, (B, T) each."""
        shape = (len(pairs), max(len(pair.ids) for pair in pairs))
        filled = {IDS: np.full(shape, self.padding_id, np.int64), MASK: np.zeros(shape, np.int64)}
        filled[TYPES] = np.zeros(shape, np.int64)
        for row, pair in enumerate(pairs):
            size = len(pair.ids)
            filled[IDS][row, :size] = pair.ids
            filled[MASK][row, :size] = 1
            filled[TYPES][row, :size] = pair.types
        return {name: filled[name] for name in self.inputs}
