"""Defines what a tokenizer makes of a text, and what an encoder needs of a tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
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


Keep = Callable[[str, Tokens, FloatArray], None]
"""Gets a text, its tokens, and their last hidden states (T, D)."""
Tell = Callable[[Sequence[int], FloatArray], None]
"""Gets the positions of a batch's texts, and their last hidden states (B, T, D), padding included."""


def tell_nobody(rows: Sequence[int], states: FloatArray) -> None:
    """A `Tell` that does nothing."""


def telling(keep: Keep | None, texts: Sequence[str], tokens: Sequence[Tokens]) -> Tell:
    """Gives ``keep`` the texts of each batch one by one."""
    if keep is None:
        return tell_nobody

    def tell(rows: Sequence[int], states: FloatArray) -> None:
        for row, own in zip(rows, states, strict=True):
            keep(texts[row], tokens[row], own[: len(tokens[row].ids)])

    return tell


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
