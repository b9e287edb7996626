"""Decides whose a text is when several sources have it: one of them has the record, and the others repeat it.

A row that is stored stays with its source. A text in sentences goes over to the source that adds it, since only that
one says where its sentences are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from ..stored import Identity, Stored, StoredDocument
from .follow import identity_of
from .reconcile import Incoming, same_json

Source = int
Content = tuple[str | bytes, str | None]
"""A whole text, or the digest of one in sentences, and the metadata, None for those that are stored."""


class Owners:
    """The sources of the texts that one commit adds.

    Attributes:
        are_none: no text is from a source or cut.
        agreeing: by key, the sources that have the text as it is after the commit.
        repeats: key, source and place of the texts that those of them have which do not have the record.
        displaced: sources that have another text under the same key. They, and `agreeing`, may have more than one.
    """

    def __init__(
        self,
        incoming: Sequence[Incoming],
        stored: Mapping[str, Stored],
        documents: Mapping[Identity, StoredDocument],
    ) -> None:
        self._of: dict[Identity, Source | None] = {}
        self._claims: dict[Identity, dict[Source | None, Incoming]] = defaultdict(dict)
        self.agreeing: dict[str, set[Source]] = {}
        self.repeats: list[tuple[str, Source, int | None]] = []
        self.displaced: set[Source] = set()
        self.are_none = all(item.source is None and item.document is None for item in incoming)
        if self.are_none:
            return
        last: dict[Identity, Incoming] = {}
        for item in incoming:
            identity = identity_of(item)
            last[identity] = item
            claimed = self._claims[identity].get(item.source)
            if claimed is None or not _are_same(_content(claimed), _content(item)):
                self._claims[identity][item.source] = item
        for identity, final in last.items():
            self._decide(identity, final, stored, documents)

    def of(self, item: Incoming) -> Source | None:
        """The source that has the record, if any."""
        return self._of.get(identity_of(item), item.source)

    def claim(self, item: Incoming) -> Incoming | None:
        """The item of the source that has the record, which says where it is; None if that is not read now."""
        identity = identity_of(item)
        return self._claims[identity].get(self._of[identity]) if identity in self._of else None

    def _decide(
        self,
        identity: Identity,
        final: Incoming,
        stored: Mapping[str, Stored],
        documents: Mapping[Identity, StoredDocument],
    ) -> None:
        key = identity[1]
        before: Content | None = None
        old: Source | None = None
        if identity in documents:
            known = documents[identity].new
            before, old = (known.digest, known.metadata), known.source
        elif identity[0] == "row" and key in stored and stored[key].document is None:
            before, old = (stored[key].text, stored[key].metadata), stored[key].source
        stays = before is not None and _are_same(before, _content(final))
        claims = self._claims[identity]
        agreeing = {
            source: item
            for source, item in claims.items()
            if source is not None and _are_same(_content(item), _content(final))
        }
        owner = next(iter(agreeing), old if stays else None)
        if old is not None and stays and (old in agreeing or final.document is None):
            owner = old
        self._of[identity] = owner
        self.agreeing.setdefault(key, set()).update(agreeing)
        self.displaced |= {source for source in claims if source is not None and source not in agreeing}
        self.repeats += [(key, source, item.place) for source, item in agreeing.items() if source != owner]
        if stays and old is not None and old != owner and old not in agreeing:
            self.repeats.append((key, old, None))
        if owner is not None and owner not in agreeing and final.document is not None:
            self.displaced.add(owner)  # where the sentences are in it, it has to say again


def _content(item: Incoming) -> Content:
    if item.document is not None:
        return item.document.digest, item.document.metadata
    return item.text, item.metadata


def _are_same(one: Content, other: Content) -> bool:
    return one[0] == other[0] and (one[1] is None or other[1] is None or same_json(one[1], other[1]))
