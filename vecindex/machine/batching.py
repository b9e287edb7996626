"""How is a long stream of texts cut into windows that fit into memory: by count, and by length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

CHARACTERS = 1_000_000
"""A window ends with the text that fills it up to so many; a tokenizer needs some hundred bytes for each."""


def windows(
    items: Iterable[Item], count: int, text: Callable[[Item], str], limit: int = CHARACTERS
) -> Iterator[list[Item]]:
    """Lists of at most ``count`` items, fewer where their texts fill ``limit`` characters; together all, in order."""
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
