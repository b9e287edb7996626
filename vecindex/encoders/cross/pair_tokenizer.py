"""Tokenizes pairs of a query and a text, as sentence-transformers does: the longer of the two is truncated first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tokenizers

from ..run.text_tokenizer import CHARACTERS_A_TOKEN, HUGE, encoded


@dataclass(frozen=True, slots=True)
class PairTokens:
    """A tokenized pair, truncated at the model's maximum: ``ids`` and ``types``, which tell a text's tokens apart."""

    ids: Sequence[int]
    types: Sequence[int]


class PairTokenizer:
    """A model's tokenizer for pairs; safe to use from several threads."""

    def __init__(
        self, tokenizer: tokenizers.Tokenizer, max_tokens: int, truncation: Literal["right", "left"] = "right"
    ) -> None:
        """Raises ValueError if special tokens leave no room for a pair."""
        special = tokenizer.num_special_tokens_to_add(is_pair=True)
        if special + 2 > max_tokens:
            raise ValueError(f"it reads {max_tokens} tokens of a pair, and its special tokens are {special}")
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_tokens, strategy="longest_first", direction=truncation)
        self._cut = tokenizer
        self._reads_the_end = truncation == "left"
        self._huge = max(HUGE, CHARACTERS_A_TOKEN * max_tokens)

    @classmethod
    def like(
        cls, tokenizer: tokenizers.Tokenizer, max_tokens: int, truncation: Literal["right", "left"] = "right"
    ) -> PairTokenizer:
        """A copy of ``tokenizer``, so that changes to the original's truncation and padding do not matter here."""
        return cls(tokenizers.Tokenizer.from_str(tokenizer.to_str()), max_tokens, truncation)

    @classmethod
    def from_file(cls, path: Path, max_tokens: int, truncation: Literal["right", "left"] = "right") -> PairTokenizer:
        return cls(tokenizers.Tokenizer.from_file(str(path)), max_tokens, truncation)

    def save(self, path: Path) -> None:
        """Writes the file that `from_file` reads."""
        self._cut.save(str(path))

    def tokenize(self, query: str, texts: Sequence[str]) -> list[PairTokens]:
        """The pairs of the query with each text."""
        query = self._enough(query)
        pairs = [(query, self._enough(text)) for text in texts]
        return [PairTokens(each.ids, each.type_ids) for each in encoded(self._cut, pairs)]

    def _enough(self, text: str) -> str:
        """The text, or of a huge one as much as fills the maximum: what is behind it would be truncated anyway."""
        size = self._huge
        while size < len(text):
            end = text[-size:] if self._reads_the_end else text[:size]
            (encoding,) = encoded(self._cut, [end])
            if encoding.overflowing:
                return end
            size *= 8
        return text
