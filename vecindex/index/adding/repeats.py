"""Marks the items of one input that repeat an earlier key, or refuses them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Literal

from ...errors import Advice, InvalidInput, VecindexError
from ...machine.batching import windows
from ...store.changes.reconcile import Incoming
from ...values.records import Origin
from ...values.repeats import SeenKeys

OnDuplicate = Literal["error", "last"]
"""What to do when two items have the same given key: raise an error that names both, or keep the last.

The key of an item without one is derived from its content, so only items with the same content share it."""

KEYS_AT_ONCE = 1024


def marked(items: Iterable[Incoming], on_duplicate: OnDuplicate) -> Iterator[Incoming]:
    """The same items; those that repeat an earlier key are marked.

    Raises InvalidInput for a given key that is repeated, unless the last one wins.
    """
    seen = SeenKeys()
    failed: Exception | None = None

    def reading() -> Iterator[Incoming]:
        nonlocal failed
        try:
            yield from items
        except Exception as error:  # raised once the items before it are yielded
            failed = error

    for window in windows(reading(), KEYS_AT_ONCE, lambda item: item.text):
        start = len(seen)
        for position, first in seen.repeated([i.key for i in window], [i.named for i in window]).items():
            item = window[position - start]
            if on_duplicate == "error" and (item.named or seen.is_named(first)):
                raise InvalidInput(
                    f"items {first} and {position} have the same key, {item.key!r}",
                    Advice(
                        "Give each its own key, or pass on_duplicate='last' to keep the last one.",
                        typed="Give each its own key, or keep the last one with --on-duplicate last.",
                    ),
                )
            window[position - start] = replace(item, again=True)
        yield from window
    if failed is not None:
        raise failed


def repeated_key(key: str, here: Origin | None, there: Origin | None) -> VecindexError:
    """The error for a key that a row has ``here`` and an earlier one ``there``; a given text has no origin."""
    if there is None:
        where = "one of the given texts"
    elif here is not None and here.path == there.path:
        where = f"{there.unit} {there.place}"
    else:
        where = f"{there.unit} {there.place} of {there.path}" if there.place else there.path
    advice = Advice(
        "Give each row its own key.",
        typed="Give each row its own key, or keep the last (--on-duplicate last) or the first (--skip-bad).",
    )
    reason = f"the key {key!r} is also that of {where}"
    return InvalidInput(reason, advice) if here is None else here.error(reason, advice)
