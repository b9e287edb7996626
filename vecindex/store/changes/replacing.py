"""What one commit of an ``add`` replaces: finds it, and writes records, documents and repeats in its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...errors import InvalidInput
from ..manifest import Manifest
from ..sql.reads import Catalog
from ..sql.writes import Tables
from ..stored import At, Identity, NewDocument, Stored, StoredDocument
from .follow import Followed, follow, identity_of
from .reconcile import Changes, Incoming, same_json
from .sources import reread


class Replacing:
    """The records to add, and what is stored of their texts, read under the writer's lock.

    Raises:
        InvalidInput: a record would replace one of another text, or its source is gone.
    """

    def __init__(
        self, catalog: Catalog, incoming: Sequence[Incoming], refuse: bool = True, has_documents: bool = True
    ) -> None:
        """With ``refuse`` False nothing is refused; see `follow`.

        ``has_documents`` False ignores the index's documents. A side index is filled with texts alone, and those that
        it kept from the time when it was the index say nothing of these.
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
            self.documents = catalog.documents(identities)
            stored |= catalog.find({key for kind, key in identities if kind == "row"} - keys)
            self.incoming = incoming = [self._with_metadata(item, stored) for item in incoming]
            pieces = catalog.pieces_of(document.id for document in self.documents.values())
            owners = catalog.document_ids(record.document for record in stored.values() if record.document is not None)
            self.followed = follow(incoming, stored, self.documents, pieces, owners, refuse)
        else:
            self.followed = Followed(stored)
        self._ids = {identity: document.id for identity, document in self.documents.items()}
        self.is_new = not stored and not self.documents and len(keys) == len(incoming)
        self._new_documents = {item.document.identity: item.document for item in incoming if item.document is not None}
        self._sources = {identity_of(item)[1]: item.source for item in incoming}
        self._unread: set[int] = set()

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
        if item.document is not None:
            document = self._ids.get(item.document.identity, -1)  # -1: not written yet
        elif item.source is None:
            return None
        else:
            document = None
        return At(item.source, document, item.position, item.start, item.end, item.place)

    def changes(self, changes: Changes) -> bool:
        """Whether there is anything to write besides new rows."""
        followed = self.followed
        changed = changes.relabelled or changes.repeated or self._changed_documents
        return bool(changed or followed.stale or followed.emptied)

    @property
    def _changed_documents(self) -> list[NewDocument]:
        """The documents to write."""
        known = self.documents
        return [new for id, new in self._new_documents.items() if id not in known or known[id].new != new]

    def write(
        self, tables: Tables, manifest: Manifest, changes: Changes, lost: Sequence[int]
    ) -> tuple[Manifest, list[Stored]]:
        """Writes all but the new records: returns these, for the rows behind the manifest's, and the manifest."""
        self._settle_sources(tables, changes)
        for document in self._changed_documents:
            self._ids[document.identity] = tables.put_document(document, self._ids.get(document.identity))
        written = [
            Stored(row, item.key, item.text, item.metadata or "{}", tokens, self.at(item))
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
        tables.repeat((item.key, item.source, item.place) for item in changes.repeated if item.source is not None)
        return manifest, written

    def tidy(self, tables: Tables) -> None:
        """Ends the commit, once all records are written: drops documents that are whole now."""
        tables.drop_empty_documents(document.id for document in self.followed.emptied)
        reread(self._catalog, tables, self._unread)

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
            elif before.source not in (None, new.source):
                tables.repeat([(new.key, before.source, None)])
        self._unread |= {source for key, source in changed if source is not None and source != self._sources.get(key)}
        for key, source, _ in self._catalog.repeats_of([key for key, _ in changed]):
            self._unread.add(source)
            tables.forget_repeats_in(source, [key])

    def _changed(self, changes: Changes) -> list[Stored]:
        """The stored records whose text or metadata changes."""
        stored = self.followed.stored
        texts = [stored[item.key] for item in changes.written if item.key in stored]
        return texts + [old for old, item in changes.relabelled if not same_json(old.metadata, item.metadata or "{}")]
