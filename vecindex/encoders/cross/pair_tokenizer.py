"""Tokenizes pairs of a query and a text, as sentence-transformers does: the longer of the two is truncated first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tokenizers

from ..run.text_tokenizer import CHARACTERS_A_TOKEN, HUGE, TruncatingTokenizer, encoded
from ..run.tokenized import Span

_LONG = 8  # characters for each token that is read, beyond which a text is cut before it is tokenized with the query
_BEYOND = 200
"""How many characters more than what is read are looked at for the end of a word."""
_LONGER = 1024
"""How many tokens more the longer side keeps, if it has them: more than there are in so many characters."""


@dataclass(frozen=True, slots=True)
class PairTokens:
    """A tokenized pair, truncated at the model's maximum: ``ids`` and ``types``, which tell a text's tokens apart."""

    ids: Sequence[int]
    types: Sequence[int]


class PairTokenizer(TruncatingTokenizer):
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
        super().__init__(tokenizer)
        self._max_tokens = max_tokens
        self._reads_the_end = truncation == "left"

    @classmethod
    def like(
        cls, tokenizer: tokenizers.Tokenizer, max_tokens: int, truncation: Literal["right", "left"] = "right"
    ) -> PairTokenizer:
        """A copy of ``tokenizer``, so that changes to the original's truncation and padding do not matter here."""
        return cls(tokenizers.Tokenizer.from_str(tokenizer.to_str()), max_tokens, truncation)

    @classmethod
    def from_file(cls, path: Path, max_tokens: int, truncation: Literal["right", "left"] = "right") -> PairTokenizer:
        return cls(tokenizers.Tokenizer.from_file(str(path)), max_tokens, truncation)

    def tokenize(self, query: str, texts: Sequence[str]) -> list[PairTokens]:
        """The pairs of the query with each text."""
        most = self._max_tokens
        beginning, size = self._enough(query, most)
        if size <= most:
            long = _LONG * most
            pairs = [(query, self._enough(text, most)[0] if len(text) > long else text) for text in texts]
        else:
            pairs = [self._both(query, beginning, size, text) for text in texts]
        return [PairTokens(each.ids, each.type_ids) for each in encoded(self._cut, pairs)]

    def _both(self, query: str, beginning: str, size: int, text: str) -> tuple[str, str]:
        """As much of a query of more tokens than fill the maximum, and of a text, as is needed.

        Where both are truncated, the longer keeps one token more, so the longer stays the longer.
        """
        start, own = self._enough(text, self._max_tokens)
        if own >= size:
            return beginning, self._enough(text, self._max_tokens + _LONGER)[0]
        return self._enough(query, self._max_tokens + _LONGER)[0], start

    def _enough(self, text: str, tokens: int) -> tuple[str, int]:
        """The text, or of a long one as much as has so many tokens, and how many it has, or more than these.

        What is behind it would be truncated anyway. The library keeps what it truncates of a pair, each part of the one
        side with each of the other, which would take all memory for two long texts.
        """
        size = max(HUGE, CHARACTERS_A_TOKEN * tokens)
        while True:
            part = text[-size:] if self._reads_the_end else text[:size]
            (encoding,) = encoded(self._whole, [part], add_special_tokens=False, offsets=True)
            if len(encoding.ids) > tokens:
                return self._filling(part, encoding.offsets, tokens), len(encoding.ids)
            if size >= len(text):
                return text, len(encoding.ids)
            size *= 8

    def _filling(self, text: str, spans: Sequence[Span], tokens: int) -> str:
        """The part of a text that has so many tokens, and a little more, so that it ends between words if it can."""
        if self._reads_the_end:
            start = spans[-tokens][0]
            around = text[max(0, start - _BEYOND) : start]
            return text[start - len(around) + max(around.rfind(" "), 0) :]
        end = spans[tokens - 1][1]
        around = text[end : end + _BEYOND]
        return text[: end + around.find(" ")] if " " in around else text[: end + len(around)]
