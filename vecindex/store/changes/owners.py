"""Decides whose a text is when several have it: one source has the record, and the others repeat it.

A row that is stored stays with its source. A text in sentences goes over to the source that adds it, since only that
one says where its sentences are.

A text that is given by hand has no source. A source that has it too gets the record, so that hits name the file, and
it is noted that it was also given by hand: it stays when no source has it any more. That is so as long as the text is
the same, whatever happens to its metadata. Records without a source that are in the index count as given by hand.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from ..stored import Identity, Repeat, Stored, StoredDocument
from ..text_cache import text_digest
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
        by_hand: by key, whether it is to be noted that the text was also given by hand; that of others stays as it is.
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
        self.repeats: list[Repeat] = []
        self.displaced: set[Source] = set()
        self.by_hand: dict[str, bool] = {}
        self.are_none = all(item.source is None and item.document is None for item in incoming)
        if self.are_none:
            self._note_given(incoming, stored, documents)
            return
        last: dict[Identity, Incoming] = {}
        for item in incoming:
            identity = identity_of(item)
            last[identity] = item
            claimed = self._claims[identity].get(item.source)
            if claimed is None or not _are_same(_content(claimed), _content(item)):
                self._claims[identity][item.source] = item
        shared = {identity for identity, claims in self._claims.items() if len(claims) > 1}
        self._pieces = {
            (item.source, item.key): item
            for item in (incoming if shared else ())
            if item.document is not None and item.document.identity in shared
        }
        for identity, final in last.items():
            self._decide(identity, final, stored, documents)

    def of(self, item: Incoming) -> Source | None:
        """The source that has the record, if any."""
        return self._of.get(identity_of(item), item.source)

    def claim(self, item: Incoming) -> Incoming | None:
        """The item of the source that has the record, which says where it is; None if that is not read now."""
        identity = identity_of(item)
        return self._claims[identity].get(self._of[identity]) if identity in self._of else None

    def piece(self, item: Incoming) -> Incoming:
        """A sentence as the source has it that has its text; the item itself if that is not read now."""
        return self._pieces.get((self.of(item), item.key), item)

    def _note_given(
        self,
        incoming: Sequence[Incoming],
        stored: Mapping[str, Stored],
        documents: Mapping[Identity, StoredDocument],
    ) -> None:
        """Sets `by_hand` where all that is added is given by hand and stored whole."""
        self.by_hand = {key: False for _, key in documents}  # it has no source from now on
        if all(record.at is None for record in stored.values()):
            return
        for item in incoming:
            record = stored.get(item.key)
            if record is not None and record.source is not None and record.document is None:
                self.by_hand[item.key] = item.text == record.text  # that of the last item counts

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
        same_text = before is not None and _are_same_texts(before[0], _content(final)[0])
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
        if owner is None and same_text and identity not in documents and final.document is None:
            owner = old  # the record stays where it is
        given = any(
            (item.source is None or item.given) and _are_same_texts(_content(item)[0], _content(final)[0])
            for item in claims.values()
        )
        if identity[0] == "file":
            return  # its key is the name of a source
        if owner is None or (before is not None and not same_text and not given):
            self.by_hand[key] = False
        elif given or (same_text and old is None):
            self.by_hand[key] = True


def _content(item: Incoming) -> Content:
    if item.document is not None:
        return item.document.digest, item.document.metadata
    return item.text, item.metadata


def _are_same_texts(one: str | bytes, other: str | bytes) -> bool:
    """Whether two texts, or digests of texts, are the same; one whose digest is not known counts as the same."""
    if isinstance(one, str) and isinstance(other, str):
        return one == other
    digests = [text_digest(each) if isinstance(each, str) else each for each in (one, other)]
    return b"" in digests or digests[0] == digests[1]


def _are_same(one: Content, other: Content) -> bool:
    return one[0] == other[0] and (one[1] is None or other[1] is None or same_json(one[1], other[1]))
