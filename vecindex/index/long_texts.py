"""What becomes of a text that is longer than the model reads: cut, refused, parted into records, or taken as a mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from ..encoders.run.encoder import Encoder
from ..errors import InvalidInput, TextTooLong
from ..store.reconcile import Incoming
from ..store.snapshot import Snapshots
from ..store.text_cache import text_digest
from ..store.text_parts import PART_OF, SPAN, common_metadata, owner_of, part_key
from ..store.writer import TextVector
from ..values.nested import read_json
from ..values.records import UNKNOWN, checked_metadata

OnLong = Literal["truncate", "error", "split", "mean"]
"""``truncate`` encodes what the model reads of it, and counts the rest; ``error`` refuses it, and nothing of its window
is stored; ``split`` stores its parts as records of their own, see `store.text_parts`; ``mean`` encodes it in parts and
stores one vector, their mean."""

RESERVED = (PART_OF, SPAN)
"""The names that metadata must not use where texts are parted."""


def without_reserved(incoming: Iterable[Incoming]) -> Iterator[Incoming]:
    """The same, checked: their metadata must not use the names that parts have; raises InvalidInput."""
    for position, item in enumerate(incoming):
        written = item.metadata or "{}"
        used = read_json(written) if any(name in written for name in RESERVED) else {}
        if found := [name for name in RESERVED if name in used]:
            raise InvalidInput(
                f"item {position}: its metadata uses the name {found[0]!r}, which says of parts whose they are",
                "Rename it, or choose another on_long.",
            )
        yield item


def refuse_long(
    records: Sequence[Incoming], positions: Sequence[int], vectors: Mapping[str, TextVector], encoder: Encoder
) -> None:
    """Raises TextTooLong for the first of the records whose text lost tokens; ``positions`` are theirs."""
    for item, position in zip(records, positions, strict=True):
        if (found := vectors.get(item.text)) is not None and found.lost % UNKNOWN:
            space = encoder.space
            tokens = space.max_tokens + found.lost % UNKNOWN
            raise TextTooLong(position, item.key, item.text[:40], tokens, space.max_tokens, space.model)


def encoded(texts: Sequence[str], encoder: Encoder, on_long: OnLong) -> dict[str, TextVector]:
    """The vectors of different texts, all of them as far as they are read, but for ``mean``."""
    means: list[str] = []
    if on_long == "mean" and (limit := encoder.space.max_tokens):
        counts = dict(zip(texts, encoder.count_tokens(texts), strict=True))
        means = [text for text in texts if counts[text] > limit]
        texts = [text for text in texts if counts[text] <= limit]
    found = encoder.encode_all(texts)
    vectors = {
        text: TextVector(vector, lost, text_digest(text))
        for text, vector, lost in zip(texts, found.vectors, found.uncovered.tolist(), strict=True)
    }
    if means:  # not for the cache, which knows a text alone, and not how it was encoded
        whole = encoder.encode_all(means, on_long="mean")
        each = zip(means, whole.vectors, whole.uncovered.tolist(), strict=True)
        vectors |= {text: TextVector(vector, lost) for text, vector, lost in each}
    return vectors


def parted(window: Sequence[Incoming], snapshots: Snapshots, encoder: Callable[[], Encoder]) -> list[list[Incoming]]:
    """For each item itself, or the parts of its text if that is too long.

    The tokenizer is asked about texts of which the cache does not say that they are short. Where an item's metadata is
    not said, it keeps what an earlier item said, or what is stored of it, whole or in parts.
    """
    texts = dict.fromkeys(item.text for item in window)
    unsaid = {item.key for item in window if item.metadata is None}
    with snapshots.take() as snapshot:
        for text, (entry, _) in snapshot.cached(texts).items():
            if not entry.lost % UNKNOWN:
                del texts[text]
        parts = {str(owner_of(part)): part for part in snapshot.parts_of(unsaid)}
        kept = {owner: checked_metadata(common_metadata(part)) for owner, part in parts.items()}
        # What is said of a part is not for another text under its key.
        for key, stored in snapshot.find(unsaid).items():
            if owner_of(stored) is None:
                snapshot.metadata(stored)  # damaged, it is no object
                kept[key] = stored.metadata
    long: set[str] = set()
    if texts and (limit := encoder().space.max_tokens):
        counts = encoder().count_tokens(list(texts))
        long = {text for text, count in zip(texts, counts, strict=True) if count > limit}
    units = []
    for item in window:
        if item.metadata is not None:
            kept[item.key] = item.metadata
        metadata = kept.get(item.key)
        if item.text in long:
            units.append(_parts(item, metadata, encoder()))
        else:
            units.append([replace(item, metadata=metadata)])
    return units


def _parts(item: Incoming, metadata: str | None, encoder: Encoder) -> list[Incoming]:
    common = read_json(metadata or "{}")
    return [
        Incoming(
            part_key(item.key, number),
            item.text[start:end],
            checked_metadata({**common, PART_OF: item.key, SPAN: [start, end]}),
            part_of=item.key,
            again=item.again,
        )
        for number, (start, end) in enumerate(encoder.parts(item.text), 1)
    ]
