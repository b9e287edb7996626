"""Cuts a stream of texts into windows that fit into memory, by count and by length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

CHARACTERS = 1_000_000
"""A window ends with the text that reaches this length; a tokenizer needs a few hundred bytes a character."""


def windows(
    items: Iterable[Item], count: int, text: Callable[[Item], str], limit: int = CHARACTERS
) -> Iterator[list[Item]]:
    """All items in order, in lists of at most ``count``, or fewer once their texts reach ``limit`` characters."""
    window: list[Item] = []
    characters = 0
    for item in items:
        window.append(item)
        characters += len(text(item))
        if len(window) == count or characters >= limit:
            yield window
            window, characters = [], 0
    if window:
        yield window
