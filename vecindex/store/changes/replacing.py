"""What one commit of an ``add`` replaces: finds it, and writes records, documents and repeats in its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...errors import InvalidInput
from ..manifest import Manifest
from ..sql.reads import Catalog
from ..sql.writes import Tables
from ..stored import BY_HAND, At, Identity, NewDocument, Repeat, Stored, StoredDocument
from .follow import Followed, follow, identity_of
from .owners import Owners
from .reconcile import Changes, Incoming, same_json
from .sources import reread


class Replacing:
    """The records to add, and what is stored of their texts, read under the writer's lock.

    Raises:
        InvalidInput: a record would replace one of another text, or its source is gone.
    """

    def __init__(
        self,
        catalog: Catalog,
        incoming: Sequence[Incoming],
        refuse: bool = True,
        has_documents: bool = True,
        merge: bool = False,
    ) -> None:
        """With ``refuse`` False nothing is refused; see `follow`.

        ``has_documents`` False ignores the index's documents. A side index is filled with texts alone, and those that
        it kept from the time when it was the index say nothing of these. ``merge`` keeps the sentences of a text that
        are not among ``incoming``.
        """
        self._catalog = catalog
        self.incoming = incoming
        self.documents: dict[Identity, StoredDocument] = {}
        keys = {item.key for item in incoming}
        stored = catalog.find(keys)
        sources = {item.source for item in incoming if item.source is not None}
        if refuse and len(catalog.source_ids(sources)) < len(sources):
            raise InvalidInput("a source was removed from the index while it was added", "Add it again.")
        if has_documents and (any(item.document is not None for item in incoming) or catalog.has_documents()):
            identities = dict.fromkeys(map(identity_of, incoming))
            self.documents = _documents(catalog, identities)
            stored |= catalog.find({key for kind, key in identities if kind == "row"} - keys)
            self.incoming = incoming = [self._with_metadata(item, stored) for item in incoming]
            pieces = catalog.pieces_of(document.id for document in self.documents.values())
            parents = catalog.document_ids(record.document for record in stored.values() if record.document is not None)
            self.followed = follow(incoming, stored, self.documents, pieces, parents, refuse, merge)
        else:
            self.followed = Followed(stored)
        self._ids = {identity: document.id for identity, document in self.documents.items()}
        self.is_new = not stored and not self.documents and len(keys) == len(incoming)
        self._merge = merge
        self._owners = owners = Owners(incoming, stored, self.documents)
        claims = (self._owners.claim(item) or item for item in incoming if item.document is not None)
        self._new_documents = {
            claim.document.identity: replace(claim.document, source=self._owners.of(claim))
            for claim in claims
            if claim.document is not None
        }
        by_hand = owners.by_hand if has_documents else {}  # in a side index nothing is from a source
        repeated = set(catalog.repeats_of({*owners.agreeing, *by_hand})) if owners.agreeing or by_hand else set()
        self._repeats: list[Repeat] = [*owners.repeats, *((key, BY_HAND, None) for key in by_hand if by_hand[key])]
        self._has_new_repeats = not repeated.issuperset(self._repeats)
        owners_by_key = {identity_of(item)[1]: owners.of(item) for item in incoming} if repeated else {}
        self._taken = [
            (key, source)
            for key, source, _ in repeated
            if (owners_by_key.get(key) == source if source != BY_HAND else not by_hand.get(key, True))
        ]
        self._unread = set(owners.displaced)

    def _with_metadata(self, item: Incoming, stored: Mapping[str, Stored]) -> Incoming:
        """The same record; one that does not say its metadata has those of its text, whole or in sentences."""
        identity = identity_of(item)
        if item.metadata is not None or (item.document is None and identity not in self.documents):
            return item
        metadata = "{}"
        if identity in self.documents:
            metadata = self.documents[identity].new.metadata or "{}"
        elif (whole := stored.get(identity[1])) is not None and whole.document is None:
            self._catalog.metadata(whole)  # raises CorruptIndex if they are not an object
            metadata = whole.metadata
        document = None if item.document is None else replace(item.document, metadata=metadata)
        return replace(item, metadata=metadata, document=document)

    @property
    def touched(self) -> list[Stored]:
        """All stored records that may change."""
        return [*self.followed.stored.values(), *self.followed.stale]

    def at(self, item: Incoming) -> At | None:
        """Where the text of a record is from; None leaves that as it is."""
        if self._owners.are_none:
            return None
        owner = self._owners.of(item)
        if item.document is not None:
            document = self._ids.get(item.document.identity, -1)  # -1: not written yet
            piece = self._owners.piece(item)
            return At(owner, document, piece.position, piece.start, piece.end, piece.place)
        claim = self._owners.claim(item)
        if owner is None or claim is None:
            return None
        return At(owner, None, claim.position, claim.start, claim.end, claim.place)

    def changes(self, changes: Changes) -> bool:
        """Whether there is anything to write besides new rows."""
        followed = self.followed
        changed = changes.relabelled or self._changed_documents or self._has_new_repeats or self._taken or self._unread
        return bool(changed or followed.stale or followed.emptied)

    @property
    def _changed_documents(self) -> list[NewDocument]:
        """The documents to write."""
        known = self.documents
        changed = {id: new for id, new in self._new_documents.items() if id not in known or known[id].new != new}
        if not self._merge:
            return [*changed.values()]
        # What is stored may have sentences of both texts then, so its digest is not known.
        return [
            new if id not in known or known[id].new.digest == new.digest else replace(new, digest=b"")
            for id, new in changed.items()
        ]

    def write(
        self, tables: Tables, manifest: Manifest, changes: Changes, lost: Sequence[int]
    ) -> tuple[Manifest, list[Stored]]:
        """Writes all but the new records: returns these, for the rows behind the manifest's, and the manifest."""
        self._settle_sources(tables, changes)
        for document in self._changed_documents:
            self._ids[document.identity] = tables.put_document(document, self._ids.get(document.identity))
        are_plain = self._owners.are_none and not self.followed.stored  # said once, not for each of very many
        written = [
            Stored(
                *(row, item.key, item.text, item.metadata or "{}", tokens),
                None if are_plain else self.at(item) or self._kept_at(item, changes),
            )
            for row, (item, tokens) in enumerate(zip(changes.written, lost, strict=True), manifest.rows)
        ]
        stored = self.followed.stored
        replaced = [stored[item.key].row for item in changes.written if item.key in stored]
        replaced += [record.row for record in self.followed.stale]
        manifest = tables.bury(manifest, np.array(replaced, np.int64))
        tables.relabel(
            (old, replace(old, key=item.key, metadata=item.metadata or "{}", at=self.at(item) or old.at))
            for old, item in changes.relabelled
        )
        for key, source in self._taken:
            tables.forget_repeats_in(source, [key])
        tables.repeat(self._repeats)
        return manifest, written

    def tidy(self, tables: Tables, unread: Iterable[int]) -> None:
        """Ends the commit, once all else is written: drops documents that are whole now.

        The sources ``unread``, and those that do not have what is stored, are to be read again.
        """
        tables.drop_empty_documents(document.id for document in self.followed.emptied)
        reread(self._catalog, tables, self._unread.union(unread))

    def _kept_at(self, item: Incoming, changes: Changes) -> At | None:
        """Where the text of a record is still from, if it only gets another vector, or only a new row."""
        if item.key in changes.renewed:
            return changes.renewed[item.key].at
        old = self.followed.stored.get(item.key)
        is_same = old is not None and old.text == item.text
        return old.at if old is not None and is_same and item.document is None and old.document is None else None

    def _settle_sources(self, tables: Tables, changes: Changes) -> None:
        """Finds the sources whose rows or texts are not as they have them any more, to read them again later."""
        changed = [(old.key, old.source) for old in self._changed(changes) if old.document is None]
        changed += [(old.key, old.source) for old in self.followed.stale if old.document is None]  # it is cut now
        changed += [(old.new.key, old.new.source) for old in self.followed.emptied]  # it is whole now
        for new in self._changed_documents:
            known = self.documents.get(new.identity)
            if known is None:
                continue
            before = known.new
            if (before.digest, before.metadata) != (new.digest, new.metadata):
                changed.append((before.key, before.source))
        repeated = [each for each in self._catalog.repeats_of([key for key, _ in changed]) if each[1] != BY_HAND]
        for key, source, _ in repeated:
            tables.forget_repeats_in(source, [key])
        for key, had in (*changed, *((key, source) for key, source, _ in repeated)):
            if had is not None and had not in self._owners.agreeing.get(key, ()):
                self._unread.add(had)

    def _changed(self, changes: Changes) -> list[Stored]:
        """The stored records whose text or metadata changes."""
        stored = self.followed.stored
        texts = [stored[item.key] for item in changes.written if item.key in stored]
        return texts + [old for old, item in changes.relabelled if not same_json(old.metadata, item.metadata or "{}")]


def _documents(catalog: Catalog, identities: Iterable[Identity]) -> dict[Identity, StoredDocument]:
    """The documents with these identities, or of another kind if a repair made them, which could not know it."""
    found = catalog.documents(identities)
    others: dict[Identity, Identity] = {
        ("file" if kind == "row" else "row", key): (kind, key) for kind, key in identities if (kind, key) not in found
    }
    for other, document in catalog.documents(others).items():
        if document.new.source is None and not document.new.digest:
            found[others[other]] = document
    return found
