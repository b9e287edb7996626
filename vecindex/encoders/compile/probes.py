"""Checks an encoder against sentence-transformers on probe texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from ...errors import EncodingFailed
from ...values.space import Role
from ..run.checks import not_finite
from ..run.encoder import Encoder

if TYPE_CHECKING:
    from ..run.torch import TorchEncoder

AGREEMENT = 0.99999
"""The lowest accepted cosine between a probe's vector and the one that sentence-transformers computes."""

# Lengths from no word to over the maximum, in several scripts: what a wrongly traced graph gets wrong first.
PROBES = (
    "",
    "My name is Aun",
    "The quick brown fox jumps over the lazy dog, twice: 1,234.50!",
    "Der Zug nach Köln fährt um 7:45 Uhr ab. 🚆",
    "今日はとても良い天気ですね。",
    "Сегодня идёт дождь, и мы остаёмся дома.",
    "a long text " * 40,
)
_PROBE_PAIRS = 1200  # pairs of a word and a number in a text without repetition: more than most models read


def probed(reference: TorchEncoder, encoder: Encoder) -> float:
    """The lowest cosine between the encoder's and sentence-transformers' vectors, over all probes and both roles."""
    space = reference.space
    # Longer than every window of its attention, with different words beyond it, or a lost window would not show.
    pairs = max(_PROBE_PAIRS, min(reference.reach, space.max_tokens) // 2 + 100)
    long = " ".join(f"{word} {n}" for n, word in zip(range(pairs), cycle(PROBES[2].split()), strict=False))
    roles: tuple[Role, ...] = ("document", "query")
    return min(
        _role_agreement(reference, encoder, (*PROBES, long), role)
        for role in roles[: 1 if space.query_prompt == space.document_prompt else 2]
    )


def _role_agreement(reference: TorchEncoder, encoder: Encoder, texts: Sequence[str], role: Role) -> float:
    """The lowest cosine, alone and in a batch; NaN counts as disagreement."""
    prompt, skipped = reference.space.prompt(role), reference.pooled_from(role)
    tokens = reference.tokenizer.tokenize([prompt + text for text in texts])
    probes = [text for text, found in zip(texts, tokens, strict=True) if len(found.ids) > skipped]
    expected = reference.truth(probes, role)
    try:
        batched = encoder.encode(probes, role)
        alone = np.concatenate([encoder.encode([probe], role) for probe in probes])
    except EncodingFailed as error:
        if not_finite(error):
            return math.nan
        raise
    return float(np.minimum((expected * batched).sum(axis=1), (expected * alone).sum(axis=1)).min())
