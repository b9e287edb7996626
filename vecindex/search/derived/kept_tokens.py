"""Keeps the codes of the texts that an ``add`` has just encoded, until their segment is written."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from ...encoders.run.encoder import Encoder
from ...encoders.run.own_tokens import is_read_whole, own_tokens_of
from ...encoders.run.tokenized import FloatArray, Tokens
from ...store.text_cache import text_digest
from ...values.space import Space
from ..rerank.token_codes import Codes, encode

MOST_KEPT = 7 * 2**25
"""How many bytes of codes an ``add`` may keep at a time; those whose rows are published make room for new ones.

With a piece of those that are made up for (`token_upkeep.MOST_A_PIECE`), it has at most 256 MiB.
"""


class Kept:
    """The codes of the texts that an ``add`` has just encoded, by the digest of the text; for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._space = ""
        self._waiting: dict[bytes, Codes] = {}
        self._waiting_size = 0
        self._published: dict[bytes, Codes] = {}  # another row may have the same text
        self._published_size = 0

    @property
    def is_half_full(self) -> bool:
        """Whether codes that wait to be published take half of the room."""
        return 2 * self._waiting_size >= MOST_KEPT

    def put(self, encoder: Encoder, text: str, tokens: Tokens, states: FloatArray) -> None:
        """Keeps the codes of a text's own tokens; see `Encoder.encode_keeping`."""
        if not is_read_whole(encoder, text):
            return
        codes = encode(own_tokens_of(encoder, tokens, states, "document").vectors)
        with self._lock:
            if self._space != encoder.space.fingerprint:  # a migration came in between
                self._forget()
                self._space = encoder.space.fingerprint
            self._make_room(codes.nbytes)
            digest = text_digest(text)
            if digest not in self._waiting and self._size + codes.nbytes <= MOST_KEPT:
                self._waiting[digest] = codes
                self._waiting_size += codes.nbytes

    def get(self, text: str, space: Space) -> Codes | None:
        with self._lock:
            if self._space != space.fingerprint:
                return None
            digest = text_digest(text)
            found = self._waiting.get(digest)
            return self._published.get(digest) if found is None else found

    def published(self, texts: Iterable[str], space: Space) -> None:
        """These texts' codes are in a segment now, and are dropped as soon as others need the room."""
        with self._lock:
            if self._space != space.fingerprint:
                return
            for digest in map(text_digest, texts):
                codes = self._waiting.pop(digest, None)
                if codes is None:
                    continue
                self._waiting_size -= codes.nbytes
                if digest not in self._published:
                    self._published[digest] = codes
                    self._published_size += codes.nbytes

    def forget(self) -> None:
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        self._waiting, self._waiting_size = {}, 0
        self._published, self._published_size = {}, 0

    @property
    def _size(self) -> int:
        return self._waiting_size + self._published_size

    def _make_room(self, size: int) -> None:
        while self._published and self._size + size > MOST_KEPT:
            oldest = next(iter(self._published))
            self._published_size -= self._published.pop(oldest).nbytes
