"""Encodes the texts of requests that wait for each other together, as one batch is faster than several."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..encoders.run.encoder import Encoder
from ..encoders.run.pooling import FloatArray
from ..machine.batching import windows
from ..search.together import Together
from ..values.space import Role
from .problems import timed_out

_TEXTS_A_TURN = 128
_CHARACTERS_A_TURN = 100_000
"""So much of a request is encoded at a time, so that a short one need not wait until a long one is done."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """The vectors of n texts, (n, D), and how many tokens the texts have."""

    vectors: FloatArray
    tokens: int


class Embedder:
    """Encodes one batch at a time; whatever came meanwhile is the next one, so that nothing waits for company."""

    def __init__(self) -> None:
        self._together: Together[Embedded] = Together(1)

    def embed(self, texts: Sequence[str], role: Role, encoder: Encoder, seconds: float) -> Embedded:
        """The vectors of one text or more; raises Problem if they are not done after so many seconds."""
        end = time.monotonic() + seconds
        alike = (encoder.space.fingerprint, role)
        done: list[Embedded] = []
        for some in windows(texts, _TEXTS_A_TURN, str, _CHARACTERS_A_TURN):
            if time.monotonic() >= end:
                raise timed_out(seconds)
            done.append(self._together.ask(some, alike, partial(_embedded, encoder, role)))
        return Embedded(np.concatenate([each.vectors for each in done]), sum(each.tokens for each in done))


def takes_turns(texts: Sequence[str]) -> bool:
    """Whether texts are more than are encoded at a time."""
    return len(texts) > _TEXTS_A_TURN or sum(map(len, texts)) > _CHARACTERS_A_TURN


def _embedded(encoder: Encoder, role: Role, asked: Sequence[Sequence[str]]) -> list[Embedded]:
    """For each request, of which there may be several, the vectors of its texts."""
    texts = [text for some in asked for text in some]
    vectors, counts = encoder.encode(texts, role), encoder.count_tokens(texts, role)
    found, start = [], 0
    for some in asked:
        end = start + len(some)
        found.append(Embedded(vectors[start:end], sum(counts[start:end])))
        start = end
    return found
