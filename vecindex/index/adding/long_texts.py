"""The policies for a text that is longer than the model reads: truncate, refuse, split, or average its parts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from ...encoders.run.encoder import Encoder
from ...encoders.run.tokenized import Keep
from ...errors import TextTooLong
from ...store.changes.reconcile import Incoming
from ...store.snapshot import Snapshots
from ...store.stored import NewDocument
from ...store.text_cache import text_digest
from ...store.writer import TextVector
from ...values.records import UNKNOWN
from .units import Unit, numbered, records_of

OnLong = Literal["truncate", "error", "split", "mean"]


class LongTexts:
    """A policy for long texts. This one, "truncate", encodes the beginning and counts the tokens that are lost."""

    covers_all = False
    """Whether a vector that does not cover its whole text must be made again."""

    def units(self, window: list[Unit], snapshots: Snapshots, encoder: Callable[[], Encoder]) -> list[Unit]:
        """What to store of each text."""
        return window

    def encode(self, texts: Sequence[str], encoder: Encoder, keep: Keep | None) -> dict[str, TextVector]:
        """The vectors of different texts; ``keep`` is as in `Encoder.encode_keeping`."""
        found = encoder.encode_all(texts) if keep is None else encoder.encode_keeping(texts, keep)
        return {
            text: TextVector(vector, lost, text_digest(text))
            for text, vector, lost in zip(texts, found.vectors, found.uncovered.tolist(), strict=True)
        }

    def refused(
        self, records: Sequence[Incoming], vectors: Mapping[str, TextVector], encoder: Callable[[], Encoder]
    ) -> Iterator[tuple[Incoming, TextTooLong]]:
        """The records that the policy refuses, with the errors."""
        return iter(())


class _Error(LongTexts):
    """Refuses long texts; nothing of their commit is stored."""

    covers_all = True

    def refused(
        self, records: Sequence[Incoming], vectors: Mapping[str, TextVector], encoder: Callable[[], Encoder]
    ) -> Iterator[tuple[Incoming, TextTooLong]]:
        for record in records:
            if (found := vectors.get(record.text)) is not None and found.lost % UNKNOWN:
                space = encoder().space
                tokens = space.max_tokens + found.lost % UNKNOWN
                key = record.key if record.document is None else record.document.key
                yield (
                    record,
                    TextTooLong(
                        *(record.item, key, record.text[:40], tokens, space.max_tokens, space.model),
                        origin=record.origin,
                    ),
                )


class _Mean(LongTexts):
    """Encodes the parts of a long text and stores one vector, their mean."""

    covers_all = True

    def encode(self, texts: Sequence[str], encoder: Encoder, keep: Keep | None) -> dict[str, TextVector]:
        long = _long(texts, encoder)
        vectors = super().encode([text for text in texts if text not in long], encoder, keep)
        if long:  # not for the cache, which knows texts alone and not how they were encoded
            all_long = list(long)
            found = (
                encoder.encode_all(all_long, on_long="mean")
                if keep is None
                else encoder.encode_keeping(all_long, keep, on_long="mean")
            )
            each = zip(long, found.vectors, found.uncovered.tolist(), strict=True)
            vectors |= {text: TextVector(vector, lost) for text, vector, lost in each}
        return vectors


class _Split(LongTexts):
    """Stores a long text in parts, as a document."""

    def units(self, window: list[Unit], snapshots: Snapshots, encoder: Callable[[], Encoder]) -> list[Unit]:
        """The units, with the parts of each text that is too long.

        The tokenizer counts only texts that the cache does not know to be short.
        """
        texts = dict.fromkeys(record.text for record in records_of(window))
        with snapshots.take() as snapshot:
            for text, (entry, _) in snapshot.cached(texts).items():
                if not entry.lost % UNKNOWN:
                    del texts[text]
        long = _long(list(texts), encoder()) if texts else {}
        return [
            _in_parts(unit, long, encoder()) if any(record.text in long for record in unit.records) else unit
            for unit in window
        ]


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


def _in_parts(unit: Unit, long: Collection[str], encoder: Encoder) -> Unit:
    document = unit.document
    if document is None:
        (whole,) = unit.records
        document = NewDocument("row", whole.key, whole.source, text_digest(whole.text), whole.metadata)
    parts = []
    for record in unit.records:
        spans = encoder.parts(record.text) if record.text in long else [(0, len(record.text))]
        parts += [
            replace(record, text=record.text[start:end], start=record.start + start, end=record.start + end)
            for start, end in spans
        ]
    return numbered(document, parts)
