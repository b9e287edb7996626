"""The policies for a text that is longer than the model reads: truncate, refuse, split, or average its parts."""

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
from ..values.metadata import checked_metadata
from ..values.nested import read_json
from ..values.records import UNKNOWN

OnLong = Literal["truncate", "error", "split", "mean"]


class LongTexts:
    """A policy for long texts. This one, "truncate", encodes the beginning and counts the tokens that are lost."""

    splits = False
    """Whether one item may become several records."""
    covers_all = False
    """Whether a vector that does not cover its whole text must be made again."""
    reserved: tuple[str, ...] = ()
    """Metadata fields that the input must not use."""

    def checked(self, items: Iterable[Incoming]) -> Iterable[Incoming]:
        """The same items; raises InvalidInput for the first one that the policy cannot store."""
        return items

    def units(
        self, window: Sequence[Incoming], snapshots: Snapshots, encoder: Callable[[], Encoder]
    ) -> list[list[Incoming]]:
        """The records to store for each item."""
        return [[item] for item in window]

    def encode(self, texts: Sequence[str], encoder: Encoder) -> dict[str, TextVector]:
        """The vectors of different texts."""
        found = encoder.encode_all(texts)
        return {
            text: TextVector(vector, lost, text_digest(text))
            for text, vector, lost in zip(texts, found.vectors, found.uncovered.tolist(), strict=True)
        }

    def refuse(
        self, records: Sequence[Incoming], vectors: Mapping[str, TextVector], encoder: Callable[[], Encoder]
    ) -> None:
        """Raises TextTooLong where the policy refuses one of the records."""


class _Error(LongTexts):
    """Refuses long texts; nothing of their commit is stored."""

    covers_all = True

    def refuse(
        self, records: Sequence[Incoming], vectors: Mapping[str, TextVector], encoder: Callable[[], Encoder]
    ) -> None:
        for record in records:
            if (found := vectors.get(record.text)) is not None and found.lost % UNKNOWN:
                space = encoder().space
                tokens = space.max_tokens + found.lost % UNKNOWN
                raise TextTooLong(
                    *(record.item, record.key, record.text[:40], tokens, space.max_tokens, space.model),
                    origin=record.origin,
                )


class _Mean(LongTexts):
    """Encodes the parts of a long text and stores one vector, their mean."""

    covers_all = True

    def encode(self, texts: Sequence[str], encoder: Encoder) -> dict[str, TextVector]:
        long = _long(texts, encoder)
        vectors = super().encode([text for text in texts if text not in long], encoder)
        if long:  # not for the cache, which knows texts alone and not how they were encoded
            found = encoder.encode_all(list(long), on_long="mean")
            each = zip(long, found.vectors, found.uncovered.tolist(), strict=True)
            vectors |= {text: TextVector(vector, lost) for text, vector, lost in each}
        return vectors


class _Split(LongTexts):
    """Stores the parts of a long text as records of their own; see `store.text_parts`."""

    splits = True
    reserved = (PART_OF, SPAN)

    def checked(self, items: Iterable[Incoming]) -> Iterator[Incoming]:
        for item in items:
            written = item.metadata or "{}"
            used = read_json(written) if any(name in written for name in self.reserved) else {}
            if found := [name for name in self.reserved if name in used]:
                raise InvalidInput(
                    f"item {item.item}: the metadata field {found[0]!r} is reserved for the parts of long texts",
                    "Rename it, or choose another on_long.",
                )
            yield item

    def units(
        self, window: Sequence[Incoming], snapshots: Snapshots, encoder: Callable[[], Encoder]
    ) -> list[list[Incoming]]:
        """For each item the item itself, or the parts of its text if that is too long.

        The tokenizer counts only texts that the cache does not know to be short. An item without metadata keeps what an
        earlier item said, or what is stored under its key, whole or in parts.
        """
        texts = dict.fromkeys(item.text for item in window)
        unsaid = {item.key for item in window if item.metadata is None}
        with snapshots.take() as snapshot:
            for text, (entry, _) in snapshot.cached(texts).items():
                if not entry.lost % UNKNOWN:
                    del texts[text]
            parts = {str(owner_of(part)): part for part in snapshot.parts_of(unsaid)}
            kept = {owner: checked_metadata(common_metadata(part)) for owner, part in parts.items()}
            for key, stored in snapshot.find(unsaid).items():
                if owner_of(stored) is None:  # what a part says of itself does not hold for another text
                    snapshot.metadata(stored)  # raises CorruptIndex if it is not an object
                    kept[key] = stored.metadata
        long = _long(list(texts), encoder()) if texts else {}
        units = []
        for item in window:
            if item.metadata is not None:
                kept[item.key] = item.metadata
            item = replace(item, metadata=kept.get(item.key))
            units.append(_parts(item, encoder()) if item.text in long else [item])
        return units


POLICIES: Mapping[OnLong, LongTexts] = {
    "truncate": LongTexts(),
    "error": _Error(),
    "split": _Split(),
    "mean": _Mean(),
}


def _long(texts: Sequence[str], encoder: Encoder) -> dict[str, None]:
    """Those of the texts that are longer than the model reads, in order."""
    if not (limit := encoder.space.max_tokens):
        return {}
    counts = encoder.count_tokens(texts)
    return {text: None for text, count in zip(texts, counts, strict=True) if count > limit}


def _parts(item: Incoming, encoder: Encoder) -> list[Incoming]:
    common = read_json(item.metadata or "{}")
    return [
        replace(
            item,
            key=part_key(item.key, number),
            text=item.text[start:end],
            metadata=checked_metadata({**common, PART_OF: item.key, SPAN: [start, end]}),
            part_of=item.key,
            named=True,
        )
        for number, (start, end) in enumerate(encoder.parts(item.text), 1)
    ]
