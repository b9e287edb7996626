"""Marks the items of one input that repeat an earlier key, or refuses them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Literal

from ..errors import Advice, InvalidInput
from ..machine.batching import windows
from ..store.reconcile import Incoming
from ..values.repeats import SeenKeys

OnDuplicate = Literal["error", "last"]
"""What happens when two items are given one key: an error that names both, or the last one wins.

An item that was given no key is named by its content, so it can only repeat an item with the same content."""

KEYS_AT_ONCE = 1024


def marked(items: Iterable[Incoming], on_duplicate: OnDuplicate) -> Iterator[Incoming]:
    """The same items; those that repeat a key say so.

    Raises InvalidInput for a key that was given and is there twice, unless the last one is to win.
    """
    seen = SeenKeys()
    failed: Exception | None = None

    def reading() -> Iterator[Incoming]:
        nonlocal failed
        try:
            yield from items
        except Exception as error:  # told once what came before it is given out
            failed = error

    for window in windows(reading(), KEYS_AT_ONCE, lambda item: item.text):
        start = len(seen)
        for position, first in seen.repeated([i.key for i in window], [i.named for i in window]).items():
            item = window[position - start]
            if on_duplicate == "error" and (item.named or seen.is_named(first)):
                raise InvalidInput(
                    f"items {first} and {position} have the same key, {item.key!r}",
                    Advice(
                        "Give each a key of its own, or pass on_duplicate='last' to keep the last one.",
                        typed="Give each a key of its own, or keep the last one with --on-duplicate last.",
                    ),
                )
            window[position - start] = replace(item, again=True)
        yield from window
    if failed is not None:
        raise failed
