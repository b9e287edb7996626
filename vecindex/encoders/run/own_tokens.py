"""The vectors of a text's own tokens, at unit length: without the prompt and the model's special tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...values.space import Role
from .encoder import Encoder
from .pooling import FloatArray, unit_length
from .tokenized import Tokens

_CHARACTERS_A_TOKEN = 32  # more than any text has on average
_TOKENS_READ = 512
"""How many tokens are read of a text, about, by a model without a limit of its own."""


@dataclass(frozen=True, slots=True, eq=False)
class OwnTokens:
    """The own tokens of a text, their ``ids`` and their unit ``vectors`` (T, D) float32."""

    ids: tuple[int, ...]
    vectors: FloatArray


def tokenized(encoder: Encoder, texts: Sequence[str], role: Role) -> list[Tokens]:
    """The tokens of texts, for `own_tokens`.

    A text has as many as the model reads. To tell how many more there are, as `Encoder.tokens` does, would take all the
    time of a long text, so only as many characters are looked at as surely hold these.
    """
    most = _most_characters(encoder)
    from_end = encoder.space.truncation == "left"
    return encoder.tokens([text[-most:] if from_end else text[:most] for text in texts], role)


def is_read_whole(encoder: Encoder, text: str) -> bool:
    """Whether `tokenized` gives all of the tokens of a text that the model reads."""
    return bool(encoder.space.max_tokens) or len(text) <= _most_characters(encoder)


def _most_characters(encoder: Encoder) -> int:
    return _CHARACTERS_A_TOKEN * (encoder.space.max_tokens or _TOKENS_READ)


def own_tokens(encoder: Encoder, tokens: Sequence[Tokens], role: Role) -> list[OwnTokens]:
    """The own tokens of tokenized texts."""
    each = zip(tokens, _states(encoder, tokens), strict=True)
    return [own_tokens_of(encoder, one, states, role) for one, states in each]


def own_tokens_of(encoder: Encoder, tokens: Tokens, states: FloatArray, role: Role) -> OwnTokens:
    """The own ones of a text's ``tokens``, which have these last hidden ``states`` (T, D)."""
    own = _own_places(encoder, tokens, role)
    return OwnTokens(tuple(int(tokens.ids[place]) for place in own), unit_length(states[np.array(own, int)]))


def own_ids(encoder: Encoder, tokens: Tokens, role: Role) -> tuple[int, ...]:
    """The ids of the own ones of a text's tokens."""
    return tuple(int(tokens.ids[place]) for place in _own_places(encoder, tokens, role))


def _own_places(encoder: Encoder, tokens: Tokens, role: Role) -> list[int]:
    around = encoder.surroundings[role]
    start = max(0, around.start - tokens.lost) if encoder.space.truncation == "left" else around.start
    return [place for place, id_ in enumerate(tokens.ids) if place >= start and id_ not in around.special]


def _states(encoder: Encoder, tokens: Sequence[Tokens]) -> list[FloatArray]:
    """As `Encoder.states`, also for texts without any token."""
    some = [place for place, one in enumerate(tokens) if len(one.ids)]
    found = [np.empty((0, encoder.space.dimension), np.float32)] * len(tokens)
    for place, states in zip(some, encoder.states([tokens[place] for place in some]), strict=True):
        found[place] = states
    return found
