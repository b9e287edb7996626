"""What is an encoder: texts in, one unit-length vector each out, whatever runs the transformer.

A runtime supplies two steps, `tokenize` and `forward`; batching, pooling and normalising are here, once, so that what
`explain` shows is what search uses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput
from ..records import checked_text
from ..windows import windows
from .pooling import FloatArray, pool, unit_length
from .spec import Role, Space

IntArray = npt.NDArray[np.int64]

TOKENS_A_BATCH = 1024
"""Padded tokens in one forward pass; measured best between 512 and 2,048 on two cores."""
TEXTS_A_WINDOW = 4096
"""Texts tokenized and sorted by length at a time at most: memory is bounded but for a single huge text."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """One tokenized text: ``ids`` and their ``strings``, at most the model's maximum; ``total`` counts all of them."""

    ids: Sequence[int]
    strings: Sequence[str]
    total: int

    @property
    def truncated(self) -> bool:
        return self.total > len(self.ids)


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """The vectors of n texts: ``vectors`` (n, D) float32 of unit length, ``truncated`` (n,) bool."""

    vectors: FloatArray
    truncated: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class TokenVectors:
    """One text's ``tokens`` and their last hidden states, ``vectors`` (T, D) float32, not normalised."""

    tokens: Tokens
    vectors: FloatArray


class Encoder(ABC):
    """Turns texts into vectors of one embedding space, ``space``; safe to call from several threads."""

    space: Space

    @abstractmethod
    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """The texts' tokens, special tokens included, cut at ``space.max_tokens``."""

    @abstractmethod
    def forward(self, input_ids: IntArray, attention_mask: IntArray) -> npt.NDArray[np.float32]:
        """The last hidden states (B, T, D) of padded token ids (B, T)."""

    @property
    @abstractmethod
    def padding_id(self) -> int:
        """The token id that fills a padded row."""

    def encode(self, texts: Sequence[str], role: Role = "document") -> FloatArray:
        """One unit-length vector a text, in the texts' order.

        Args:
            texts: a sequence of strings; one string alone is an error, since its letters are not texts.
            role: which of the model's prompts is put before each text, where it has prompts.

        Returns:
            (n, dimension) float32; a vector does not depend on the other texts in the call (to 1e-5).

        Raises:
            InvalidInput: something in ``texts`` is no string, or holds a lone surrogate.
        """
        return self.encode_all(texts, role).vectors

    def encode_all(self, texts: Sequence[str], role: Role = "document") -> Encoded:
        """As `encode`, and which texts were truncated."""
        texts = checked_texts(texts)
        vectors = np.empty((len(texts), self.space.dimension), dtype=np.float32)
        truncated = np.zeros(len(texts), dtype=np.bool_)
        start = 0
        for window in windows(texts, TEXTS_A_WINDOW, str):
            tokens = self._prompted(window, role)
            truncated[start : start + len(tokens)] = [t.truncated for t in tokens]
            for rows in _batches(tokens):
                ids, mask = self._padded([tokens[row] for row in rows])
                pooled = pool(self.forward(ids, mask), mask, self.space.pooling)
                vectors[start + np.asarray(rows)] = unit_length(pooled)
            start += len(window)
        return Encoded(vectors, truncated)

    def encode_tokens(self, texts: Sequence[str], role: Role = "document") -> list[TokenVectors]:
        """Each text's tokens with their own vectors, before pooling: shapes (T_i, dimension), ragged."""
        encoded = []
        for tokens in self._prompted(checked_texts(texts), role):
            ids, mask = self._padded([tokens])
            encoded.append(TokenVectors(tokens, self.forward(ids, mask)[0]))
        return encoded

    def _prompted(self, texts: Sequence[str], role: Role) -> list[Tokens]:
        if role not in get_args(Role):
            raise InvalidInput(f"the role {role!r} is not known", "It is 'document' or 'query'.")
        if not texts:
            return []
        prompt = self.space.prompt(role)
        tokens = self.tokenize([prompt + text for text in texts] if prompt else texts)
        for text, found in zip(texts, tokens, strict=True):
            if not found.ids:
                raise InvalidInput(f"the text {text!r} has no token", "Leave it out; this model adds none of its own.")
        return tokens

    def _padded(self, tokens: Sequence[Tokens]) -> tuple[IntArray, IntArray]:
        width = max(len(t.ids) for t in tokens)
        ids = np.full((len(tokens), width), self.padding_id, dtype=np.int64)
        mask = np.zeros((len(tokens), width), dtype=np.int64)
        for row, t in enumerate(tokens):
            ids[row, : len(t.ids)] = t.ids
            mask[row, : len(t.ids)] = 1
        return ids, mask


def checked_texts(texts: Any) -> Sequence[str]:
    """``texts`` if it is a sequence of strings that can be stored; raises InvalidInput otherwise."""
    if isinstance(texts, (str, bytes)):
        raise InvalidInput(f"texts is one {type(texts).__name__}, not a sequence of texts", "Put it in a list: [text].")
    if not isinstance(texts, Iterable):
        raise InvalidInput(f"texts is a {type(texts).__name__}, not a sequence of texts", "Pass a list of strings.")
    return [checked_text(text) for text in texts]


def _batches(tokens: Sequence[Tokens]) -> Iterator[list[int]]:
    """Positions in batches of alike lengths, longest first, each padded to at most `TOKENS_A_BATCH` tokens."""
    order = sorted(range(len(tokens)), key=lambda i: -len(tokens[i].ids))
    start = 0
    while start < len(order):
        size = max(1, TOKENS_A_BATCH // len(tokens[order[start]].ids))
        yield order[start : start + size]
        start += size
