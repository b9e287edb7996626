"""An encoder with known vectors, for tests of other layers. A word's vector is fixed, a text is their mean."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vecindex.encoders.run.encoder import Encoder
from vecindex.encoders.run.tokenized import IntArray, Span, Tokens
from vecindex.values.space import Space

DIMENSION = 16
MAX_TOKENS = 32


def toy_space(**changes: object) -> Space:
    settings: dict[str, object] = {
        **{"model": "toy", "dimension": DIMENSION, "max_tokens": MAX_TOKENS, "pooling": "mean", "normalize": True},
        **{"query_prompt": "", "document_prompt": "", "precision": "fp32"},
        **{"weights": "w" * 64, "tokenizer": "t" * 64, "architecture": "a" * 64},
    }
    return Space(**(settings | changes))  # type: ignore[arg-type]


def word_vector(token_id: int, dimension: int = DIMENSION) -> npt.NDArray[np.float32]:
    """(dimension,) numbers between -1 and 1 that depend on the id alone."""
    digest = hashlib.shake_256(str(token_id).encode()).digest(2 * dimension)
    return (np.frombuffer(digest, dtype="<u2").astype(np.float32) / 32768 - 1).astype(np.float32)


class ToyEncoder(Encoder):
    """Splits at spaces; the empty text is one token. ``encoded`` counts the texts that it was asked to encode.

    It is its own tokenizer, so that a test can override either.
    """

    runtime = "toy"
    unknown = None

    def __init__(self, **changes: object) -> None:
        self.space = toy_space(**changes)
        self.tokenizer = self
        self.encoded = 0
        self._words: dict[int, str] = {}

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        self.encoded += len(texts)
        return [self._tokens(text.split(" ")) for text in texts]

    def _tokens(self, words: list[str]) -> Tokens:
        kept = words[: self.space.max_tokens or None]
        ids = [1 + int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "little") for word in kept]
        self._words.update(zip(ids, kept, strict=True))
        return Tokens(ids, len(words))

    def strings(self, ids: Sequence[int]) -> list[str]:
        return [self._words[id_] for id_ in ids]

    def offsets(self, text: str) -> list[Span]:
        return [match.span() for match in re.finditer("[^ ]+", text)]

    def spans(self, text: str, room: int) -> list[Span]:
        words = self.offsets(text)
        starts = range(0, len(words), room)
        return [(words[i][0], words[min(i + room, len(words)) - 1][1]) for i in starts] or [(0, len(text))]

    def forward(self, input_ids: IntArray, attention_mask: IntArray) -> npt.NDArray[np.float32]:
        return np.stack([np.stack([word_vector(int(i), self.space.dimension) for i in row]) for row in input_ids])


class BareEncoder(ToyEncoder):
    """One whose tokenizer finds nothing in one word and adds nothing, so that a text may have no token."""

    nothing = "~"

    def _tokens(self, words: list[str]) -> Tokens:
        return super()._tokens([word for word in words if word != self.nothing])
