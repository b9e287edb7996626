"""What a cursor holds: of which search it is, in which state of the index a page was found, and where it ended.

As a string it is 50 to 80 characters of URL-safe Base64, more where a second stage was cut off: the version, the
fields, and a CRC-32 of both. Whole numbers have seven bits a byte, the lowest first.
"""

from __future__ import annotations

import hashlib
import math
import struct
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from ...errors import Advice, CursorExpired, InvalidInput

_VERSION = b"\x01"
_DIGEST, _DERIVED = 8, 4
_SCORE = struct.Struct("<f")
_MOST = 2**62
_LONGEST = 1_000_000
_ADVICE = Advice(
    "Pass the cursor of the hits before as it is, or search without cursor= for the first page.",
    typed="Pass the cursor of the page before as it is, or search without --cursor for the first page.",
)


@dataclass(frozen=True, slots=True)
class State:
    """Which state of which index was searched: the same rows, found in the same way.

    Attributes:
        index: a digest of when the index was made.
        vectors: the number of its vector file, whose rows keep their numbers.
        generation: the number of commits.
        rows: how many rows there were at the first page.
        anchor: the checksum of the last of them.
        derived: a digest of what is derived from the records and decides on the order of hits; see `derived_digest`.
    """

    index: bytes
    vectors: int
    generation: int
    rows: int
    anchor: int
    derived: bytes


@dataclass(frozen=True, slots=True)
class Last:
    """What orders the last hit in the mode "dense": meaningless ones come last, then ``score``, then ``row``."""

    unknown: bool
    score: float
    row: int

    @property
    def order(self) -> tuple[bool, float, int]:
        """Smaller for what comes first; vectors of earlier versions may hold NaN, which comes last."""
        return self.unknown, 2.0 if math.isnan(self.score) else -self.score, self.row


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page ended.

    Attributes:
        question: the digest of the query and the options; see `pages`.
        state: what was searched.
        pool: how many records the first page chose its hits from; 0 if it cannot be found again.
        shown: how many hits all pages together had.
        last: the last hit, in the mode "dense" where nothing but the cosine orders hits.
        read: which records of the pool a second stage read in its time, a bit each; empty if it read all.
    """

    question: bytes
    state: State
    pool: int
    shown: int
    last: Last | None = None
    read: bytes = b""

    def __str__(self) -> str:
        state, last = self.state, self.last
        packed = b"".join(
            [
                *(_VERSION, state.index, self.question, state.derived),
                *map(_number, (state.vectors, state.generation, state.rows, state.anchor, self.pool, self.shown)),
                b"\0" if last is None else bytes([1 + last.unknown]) + _SCORE.pack(last.score) + _number(last.row),
                self.read,
            ]
        )
        return urlsafe_b64encode(packed + zlib.crc32(packed).to_bytes(4, "little")).decode().rstrip("=")

    @classmethod
    def read_from(cls, text: str) -> Cursor:
        """The cursor that a string is; raises InvalidInput."""
        try:
            found = cls._unpacked(_bytes(text))
        except (ValueError, StopIteration, struct.error):
            raise _damaged() from None
        are_counts = max(found.pool, found.shown) <= found.state.rows
        if str(found) != text or not are_counts or not (found.pool or found.last):
            raise _damaged()
        return found

    @classmethod
    def _unpacked(cls, packed: bytes) -> Cursor:
        if packed[:1] != _VERSION or zlib.crc32(packed[:-4]).to_bytes(4, "little") != packed[-4:]:
            raise ValueError
        index, question = packed[1 : 1 + _DIGEST], packed[1 + _DIGEST : 1 + 2 * _DIGEST]
        place = 1 + 2 * _DIGEST + _DERIVED
        derived = packed[1 + 2 * _DIGEST : place]
        rest = iter(packed[place:-4])
        vectors, generation, rows, anchor, pool, shown = [_whole(rest) for _ in range(6)]
        last = None
        if kind := next(rest):
            (score,) = _SCORE.unpack(bytes(islice(rest, _SCORE.size)))
            last = Last(kind == 2, score, _whole(rest))
        return cls(question, State(index, vectors, generation, rows, anchor, derived), pool, shown, last, bytes(rest))


def short_digest(text: str, size: int = _DIGEST) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest()


@lru_cache(16)
def index_digest(created: str) -> bytes:
    """A digest of when an index was made, by which its cursors know it."""
    return short_digest(created)


@lru_cache(16)
def derived_digest(codes: tuple[str, ...], words: str | None, tokens: tuple[str, ...], background: str | None) -> bytes:
    """A digest of the codes that are used, how texts become words, the files of token vectors, and the background."""
    return short_digest(repr((codes, words, tokens, background)), _DERIVED)


def check_state(cursor: Cursor, now: State, anchor: int, plain: bool) -> bool:
    """Whether the same state is searched as for the cursor; if not, the hits must be in a ``plain`` order of cosines.

    Args:
        cursor: a cursor of this search.
        now: what is searched now.
        anchor: the checksum of the last row that the cursor's state had, 0 if there is none.
        plain: whether only the cosines of records order the hits, so that commits do not change their order.

    Raises:
        InvalidInput: the cursor is of another index.
        CursorExpired: the order of its hits is gone.
    """
    then = cursor.state
    if then.index != now.index:
        raise _of_another()
    if then.vectors != now.vectors or then.generation > now.generation or then.rows > now.rows:
        raise CursorExpired(then.generation, now.generation, "the rows of the index have other numbers now")
    if then.anchor != anchor:
        raise _of_another()
    if (then.generation, then.derived) == (now.generation, now.derived):
        return True
    if not plain:
        raise CursorExpired(
            then.generation,
            now.generation,
            "only a dense search without groups, diversity and rerank goes on after a change",
        )
    return False


def _of_another() -> InvalidInput:
    return InvalidInput("the cursor is of another index", _ADVICE)


def _damaged() -> InvalidInput:
    return InvalidInput("the cursor is damaged, or is none", _ADVICE)


def _number(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def _whole(rest: Iterator[int]) -> int:
    value, shift = 0, 0
    for byte in rest:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            if value > _MOST:
                break
            return value
        if shift > 63:
            break
    raise ValueError


def _bytes(text: str) -> bytes:
    if len(text) > _LONGEST or not text.isascii():
        raise ValueError
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))  # binascii.Error is a ValueError
