"""Finds the texts of which a model knows nothing: each of their tokens is the unknown token, or they have none.

The vectors of such texts are nearly equal whatever the texts say: a search for one emoji finds another with a cosine
of 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from ...values.space import Role, Space
from .tokenized import Tokenizer


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What surrounds a text of one role.

    The text's own tokens begin at position ``start``, after the prompt. ``special`` are the ids of the model's special
    tokens. The ids in ``silent`` carry no meaning: these, and the ones that stand for text that the vocabulary lacks,
    as far as the tokenizer can tell.
    """

    start: int
    special: frozenset[int]
    silent: frozenset[int]

    def hide(self, ids: Sequence[int]) -> bool:
        """Whether a text with these tokens means nothing to the model."""
        return all(map(self.silent.__contains__, ids[self.start :]))


def surroundings(tokenizer: Tokenizer, space: Space) -> dict[Role, Surroundings]:
    """What surrounds the texts of each role."""
    # Some tokenizers make a token of the space after a prompt if no text follows.
    empty, *prompts = tokenizer.tokenize(["", *(space.prompt(role).rstrip() for role in get_args(Role))])
    special = frozenset(empty.ids)
    silent = special.union(tokenizer.unknown or ())
    found: dict[Role, Surroundings] = {}
    for role, prompt in zip(get_args(Role), prompts, strict=True):
        ends = bool(empty.ids) and empty.ids[-1] == prompt.ids[-1]  # a special token that ends every text
        start = len(prompt.ids) - ends if space.prompt(role) else 0
        found[role] = Surroundings(start, special, silent)
    return found
