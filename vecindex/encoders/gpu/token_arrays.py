"""How are the tokens of many texts held and sent: a few flat arrays instead of an object for each text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from ..run.encoder import IntArray
from ..run.text_tokenizer import TextTokenizer

_NUMBER = np.dtype("<i8")
_ID = np.dtype("<i4")


@dataclass(frozen=True, slots=True, eq=False)
class TokenArrays:
    """The tokens of n texts: ``ids`` int32, text behind text; ``lengths`` (n,) of them, ``lost`` (n,) not read."""

    ids: npt.NDArray[np.int32]
    lengths: IntArray
    lost: IntArray

    @property
    def starts(self) -> IntArray:
        """Where in ``ids`` each text's tokens begin, (n,)."""
        return np.cumsum(self.lengths) - self.lengths

    @classmethod
    def of(cls, tokenizer: TextTokenizer, texts: Sequence[str]) -> TokenArrays:
        """The texts' tokens, cut at the tokenizer's maximum."""
        tokens = tokenizer.tokenize(texts)
        lengths = np.fromiter((len(t.ids) for t in tokens), dtype=np.int64, count=len(tokens))
        lost = np.fromiter((t.lost for t in tokens), dtype=np.int64, count=len(tokens))
        flat = chain.from_iterable(t.ids for t in tokens)
        return cls(np.fromiter(flat, dtype=np.int32, count=int(lengths.sum())), lengths, lost)

    @classmethod
    def joined(cls, several: Sequence[TokenArrays]) -> TokenArrays:
        """All of them as one, in order; there must be one at least."""
        if len(several) == 1:
            return several[0]
        return cls(
            np.concatenate([each.ids for each in several]),
            np.concatenate([each.lengths for each in several]),
            np.concatenate([each.lost for each in several]),
        )

    def to_bytes(self) -> bytes:
        """n as 8 bytes, then ``lengths``, ``lost`` and ``ids``, all little-endian."""
        count = np.array([len(self.lengths)], dtype=_NUMBER)
        numbers = [part.astype(_NUMBER, copy=False).tobytes() for part in (count, self.lengths, self.lost)]
        return b"".join([*numbers, self.ids.astype(_ID, copy=False).tobytes()])

    @classmethod
    def from_bytes(cls, data: bytes) -> TokenArrays:
        """What `to_bytes` wrote."""
        count = int(np.frombuffer(data, _NUMBER, 1)[0])
        numbers = np.frombuffer(data, _NUMBER, 1 + 2 * count).astype(np.int64, copy=False)
        ids = np.frombuffer(data, _ID, offset=numbers.nbytes).astype(np.int32, copy=False)
        return cls(ids, numbers[1 : 1 + count], numbers[1 + count :])


def texts_to_bytes(texts: Sequence[str]) -> bytes:
    """n as 8 bytes, then each text's length in characters, then all of them in UTF-8."""
    lengths = np.fromiter(map(len, texts), dtype=_NUMBER, count=len(texts))
    return b"".join([np.array([len(texts)], dtype=_NUMBER).tobytes(), lengths.tobytes(), "".join(texts).encode()])


def texts_from_bytes(data: bytes) -> list[str]:
    """What `texts_to_bytes` wrote."""
    count = int(np.frombuffer(data, _NUMBER, 1)[0])
    ends = np.cumsum(np.frombuffer(data, _NUMBER, count, offset=_NUMBER.itemsize)).tolist()
    text = data[_NUMBER.itemsize * (1 + count) :].decode()
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
