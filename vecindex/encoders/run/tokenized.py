"""Defines what a tokenizer makes of a text, and what an encoder needs of a tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
Span = tuple[int, int]
"""The positions of the first character and of the one after the last."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A tokenized text: ``ids``, special tokens included, truncated at the model's maximum; ``total`` counts all."""

    ids: Sequence[int]
    total: int

    @property
    def lost(self) -> int:
        """How many tokens the model does not read."""
        return self.total - len(self.ids)


class Tokenizer(Protocol):
    """A model's tokenizer; safe to use from several threads."""

    @property
    def unknown(self) -> frozenset[int] | None:
        """The ids that stand for text that the vocabulary lacks; None if the tokenizer cannot tell."""

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """The texts' tokens, special tokens included, truncated at the model's maximum."""

    def strings(self, ids: Sequence[int]) -> list[str]:
        """The vocabulary's string for each token."""

    def offsets(self, text: str) -> list[Span]:
        """The characters of each token of a text in order, special tokens not counted, truncated nowhere."""

    def spans(self, text: str, room: int) -> list[Span]:
        """Splits a text into parts of at most ``room`` tokens each, special tokens not counted."""
