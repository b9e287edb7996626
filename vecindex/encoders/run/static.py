"""The runtime of static embeddings: each token has one fixed vector, and a text's vector is their mean.

Nothing is compiled, and torch is not needed: the table of vectors and the tokenizer are the model's own files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ...values.space import Space
from ..config.modules import ModelReader, read_modules
from ..config.weights import Array, arrays, shapes
from .encoder import Encoder
from .environment import environment
from .head import Head
from .pooling import FloatArray
from .text_tokenizer import TOKENIZER_FILE, TextTokenizer, check_room
from .tokenized import IntArray, Tell, Tokens, tell_nobody

_TOKENS_AT_ONCE = 8192
"""The most token vectors in memory at a time, however long the texts are."""


class StaticEncoder(Encoder):
    """A table of token vectors (V, D) float32, in which row i is the vector of the token with id i."""

    tokenizer: TextTokenizer
    runtime = "numpy"

    def __init__(self, space: Space, tokenizer: TextTokenizer, table: FloatArray, head: Head) -> None:
        self.space = space
        self.head = head
        self.tokenizer = tokenizer
        self._table = table

    @classmethod
    def from_folder(cls, folder: Path, space: Space) -> StaticEncoder:
        """The encoder of the model in ``folder``, whose space is ``space``."""
        read = ModelReader(folder, space.model)
        modules = read_modules(read)
        try:
            table = _table(arrays(read.weights(modules.path))[0])
        except (ValueError, KeyError, IndexError) as error:
            read.refuse(f"its token vectors cannot be read: {error}")
        file = folder / modules.path / TOKENIZER_FILE
        try:
            tokenizer = TextTokenizer.from_file(file, space.max_tokens, space.truncation, special=False)
            check_room(tokenizer, (space.document_prompt, space.query_prompt))
        except Exception as error:  # tokenizers has no exception class of its own for a file that it cannot read
            read.refuse(f"{file} cannot be used: {error}")
        return cls(space, tokenizer, table, Head.read(modules, space))

    def environment(self) -> dict[str, str]:
        return environment(self.runtime, numpy=np.__version__)

    def forward(self, input_ids: IntArray, attention_mask: IntArray) -> FloatArray:
        return self._table[input_ids]

    def _begin(
        self, tokens: Sequence[Tokens], skipped: int, pool: ThreadPoolExecutor, tell: Tell = tell_nobody
    ) -> Callable[[], FloatArray]:
        for row, one in enumerate(tokens if tell is not tell_nobody else ()):
            if len(one.ids) <= _TOKENS_AT_ONCE:
                tell([row], self._table[np.asarray(one.ids)[None]])
        return lambda: self.head.after_pooling(np.stack([self._mean(t.ids) for t in tokens]))

    def _mean(self, ids: Sequence[int]) -> FloatArray:
        """The mean of a text's token vectors (D,), computed block by block so that memory is bounded."""
        total = np.zeros(self._table.shape[1], dtype=np.float64)
        for start in range(0, len(ids), _TOKENS_AT_ONCE):
            total += self._table[np.asarray(ids[start : start + _TOKENS_AT_ONCE])].sum(axis=0)
        return (total / len(ids)).astype(np.float32)


def unread(folder: Path, model: str) -> list[str]:
    """The names of the arrays in a static model's files that nothing reads."""
    read = ModelReader(folder, model)
    modules = read_modules(read)
    named = shapes(read.weights(modules.path))
    known = ("embedding.weight",) if "embedding.weight" in named else ("embeddings", "mapping", "weights")
    return [name for name in named if name not in known]


def _table(named: dict[str, Array]) -> FloatArray:
    """The vectors by token id, from the arrays that sentence-transformers or model2vec saves.

    In model2vec's files tokens may share a vector (``mapping``), and each has its own weight (``weights``).
    """
    if "embedding.weight" in named:
        return named["embedding.weight"].astype(np.float32, copy=False)
    table = named["embeddings"].astype(np.float32, copy=False)
    if "mapping" in named:
        table = table[named["mapping"].astype(np.int64)]
    return table * named["weights"].astype(np.float32)[:, None] if "weights" in named else table
